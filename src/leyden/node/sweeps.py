"""What closed channels leave to the wallet, for users."""

from collections.abc import Iterator

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import txid_to_hex
from leyden.manager import fees
from leyden.manager.manager import Manager
from leyden.manager.onchain import forecast, sweeping
from leyden.manager.onchain.views import view_of
from leyden.manager.state import Slot
from leyden.monitor.claimable import OutputClaim, swept_now
from leyden.monitor.fates import Taker, taker_of
from leyden.monitor.resolution import str_of
from leyden.monitor.watched import WatchedOutput
from leyden.node.onchain_views import SweepOutputView, SweepStateName, SweepsView
from leyden.node.timeline import sweep_view


def sweep(m: Manager, feerate_per_kw: int | None) -> None:
    """Sweep now what is ready. feerate_per_kw: None for the estimate; what is on its way is only replaced by more.

    Raises: CommandRejected (`not_synced`).
    """
    if not m.is_started:
        raise CommandRejected("the node has not followed the chain to its tip yet; try again soon", code="not_synced")
    wanted = feerate_per_kw or fees.feerate_for(m, sweeping.TARGET_BLOCKS)
    # A replacement always pays more: whoever asks for less must not get a dearer one.
    pays_enough = m.sweep is not None and m.sweep.feerate_per_kw >= wanted
    sweeping.update(m, None if pays_enough else wanted)


def sweeps(m: Manager) -> SweepsView:
    """Return what is swept, was swept, and waits; anchors only where they are part of a sweep."""
    outputs = [one for slot in m.channels.values() for one in _outputs(m, slot)]
    return SweepsView(
        block_height=m.env.block_height,
        feerate_per_kw=fees.feerate_for(m, sweeping.TARGET_BLOCKS),
        uneconomic_sat=sum([one.amount_sat for one in outputs if one.state == "uneconomic"]),
        outputs=outputs,
        sweep=None if m.sweep is None else sweep_view(m.sweep),
    )


def _outputs(m: Manager, slot: Slot) -> Iterator[SweepOutputView]:
    core, view = slot.state.core, view_of(m, slot)
    if view is None:
        return
    wanted = {
        claim.input.outpoint: claim for claim in swept_now(core, slot.state.keys, view, m.signer.per_commitment_point)
    }
    sweeping_now = {} if m.sweep is None else dict.fromkeys(m.sweep.outpoints())
    for one in view.outputs.values():
        claim, seen = wanted.get(one.outpoint), view.spenders.get(one.outpoint)
        is_in_sweep = one.outpoint in sweeping_now
        if one.kind not in forecast.OWN_KINDS and not is_in_sweep:
            continue
        if seen is not None:
            if taker_of(view, one) is Taker.US:
                confirmations = m.env.block_height - seen.height + 1
                yield _view(slot, one, "swept", None, txid_to_hex(seen.txid), seen.height, confirmations)
        elif is_in_sweep and m.sweep is not None:
            txid = txid_to_hex(m.sweep.txid) if m.sweep.txid else None
            yield _view(slot, one, "sweeping", None, txid)
        elif claim is not None:
            yield _view(slot, one, _state(m, slot, one, claim), forecast.ready_height(m, one, claim))


def _state(m: Manager, slot: Slot, output: WatchedOutput, claim: OutputClaim) -> SweepStateName:
    if m.env.block_height < forecast.ready_height(m, output, claim):
        return "waiting"
    return "uneconomic" if forecast.is_unswept(m, slot, claim) else "ready"


def _view(
    slot: Slot,
    output: WatchedOutput,
    state: SweepStateName,
    ready_height: int | None,
    txid: str | None = None,
    spent_height: int | None = None,
    confirmations: int = 0,
) -> SweepOutputView:
    return SweepOutputView(
        channel_id=slot.channel_id.hex(),
        outpoint=str_of(output.outpoint),
        kind=output.kind.value,
        amount_sat=output.value_sat,
        state=state,
        ready_height=ready_height,
        txid=txid,
        spent_height=spent_height,
        confirmations=confirmations,
    )
