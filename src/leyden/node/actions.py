"""Carrying out what the manager wants done outside."""

import logging
from functools import lru_cache

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.tx import OutPoint, Transaction, TxOut, txid_to_hex
from leyden.manager import opening
from leyden.manager.actions import (
    Action,
    Broadcast,
    BroadcastPackage,
    ChannelBorn,
    Disconnect,
    DropJournal,
    ForgetTransaction,
    FundChannels,
    FundClaim,
    ReleaseFunding,
    Report,
    ShowEvent,
)
from leyden.manager.events import OpenRefused
from leyden.manager.onchain import claims
from leyden.node.claim_coins import fund_claim
from leyden.node.core import NodeCore
from leyden.node.onchain import check_reserve_soon, count_anchor_channels

PARSED_MAX = 512
"""Transactions that are kept parsed: what waits for a block is given to the chain service again at each."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_chain_log = logging.getLogger("leyden.chain")


def report(action: Report) -> None:
    """Write to the log of its subsystem."""
    logging.getLogger(f"leyden.{action.subsystem}").log(_LEVELS[action.level], "%s", action.text)


def carry_out(core: NodeCore, action: Action) -> None:
    """Carry out one action."""
    match action:
        case Report():
            report(action)
        case Broadcast() | BroadcastPackage() | FundClaim() | ForgetTransaction():
            _on_chain(core, action)
        case ShowEvent(event=event):
            if isinstance(event, OpenRefused):
                waiter = core.opening_waiters.pop(event.user_channel_id, None)
                if waiter is not None and not waiter.done():
                    waiter.set_exception(CommandRejected(event.reason, code="open_refused"))
            core.show(event)
        case ChannelBorn():
            born = core.opening_waiters.pop(action.user_channel_id, None)
            if born is not None and not born.done():
                born.set_result(action.channel_id)
        case FundChannels():
            # In a turn of its own: the wallet may take its time, and its answer is an input like any other.
            core.runtime.scheduler.post(lambda: _fund(core, action))
        case ReleaseFunding(transaction=raw):
            core.wallet.forget_pending(Transaction.parse(raw).txid())
        case Disconnect() | DropJournal():
            raise AssertionError("the run loop disconnects")


def _on_chain(core: NodeCore, action: Broadcast | BroadcastPackage | FundClaim | ForgetTransaction) -> None:
    match action:
        case Broadcast(transaction=raw, what=what):
            _broadcast(core, (raw,), what)
        case BroadcastPackage(transactions=raws, what=what):
            _broadcast(core, raws, what)
        case FundClaim():
            # In a turn of its own, as `FundChannels`.
            core.runtime.scheduler.post(lambda: fund_claim(core.runtime, action))
        case ForgetTransaction(txid=txid):
            core.wallet.forget_pending(txid)


_parsed = lru_cache(maxsize=PARSED_MAX)(Transaction.parse)


@lru_cache(maxsize=PARSED_MAX)
def _txid_of(raw: bytes) -> bytes:
    return _parsed(raw).txid()


def _broadcast(core: NodeCore, raws: tuple[bytes, ...], what: str) -> None:
    transactions = [_parsed(raw) for raw in raws]
    for transaction in transactions:
        core.wallet.pending_transaction(transaction)
    check_reserve_soon(core)
    core.spawn(_publish(core, raws, transactions, what), f"broadcast of {what}")


async def _publish(core: NodeCore, raws: tuple[bytes, ...], transactions: list[Transaction], what: str) -> None:
    """Publish transactions, parents first; the manager hears what became of the last one, a claim perhaps."""
    if core.runtime.is_fenced:
        return  # the store was taken over since this was decided
    txid = _txid_of(raws[-1])
    what = f"{what} {txid_to_hex(txid)}"
    chain = core.chain
    try:
        result = await (chain.broadcast(raws[0]) if len(raws) == 1 else chain.broadcast_package(raws))
        core.runtime.run_on_chain(lambda m: claims.on_broadcast_result(m, txid, result.accepted, result.reject_reason))
        if result.accepted:
            _chain_log.info("%s is published", what)
            return
        rivals = ", ".join([str(one) for one in await _taken(core, transactions, in_block=False)])
        gone = ", ".join([str(one) for one in await _taken(core, transactions, in_block=True)])
    except ChainUnavailable as error:
        _chain_log.warning("%s waits for the chain service: %s", what, error)
        return
    if gone:
        # A block has come in between, with this or with what was faster; the node hears of it with that block. Or one
        # was undone, and with it what this spends.
        _chain_log.info("%s is not needed now: %s is not there to be spent", what, gone)
    elif rivals:
        # Two that close a channel at once both publish. Each is asked for again until one is in a block.
        _chain_log.info("%s has a rival: what spends %s waits for a block already; one of them gets in", what, rivals)
    else:
        _chain_log.warning("%s was refused: %s", what, result.reject_reason)


async def _taken(core: NodeCore, transactions: list[Transaction], *, in_block: bool) -> list[OutPoint]:
    """Return what transactions spend of others that is spent already: in a block, or by what waits for one."""
    chain, made = core.chain, [_txid_of(one.serialize()) for one in transactions]
    spends = [one.prevout for transaction in transactions for one in transaction.inputs]
    return [
        prevout
        for prevout in spends
        if prevout.txid not in made
        and await chain.get_txout(prevout, include_mempool=True) is None
        and (await chain.get_txout(prevout, include_mempool=False) is None) is in_block
    ]


def _fund(core: NodeCore, action: FundChannels) -> None:
    owner = action.funding_id
    # Today's channels count, not those of the last block.
    count_anchor_channels(core)
    try:
        draft = core.wallet.build_funding(
            owner,
            [TxOut(satoshis, script_pubkey) for script_pubkey, satoshis in action.outputs],
            core.manager.env.feerate_per_kw,
            action.anchor_channels,
            core.random32(),
        )
        transaction = core.wallet.sign(draft)
    except CommandRejected as error:
        reason = error.what
        core.runtime.run(lambda m: opening.funding_failed(m, owner, reason))
        return
    known: list[bool] = []
    core.runtime.run(lambda m: known.append(opening.funding_ready(m, owner, transaction, draft.output_indices)))
    if not known[0]:
        core.wallet.release(owner)
