"""Mutants of channels that one transaction funds: it is published, or they are abandoned, and never both."""

from typing import Any

from leyden.manager.actions import Broadcast
from tests.mutants.mutant import Hit, early, mutant

BIRTH = "P19; issue 1.9; DESIGN 4 Birth"
TESTS = "tests.manager.test_batches:"


def _for_the_first_alone(original: Any, hit: Hit) -> Any:
    def publish_when_durable(m: Any, slots: Any) -> None:
        outbox = m.outbox

        def when_these_durable(tails: Any, release: Any) -> None:
            first, *others = tails
            if others:
                hit()
            outbox.when_durable(first, release)

        outbox.when_these_durable = when_these_durable
        try:
            original(m, slots)
        finally:
            del outbox.when_these_durable

    return publish_when_durable


def _though_abandoned(original: Any, hit: Hit) -> Any:
    def publish(m: Any, slots: Any) -> None:
        if any(slot.state.core.abandoned for slot in slots):
            hit()
            m.actions.append(Broadcast(slots[0].state.core.opened.funding_transaction, "funding"))
        original(m, slots)

    return publish


def _still_unpublished(original: Any, hit: Hit) -> Any:
    def publish(m: Any, slots: Any) -> None:
        original(m, slots)
        if len(slots) > 1:
            hit()
            m.unpublished[slots[0].state.core.opened.funding_txid] = [slot.channel_id for slot in slots]

    return publish


def _nothing_is_missed(original: Any, hit: Hit) -> Any:
    def has_ended(m: Any, core: Any) -> bool:
        if original(m, core):
            hit()
        return False

    return has_ended


MUTANTS = (
    mutant(
        "batch published when one channel is durable",
        "manager.batches:publish_when_durable",
        _for_the_first_alone,
        why="a crash loses another channel, and the money in its output",
        guards=BIRTH,
        scenarios=(f"{TESTS}test_nothing_is_published_while_one_member_is_not_durable[late=1]",),
    ),
    mutant(
        "batch published after it was abandoned",
        "manager.batches:_publish",
        _though_abandoned,
        why="the money is in outputs of channels that both ends have given up",
        guards=BIRTH,
        scenarios=(f"{TESTS}test_error_of_a_peer_before_the_publication_ends_the_batch[kept=(1, 1)]",),
    ),
    mutant(
        "batch abandoned after it was published",
        "manager.batches:_publish",
        _still_unpublished,
        why="its coins are used again while its transaction waits for a block",
        guards=BIRTH,
        scenarios=(f"{TESTS}test_error_of_a_peer_after_the_publication_closes_its_channel_alone",),
    ),
    mutant(
        "lost channel of a batch is not missed",
        "manager.batches:_has_ended",
        _nothing_is_missed,
        why="the next life publishes what funds a channel that nobody knows",
        guards=BIRTH,
        scenarios=(f"{TESTS}test_member_whose_journal_hangs_until_a_crash_ends_the_batch[late=1]",),
    ),
    mutant(
        "coins of a batch freed before its end is durable",
        "manager.batches:abandon_unpublished",
        early,
        why="the next life publishes the batch, and who has used its coins loses the race or wins it",
        guards=BIRTH,
        scenarios=(f"{TESTS}test_error_of_a_peer_before_the_publication_ends_the_batch[kept=(0, 0)]",),
    ),
)
