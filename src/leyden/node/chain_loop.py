"""Following the chain: blocks to the run loop in order, feerates now and then. Failure is retried, never fatal."""

import asyncio
import logging
from collections.abc import Callable

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.manager import chain as blocks
from leyden.manager import fees
from leyden.manager.manager import describe_bug
from leyden.node import onchain
from leyden.node.core import NodeCore
from leyden.ports.chain import BlockConnected, BlocksDisconnected

_chain_log = logging.getLogger("leyden.chain")

FEE_INTERVAL_SECONDS = 30
REBROADCAST_INTERVAL_SECONDS = 60
RETRY_SECONDS = 1.0
PROGRESS_BLOCKS = 250
"""Each time that so many blocks less are to be looked at, the log says so."""
REFUSED_RETRY_SECONDS = 10.0


async def follow(core: NodeCore, height: int, block_hash: bytes, on_synced: Callable[[], None]) -> None:
    """Feed every block after (height, block_hash); call `on_synced` once, when the tip is reached for the first
    time.
    """
    core.best_height, core.best_hash = height, block_hash
    while True:
        why = "the chain source ended"
        try:
            await _follow(core, on_synced)
        except CommandRejected as error:
            # Another network's service answers, or this one has pruned what we need: nothing of it may be looked at.
            why = error.what
        except Exception as bug:  # noqa: BLE001 - a node that no longer sees blocks is robbed; it says so and goes on
            why = f"a block could not be taken in: {describe_bug(bug)}"
        core.chain_status = why
        core.alarms["chain"] = why
        core.manager.report("chain", "error", why)
        core.runtime.turn()
        await asyncio.sleep(REFUSED_RETRY_SECONDS)
        core.alarms.pop("chain", None)
        core.chain_status = ""


async def _follow(core: NodeCore, on_synced: Callable[[], None]) -> None:
    await rescan_wallet(core, core.best_height)
    core.tip_height = await _tip_height(core)
    if core.blocks_behind >= PROGRESS_BLOCKS:
        _chain_log.info("%d blocks are to be looked at, up to height %d", core.blocks_behind, core.tip_height)
    if not core.blocks_behind and not core.is_synced:
        on_synced()
    async for event in core.chain.follow(core.best_height, core.best_hash):
        match event:
            case BlockConnected(block=block):
                core.tip_height = max(core.tip_height, block.height)
                is_tip = block.height >= core.tip_height
                if is_tip and not core.is_synced:
                    core.tip_height = max(core.tip_height, await _tip_height(core))
                    is_tip = block.height >= core.tip_height
                core.runtime.on_block(block.height, block.hash, block.transactions, block.txids, is_tip=is_tip)
                core.best_height, core.best_hash = block.height, block.hash
                if is_tip:
                    onchain.check_reserve(core)
                if is_tip and not core.is_synced:
                    on_synced()
                tell_progress(core)
            case BlocksDisconnected(fork_height=fork_height, fork_hash=fork_hash):
                core.runtime.on_blocks_disconnected(fork_height, fork_hash)
                core.best_height, core.best_hash = fork_height, fork_hash
                await rescan_wallet(core, fork_height)
                onchain.check_reserve(core)


def tell_progress(core: NodeCore) -> None:
    """Say now and then how far a long way to the tip has come."""
    behind = core.blocks_behind
    if behind and behind % PROGRESS_BLOCKS == 0:
        _chain_log.info("block %d, %d blocks behind", core.best_height, behind)


async def _tip_height(core: NodeCore) -> int:
    while True:
        try:
            return (await core.chain.tip()).height
        except ChainUnavailable as error:
            core.chain_status = str(error)
            await asyncio.sleep(RETRY_SECONDS)


async def rescan_wallet(core: NodeCore, height: int) -> None:
    """Feed blocks that the wallet asks for again: a restored seed, or a reorganisation deeper than it remembers."""
    wallet = core.wallet
    at = wallet.rescan_from
    if at is None:
        return
    while at <= height:
        try:
            block = await core.chain.get_block_by_height(at)
        except ChainUnavailable as error:
            core.chain_status = str(error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if block is None:
            break
        core.runtime.record_wallet(wallet.connect_block(block.height, block.hash, block.transactions, block.txids))
        at += 1
    core.runtime.record_wallet(wallet.rescan_finished())
    core.runtime.turn()


async def ask_fees(core: NodeCore) -> bool:
    """Ask for all estimates once and say what is wrong with them; return whether the service answered."""
    estimates: dict[int, int] = {}
    wrong: dict[str, None] = {}
    answered = True
    for blocks_left in fees.TARGETS_BLOCKS:
        try:
            estimate = await core.chain.estimate_fee(blocks_left)
        except ChainUnavailable as error:
            wrong[str(error)] = None
            answered = False
            break
        estimates[blocks_left] = estimate.feerate_per_kw
        if estimate.why:
            wrong[estimate.why] = None
    said: list[str] = []
    # Claims go on without a store; what follows in channels needs one.
    core.runtime.run_on_chain(lambda m: said.append(fees.note_estimates(m, estimates)))
    if core.runtime.broken is None:
        core.runtime.run(fees.follow_estimates)
    why = "; ".join([one for one in (*said, *wrong) if one])
    if why:
        core.alarms["fees"] = why
    else:
        core.alarms.pop("fees", None)
    return answered


async def watch_fees(core: NodeCore) -> None:
    """Ask for feerates now and then; what is ours and unconfirmed is published again on the way."""
    since_broadcast = 0.0
    while True:
        interval = FEE_INTERVAL_SECONDS if await ask_fees(core) else RETRY_SECONDS
        since_broadcast += interval
        if core.is_synced and since_broadcast >= REBROADCAST_INTERVAL_SECONDS:
            since_broadcast = 0.0
            core.runtime.run_on_chain(blocks.rebroadcast)
            for raw in () if core.runtime.is_fenced else core.wallet.unconfirmed_transactions():
                core.spawn(core.chain.broadcast(raw), "broadcast of a wallet transaction")
        await asyncio.sleep(interval)
