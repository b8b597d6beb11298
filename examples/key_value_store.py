"""A store of one's own over a key-value service, and the contract that says whether it is one.

Any service will do that can write several keys in one transaction *if* another key still has a known value: etcd, a
table of PostgreSQL, DynamoDB. That condition is the fence: the epoch is compared in the very step that writes. To read
it first and write then would be none (docs/stores.md).
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

import leyden
from leyden.sim import store_contract


class KeyValues(Protocol):
    """What is asked of the service. Both raise ConnectionError when it cannot be reached; then nobody knows."""

    async def read(self) -> dict[str, bytes]:
        """Return all keys and values, in one consistent view."""
        ...

    async def write(self, changes: dict[str, bytes | None], key: str, value: bytes | None) -> bool:
        """Put values (None: remove the key) in one transaction if `key` has `value` now; return whether it had."""
        ...


class _Journal(msgspec.Struct):
    """What the store knows of one journal: the snapshot's position, the records behind it, rows of its penalty log."""

    position: int = 0
    records: list[bytes] = []
    rows: int = 0
    refused: int = 0  # last record that was offered in vain: what follows it has to wait, and is no gap

    @property
    def end(self) -> int:
        """The last position."""
        return self.position + len(self.records)


class _Call(msgspec.Struct):
    """One call that waits."""

    epoch: int
    answer: leyden.Completion
    appends: Sequence[leyden.Append] = ()
    snapshots: Sequence[leyden.Snapshot] = ()
    dropped: str = ""


_Changes: TypeAlias = dict[str, bytes | None]


class KeyValueStore:
    """`leyden.Store`: a key for each record, each snapshot and each run of penalty rows, and one for the epoch."""

    def __init__(self, keys: KeyValues) -> None:
        self._keys = keys
        self._epoch = 0
        self._values: dict[str, bytes] = {}
        self._journals: dict[str, _Journal] = {}
        self._calls: asyncio.Queue[_Call | None] = asyncio.Queue()
        self._work: asyncio.Task[None] | None = None
        self._fenced: leyden.StorageFailed | None = None

    async def open(self) -> int:
        """Raise the epoch, and read everything: from now on no older store can write."""
        while True:
            before = (await self._keys.read()).get("epoch")
            self._epoch = int(before or b"0") + 1
            if await self._keys.write({"epoch": b"%d" % self._epoch}, "epoch", before):
                break
        self._values = dict(sorted((await self._keys.read()).items()))
        for key, value in self._values.items():
            kind, _, place = key.partition(" ")
            name = place.rpartition(" ")[0]
            if kind == "record":
                self._journal(name).records.append(value)
            elif kind == "rows":
                self._journal(name).rows += 1
            elif kind == "snapshot":
                self._journal(name).position = int(value.split(b" ", 1)[0])
        self._work = asyncio.create_task(self._write_all())
        return self._epoch

    def load(self) -> Iterator[leyden.StoredJournal]:
        """Yield what `open` has read."""
        for name, journal in self._journals.items():
            state = self._values.get(f"snapshot {name} ", b" ").split(b" ", 1)[1]
            yield leyden.StoredJournal(name, journal.position, state, list(journal.records))

    def append(self, epoch: int, batch: Sequence[leyden.Append], on_durable: leyden.Appended) -> None:
        """Make a batch durable."""
        self._calls.put_nowait(_Call(epoch, lambda failure: on_durable(batch, failure), appends=batch))

    def snapshot(self, epoch: int, snapshots: Sequence[leyden.Snapshot], on_durable: leyden.Completion) -> None:
        """Replace records by snapshots."""
        self._calls.put_nowait(_Call(epoch, on_durable, snapshots=snapshots))

    def drop(self, epoch: int, journal: str, on_durable: leyden.Completion) -> None:
        """Forget a journal."""
        self._calls.put_nowait(_Call(epoch, on_durable, dropped=journal))

    def penalty_rows(self, journal: str) -> bytes:
        """Return the penalty log of a journal."""
        rows = self._journals.get(journal, _Journal()).rows
        return b"".join(self._values[f"rows {journal} {number:09}"] for number in range(rows))

    async def close(self) -> None:
        """Write what is under way."""
        self._calls.put_nowait(None)
        if self._work is not None:
            await self._work

    # --- the one task that writes -------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        while (call := await self._calls.get()) is not None:
            failure = await self._write(call)
            if isinstance(failure, leyden.StorageUnavailable):
                for append in call.appends:
                    self._journal(append.journal).refused = append.first + len(append.records) - 1
            asyncio.get_running_loop().call_soon(call.answer, failure)

    async def _write(self, call: _Call) -> leyden.StorageFailed | None:
        if self._fenced is not None:
            return self._fenced
        if call.epoch != self._epoch:
            return leyden.StorageFenced(f"epoch {call.epoch} is over")
        after = {name: self._copied(name) for name in _names(call)}
        changes: _Changes = {}
        try:
            for append in call.appends:
                _add(after[append.journal], append, changes)
            for snapshot in call.snapshots:
                _replace(after[snapshot.journal], snapshot, changes)
            if call.dropped:
                changes |= dict.fromkeys(_keys_of(call.dropped, after.pop(call.dropped)))
            if not await self._keys.write(changes, "epoch", b"%d" % self._epoch):
                self._fenced = leyden.StorageFenced("another store has been opened on this service")
                return self._fenced
        except leyden.StorageFailed as failure:
            return failure
        except ConnectionError as error:
            # Whether it was written or not: the same records at the same keys are the same again.
            return leyden.StorageUnavailable(f"the service cannot be reached: {error}")
        self._journals.pop(call.dropped, None)
        self._journals |= {name: journal for name, journal in after.items() if journal.end}
        self._values |= {key: value for key, value in changes.items() if value is not None and key.startswith("rows ")}
        return None

    def _journal(self, name: str) -> _Journal:
        return self._journals.setdefault(name, _Journal())

    def _copied(self, name: str) -> _Journal:
        known = self._journals.get(name, _Journal())
        return msgspec.structs.replace(known, records=list(known.records))


