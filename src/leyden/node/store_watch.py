"""How the store keeps up: sizes of batches, latency of commits, and a warning when records wait too long.

Counted are batches and answers of the store, never single HTLCs.
"""

from leyden.manager.events import StoreBehind, StoreRecovered
from leyden.manager.manager import Manager

WARN_AFTER_SECONDS = 5
WARN_LAST_SECONDS = 600.0
"""The longest pause between two warnings about the same trouble."""

SAMPLES_KEPT = 512


class Samples:
    """The last values of something that happens often; quantiles are worked out only when somebody asks."""

    __slots__ = ("_next", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._next = 0

    def add(self, value: float) -> None:
        """Take a value in, in the place of the oldest."""
        if len(self._values) < SAMPLES_KEPT:
            self._values.append(value)
            return
        self._values[self._next] = value
        self._next = (self._next + 1) % SAMPLES_KEPT

    def quantile(self, share: float) -> float:
        """Return the value that this share (0 to 1) of the values does not exceed; 0 when there is none."""
        values = sorted(self._values)
        return values[max(0, min(len(values) - 1, int(share * len(values))))] if values else 0.0


class StoreWatch:
    """Figures of one life.

    warn_after_seconds: records that wait longer are spoken of. behind_since_us: since when (monotonic); None: all is
    well.
    """

    def __init__(self, life: int) -> None:
        self.warn_after_seconds = float(WARN_AFTER_SECONDS)
        self.batches = 0
        self.refusals = 0
        self.batch_records = Samples()
        self.batch_bytes = Samples()
        self.commit_us = Samples()
        self.behind_since_us: int | None = None
        self._life = life
        self._incidents = 0
        self._next_seconds = 0.0

    def on_batch(self, records: int, size: int) -> None:
        """A batch of so many records and bytes goes to the store."""
        self.batches += 1
        self.batch_records.add(records)
        self.batch_bytes.add(size)

    def on_second(self, m: Manager, now_us: int, status: str) -> float:
        """Warn when the oldest record waits too long, now and then again, and say when that is over.

        Return how long it has waited, in seconds. status: what the store said, empty when it says nothing.
        """
        oldest_us = m.outbox.oldest_us() if m.outbox.queued_bytes else None
        age = 0.0 if oldest_us is None else (now_us - oldest_us) / 1e6
        if self.behind_since_us is None:
            if age >= self.warn_after_seconds:
                self.behind_since_us = oldest_us
                for what in ("behind", "recovered"):  # of the last trouble, if nobody has acknowledged it
                    m.events.pop(f"store/{self._life}/{self._incidents}/{what}", None)
                self._incidents += 1
                self._next_seconds = 0.0
                m.show(self._behind(m, age, status))
        elif age < self.warn_after_seconds / 2:
            lasted = (now_us - self.behind_since_us) / 1e6
            self.behind_since_us = None
            m.report("store", "info", f"the store has caught up, after {lasted:.0f} s")
            m.show(StoreRecovered(f"store/{self._life}/{self._incidents}/recovered", int(lasted)))
        if self.behind_since_us is not None and age >= self._next_seconds:
            self._next_seconds = age + min(max(age, self.warn_after_seconds), WARN_LAST_SECONDS)
            waiting = m.outbox.waiting()
            records = sum([one.records for one in waiting.values()])
            m.report(
                "store",
                "warning",
                f"{records} records in {len(waiting)} journals wait for the store, {m.outbox.queued_bytes} bytes, "
                f"the oldest for {age:.0f} s{': ' + status if status else ''}",
            )
        return age

    def _behind(self, m: Manager, age: float, status: str) -> StoreBehind:
        records = sum([tail.position - tail.durable for tail in m.outbox.tails.values()])
        event_id = f"store/{self._life}/{self._incidents}/behind"
        return StoreBehind(event_id, records, m.outbox.queued_bytes, int(age), status)
