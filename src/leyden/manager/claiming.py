"""Payments to us: sets of parts, the question to the user, and the claim (DESIGN section 2, "Claim").

No fulfil of any part leaves before the claim records of *all* parts are durable. Claims live by their parts (channel,
htlc_id),
never by their hash: a second payment with the same hash is another payment.
"""

from functools import partial

from leyden.base.errors import CommandRejected
from leyden.channel.htlc import InboundHtlc
from leyden.channel.inputs import DecideHtlcs, ReleaseClaim, Show
from leyden.channel.normal import claimed_ids
from leyden.crypto.hashes import sha256
from leyden.journal.node_records import PaymentReceived
from leyden.journal.records import Claim, ClaimAbandoned, ClaimPart, HtlcsShown
from leyden.manager import events as ev
from leyden.manager import handoff, onions
from leyden.manager.manager import Manager
from leyden.manager.outbox import Release
from leyden.manager.state import ClaimableSet, ClaimableStatus, Slot
from leyden.sphinx.failures import FailureMessage, IncorrectOrUnknownPaymentDetails, MppTimeout


def set_id_of(payment_hash: bytes, payment_secret: bytes, first: tuple[bytes, int]) -> bytes:
    """Name a set by what its parts share, and a spontaneous payment by its one part."""
    if payment_secret:
        return sha256(b"set" + payment_hash + payment_secret)
    return sha256(b"part" + first[0] + first[1].to_bytes(8, "big"))


def add_part(
    m: Manager,
    slot: Slot,
    htlc: InboundHtlc,
    payment_secret: bytes,
    total_msat: int,
    purpose: str,
    preimage: bytes,
    custom_records: list[tuple[int, bytes]],
) -> None:
    """A part of a payment to us has arrived; when the set is complete, claim it or ask the user.

    Spec: BOLT 4, "Basic Multi-Part Payments".
    """
    add = htlc.add
    part = (slot.channel_id, add.htlc_id)
    set_id = set_id_of(add.payment_hash, payment_secret, part)
    claimable = m.claimables.get(set_id)
    if claimable is not None and (
        claimable.status is not ClaimableStatus.INCOMPLETE or claimable.total_msat != total_msat
    ):
        # Late, surplus or contradicting parts: what was shown or claimed is never touched again.
        _fail_part(m, slot, add.htlc_id, _unknown(m, add.amount_msat))
        return
    if claimable is None:
        claimable = m.claimables[set_id] = ClaimableSet(
            set_id,
            add.payment_hash,
            payment_secret,
            purpose,
            total_msat,
            preimage,
            custom_records,
            {},
            add.cltv_expiry,
            m.now_seconds,
        )
    claimable.parts[part] = add.amount_msat
    claimable.expiry_height = min(claimable.expiry_height, add.cltv_expiry)
    if claimable.received_msat() < total_msat:
        return
    if m.config.auto_claim and preimage:
        # At the end of the pass: whatever else this pass decides in these channels is written first.
        claimable.status = ClaimableStatus.CLAIMING
        m.after_verdicts.append(_claiming(m, claimable, preimage))
    else:
        _show(m, claimable)


def _claiming(m: Manager, claimable: ClaimableSet, preimage: bytes) -> Release:
    def run() -> None:
        start_claim(m, claimable, preimage)

    return run


def _unknown(m: Manager, amount_msat: int) -> FailureMessage:
    return IncorrectOrUnknownPaymentDetails(htlc_msat=amount_msat, height=m.env.block_height)


def _fail_part(m: Manager, slot: Slot, htlc_id: int, failure: FailureMessage) -> None:
    htlc = slot.state.core.inbound[htlc_id]
    onions.fail(m, slot, htlc_id, onions.peeled_of(m, slot, htlc), failure)


def question_id(claimable: ClaimableSet) -> str:
    """Name the question about this set: by its parts, because another payment may come with the same hash and
    secret.
    """
    return f"claimable/{claim_id_of(claimable).hex()}"


def _show(m: Manager, claimable: ClaimableSet) -> None:
    """Record the verdict in every part's journal, then ask: it is never judged again, only its deadline passes."""
    claimable.status = ClaimableStatus.SHOWN
    deadline = deadline_height(m, claimable)
    slots = _slots_of(m, claimable)
    left = len(slots)

    def one_durable() -> None:
        nonlocal left
        left -= 1
        if not left and m.claimables.get(claimable.set_id) is claimable:
            ask(m, claimable)

    for slot in slots:
        ids = [htlc_id for channel_id, htlc_id in claimable.parts if channel_id == slot.channel_id]
        shown = HtlcsShown(
            claimable.set_id,
            ids,
            claimable.payment_hash,
            claimable.payment_secret,
            claimable.purpose,
            claimable.total_msat,
            deadline,
            claimable.preimage,
            claimable.custom_records,
        )
        m.apply(slot, Show(shown))
        m.outbox.when_durable(slot.tail, one_durable)


