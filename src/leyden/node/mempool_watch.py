"""Looking into the mempool: what spends there an output of a commitment may show a preimage before its block does.

An early look and no more: what is missed here comes with its block, so failures wait for the next look.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from leyden.base.errors import ChainUnavailable
from leyden.bitcoin.tx import Transaction
from leyden.manager.manager import Manager
from leyden.manager.onchain import blocks
from leyden.node.core import NodeCore

CHECKS_PER_INTERVAL = 20
"""How often a new block is noticed between two looks."""
ROUNDS = 2
"""A commitment may wait together with what spends it, which is asked for once the commitment is known."""


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
    for _ in range(ROUNDS):
        try:
            found = {tx.txid(): tx for tx in await core.chain.mempool_spends(wanted)}
        except ChainUnavailable:
            break
        new = [tx for txid, tx in found.items() if txid not in known]
        known = dict.fromkeys(found)
        if not new:
            break
        core.runtime.run_on_chain(partial(_tell, transactions=new))
        asked, wanted = wanted, blocks.mempool_watch_list(core.manager)
        if not set(wanted) - set(asked):
            break
    return known


def _tell(manager: Manager, transactions: Sequence[Transaction]) -> None:
    blocks.on_mempool_transactions(manager, transactions)


async def _wait(core: NodeCore, seconds: float) -> None:
    best = core.best_hash
    for _ in range(CHECKS_PER_INTERVAL):
        await asyncio.sleep(seconds / CHECKS_PER_INTERVAL)
        if core.best_hash != best:
            return
