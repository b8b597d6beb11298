"""The wallet for users."""

from contextlib import suppress

from leyden.base.errors import ChainUnavailable, CommandRejected
from leyden.bitcoin.tx import txid_to_hex
from leyden.channel import limits
from leyden.channel.states import Closed, Normal
from leyden.node.closing import funds_of, is_closing
from leyden.node.core import NodeCore
from leyden.node.parse import check_feerate
from leyden.node.views import AddressView, Balance, TimelockedView, TransactionView
from leyden.wallet.checks import parse_destination
from leyden.wallet.wallet import ANCHOR_RESERVE_SAT, AddressKind

RESERVE_ALARM = "anchor_reserve"


def count_anchor_channels(core: NodeCore) -> None:
    """Tell the wallet for how many channels it keeps a reserve."""
    core.wallet.anchor_channels = sum(
        [
            slot.state.core.opened.anchors and slot.state.core.spent is None and type(slot.state) is not Closed
            for slot in core.manager.channels.values()
        ]
    )


def check_reserve(core: NodeCore) -> None:
    """Say in `alarms` when the coins do not reach for the reserve, or no longer."""
    count_anchor_channels(core)
    held = core.wallet.balance()
    missing_sat = held.reserve_target_sat - held.reserved_sat
    if missing_sat:
        core.alarms[RESERVE_ALARM] = (
            f"{missing_sat} sat are missing in the reserve of {held.reserve_target_sat} sat that channels with anchors "
            "need, so that a close gets into a block in time: send coins to the wallet (`leyden address`)"
        )
    else:
        core.alarms.pop(RESERVE_ALARM, None)


def check_reserve_soon(core: NodeCore) -> None:
    """The same, once for all that is published in this turn: one block may make hundreds of claims."""

    def check() -> None:
        core.checks_reserve = False
        check_reserve(core)

    if not core.checks_reserve:
        core.checks_reserve = True
        core.runtime.scheduler.post(check)


async def new_address(core: NodeCore) -> AddressView:
    """Return a fresh address."""
    issued = core.wallet.new_address(AddressKind.P2WPKH)
    core.runtime.record_wallet(issued.record)
    core.runtime.turn()
    await core.durable([core.manager.node_tail])
    path = issued.record.path if issued.record is not None else None
    return AddressView(
        address=issued.address,
        kind="p2wpkh",
        path=""
        if path is None
        else f"m/{path.purpose}'/{core.manager.config.network.bip44_coin_type}'/0'/{path.branch}/{path.index}",
    )


def balance(core: NodeCore) -> Balance:
    """Return all that the node owns."""
    check_reserve(core)
    wallet = core.wallet.balance()
    local = spendable = receivable = outbound = inbound = closing = uneconomic = 0
    timelocked: dict[int, int] = {}
    for slot in core.manager.channels.values():
        channel = slot.state.core
        if is_closing(slot):
            funds = funds_of(core.manager, slot)
            closing += funds.closing_sat
            outbound += funds.outbound_msat
            inbound += funds.inbound_msat
            uneconomic += funds.uneconomic_sat
            for height, amount_sat in funds.timelocked.items():
                timelocked[height] = timelocked.get(height, 0) + amount_sat
            continue
        if type(slot.state) is Closed:
            continue  # its funding never confirmed
        outbound += sum([htlc.add.amount_msat for htlc in channel.outbound.values()])
        inbound += sum([htlc.add.amount_msat for htlc in channel.inbound.values()])
        local += channel.local.local_msat
        if type(slot.state) is Normal and slot.state.session.reestablished:
            spendable += limits.spendable_msat(channel, slot.state.session.queued_msat)
            receivable += limits.receivable_msat(channel)
    return Balance(
        confirmed_sat=wallet.confirmed_sat,
        unconfirmed_sat=wallet.unconfirmed_sat,
        immature_sat=wallet.immature_sat,
        reserved_sat=wallet.locked_sat,
        anchor_reserve_sat=wallet.reserved_sat,
        anchor_reserve_per_channel_sat=ANCHOR_RESERVE_SAT,
        spendable_sat=wallet.spendable_sat,
        lightning_msat=local,
        spendable_msat=spendable,
        receivable_msat=receivable,
        in_flight_outbound_msat=outbound,
        in_flight_inbound_msat=inbound,
        closing_sat=closing,
        anchor_reserve_missing_sat=wallet.reserve_target_sat - wallet.reserved_sat,
        timelocked=[TimelockedView(height=height, amount_sat=timelocked[height]) for height in sorted(timelocked)],
        uneconomic_sat=uneconomic,
    )


async def send(core: NodeCore, address: str, amount_sat: int | None, feerate_per_kw: int | None) -> TransactionView:
    """Pay an address."""
    count_anchor_channels(core)
    script = parse_destination(address, core.manager.config.network)
    feerate = core.manager.env.closing_feerate_per_kw if feerate_per_kw is None else check_feerate(feerate_per_kw)
    wallet = core.wallet
    if amount_sat is None:
        draft = wallet.send_all(script, feerate, core.random32())
    else:
        draft = wallet.send(script, amount_sat, feerate, core.random32())
    transaction = wallet.sign(draft)
    core.runtime.record_wallet(wallet.sent(transaction))
    core.runtime.turn()
    check_reserve(core)
    await core.durable([core.manager.node_tail])
    raw = transaction.serialize()
    result = None
    with suppress(ChainUnavailable):
        # Durable, and the node publishes it again by itself: an error here would make the caller pay twice.
        result = await core.chain.broadcast(raw)
    if result is not None and not result.accepted:
        core.runtime.record_wallet(wallet.abandon(transaction.txid()))
        core.runtime.turn()
        raise CommandRejected(f"the chain service refuses the transaction: {result.reject_reason}", code="refused")
    return TransactionView(
        txid=txid_to_hex(transaction.txid()),
        amount_sat=transaction.outputs[draft.output_indices[0]].value_sat,
        fee_sat=draft.fee_sat,
        feerate_per_kw=feerate,
        raw=raw.hex(),
    )
