"""Scenario files of the table of on-chain stories: every cell has one, and each is what it says."""

import pytest

from leyden.monitor.classify import SpendKind
from leyden.sim.play import Play
from leyden.sim.script import load_script
from leyden.sim.world import Action
from tests.sim.onchain_table import FOLDER, AnyCell, all_cells

CELLS = all_cells()
HTLCS = ("HTLC", "REVOKED_HTLC")


class _Looking:
    """Sees what closes a channel, as one of its ends understands it. held: a commitment had an HTLC."""

    def __init__(self, play: Play, cell: AnyCell) -> None:
        self._play, self._cell = play, cell
        self.kinds: dict[SpendKind, None] = {}
        self.held = False

    def before(self, action: Action) -> None:
        """See `Observer`."""

    def after(self, action: Action) -> None:
        """See `Observer`."""
        del action
        node = self._play.world.nodes[self._cell.us]
        channel_id = self._play.director.labels.channel(self._cell.channel)
        slot = node.manager.channels.get(channel_id) if node.is_up else None
        if slot is not None and slot.closed_view is not None:
            self.kinds[slot.closed_view.spend.kind] = None
            self.held |= any(one.kind.name in HTLCS for one in slot.closed_view.outputs.values())


def test_every_cell_has_its_file() -> None:
    """`python -m tests.sim.onchain_table` writes them."""
    files = {path.stem: path.read_text() for path in FOLDER.glob("*.txt")}
    assert files == {cell.name: cell.text() for cell in CELLS}
    assert len(files) == 372


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
def test_cell_is_resolved(cell: AnyCell) -> None:
    """The commitment that it names closes the channel, with the HTLC in it; at the end every oracle holds."""
    play = Play(load_script(FOLDER / f"{cell.name}.txt"), watched=False)
    looking = _Looking(play, cell)
    play.world.observer.all.append(looking)  # type: ignore[union-attr]
    play.run()
    assert not play.director.skipped
    assert looking.kinds
    assert set(looking.kinds) <= set(cell.kind)
    assert looking.held == cell.holds_htlc
    assert not any(
        node.manager.channels.get(play.director.labels.channel(cell.channel)) for node in play.world.nodes.values()
    )
