"""Heights: at which an HTLC needs the chain, at which the peer upstream needs an answer, at which a close must do
without agreement.

*A channel is closed by force* when an HTLC with an output in any commitment that may confirm is not gone in time. One
that we offered: `deadline_grace_blocks` after its expiry, when the peer should have failed it. One whose preimage is
decided: `claim_deadline_blocks` before its expiry, which leaves time to claim it on the chain; while its claim still
waits for other parts the preimage is in no transaction (invariant P11), so a close would bring nothing. An HTLC without
an output has nothing on the chain to close for.

A copy of old data is thought of first: a stale channel never closes, and a peer that has not said in this life where it
stands gets `HEARING_BLOCKS` to do so, less when a preimage would be late. Nothing is closed on a stale height, nor for
what our own store holds up (invariant S10).

*An inbound HTLC is failed upstream* `fail_back_grace_blocks` before its expiry when what carries it on can bring no
answer any more in the ordinary way: the channel is on its way to the chain, or the HTLC has no output and its expiry is
past. Else the peer upstream would close a channel that is well. It is one record, the decision in the inbound channel;
whatever the chain says later finds it decided. A preimage that comes before the failure is signed still wins (invariant
S15); one that comes after it is our loss, as large as that HTLC at most, and is said.

Spec: BOLT 2, "`cltv_expiry_delta` Selection"; BOLT 5, "HTLC Output Handling: Local Commitment, Local Offers".
"""

from collections.abc import Iterator
from functools import partial

from leyden.channel.core import ChannelCore
from leyden.channel.htlc import InboundHtlc, OutboundHtlc
from leyden.channel.states import Closed, ForceClosing, Negotiating, Normal, ShuttingDown, Spent
from leyden.manager import claiming, forwarding
from leyden.manager.config import CloseCause
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.monitor.commitments import has_output

HEARING_BLOCKS = 2
"""How long a channel with an HTLC that is due waits for the peer's `channel_reestablish` of this life."""
CLAIM_BLOCKS = 12
"""A preimage needs these blocks to confirm (BOLT 2, "`cltv_expiry_delta` Selection": S): then nobody is waited for."""
LONG_EXPIRY = 1 << 32
"""Later than any block: a channel without HTLCs has nothing due before its next record."""
_HAS_HTLCS = (Normal, ShuttingDown)
_ON_CHAIN = (ForceClosing, Spent, Closed)


def on_block(m: Manager) -> None:
    """Look at what the new height makes due."""
    if not m.is_started:
        return  # the chain is not at its tip: what it has resolved already is not known yet
    height = m.env.block_height
    hopeless: dict[tuple[bytes, int], list[bytes]] = {}
    for slot in list(m.channels.values()):
        kind = type(slot.state)
        if slot.archived or slot.halted:
            continue
        if kind is Negotiating:
            m.shielded(partial(_close_without_agreement, m, slot))
        elif height >= _bound(m, slot):
            if kind in _HAS_HTLCS:
                m.shielded(partial(_close_if_due, m, slot, height))
            for source in _hopeless(slot, height):
                hopeless.setdefault(source, []).append(slot.channel_id)
    for (channel_id, htlc_id), carriers in hopeless.items():
        m.shielded(partial(_fail_upstream, m, channel_id, htlc_id, carriers, height))


def _bound(m: Manager, slot: Slot) -> int:
    """Return a height below which nothing is due. HTLCs come and go by records alone, so it is good until the next."""
    core = slot.state.core
    position, bound = slot.deadline_bound
    if position != core.position:
        grace, early = m.config.deadline_grace_blocks, m.config.claim_deadline_blocks
        bound = min(
            min([htlc.add.cltv_expiry + grace for htlc in core.outbound.values()], default=LONG_EXPIRY),
            min([htlc.add.cltv_expiry - early for htlc in core.inbound.values()], default=LONG_EXPIRY),
        )
        slot.deadline_bound = core.position, bound
    return bound


# --- closing ---------------------------------------------------------------------------------------------------------


def _close_if_due(m: Manager, slot: Slot, height: int) -> None:
    """Close for the first HTLC that needs the chain now."""
    due = _due(m, slot, height)
    if due is None:
        slot.due_since = slot.due_position = 0
        return
    reason, latest_height = due
    if slot.due_position == 0:
        slot.due_position = slot.tail.position
    if slot.tail.durable < slot.due_position:
        return  # our own store is late, so what would settle it has not left; a close could not leave either
    if not slot.heard and height < latest_height:
        slot.due_since = slot.due_since or height
        if height < slot.due_since + HEARING_BLOCKS:
            name = slot.channel_id.hex()[:16]
            m.report("channel", "warning", f"channel {name} waits for channel_reestablish before it closes: {reason}")
            return
    m.force_close(slot, reason, CloseCause.DEADLINE)


