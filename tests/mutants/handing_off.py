"""Mutants of the hand-offs between journals: forwards and outcomes."""

from typing import Any

from leyden.base.transition import Decision
from leyden.channel import fold, limits
from leyden.channel.core import Outcome
from leyden.channel.effects import HtlcsCommitted, OutcomesKnown
from leyden.channel.session import RemovalsQueued
from leyden.journal.records import HtlcSource
from tests.mutants.mutant import Hit, answering, early, mutant, nothing


def _source_without_id(_original: Any, hit: Hit) -> Any:
    def source(origin: bytes, index: int, forwarded: bool) -> HtlcSource:
        if index:
            hit()
        return HtlcSource(origin, 0, forwarded)

    return source


def _failure_stands(original: Any, hit: Hit) -> Any:
    def undecided(core: Any, htlc_id: int, *, fulfil: bool) -> bool:
        found = bool(original(core, htlc_id, fulfil=fulfil))
        if found and fulfil and core.inbound[htlc_id].failure is not None:
            hit()
            return False
        return found

    return undecided


def _fails_at_the_signature(original: Any, hit: Hit) -> Any:
    def received_commitment(core: Any, record: Any) -> None:
        original(core, record)
        for removal in record.removals:
            if not removal.preimage:
                hit()
                core.outcomes[removal.htlc_id] = fold._outcome(core.outbound[removal.htlc_id], removal)

    return received_commitment


def _tells_failures_at_the_signature(original: Any, _hit: Hit) -> Any:
    def on_commitment_signed(state: Any, msg: Any, env: Any) -> Any:
        removed = tuple([one.htlc_id for one in state.session.received_removals if not one.preimage])
        decision = original(state, msg, env)
        known = (OutcomesKnown(removed),) if removed else ()
        return Decision(decision.records, decision.facts, (*decision.effects, *known))

    return on_commitment_signed


def _judges_at_the_signature(original: Any, hit: Hit) -> Any:
    def on_commitment_signed(state: Any, msg: Any, env: Any) -> Any:
        added = tuple([one.htlc_id for one in state.session.received_adds])
        decision = original(state, msg, env)
        if added:
            hit()
            return Decision(decision.records, decision.facts, (*decision.effects, HtlcsCommitted(added)))
        return decision

    return on_commitment_signed


def _keeps_queued_adds(original: Any, hit: Hit) -> Any:
    def connection_lost(core: Any, session: Any, fact: Any) -> None:
        kept, msat = list(session.queued_adds), session.queued_msat
        original(core, session, fact)
        if kept:
            hit()
            session.queued_adds.extend(kept)
            session.queued_msat = msat

    return connection_lost


def _forgets_refused(original: Any, hit: Hit) -> Any:
    def add_refused(m: Any, slot: Any, effect: Any) -> None:
        if effect.reason == limits.DISCONNECTED:
            hit()
        else:
            original(m, slot, effect)

    return add_refused


def _forgets_promises(original: Any, hit: Hit) -> Any:
    def on_channel_reestablish(state: Any, msg: Any, env: Any) -> Any:
        decision = original(state, msg, env)
        kept = tuple([fact for fact in decision.facts if not isinstance(fact, RemovalsQueued)])
        if len(kept) < len(decision.facts):
            hit()
        return Decision(decision.records, kept, decision.effects)

    return on_channel_reestablish


def _ignores_the_others(original: Any, hit: Hit) -> Any:
    del original

    def is_carried(m: Any, slot: Any, outcome: Outcome) -> bool:
        if m.also_carried or m.forwards.get((outcome.source.origin, outcome.source.index)) != slot.channel_id:
            hit()
        return False

    return is_carried


