"""Looking into the mempool: what spends there an output of a closed channel may show a preimage before its block does.

An early look and no more: what is missed here comes with its block, so failures wait for the next look.
"""

import asyncio
from collections.abc import Sequence

from leyden.base.errors import ChainUnavailable
from leyden.bitcoin.tx import Transaction
from leyden.manager.manager import Manager
from leyden.manager.onchain import blocks
from leyden.node.core import NodeCore

CHECKS_PER_INTERVAL = 20
"""How often a new block is noticed between two looks."""


async def watch_mempool(core: NodeCore) -> None:
    """Look every `bitcoind.mempool_seconds`, and after each block; what is new goes to the manager."""
    known: dict[bytes, None] = {}
    while True:
        known = await look(core, known)
        await _wait(core, core.config.bitcoind.mempool_seconds)


async def look(core: NodeCore, known: dict[bytes, None]) -> dict[bytes, None]:
    """Look once. known: txids that the last look found. Return those of this one."""
    wanted = blocks.mempool_watch_list(core.manager) if core.is_synced else []
    if not wanted:
        return {}
    try:
        found = {tx.txid(): tx for tx in await core.chain.mempool_spends(wanted)}
    except ChainUnavailable:
        return known
    new = [tx for txid, tx in found.items() if txid not in known]
    if new:
        core.runtime.run_on_chain(lambda manager: _tell(manager, new))
    return dict.fromkeys(found)


def _tell(manager: Manager, transactions: Sequence[Transaction]) -> None:
    blocks.on_mempool_transactions(manager, transactions)


async def _wait(core: NodeCore, seconds: float) -> None:
    best = core.best_hash
    for _ in range(CHECKS_PER_INTERVAL):
        await asyncio.sleep(seconds / CHECKS_PER_INTERVAL)
        if core.best_hash != best:
            return