def _names(call: _Call) -> list[str]:
    named = [*[one.journal for one in call.appends], *[one.journal for one in call.snapshots], call.dropped]
    return [name for name in named if name]


def _add(journal: _Journal, append: leyden.Append, changes: _Changes) -> None:
    """Take records that follow, or that are known with the same bytes; refuse a gap and another history."""
    if append.first > journal.end + 1:
        if append.first - 1 <= journal.refused:
            raise leyden.StorageUnavailable(f"an earlier append to {append.journal} failed: give it again first")
        raise leyden.StorageBroken(f"{append.journal} ends at {journal.end}, not before {append.first}")
    for position, record in enumerate(append.records, append.first):
        if position == journal.end + 1:
            journal.records.append(record)
            changes[f"record {append.journal} {position:020}"] = record
        elif position <= journal.position or journal.records[position - journal.position - 1] != record:
            raise leyden.StorageBroken(f"record {position} of {append.journal} is another one, or behind a snapshot")


def _replace(journal: _Journal, snapshot: leyden.Snapshot, changes: _Changes) -> None:
    """Put a snapshot in the place of the records that it covers, and its penalty rows behind the others."""
    name, position = snapshot.journal, snapshot.position
    if not max(journal.position, 1) <= position <= journal.end:
        raise leyden.StorageBroken(f"{name} has no place for a snapshot at {position}")
    changes |= {f"record {name} {covered:020}": None for covered in range(journal.position + 1, position + 1)}
    changes[f"snapshot {name} "] = b"%d %s" % (position, snapshot.state)
    changes[f"rows {name} {journal.rows:09}"] = snapshot.penalty_rows
    del journal.records[: position - journal.position]
    journal.position, journal.rows = position, journal.rows + 1


def _keys_of(name: str, journal: _Journal) -> list[str]:
    records = [f"record {name} {position:020}" for position in range(journal.position + 1, journal.end + 1)]
    return [*records, f"snapshot {name} ", *[f"rows {name} {number:09}" for number in range(journal.rows)]]


class Table:
    """A service for trying it out, in memory: each transaction takes a turn of the event loop."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.is_down = False

    async def read(self) -> dict[str, bytes]:
        """See `KeyValues`."""
        await asyncio.sleep(0)
        return dict(self.values)

    async def write(self, changes: dict[str, bytes | None], key: str, value: bytes | None) -> bool:
        """See `KeyValues`."""
        await asyncio.sleep(0)
        if self.is_down:
            raise ConnectionError("it is down")
        if self.values.get(key) != value:
            return False
        for name, new in changes.items():
            if new is None:
                self.values.pop(name, None)
            else:
                self.values[name] = new
        return True


class Place(store_contract.StoreMaker):
    """A table on which the contract is tried. Only `store` must be there; the rest lets more of the rules be tried."""

    def __init__(self, _directory: Path) -> None:
        self.table = Table()

    def store(self) -> KeyValueStore:
        """Another store over the same table."""
        return KeyValueStore(self.table)

    def crashes(self) -> list["Place"]:
        """A transaction is there or not, so a crash leaves the table as it is."""
        copy = Place(Path())
        copy.table.values = dict(self.table.values)
        return [copy]

    def trouble(self, kind: store_contract.Trouble) -> bool:
        """The service can be unreachable; it cannot lose what it has said to have."""
        self.table.is_down = kind is store_contract.Trouble.TRANSIENT
        return kind is not store_contract.Trouble.FINAL


def main() -> None:
    """Try every rule and say what became of it."""
    for outcome in asyncio.run(store_contract.check(Place)):
        print(outcome)


if __name__ == "__main__":
    main()
