"""What waits for the store, for users: by channel, and in all."""

from collections.abc import Mapping

from leyden.base.ids import NODE_JOURNAL
from leyden.manager.outbox import Waiting
from leyden.manager.state import Slot
from leyden.node.runtime import Runtime
from leyden.node.views import JournalView, StoreView

_NOTHING = Waiting()


def channel_journal_view(slot: Slot, waiting: Mapping[str, Waiting], now_us: int) -> JournalView:
    """Return the figures of a channel's journal. waiting: of the outbox; now_us: monotonic."""
    core = slot.state.core
    return _view(
        waiting.get(slot.tail.journal, _NOTHING),
        now_us,
        facts=len(core.outcomes) + len(core.claims),
        events=len(core.events) + len(core.forward_events),
    )


def store_view(runtime: Runtime) -> StoreView:
    """Return the figures of a node's store."""
    manager, watch = runtime.manager, runtime.watch
    now = runtime.scheduler.monotonic_us()
    waiting = manager.outbox.waiting()
    views = [channel_journal_view(slot, waiting, now) for slot in manager.channels.values()]
    node = _view(waiting.get(NODE_JOURNAL, _NOTHING), now, facts=0, events=len(manager.node.unacknowledged))
    every = [node, *views]
    return StoreView(
        records_waiting=sum([one.records_waiting for one in every]),
        bytes_waiting=manager.outbox.queued_bytes,
        oldest_waiting_ms=max([one.oldest_waiting_ms for one in every]),
        effects_waiting=sum([one.effects_waiting for one in every]),
        journals_waiting=sum([one.records_waiting > 0 for one in every]),
        facts_unacknowledged=sum([one.facts_unacknowledged for one in every]),
        node=node,
        batches=watch.batches,
        refusals=watch.refusals,
        batch_records_p50=int(watch.batch_records.quantile(0.5)),
        batch_records_p99=int(watch.batch_records.quantile(0.99)),
        batch_bytes_p50=int(watch.batch_bytes.quantile(0.5)),
        batch_bytes_p99=int(watch.batch_bytes.quantile(0.99)),
        commit_ms_p50=round(watch.commit_us.quantile(0.5) / 1000, 2),
        commit_ms_p99=round(watch.commit_us.quantile(0.99) / 1000, 2),
    )


def _view(waiting: Waiting, now_us: int, *, facts: int, events: int) -> JournalView:
    since = waiting.since_us
    return JournalView(
        records_waiting=waiting.records,
        bytes_waiting=waiting.bytes,
        oldest_waiting_ms=0 if since is None else (now_us - since) // 1000,
        effects_waiting=waiting.effects,
        facts_unacknowledged=facts,
        events_unacknowledged=events,
    )
