"""On-chain stories of cooperative closes: asked by either end, with and without an HTLC in flight, reorganised, with
both ends down, overtaken by a commitment.
"""

from collections.abc import Iterator
from typing import NamedTuple

from leyden.monitor.classify import SpendKind

ASKERS = {"ours": "We ask", "theirs": "The peer asks"}
PAYMENTS = {
    "idle": "nothing is in flight",
    "used": "an HTLC is in flight and has to be settled first",
    "poor": "our balance is dust, so the closing transaction pays the peer alone",
}
THEN = {
    "": (),
    "reorg": ("@rest reorg 1 without=true", "@rest mine 1"),
    "reorg-deep": ("@rest mine 8", "@rest reorg 9 without=true", "@rest mine 1"),
    "crash": (),
    "crash-reorg": (
        "@rest kill alice",
        "kill bob",
        "reorg 1 without=true",
        "start alice sync=false",
        "start bob sync=false",
        "@rest mine 1",
    ),
    "revoked": ("@rest reorg 1 without=true", "@rest evict", "cheat alice alice-bob 1", "@rest mine 1"),
    "latest": ("@rest reorg 1 without=true", "@rest evict", "cheat alice alice-bob 2", "@rest mine 1"),
}
ABOUT = {
    "": "",
    "reorg": "Its block is undone, and it is mined again.",
    "reorg-deep": "Its block is undone when it has counted as closed, and it is mined again.",
    "crash": "Both ends are down while it is mined.",
    "crash-reorg": "Both ends are down while its block is undone.",
    "revoked": "Its block is undone, and a commitment that the peer has revoked is mined instead.",
    "latest": "Its block is undone, and the peer's latest commitment is mined instead.",
}


class MutualCell(NamedTuple):
    """A cooperative close of alice and bob, whose story it is."""

    asker: str
    payment: str
    then: str

    @property
    def name(self) -> str:
        """The name of its file."""
        return "-".join(["mutual", *[part for part in self if part]])

    @property
    def us(self) -> str:
        """Whose story it is."""
        return "bob"

    @property
    def channel(self) -> str:
        """Which channel closes."""
        return "alice-bob"

    @property
    def kind(self) -> tuple[SpendKind, ...]:
        """What we may take the spend for, at first and in the end."""
        last = {"revoked": (SpendKind.REMOTE_REVOKED,), "latest": (SpendKind.REMOTE,)}
        return (SpendKind.MUTUAL_CLOSE, *last.get(self.then, ()))

    @property
    def holds_htlc(self) -> bool:
        """Whether an output of a commitment is watched as an HTLC's."""
        return self.then == "revoked" and self.payment != "poor"

    def text(self) -> str:
        """Return its scenario."""
        push_msat = 200_000 if self.payment == "poor" else 500_000_000
        asker = "bob" if self.asker == "ours" else "alice"
        lines = [
            f"# {ASKERS[self.asker]} for a cooperative close; {PAYMENTS[self.payment]}.",
            *([f"# {ABOUT[self.then]}"] if self.then else []),
            "",
            "proves 9",
            "explore fixed",
            "schedule fair",
            *[f"node {name} to_self_delay=6 coins=100000" for name in ("alice", "bob")],
            f"channel alice bob 1000000 {push_msat}",
            "",
            "app bob wait",
            "pay alice bob 50000000 one hash=known",
        ]
        if self.payment == "poor":
            lines[-1] = "pay alice bob 100000 one hash=known"
        close, claim = f"@rest close {asker} alice-bob", "@rest claim bob"
        lines += [close, claim] if self.payment == "used" else [claim, close]
        if self.then == "crash":
            lines += ["@rest kill alice", "kill bob", "mine 1", "start alice sync=false", "start bob sync=false"]
        else:
            lines.append("@rest mine 1")
        return "\n".join([*lines, *THEN[self.then], "@rest resolve"]) + "\n"


def mutual_cells() -> Iterator[MutualCell]:
    """Yield every one."""
    for asker in ASKERS:
        for payment in PAYMENTS:
            for then in THEN:
                yield MutualCell(asker, payment, then)
