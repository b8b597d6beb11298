"""Mutants of deadlines: a channel closes when it must, and only then; upstream has its answer in time."""

from typing import Any

from leyden.channel.inputs import ForceClose
from tests.mutants.mutant import Hit, answering, mutant, nothing

DEADLINES = "tests.manager.onchain.test_deadlines"
CLOSES = "tests.manager.test_closes"


def _a_block_early(original: Any, hit: Hit) -> Any:
    """Due a block before the grace is over."""

    def due(m: Any, slot: Any, height: int) -> Any:
        found = original(m, slot, height)
        sooner = original(m, slot, height + 1)
        if found is None and sooner is not None:
            hit()
        return sooner

    return due


def _by_height_alone(original: Any, hit: Hit) -> Any:
    """Every record is taken for one that changes no HTLC."""

    def bound(m: Any, slot: Any) -> Any:
        if slot.deadline_bound[0] not in (0, slot.state.core.position):
            hit()
            return slot.deadline_bound[1]
        return original(m, slot)

    return bound


def _closes_by_itself(original: Any, hit: Hit) -> Any:
    def force_close(self: Any, slot: Any, reason: str, cause: Any) -> None:
        before = slot.state
        original(self, slot, reason, cause)
        if slot.state is before and slot.state.core.closing is None:
            hit()
            self.guarded(slot, ForceClose(reason))

    return force_close


def _whatever_is_known(original: Any, hit: Hit) -> Any:
    """Outcomes are not looked at."""

    def hopeless(slot: Any, height: int) -> Any:
        core = slot.state.core
        outcomes, core.outcomes = core.outcomes, {}
        found = list(original(slot, height))
        core.outcomes = outcomes
        if outcomes and found:
            hit()
        return found

    return hopeless


MUTANTS = (
    mutant(
        "dust closes a channel",
        "manager.onchain.deadlines:has_output",
        answering(True),
        why="a channel is closed for an HTLC that the chain has nothing to give for",
        guards="S16",
        scenarios=(f"{DEADLINES}:test_dust_that_we_offered_closes_nothing[kind_name='anchors']",),
    ),
    mutant(
        "closed a block before it must be",
        "manager.onchain.deadlines:_due",
        _a_block_early,
        ("manager.onchain.deadlines:_bound", answering(0)),
        why="a channel is closed that the peer could still have saved",
        guards="S16",
        scenarios=(
            f"{DEADLINES}:test_an_htlc_that_we_offered_closes_the_channel_two_blocks_after_its_expiry[kind_name='anchors']",
        ),
    ),
    mutant(
        "deadlines do not close",
        "manager.onchain.deadlines:_close_if_due",
        nothing,
        why="the peer takes back what we could still have claimed",
        guards="S16",
        scenarios=(
            f"{DEADLINES}:test_an_htlc_that_we_offered_closes_the_channel_two_blocks_after_its_expiry[kind_name='anchors']",
        ),
    ),
    mutant(
        "deadline of HTLCs that came later is not seen",
        "manager.onchain.deadlines:_bound",
        _by_height_alone,
        why="an HTLC that was offered after the first look is never due",
        guards="S16",
        scenarios=(f"{DEADLINES}:test_an_htlc_that_came_after_the_first_look_is_seen",),
    ),
    mutant(
        "channel closed for a claim that is not whole",
        "manager.claiming:is_blocked",
        answering(False),
        why="the preimage of one part is on the chain, and the other parts fail back",
        guards="S16; P11",
        scenarios=(f"{DEADLINES}:test_a_claim_that_waits_for_another_part_closes_nothing",),
    ),
    mutant(
        "close hook is not asked",
        "manager.manager:Manager.force_close",
        _closes_by_itself,
        why="whoever said never to close on its own finds its channels closed by any peer's error",
        guards="S17",
        scenarios=(f"{CLOSES}:test_a_channel_that_the_hook_keeps_loses_its_connection_and_nothing_else[name='error']",),
    ),
    mutant(
        "upstream is left without an answer",
        "manager.onchain.deadlines:_fail_upstream",
        nothing,
        why="the peer upstream closes a channel that is well, because another one is not",
        guards="S18",
        scenarios=(f"{DEADLINES}:test_what_the_chain_leaves_open_is_failed_in_time[is_dust=False]",),
    ),
    mutant(
        "failed upstream while an outcome waits",
        "manager.onchain.deadlines:_hopeless",
        _whatever_is_known,
        why="the preimage has just been seen on the chain, and what it pays for is given back",
        guards="S18; S15",
        scenarios=(f"{DEADLINES}:test_what_has_its_preimage_is_never_failed",),
    ),
)
