"""All on-chain stories that have a scenario file; `python -m tests.sim.onchain_table` writes the files anew."""

from pathlib import Path
from typing import TypeAlias

import leyden.sim
from tests.sim.onchain_cells import Cell, cells
from tests.sim.onchain_mutual import MutualCell, mutual_cells
from tests.sim.onchain_small import SmallCell, small_cells

FOLDER = Path(leyden.sim.__file__).parent / "scenarios" / "onchain"
AnyCell: TypeAlias = Cell | SmallCell | MutualCell


def all_cells() -> list[AnyCell]:
    """Return every cell."""
    return [*cells(), *small_cells(), *mutual_cells()]


def write() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for cell in all_cells():
        (FOLDER / f"{cell.name}.txt").write_text(cell.text())


if __name__ == "__main__":
    write()
