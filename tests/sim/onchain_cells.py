"""The table of on-chain stories: who closed, which commitment, direction of the HTLC, when its
preimage was known, what was reorganised.

Each cell is a scenario file in `sim/scenarios/onchain`; crashes at every step of it are what the explorer adds. Beside
the table stand stories of outputs that are small or missing (`onchain_small`) and of cooperative closes
(`onchain_mutual`). `python -m tests.sim.onchain_table` writes the files anew.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from leyden.monitor.classify import SpendKind

WAYS = {
    "ours": "we publish our latest commitment",
    "theirs": "the peer publishes its current commitment",
    "prior": "the peer publishes its previous commitment, which it has not revoked yet",
    "revoked": "the peer publishes a commitment that it has revoked",
    "both": "both ends publish their commitments at once",
    "unknown": "we have lost data, and the peer publishes a commitment that we do not know",
}
PREIMAGES = {
    "offered": {
        "never": "nobody knows the preimage",
        "before": "the peer has told us the preimage, and its HTLC is still there",
        "chain": "a block shows us the preimage",
        "mempool": "the mempool shows us the preimage",
    },
    "received": {
        "never": "nobody knows the preimage",
        "before": "we know the preimage before the close",
        "after": "we learn the preimage after the close",
    },
    "forwarded": {
        "never": "nobody knows the preimage, and the outgoing channel closes",
        "before": "we know the preimage before the incoming channel closes",
        "after": "the incoming channel closes, then the outgoing one brings the preimage",
        "chain": "the outgoing channel closes, and a block shows us the preimage",
        "mempool": "the outgoing channel closes, and the mempool shows us the preimage",
    },
}
REORGANISED = {
    "": "",
    "reorg-close": "The block of the commitment is undone, and mined again.",
    "reorg-claim": "The blocks of the commitment and of what follows are undone, and mined again.",
}


class Amounts(NamedTuple):
    """What is at stake. push_msat: what the opener of each channel gives away. our_setting, their_setting: of the node
    whose story it is, and of its peer. commands: what happens when the commitment is mined. about: comments.
    """

    amount_msat: int = 50_000_000
    push_msat: int = 500_000_000
    our_setting: str = ""
    their_setting: str = ""
    commands: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


PLAIN = Amounts()


class Cell(NamedTuple):
    """One cell; see the module."""

    way: str
    direction: str
    preimage: str
    reorganised: str

    @property
    def name(self) -> str:
        """The name of its file."""
        return "-".join([part for part in self if part])

    @property
    def us(self) -> str:
        """Whose story it is."""
        return "alice" if self.direction == "offered" else "bob"

    @property
    def peer(self) -> str:
        """Who is at the other end of the channel that closes."""
        if self.direction == "forwarded":
            return "alice" if self.preimage in ("before", "after") else "carol"
        return "bob" if self.direction == "offered" else "alice"

    @property
    def payee(self) -> str:
        """Whose user may know the preimage."""
        return "carol" if self.direction == "forwarded" else "bob"

    @property
    def channel(self) -> str:
        """Which channel closes."""
        return "-".join(sorted([self.us, self.peer]))

    @property
    def kind(self) -> tuple[SpendKind, ...]:
        """What we may take the spend for."""
        return {
            "ours": (SpendKind.LOCAL,),
            "theirs": (SpendKind.REMOTE,),
            "prior": (SpendKind.REMOTE_PRIOR,),
            "revoked": (SpendKind.REMOTE_REVOKED,),
            "both": (SpendKind.LOCAL, SpendKind.REMOTE, SpendKind.REMOTE_PRIOR),
            "unknown": (SpendKind.REMOTE_UNKNOWN,),
        }[self.way]

    @property
    def holds_htlc(self) -> bool:
        """Whether an output of the commitment is watched as an HTLC's."""
        return self.way != "unknown"

    def text(self, amounts: Amounts = PLAIN) -> str:
        """Return its scenario."""
        about = REORGANISED[self.reorganised]
        lines = [
            f"# {WAYS[self.way].capitalize()}; an HTLC is {self.direction}.",
            f"# {PREIMAGES[self.direction][self.preimage].capitalize()}." + (f" {about}" if about else ""),
            *amounts.about,
            "",
            "proves 9",
            "explore fixed",
            "schedule fair",
        ]
        names = ("alice", "bob", "carol") if self.direction == "forwarded" else ("alice", "bob")
        kind = " static" if self.reorganised == "reorg-close" or (self.reorganised and self.way == "both") else ""
        more = {self.us: amounts.our_setting, self.peer: amounts.their_setting}
        lines += [f"node {name} to_self_delay=6 coins=100000{more.get(name, '')}" for name in names]
        pairs = itertools.pairwise(names)
        lines += [f"channel {one} {other} 1000000 {amounts.push_msat}{kind}" for one, other in pairs]
        return "\n".join([*lines, "", *self._commands(amounts)]) + "\n"

    def _commands(self, amounts: Amounts) -> Iterator[str]:
        secret = "unknown" if self.preimage == "never" else "known"
        yield f"app {self.payee} wait"
        yield f"pay alice {self.payee} {amounts.amount_msat} one deadline=5 hash={secret}"
        yield from self._before()
        yield from self._close()
        yield "@rest mine 1"
        if self.reorganised == "reorg-close":
            yield "@rest reorg 1 without=true"
            yield "@rest mine 1"
        yield from amounts.commands
        yield from self._after()
        yield "@rest mine 1"
        if self.reorganised == "reorg-claim":
            yield "@rest reorg 2 without=true"
            yield "@rest mine 1"
        yield "@rest resolve"

    def _before(self) -> Iterator[str]:
        """What happens before the close: the preimage comes, and states are revoked or lost."""
        us, peer = self.us, self.peer
        if self.way == "unknown":
            yield f"@rest backup {us}"
        if self.way in ("revoked", "unknown"):
            yield f"@rest pay {peer} {us} 20000000 two"
        if self.preimage != "before":
            return
        if self.direction == "offered":
            # The fulfil arrives, the signature behind it does not.
            yield f"@rest stall {us} {peer} after=1"
            yield f"claim {self.payee}"
            if self.way == "prior":
                yield f"pay {us} {peer} 20000000 two deadline=5"
        elif self.way == "prior":
            yield f"@rest stall {us} {peer}"
            yield f"claim {self.payee}"
        else:
            yield f"@rest unlink {us} {peer}"
            yield f"claim {self.payee}"

    def _close(self) -> Iterator[str]:
        us, peer, channel = self.us, self.peer, self.channel
        if self.way in ("ours", "theirs"):
            yield f"@rest unlink {us} {peer}"
            yield f"@rest force-close {us if self.way == 'ours' else peer} {channel}"
        elif self.way == "both":
            yield f"@rest unlink {us} {peer}"
            yield f"@rest force-close {us} {channel}"
            yield f"force-close {peer} {channel}"
        elif self.way == "prior":
            if self.preimage != "before":
                yield f"@rest stall {us} {peer}"
                yield f"pay {us} {peer} 20000000 two deadline=5"
            yield f"@rest unlink {us} {peer}"
            yield f"@rest force-close {peer} {channel}"
        elif self.way == "revoked":
            yield f"@rest unlink {us} {peer}"
            yield f"@rest cheat {peer} {channel} 1"
        else:
            yield f"@rest restore {us} mark=true"
            yield f"link {us} {peer}"

    def _after(self) -> Iterator[str]:
        if self.preimage in ("after", "mempool"):
            yield f"@rest claim {self.payee}"
        elif self.preimage == "chain":
            yield f"@rest kill {self.us}"
            yield f"@rest claim {self.payee}"
            yield "@rest mine 1"
            yield f"@rest start {self.us} sync=false"


def cells() -> Iterator[Cell]:
    """Yield every cell of the table."""
    for way in WAYS:
        for direction, preimages in PREIMAGES.items():
            for preimage in preimages:
                for reorganised in REORGANISED:
                    yield Cell(way, direction, preimage, reorganised)
