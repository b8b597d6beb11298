"""From the block that holds a revoked commitment until the chain service has the penalties."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.alone import Alone
from benchmarks.goals import Figure
from benchmarks.payments import Figures
from benchmarks.revoked import SLOTS, Stored, grow
from benchmarks.run import Run
from leyden.bitcoin.tx import Transaction
from leyden.journal.penalty import ROW_LENGTH
from leyden.node import files

HEIGHT = 200
OTHERS = 100
"""HTLCs of the busy channel that leave with each state: a log of a million rows after 10,000 states."""


def justice(run: Run) -> Figures:
    """A channel with many revoked states, one of which, with all slots used, is in a block.

    The node has just started from its store, which holds the penalty log; once as long as that of lone payments, and
    once as long as that of a channel whose slots were always full.
    """
    figures: Figures = {}
    for name, others in (("justice", 0), ("justice_busy", OTHERS)):
        run.settle()
        with tempfile.TemporaryDirectory(prefix="leyden-bench-") as folder:
            run.say(f"{run.scale.states:,} revoked states")
            seen = asyncio.run(grow(Path(folder), run.scale.states, others))
            run.say("one of them is in a block")
            runs = [asyncio.run(_punish(seen, number)) for number in range(max(2, run.scale.runs))]
        seconds = [one for one, _count in runs]
        figures[name] = Figure(
            round(float(median(seconds)), 4),
            {
                "runs": seconds,
                "transactions": runs[0][1],
                "rows": len(seen.log) // ROW_LENGTH,
                "log_mib": round(len(seen.log) / 2**20, 2),
                "read_log_ms": seen.read_ms,
            },
        )
    return figures


async def _punish(seen: Stored, number: int) -> tuple[float, int]:
    """Return the seconds until the last penalty is with the chain service, and how many transactions they are."""
    folder = seen.path.parent / f"run {number}"
    folder.mkdir()
    path = Path(shutil.copy(seen.path, folder / files.STORE_FILE))
    node = Alone(path, seen.journal.own.signer)
    await node.start(HEIGHT)
    txid = seen.full.txid()
    node.chain.taken.clear()
    begun = await node.see_block(HEIGHT + 1, [seen.full])
    published = [Transaction.parse(raw) for raw, _when in node.chain.taken]
    taken = {one.prevout.vout for transaction in published for one in transaction.inputs if one.prevout.txid == txid}
    assert len(taken) == SLOTS + 1, f"{len(taken)} outputs are taken"
    seconds = node.chain.taken[-1][1] - begun
    await node.stop()
    return round(seconds, 4), len(published)