MUTANTS = (
    mutant(
        "outcome forgotten before the inbound journal has acted",
        "manager.handoff:_acknowledge_later",
        early,
        why="the outbound side has forgotten the preimage, the inbound side has not written it yet",
        guards="P8; promise 5; DESIGN 2 Hand-off rule 2; DESIGN 7.1",
        scenarios=("forward", "late claim"),
    ),
    mutant(
        "outcome forgotten before node has acted",
        "manager.handoff:on_outcomes",
        early,
        why="the payment waits for ever for a part whose outcome nobody knows",
        guards="P8; P14; promise 6; DESIGN 2 Hand-off rule 2",
        scenarios=("direct", "failure"),
    ),
    mutant(
        "forwarded again at start",
        "manager.rebuild:_own",
        nothing,
        why="an HTLC leaves twice and comes in once",
        guards="P9; P15; promise 5; DESIGN 3 step 5a; DESIGN 7.1",
        scenarios=("forward", "hold forwarded"),
    ),
    mutant(
        "act without the id of its fact",
        "manager.forwarding:HtlcSource",
        _source_without_id,
        why="outcomes settle another HTLC than the one that they belong to",
        guards="P9; S4; promise 5; DESIGN 2 Hand-off rule 3",
        scenarios=("three forwards",),
    ),
    mutant(
        "failure counts though another HTLC of the source is open",
        "manager.forwarding:is_carried_elsewhere",
        _ignores_the_others,
        why="the source is failed, and then the other HTLC is paid",
        guards="S15; promise 5; DESIGN 2",
        scenarios=("tests.mutants.stories:a_source_with_two_htlcs_fails_with_the_last",),
    ),
    mutant(
        "failure wins over a preimage",
        "channel.normal:_undecided",
        _failure_stands,
        why="the forwarder has paid and is not paid",
        guards="S15; promise 5; DESIGN 1 Promises",
        scenarios=(
            "tests.channel.test_commit:test_a_failure_not_sent_gives_way_to_a_preimage_and_a_signed_one_does_not",
        ),
    ),
    mutant(
        "failed back before the removal is irrevocable",
        "channel.fold:_FOLDS[ReceivedCommitment]",
        _fails_at_the_signature,
        ("channel.dispatch:_HANDLERS[Normal][CommitmentSigned]", _tells_failures_at_the_signature),
        why="the peer publishes its old commitment and takes the HTLC that was failed back",
        guards="S8; promise 5",
        scenarios=("tests.mutants.stories:nothing_is_failed_back_before_it_is_irrevocable",),
    ),
    mutant(
        "passed on before it is irrevocable",
        "channel.dispatch:_HANDLERS[Normal][CommitmentSigned]",
        _judges_at_the_signature,
        why="the peer publishes a commitment without the HTLC that was forwarded",
        guards="S8; promise 5",
        scenarios=("forward",),
    ),
    mutant(
        "own unsigned adds stay queued beside their replacement",
        "channel.session:_FACTS[ConnectionLost]",
        _keeps_queued_adds,
        why="the same HTLC is offered by two channels",
        guards="P17; promise 10; DESIGN 7.9",
        scenarios=("three forwards", "three payments"),
    ),
    mutant(
        "own unsigned adds are offered again by nobody",
        "manager.effects:HANDLERS[fx.AddRefused]",
        _forgets_refused,
        why="a payment, or a forward, stays where it is until it expires",
        guards="P17; promise 10; DESIGN 7.9",
        scenarios=("three forwards", "three payments"),
    ),
    mutant(
        "decisions are not carried out on the next connection",
        "channel.dispatch:_HANDLERS[Normal][ChannelReestablish]",
        _forgets_promises,
        why="the promise is in the journal and the peer never hears of it",
        guards="P5; promise 10; DESIGN 1 Promises",
        scenarios=("failure", "late failure"),
    ),
    mutant(
        "nobody judges after a reconnection or a start",
        "manager.receiving:undecided_ids",
        answering(()),
        why="an HTLC that was committed before a crash is neither forwarded nor failed",
        guards="P15; promise 11; DESIGN 3 step 5d",
        scenarios=("forward", "hold"),
    ),
)