def ask(m: Manager, claimable: ClaimableSet) -> None:
    """Ask the user; repeated in every life until the answer is durable."""
    set_id = claim_id_of(claimable)
    m.asked[set_id] = claimable
    m.show(
        ev.PaymentClaimable(
            question_id(claimable),
            set_id,
            claimable.payment_hash,
            claimable.received_msat(),
            claimable.purpose,
            tuple(claimable.custom_records),
            deadline_height(m, claimable),
        ),
    )


def _slots_of(m: Manager, claimable: ClaimableSet) -> list[Slot]:
    return [m.channels[channel_id] for channel_id in dict.fromkeys(channel_id for channel_id, _ in claimable.parts)]


def claim_payment(m: Manager, set_id: bytes, preimage: bytes) -> bytes:
    """The user's answer: take it. preimage: empty when the set's own is known. Returns the claim_id.

    Raises: CommandRejected when the set is not claimable, the preimage is wrong, or it is too late.
    """
    claimable = _asked_about(m, set_id)
    secret = preimage or claimable.preimage
    if not secret:
        raise CommandRejected(
            "the preimage of this payment is not known here (its invoice was made with a payment_hash): "
            "give the 32-byte preimage to claim it",
            code="wrong_preimage",
        )
    if sha256(secret) != claimable.payment_hash:
        raise CommandRejected("this preimage does not belong to the payment_hash", code="wrong_preimage")
    if _is_too_late(m, claimable):
        raise CommandRejected("too close to the expiry of the payment to claim it safely", code="claim_too_late")
    return start_claim(m, claimable, secret)


def held(m: Manager) -> list[ClaimableSet]:
    """Return the complete payments to us that are not ours yet: shown and not answered, or being claimed."""
    return [one for one in m.claimables.values() if one.status is not ClaimableStatus.INCOMPLETE]


def deadline_height(m: Manager, claimable: ClaimableSet) -> int:
    """Return the height from which on a set can no longer be claimed, and is failed."""
    return claimable.expiry_height - m.config.claim_deadline_blocks


def _is_too_late(m: Manager, claimable: ClaimableSet) -> bool:
    return m.env.block_height >= deadline_height(m, claimable)


def fail_payment(m: Manager, set_id: bytes) -> None:
    """The user's answer: send it back.

    Raises: CommandRejected when the set is not claimable.
    """
    fail_set(m, _asked_about(m, set_id), None)


def _asked_about(m: Manager, set_id: bytes) -> ClaimableSet:
    claimable = m.asked.get(set_id)
    if claimable is None or claimable.status is not ClaimableStatus.SHOWN:
        raise CommandRejected("no claimable payment has this set_id", code="unknown_claimable")
    return claimable


def fail_set(m: Manager, claimable: ClaimableSet, failure: FailureMessage | None) -> None:
    """Fail every part of a set that is not being claimed (BOLT 4: *all* parts)."""
    _forget(m, claimable)
    for (channel_id, htlc_id), amount_msat in claimable.parts.items():
        slot = m.channels.get(channel_id)
        if slot is not None and htlc_id in slot.state.core.inbound:
            _fail_part(m, slot, htlc_id, failure or _unknown(m, amount_msat))


def start_claim(m: Manager, claimable: ClaimableSet, preimage: bytes) -> bytes:
    """Write the claim, with all its parts, into the journal of every part. Returns the claim_id."""
    claimable.status = ClaimableStatus.CLAIMING
    parts = [
        ClaimPart(channel_id, htlc_id, amount_msat) for (channel_id, htlc_id), amount_msat in claimable.parts.items()
    ]
    claim = Claim(
        claim_id_of(claimable),
        claimable.payment_hash,
        preimage,
        claimable.payment_secret,
        claimable.purpose,
        claimable.received_msat(),
        parts,
        claimable.custom_records,
    )
    write_claim(m, claim)
    return claim.claim_id


def claim_id_of(claimable: ClaimableSet) -> bytes:
    """Name the claim of a complete set by its parts, 32 bytes: the same before the claim and in every life."""
    parts = sorted(claimable.parts)
    return sha256(b"".join([channel_id + htlc_id.to_bytes(8, "big") for channel_id, htlc_id in parts]))


