"""Mutants of payments to us: questions, claims of several parts, events."""

from itertools import count
from typing import Any

import msgspec

from leyden.channel.dispatch import evolve
from leyden.channel.inputs import ReleaseClaim
from leyden.crypto.hashes import sha256
from leyden.journal.codec import encode_record
from leyden.journal.records import ClaimPart, HtlcsDecided
from leyden.manager import claiming
from leyden.manager import events as ev
from leyden.manager.state import ClaimableStatus
from tests.mutants.mutant import Hit, answering, mutant, nothing

CLAIM = "P11; promise 1; DESIGN 2 Claim"
TWO = ("two parts", "hold two parts", "claim behind a late journal", "late claim of two parts")


def _only_first_part(original: Any, hit: Hit) -> Any:
    def write_claim(m: Any, claim: Any) -> None:
        first = claim.parts[0].channel_id
        parts = [part for part in claim.parts if part.channel_id == first]
        if len(parts) < len(claim.parts):
            hit()
        original(m, msgspec.structs.replace(claim, parts=parts))

    return write_claim


def _only_own_parts(original: Any, hit: Hit) -> Any:
    def record_claim(m: Any, slot: Any, claim: Any) -> None:
        parts = [part for part in claim.parts if part.channel_id == slot.channel_id]
        if len(parts) < len(claim.parts):
            hit()
        original(m, slot, msgspec.structs.replace(claim, parts=parts))

    return record_claim


def _one_record_each(original: Any, hit: Hit) -> Any:
    """The HTLCs of one journal get a record each, the first of which a crash may keep alone."""

    def record_claim(m: Any, slot: Any, claim: Any) -> None:
        own = [part for part in claim.parts if part.channel_id == slot.channel_id]
        if len(own) < 2 or claim.claim_id in slot.state.core.claims:
            original(m, slot, claim)
            return
        hit()
        for part in own:
            record = HtlcsDecided([], [], [msgspec.structs.replace(claim, parts=[part])])
            slot.state = evolve(slot.state, record)
            m.outbox.append(slot.tail, encode_record(record))
        slot.state.core.claims[claim.claim_id] = claim
        m.dirty[slot.channel_id] = slot

    return record_claim


def _only_where_it_is_whole(original: Any, hit: Hit) -> Any:
    def replay_claim(m: Any, claim: Any) -> None:
        if all(claiming._holds(m, claim, part.channel_id) for part in claim.parts):
            original(m, claim)
        else:
            hit()

    return replay_claim


def _first_is_enough(_original: Any, hit: Hit) -> Any:
    def part_durable(m: Any, claim: Any, _channel_id: bytes) -> None:
        blockers = m.claim_blockers.pop(claim.claim_id, None)
        if blockers is None:
            return
        if len(blockers) > 1:
            hit()
        claiming._whole(m, claim)

    return part_durable


def _forgets_at_once(original: Any, hit: Hit) -> Any:
    def part_durable(m: Any, claim: Any, channel_id: bytes) -> None:
        slot = m.channels.get(channel_id)
        if slot is not None and len(m.claim_blockers.get(claim.claim_id, ())) > 1:
            hit()
            slot.ack_claims.append(claim.claim_id)
            m.acks[channel_id] = slot
        original(m, claim, channel_id)

    return part_durable


def _forgets_when_whole(original: Any, hit: Hit) -> Any:
    def whole(m: Any, claim: Any) -> None:
        original(m, claim)
        hit()
        for channel_id in m.claim_channels.get(claim.claim_id, ()):
            slot = m.channels.get(channel_id)
            if slot is not None:
                slot.ack_claims.append(claim.claim_id)
                m.acks[channel_id] = slot

    return whole


def _by_hash(original: Any, hit: Hit) -> Any:
    """A replayed claim takes every HTLC with its hash."""

    def replay_claim(m: Any, claim: Any) -> None:
        listed = [(part.channel_id, part.htlc_id) for part in claim.parts]
        more = [
            ClaimPart(slot.channel_id, htlc_id, htlc.add.amount_msat)
            for slot in m.channels.values()
            for htlc_id, htlc in slot.state.core.inbound.items()
            if htlc.add.payment_hash == claim.payment_hash and htlc.committed and not htlc.decided()
        ]
        more = [part for part in more if (part.channel_id, part.htlc_id) not in listed]
        if not more:
            original(m, claim)
            return
        hit()
        whole = msgspec.structs.replace(claim, claim_id=sha256(claim.claim_id), parts=more)
        claiming.write_claim(m, whole)
        original(m, claim)

    return replay_claim


def _set_by_hash(original: Any, hit: Hit) -> Any:
    def set_of(m: Any, claim: Any) -> Any:
        first = (claim.parts[0].channel_id, claim.parts[0].htlc_id)
        found = m.claimables.get(claiming.set_id_of(claim.payment_hash, claim.payment_secret, first))
        if found is not None and original(m, claim) is None:
            hit()
        return found

    return set_of