def _due(m: Manager, slot: Slot, height: int) -> tuple[str, int] | None:
    """Return why the channel must close, and from which height on nobody is waited for; None when it need not."""
    for due_height, latest_height, reason in _dues(m, slot):
        if height >= due_height:
            return reason, latest_height
    return None


def _dues(m: Manager, slot: Slot) -> Iterator[tuple[int, int, str]]:
    """Yield for each HTLC that may need the chain (height at which it does, height from which on nobody is waited for,
    why).
    """
    core = slot.state.core
    for received in core.inbound.values():
        add = received.add
        if _must_be_claimed(m, slot, received):
            reason = f"HTLC {add.htlc_id} of the peer is fulfilled and not removed, and expires at height"
            due_height = add.cltv_expiry - m.config.claim_deadline_blocks
            yield due_height, add.cltv_expiry - CLAIM_BLOCKS, f"{reason} {add.cltv_expiry}"
    for offered in core.outbound.values():
        add = offered.add
        if _is_on_chain(core, offered):
            reason = f"HTLC {add.htlc_id} to the peer expired at height {add.cltv_expiry} and is not removed"
            yield add.cltv_expiry + m.config.deadline_grace_blocks, LONG_EXPIRY, reason


def close_height(m: Manager, slot: Slot) -> int | None:
    """Return the height at which an open channel is closed by force if its HTLCs stay as they are; None: at none."""
    if type(slot.state) not in _HAS_HTLCS:
        return None
    return min([due_height for due_height, _latest, _reason in _dues(m, slot)], default=None)


def _must_be_claimed(m: Manager, slot: Slot, htlc: InboundHtlc) -> bool:
    if not htlc.preimage:
        return False
    core = slot.state.core
    claim = core.claims.get(htlc.claim_id)
    if claim is not None and claiming.is_blocked(m, slot, claim):
        return False
    return has_output(core, False, htlc.add.htlc_id, htlc.add.amount_msat)


def _is_on_chain(core: ChannelCore, htlc: OutboundHtlc) -> bool:
    return has_output(core, True, htlc.add.htlc_id, htlc.add.amount_msat)


def _close_without_agreement(m: Manager, slot: Slot) -> None:
    """Close by force when both sides are connected for many blocks and sign no closing fee.

    Spec: BOLT 2, "Legacy Closing Negotiation: `closing_signed`".
    """
    if slot.state.session.reestablished:
        slot.negotiating_blocks += 1
        if slot.negotiating_blocks >= m.config.closing_negotiation_blocks:
            m.force_close(slot, "no closing fee is acceptable to both", CloseCause.NEGOTIATION)


# --- failing upstream ------------------------------------------------------------------------------------------------


def _hopeless(slot: Slot, height: int) -> Iterator[tuple[bytes, int]]:
    """Yield the sources of forwarded HTLCs of this channel that can bring no answer in the ordinary way any more."""
    core = slot.state.core
    on_chain = isinstance(slot.state, _ON_CHAIN)
    for htlc_id, htlc in core.outbound.items():
        source = htlc.add.source
        if source is None or not source.forwarded or htlc_id in core.outcomes:
            continue  # what has an outcome, a preimage above all, is acted on once that is durable
        if on_chain or (height >= htlc.add.cltv_expiry and not _is_on_chain(core, htlc)):
            yield source.origin, source.index


def _fail_upstream(m: Manager, channel_id: bytes, htlc_id: int, carriers: list[bytes], height: int) -> None:
    """Fail one inbound HTLC when its expiry is near and every channel that carries it is at its end."""
    key = (channel_id, htlc_id)
    inbound = m.channels.get(channel_id)
    htlc = None if inbound is None else inbound.state.core.inbound.get(htlc_id)
    if inbound is None or htlc is None or htlc.decided():
        return
    if inbound.halted or type(inbound.state) not in _HAS_HTLCS:
        return
    if height < htlc.add.cltv_expiry - m.config.fail_back_grace_blocks:
        return
    if any(carrier not in carriers for carrier in (m.forwards.get(key), *m.also_carried.get(key, ()))):
        return
    forwarding.fail_from_here(m, inbound, htlc)
    m.failed_early[key] = None
    names = ", ".join([carrier.hex()[:16] for carrier in carriers])
    what = f"HTLC {htlc_id} of {htlc.add.amount_msat} msat is failed before it expires at {htlc.add.cltv_expiry}"
    risk = f"channel {names} has not resolved it: if the next peer still takes it, that is our loss"
    m.report("channel", "warning", f"channel {channel_id.hex()[:16]}: {what}, though {risk}")