def write_claim(m: Manager, claim: Claim) -> None:
    """Write a claim to each part that does not have it, and block its fulfils until all are durable (invariant H2)."""
    channel_ids = dict.fromkeys([part.channel_id for part in claim.parts])
    m.claim_blockers[claim.claim_id] = dict.fromkeys(channel_ids)
    for channel_id in channel_ids:
        slot = m.channels.get(channel_id)
        if slot is None:
            # Archived, so it had the claim durably; the other parts are what is waited for.
            part_durable(m, claim, channel_id)
            continue
        if claim.claim_id not in m.node.received:
            _record_claim(m, slot, claim)
        if slot.halted:
            continue  # it takes no record in this life: the claim stays blocked
        for part in claim.parts:
            if part.channel_id == channel_id:
                slot.peeled.pop(part.htlc_id, None)
        if len(channel_ids) == 1:
            # All parts are in one journal: the order of its records is enough, nothing has to wait.
            m.guarded(slot, ReleaseClaim(claim.claim_id))
        m.outbox.when_durable(slot.tail, _part_durable(m, claim, channel_id))


def _record_claim(m: Manager, slot: Slot, claim: Claim) -> None:
    """One part's journal takes the claim whole: whichever of them a crash keeps, the others are claimed from it."""
    m.guarded(slot, DecideHtlcs([], [], [claim]))


def replay_claim(m: Manager, claim: Claim) -> None:
    """At start: go on with a claim that some journal holds, or give it up when it can no longer be whole (invariant
    P11).

    Once all parts had it, `node` says so before any part may forget it: then a part that lacks it is done with it.
    """
    claimable = _set_of(m, claim)
    if claimable is not None:
        claimable.status = ClaimableStatus.CLAIMING
    unreadable = [part.channel_id for part in claim.parts if part.channel_id in m.unreadable]
    if unreadable and claim.claim_id not in m.node.received:
        # Nobody can tell whether that part has it, so whether a fulfil has left: neither release nor give up.
        m.claim_blockers[claim.claim_id] = dict.fromkeys(unreadable)
    elif claim.claim_id in m.node.received or all(_holds(m, claim, part.channel_id) for part in claim.parts):
        # All parts had it durably when this life began: a fulfil may have left, so nothing of it waits or is given up.
        _whole(m, claim)
    elif all(_can_have(m, claim, part) for part in claim.parts):
        write_claim(m, claim)
    else:
        abandon_claim(m, claim)


def _holds(m: Manager, claim: Claim, channel_id: bytes) -> bool:
    """Return whether a part's journal holds the claim (at start: durably), or is archived and did."""
    slot = m.channels.get(channel_id)
    return slot is None or claim.claim_id in slot.state.core.claims


def _can_have(m: Manager, claim: Claim, part: ClaimPart) -> bool:
    """Return whether this part's journal holds the claim, or can still take it."""
    if _holds(m, claim, part.channel_id):
        return True
    htlc = m.channels[part.channel_id].state.core.inbound.get(part.htlc_id)
    return htlc is not None and htlc.failure is None and m.env.block_height < _abandon_height(m, htlc)


def _abandon_height(m: Manager, htlc: InboundHtlc) -> int:
    """Return the height at which it is too late for a claim to become durable: its fulfil must be settled in time."""
    return htlc.add.cltv_expiry - m.config.claim_deadline_blocks // 2


def _part_durable(m: Manager, claim: Claim, channel_id: bytes) -> Release:
    return lambda: part_durable(m, claim, channel_id)


def part_durable(m: Manager, claim: Claim, channel_id: bytes) -> None:
    """The claim is durable in one part's journal; when it is in all, the fulfils may leave and the user is told."""
    blockers = m.claim_blockers.get(claim.claim_id)
    if blockers is None:
        return
    blockers.pop(channel_id, None)
    if blockers:
        return
    del m.claim_blockers[claim.claim_id]
    _whole(m, claim)


def _whole(m: Manager, claim: Claim) -> None:
    """Every part has the claim durably: its fulfils may leave, and the user is told."""
    channel_ids = dict.fromkeys([part.channel_id for part in claim.parts])
    m.claim_channels[claim.claim_id] = list(channel_ids)
    for part_channel in channel_ids:
        closed = m.channels.get(part_channel)
        if closed is not None and closed.state.core.spent is not None:
            m.onchain_due[part_channel] = closed  # its preimage may be shown on the chain now
    if len(channel_ids) > 1:
        for part_channel in channel_ids:
            slot = m.channels.get(part_channel)
            if slot is not None:
                m.apply(slot, ReleaseClaim(claim.claim_id))
    _forget_set(m, claim)
    if claim.claim_id not in m.node.received:
        m.record(PaymentReceived(claim.claim_id, claim.payment_hash, claim.amount_msat, m.now_seconds))
    event = claimed_event(claim)
    # Behind the record in `node`: an acknowledgement lets the parts forget the claim, and `replay_claim` must know why.
    m.outbox.when_durable(m.node_tail, lambda: m.show(event))


def claimed_event(claim: Claim) -> ev.PaymentClaimed:
    """Return what the user is told of a whole claim: the same in every life, with the same id."""
    return ev.PaymentClaimed(
        f"claimed/{claim.claim_id.hex()}",
        claim.claim_id,
        claim.payment_hash,
        claim.preimage,
        claim.amount_msat,
        claim.purpose,
        len(claim.parts),
        tuple(claim.custom_records),
    )