def _id_by_hash(original: Any, hit: Hit) -> Any:
    del original

    def claim_id_of(claimable: Any) -> bytes:
        hit()
        return sha256(claimable.payment_hash)

    return claim_id_of


def _abandons_what_was_whole(original: Any, hit: Hit) -> Any:
    def replay_claim(m: Any, claim: Any) -> None:
        late = any(
            m.env.block_height >= claiming._abandon_height(m, htlc)
            for slot in m.channels.values()
            for htlc in slot.state.core.inbound.values()
            if htlc.claim_id == claim.claim_id
        )
        if late:
            hit()
            claiming.abandon_claim(m, claim)
        else:
            original(m, claim)

    return replay_claim


def _fails_what_is_claimed(original: Any, hit: Hit) -> Any:
    def on_block(m: Any) -> None:
        for claimable in list(m.claimables.values()):
            if claimable.status is ClaimableStatus.CLAIMING and claiming._is_too_late(m, claimable):
                hit()
                claiming.fail_set(m, claimable, None)
        original(m)

    return on_block


def _fails_what_is_claimed_here(original: Any, hit: Hit) -> Any:
    """The second guard: a claimed HTLC takes no failure."""

    def undecided(core: Any, htlc_id: int, *, fulfil: bool) -> bool:
        htlc = core.inbound.get(htlc_id)
        if htlc is not None and htlc.claim_id and not fulfil and not htlc.removing:
            hit()
            htlc.preimage = htlc.claim_id = b""
            return True
        return bool(original(core, htlc_id, fulfil=fulfil))

    return undecided


def _releases_all(_original: Any, hit: Hit) -> Any:
    def release_again(m: Any, slot: Any) -> None:
        for claim_id in slot.state.core.claims:
            if claim_id in m.claim_blockers:
                hit()
            m.apply(slot, ReleaseClaim(claim_id))

    return release_again


def _new_event_id(original: Any, hit: Hit) -> Any:
    made = count()

    def claimed_event(claim: Any) -> ev.PaymentClaimed:
        hit()
        event: ev.PaymentClaimed = original(claim)
        return msgspec.structs.replace(event, event_id=f"{event.event_id}/{next(made)}")

    return claimed_event


def _judges_shown(original: Any, hit: Hit) -> Any:
    def is_open(m: Any, slot: Any, htlc: Any) -> bool:
        found = htlc.committed and not htlc.decided()
        found = found and (slot.channel_id, htlc.add.htlc_id) not in m.forwards
        if found and not original(m, slot, htlc):
            hit()
        return found

    return is_open


def _acknowledges_question(original: Any, hit: Hit) -> Any:
    def acknowledge_event(m: Any, event_id: str) -> None:
        event = m.events.get(event_id)
        claimable = m.asked.get(event.set_id) if isinstance(event, ev.PaymentClaimable) else None
        if claimable is not None:
            for slot in m.channels.values():
                if claimable.set_id in slot.state.core.shown:
                    slot.ack_events.append(f"question/{claimable.set_id.hex()}")
                    m.acks[slot.channel_id] = slot
                    hit()
        original(m, event_id)

    return acknowledge_event


def _retires_question(original: Any, _hit: Hit) -> Any:
    def acknowledged(core: Any, record: Any) -> None:
        original(core, record)
        for event_id in record.events:
            if event_id.startswith("question/"):
                core.shown.pop(bytes.fromhex(event_id.removeprefix("question/")), None)

    return acknowledged


def _keeps_no_decision(original: Any, hit: Hit) -> Any:
    """Only claims are records; failures and fulfils of forwards live in memory."""

    def on_decide_htlcs(state: Any, event: Any, env: Any) -> Any:
        decision = original(state, event, env)
        if decision.records and event.failed and not event.claims and not event.forwarded:
            hit()
            for failed in event.failed:
                state.core.inbound[failed.htlc_id].failure = failed
            return type(decision)((), decision.facts, decision.effects)
        return decision

    return on_decide_htlcs


