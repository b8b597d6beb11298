"""On-chain stories of HTLCs and balances that are too small for an output, or for the fee of claiming it."""

from collections.abc import Iterator
from typing import NamedTuple

from leyden.monitor.classify import SpendKind
from tests.sim.onchain_cells import Amounts, Cell

DUST = " dust_limit_satoshis=6000"
SMALL: dict[str, Amounts] = {
    "dust": Amounts(300_000, about=("# It is dust: neither commitment has an output of it.",)),
    "dust_ours": Amounts(5_000_000, our_setting=DUST, about=("# It is dust on our commitment, not on the peer's.",)),
    "dust_theirs": Amounts(
        5_000_000, their_setting=DUST, about=("# It is dust on the peer's commitment, not on ours.",)
    ),
    "worthless": Amounts(400_000, about=("# Its output costs what it holds at any feerate: nobody takes it.",)),
    "costly": Amounts(
        1_500_000,
        commands=("@rest fees 20000", "@rest mine 8", "@rest fees 253 minimum=1"),
        about=("# Its output costs more than it brings, until fees fall.",),
    ),
    "poor": Amounts(50_000_000, push_msat=200_000, about=("# Our balance is dust: it has no output.",)),
}
PREIMAGES = {"offered": ("never", "before"), "received": ("never", "before"), "forwarded": ("never", "before", "after")}


class SmallCell(NamedTuple):
    """A cell of the table with little at stake. small: of `SMALL`."""

    cell: Cell
    small: str

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.cell.name}-{self.small}"

    @property
    def us(self) -> str:
        """Whose story it is."""
        return self.cell.us

    @property
    def channel(self) -> str:
        """Which channel closes."""
        return self.cell.channel

    @property
    def kind(self) -> tuple[SpendKind, ...]:
        """What we may take the spend for."""
        return self.cell.kind

    @property
    def holds_htlc(self) -> bool:
        """Whether an output of the commitment is watched as an HTLC's."""
        whose = "ours" if self.cell.way == "ours" else "theirs"
        return self.small not in ("dust", f"dust_{whose}")

    def text(self) -> str:
        """Return its scenario."""
        return self.cell.text(SMALL[self.small])


def small_cells() -> Iterator[SmallCell]:
    """Yield every one."""
    for way in ("ours", "theirs", "revoked"):
        for direction, preimages in PREIMAGES.items():
            for preimage in preimages:
                cell = Cell(way, direction, preimage, "")
                yield from [SmallCell(cell, small) for small in SMALL if small != "poor"]
        for preimage in ("never", "before", "after"):
            yield SmallCell(Cell(way, "received", preimage, ""), "poor")