def _set_of(m: Manager, claim: Claim) -> ClaimableSet | None:
    """Return the set that this claim takes; another payment with the same hash and secret is not it."""
    first = (claim.parts[0].channel_id, claim.parts[0].htlc_id)
    claimable = m.claimables.get(set_id_of(claim.payment_hash, claim.payment_secret, first))
    if claimable is None or not any((part.channel_id, part.htlc_id) in claimable.parts for part in claim.parts):
        return None
    return claimable


def _forget_set(m: Manager, claim: Claim) -> None:
    claimable = _set_of(m, claim)
    if claimable is not None:
        _forget(m, claimable)


def _forget(m: Manager, claimable: ClaimableSet) -> None:
    del m.claimables[claimable.set_id]
    m.asked.pop(claim_id_of(claimable), None)
    m.events.pop(question_id(claimable), None)


def release_again(m: Manager, slot: Slot) -> None:
    """After a reconnection: claims whose parts are all durable go on, and those that are in this journal alone, where
    the order of records is enough. The others still wait (invariant P11).
    """
    for claim_id, claim in slot.state.core.claims.items():
        if not is_blocked(m, slot, claim) and claimed_ids(slot.state.core, claim_id):
            m.apply(slot, ReleaseClaim(claim_id))


def is_blocked(m: Manager, slot: Slot, claim: Claim) -> bool:
    """Return whether the claim still waits for journals other than that of `slot` (invariant P11)."""
    return claim.claim_id in m.claim_blockers and any(part.channel_id != slot.channel_id for part in claim.parts)


def wait_longer(m: Manager) -> None:
    """Our own store stalls for this second: it does not count against the payers of incomplete sets."""
    for claimable in m.claimables.values():
        if claimable.status is ClaimableStatus.INCOMPLETE:
            claimable.since_seconds += 1


def on_time(m: Manager) -> None:
    """Fail incomplete sets that waited too long (BOLT 4, "Basic Multi-Part Payments")."""
    for claimable in list(m.claimables.values()):
        if (
            claimable.status is ClaimableStatus.INCOMPLETE
            and m.now_seconds >= claimable.since_seconds + m.config.mpp_timeout_seconds
        ):
            fail_set(m, claimable, MppTimeout())


def on_block(m: Manager) -> None:
    """At their deadline sets that nobody claimed fail, and claims that are not durable everywhere are abandoned."""
    for claimable in list(m.claimables.values()):
        if _is_too_late(m, claimable) and claimable.status is not ClaimableStatus.CLAIMING:
            fail_set(m, claimable, None)
    for claim_id, blockers in list(m.claim_blockers.items()):
        if not any(channel_id in m.unreadable for channel_id in blockers):
            _abandon_if_late(m, claim_id)


def _abandon_if_late(m: Manager, claim_id: bytes) -> None:
    """Nothing of a blocked claim over several journals has left: at the deadline of its first part it is given up."""
    holders = _holders(m, claim_id)
    claim = holders[0].state.core.claims[claim_id] if holders else None
    if claim is None or len(dict.fromkeys([part.channel_id for part in claim.parts])) == 1:
        return  # in one journal a claim is whole or absent
    heights = [
        _abandon_height(m, htlc)
        for slot in holders
        for htlc in slot.state.core.inbound.values()
        if htlc.claim_id == claim_id
    ]
    if heights and m.env.block_height >= min(heights):
        abandon_claim(m, claim)


def _holders(m: Manager, claim_id: bytes) -> list[Slot]:
    return [slot for slot in m.channels.values() if claim_id in slot.state.core.claims]


def abandon_claim(m: Manager, claim: Claim) -> None:
    """Give up a claim of which nothing has left, by a record in each journal that holds it; fail its parts, and
    tell.
    """
    m.claim_blockers.pop(claim.claim_id, None)
    _forget_set(m, claim)
    holders = _holders(m, claim.claim_id)
    for slot in holders:
        m.learn(slot, ClaimAbandoned(claim.claim_id))
    for part in claim.parts:
        slot_of_part = m.channels.get(part.channel_id)
        htlc = None if slot_of_part is None else slot_of_part.state.core.inbound.get(part.htlc_id)
        if slot_of_part is not None and htlc is not None and htlc.committed and not htlc.decided():
            _fail_part(m, slot_of_part, part.htlc_id, _unknown(m, part.amount_msat))
    for slot in holders:
        # Told behind the failures, which are written at the end of the pass: no life takes the claim up again then. One
        # journal is enough, the one that made it late may hang for ever.
        m.after_verdicts.append(partial(handoff.raise_events, m, slot))