MUTANTS = (
    mutant(
        "claim takes the first part alone",
        "manager.claiming:write_claim",
        _only_first_part,
        why="the payer has its proof and pays one part",
        guards=CLAIM,
        scenarios=TWO,
    ),
    mutant(
        "claim record lists its own parts alone",
        "manager.claiming:_record_claim",
        _only_own_parts,
        why="a crash keeps one journal's record, and the other parts are not claimed from it",
        guards=CLAIM,
        scenarios=TWO,
    ),
    mutant(
        "claim in two records",
        "manager.claiming:_record_claim",
        _one_record_each,
        why="a crash keeps the first record, and the second HTLC of that journal fails",
        guards="P2; P11; promise 1; DESIGN 1 One decision, one record; DESIGN 7.2",
        scenarios=("two parts in one channel",),
    ),
    mutant(
        "claim not replayed to its other parts at start",
        "manager.claiming:replay_claim",
        _only_where_it_is_whole,
        why="the parts whose record was lost are failed, the others are claimed",
        guards=f"{CLAIM}; P15; DESIGN 3 step 5b",
        scenarios=TWO,
    ),
    mutant(
        "claim released when the first part is durable",
        "manager.claiming:part_durable",
        _first_is_enough,
        why="the payer has its proof while another part can still be failed",
        guards=f"{CLAIM}; DESIGN 7.3",
        scenarios=("claim given up at its deadline", *TWO),
    ),
    mutant(
        "claim released on a new connection before all parts are durable",
        "manager.claiming:release_again",
        _releases_all,
        why="the payer has its proof while another part can still be failed",
        guards=f"{CLAIM}; promise 10",
        scenarios=("claim behind a late journal and a new connection", *TWO),
    ),
    mutant(
        "claim not released on the next connection",
        "manager.claiming:release_again",
        nothing,
        why="the fulfil of a claim waits for ever",
        guards=f"{CLAIM}; promise 10",
        scenarios=("claim while the payer is away",),
    ),
    mutant(
        "claim forgotten before all parts have it",
        "manager.claiming:part_durable",
        _forgets_at_once,
        why="no journal is left from which the part whose record was lost is claimed",
        guards="P8; P11; promise 2; DESIGN 2 Hand-off rule 2",
        scenarios=("claim behind a late journal", *TWO),
    ),
    mutant(
        "claim forgotten before the user has acknowledged",
        "manager.claiming:_whole",
        _forgets_when_whole,
        why="PaymentClaimed is lost with a handler that did not come to its end",
        guards="P8; P20; promise 2; promise 7",
        scenarios=("slow handler", "slow handler of a claim"),
    ),
    mutant(
        "claim takes HTLCs by hash",
        "manager.claiming:replay_claim",
        _by_hash,
        why="a second payment is taken that nobody decided to take",
        guards="S4; promise 4; DESIGN 2 Claim; DESIGN 7.12",
        scenarios=("same hash again",),
    ),
    mutant(
        "claim forgets the set of another payment with its hash",
        "manager.claiming:_set_of",
        _set_by_hash,
        why="parts of the second payment are held for ever",
        guards="S4; promise 4; DESIGN 3",
        scenarios=("same hash again",),
    ),
    mutant(
        "claim named by its hash",
        "manager.claiming:claim_id_of",
        _id_by_hash,
        why="the claim of a second payment is taken for that of the first",
        guards="S4; promise 4; DESIGN 2 Claim",
        scenarios=("same hash again, both claimed", "same hash again"),
    ),
    mutant(
        "claim never given up",
        "manager.claiming:_abandon_if_late",
        nothing,
        why="nothing has left, and parts are held past the height at which they must be settled",
        guards=CLAIM,
        scenarios=("claim given up at its deadline",),
    ),
    mutant(
        "claim given up although it was whole",
        "manager.claiming:replay_claim",
        _abandons_what_was_whole,
        why="a fulfil has left, and another part is failed",
        guards=f"{CLAIM}; promise 2; DESIGN 3 step 5b",
        scenarios=("whole claim and late blocks",),
    ),
    mutant(
        "deadline fails parts that are being claimed",
        "manager.claiming:on_block",
        _fails_what_is_claimed,
        ("channel.normal:_undecided", _fails_what_is_claimed_here),
        why="a timer gives away what the user has taken",
        guards=CLAIM,
        scenarios=("claim given up at its deadline", "whole claim and late blocks"),
    ),
    mutant(
        "deadline of a question does not count",
        "manager.claiming:_is_too_late",
        answering(False),
        why="an answer is taken that comes too late to settle",
        guards="P10; P11; promise 13; DESIGN 2 Claim",
        scenarios=("question past its deadline",),
    ),
    mutant(
        "PaymentClaimed told again with another id",
        "manager.claiming:claimed_event",
        _new_event_id,
        why="the user books the payment twice",
        guards="P20; promise 7; DESIGN 2 Hand-off rule",
        scenarios=("slow handler", "hold"),
    ),
    mutant(
        "what was shown is judged again at start",
        "manager.receiving:_is_open",
        _judges_shown,
        ("manager.rebuild:_restore_shown", nothing),
        why="the application has paid out, and the HTLC is failed because its invoice has expired",
        guards="P5; P10; promise 3; DESIGN 7.4",
        scenarios=("late claim of an expired invoice",),
    ),
    mutant(
        "acknowledged question not asked again",
        "manager.handoff:acknowledge_event",
        _acknowledges_question,
        ("channel.fold:_FOLDS[Acknowledged]", _retires_question),
        why="the claim that the handler asked for is lost, and nobody asks again",
        guards="P10; promise 7; DESIGN 7.14",
        scenarios=("acknowledged question of an expired invoice",),
    ),
    mutant(
        "decision to fail kept in memory alone",
        "channel.dispatch:_HANDLERS[Normal][DecideHtlcs]",
        _keeps_no_decision,
        why="what was failed is judged anew after a crash",
        guards="P5; DESIGN 1 Promises",
        scenarios=("failure", "late failure"),
    ),
)
