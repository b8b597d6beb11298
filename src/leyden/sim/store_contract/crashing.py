"""Rules of crashes: what a crash at the worst moment leaves. They need `StoreMaker.crashes`."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from leyden.base.ids import NODE_JOURNAL
from leyden.ports.store import Append
from leyden.sim.store_contract.life import CHANNEL, JOURNALS, OTHER, Given, Life, batch, begin, end, records, snapshot
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import NotTried, require, rule

_IMAGES_MAX = 60


class _Crash(msgspec.Struct, frozen=True):
    """An image, and what had been reported before it. told: last durable position of each journal; answered: calls."""

    image: StoreMaker
    told: dict[str, int]
    answered: int


class _Crashes:
    """Takes images of a life while it goes on, and knows what was reported at each."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._calls: list[Given] = []
        self.taken: list[_Crash] = []

    def watch(self, call: Given) -> None:
        """Count a call's answers to what was reported."""
        self._calls.append(call)

    def told(self) -> dict[str, int]:
        """Return what was reported durable so far."""
        ends: dict[str, int] = {}
        for call in self._calls:
            for journal, last in call.durable.items():
                ends[journal] = max(ends.get(journal, 0), last)
        return ends

    def take(self) -> None:
        """Take images of this moment."""
        told = self.told()
        answered = sum([call.done.is_set() for call in self._calls])
        self.taken += [_Crash(image, told, answered) for image in self._life.maker.crashes()]

    def chosen(self) -> list[_Crash]:
        """Return the images, or as many of them as there is time for; the others are given back."""
        if not self.taken:
            raise NotTried("`StoreMaker.crashes` returns nothing: let it copy the place as a crash would leave it")
        step = -(-len(self.taken) // _IMAGES_MAX)
        chosen = self.taken[step - 1 :: step]
        for crash in self.taken:
            if crash not in chosen:
                crash.image.close()
        return chosen


async def _watched(maker: StoreMaker) -> tuple[Life, _Crashes]:
    life = await begin(maker)
    return life, _Crashes(life)


async def _answers(life: Life, calls: Sequence[Given], crashes: _Crashes | None = None) -> None:
    """Wait for calls that must succeed; with `crashes`, take images on the way."""
    for _ in range(200 if crashes is not None else 0):
        if all(call.done.is_set() for call in calls):
            break
        assert crashes is not None
        crashes.take()
        await asyncio.sleep(0)
    for call in calls:
        await life.take(call)


async def _reopened(crash: _Crash, given: Mapping[str, Sequence[bytes]]) -> Life:
    """Begin a life on an image and check what it kept of the records `given`, which all begin at position 1."""
    life = await begin(crash.image)
    for journal, stored in life.loaded.items():
        require(journal in given, f"after a crash `load` gives {journal}, which was never written")
        last = end(stored)
        require(
            last <= len(given[journal]) and stored.records == list(given[journal][stored.position : last]),
            f"after a crash {journal} has {len(stored.records)} records behind {stored.position} that are no prefix of "
            "what was written: a gap, half a record, or another order",
        )
    for journal, told in crash.told.items():
        last = end(life.loaded[journal]) if journal in life.loaded else 0
        require(last >= told, f"record {told} of {journal} was reported durable; after a crash it ends at {last}")
    return life


def _story(life: Life) -> tuple[list[Given], dict[str, list[bytes]]]:
    """Give batches of several journals, small and large, all at once; return them with all records of each journal."""
    calls: list[Given] = []
    given: dict[str, list[bytes]] = {journal: [] for journal in JOURNALS}
    for number in range(10):
        appends: list[Append] = []
        for place, journal in enumerate(JOURNALS[: 1 + number % 3]):
            first = len(given[journal]) + 1
            values = records(first, first + (number + place) % 3)
            if number in (4, 7):
                values[0] = values[0] * 3000
            given[journal] += values
            appends.append(Append(journal, first, values))
        calls.append(life.give(*appends))
    return calls, given


@rule(
    "H01",
    "H112",
    advice="answer behind the sync (fsync of file and directory, commit of the engine), never in front of it",
)
async def nothing_is_reported_before_it_is_durable(maker: StoreMaker) -> None:
    """A crash in the very moment of an answer has lost nothing of what the answer names."""
    life, crashes = await _watched(maker)
    life.on_answer = crashes.take
    calls, given = _story(life)
    for call in calls:
        crashes.watch(call)
    await _answers(life, calls)
    await life.end()
    for crash in crashes.chosen():
        await (await _reopened(crash, given)).end()


@rule(
    "H111", "H124", advice="at load, stop at the first record that is missing or torn, and forget what lies behind it"
)
async def crash_leaves_a_prefix_of_each_journal(maker: StoreMaker) -> None:
    """After a crash with batches under way the place opens, and each journal has some gap-free prefix, nothing torn."""
    life, crashes = await _watched(maker)
    calls, given = _story(life)
    for call in calls:
        crashes.watch(call)
    await _answers(life, calls, crashes)
    await life.end()
    for crash in crashes.chosen():
        await (await _reopened(crash, given)).end()


@rule("H112", advice="delete what lies behind a gap before the first append, or keep the epoch in the record's key")
async def lost_tail_does_not_come_back(maker: StoreMaker) -> None:
    """What a start did not load is gone for ever, also when other records are written at its positions."""
    life, crashes = await _watched(maker)
    calls, given = _story(life)
    await _answers(life, calls, crashes)
    await life.end()
    for crash in crashes.chosen():
        life = await _reopened(crash, given)
        ends = {journal: end(life.loaded[journal]) if journal in life.loaded else 0 for journal in JOURNALS}
        await life.write(*[batch(journal, last + 1, last + 1, "after the crash") for journal, last in ends.items()])
        # Once more, with a crash instead of an end: the answer is a promise also of a second life.
        copies = [_Crash(image, {}, 0) for image in life.maker.crashes()][:2]
        await life.end()
        for later in [*copies, crash]:
            life = await begin(later.image)
            for journal, last in ends.items():
                stored = life.loaded.get(journal)
                require(
                    stored is not None
                    and end(stored) == last + 1
                    and stored.records[-1:] == records(last + 1, last + 1, "after the crash"),
                    f"{journal} ended at {last} after a crash and got one record; then "
                    f"{'it is gone' if stored is None else f'it ends at {end(stored)}, or with a record from before'}",
                )
            await life.end()


@rule("H124", "H155", advice="make the penalty rows durable with the snapshot or before it, and drop the records last")
async def crash_keeps_the_records_or_their_snapshot(maker: StoreMaker) -> None:
    """A crash around a snapshot leaves the records or the snapshot, and a snapshot has its penalty rows."""
    life, crashes = await _watched(maker)
    given: dict[str, list[bytes]] = {journal: records(1, 9) for journal in (CHANNEL, OTHER)}
    written = life.give(batch(CHANNEL, 1, 9), batch(OTHER, 1, 9))
    await life.take(written)
    crashes.watch(written)
    life.on_answer = crashes.take
    calls = [life.give_snapshots(snapshot(CHANNEL, at, b"<%d>" % at), snapshot(OTHER, at)) for at in (2, 5, 9)]
    for call in calls:
        crashes.watch(call)
    await _answers(life, calls, crashes)
    await life.end()
    for crash in crashes.chosen():
        life = await _reopened(crash, given)
        stored = life.loaded[CHANNEL]
        # The first call that is watched gave the records.
        told = (0, 0, 2, 5, 9)[crash.answered]
        for name, one in life.loaded.items():
            require(
                one.position >= told,
                f"the snapshot of {name} at {told} was reported durable; after a crash it is at {one.position}",
            )
            state = snapshot(name, one.position).state if one.position else b""
            require(one.state == state, f"after a crash the snapshot of {name} at {one.position} is {one.state[:60]!r}")
        rows = life.store.penalty_rows(CHANNEL)
        whole = b"".join(b"<%d>" % at for at in (2, 5, 9) if at <= stored.position)
        require(
            rows.startswith(whole),
            f"after a crash {CHANNEL} has its snapshot at {stored.position} and the penalty rows {rows!r}",
        )
        await life.end()


@rule("H114", "H124", advice="drop a journal in one step, and let the next open finish what a crash has cut")
async def crash_in_a_drop_leaves_all_or_nothing(maker: StoreMaker) -> None:
    """A crash around a drop leaves the journal whole or not at all; one that was reported dropped is gone."""
    life, crashes = await _watched(maker)
    given: dict[str, list[bytes]] = {CHANNEL: records(1, 6), OTHER: records(1, 2)}
    await life.write(batch(CHANNEL, 1, 6), batch(OTHER, 1, 2))
    await life.compact(CHANNEL, 3, b"rows;")
    answered: list[int] = []

    def on_answer() -> None:
        answered.append(len(crashes.taken))
        crashes.take()

    life.on_answer = on_answer
    await _answers(life, [life.give_drop(CHANNEL)], crashes)
    await life.end()
    for crash in crashes.chosen():
        reported = any(crash is one for one in crashes.taken[answered[0] :])
        life = await _reopened(crash, given)
        stored = life.loaded.get(CHANNEL)
        rows = life.store.penalty_rows(CHANNEL)
        if stored is None:
            require(rows == b"", "after a crash a dropped journal has penalty rows")
        else:
            require(not reported, "a journal that was reported dropped is back after a crash")
            require(end(stored) == 6 and rows == b"rows;", f"after a crash half of {CHANNEL} is there")
        require(OTHER in life.loaded, f"after a crash in the drop of {CHANNEL} {OTHER} is gone")
        await life.end()


@rule("H109", advice="make the epoch durable before `open` returns it")
async def crash_never_takes_an_epoch_back(maker: StoreMaker) -> None:
    """An epoch that `open` has returned is never returned again, also if the machine stops right behind it."""
    life, crashes = await _watched(maker)
    crashes.take()
    call = life.give(batch(NODE_JOURNAL, 1, 1))
    await _answers(life, [call], crashes)
    epoch = life.epoch
    await life.end()
    for crash in crashes.chosen():
        later = await begin(crash.image)
        require(later.epoch > epoch, f"epoch {epoch} was in use; after a crash `open` returns {later.epoch}")
        await later.end()


RULES = (
    nothing_is_reported_before_it_is_durable,
    crash_leaves_a_prefix_of_each_journal,
    lost_tail_does_not_come_back,
    crash_keeps_the_records_or_their_snapshot,
    crash_in_a_drop_leaves_all_or_nothing,
    crash_never_takes_an_epoch_back,
)
