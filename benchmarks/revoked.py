"""What old states cost: bytes in the store and in memory, and the time to find the HTLCs of one that was published."""

import asyncio
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.goals import Figure
from benchmarks.journals import PayerJournal
from benchmarks.micro import best_us
from benchmarks.payments import Figures
from benchmarks.run import Run
from leyden.base.ids import NODE_JOURNAL, ChannelId, channel_journal
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.channel.build import channel_keys, remote_commitment
from leyden.channel.snapshot import decode_core, encode_core
from leyden.crypto.hashes import sha256
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.journal.node_codec import encode_node_record
from leyden.journal.node_records import NodeBorn
from leyden.journal.penalty import ROW_LENGTH, encode_row, rows_of_commitment
from leyden.monitor.revoked import revoked_commitment
from leyden.node import files
from leyden.ports.store import Append, Snapshot

JOURNAL = channel_journal(ChannelId(PayerJournal().core.opened.channel_id))
SLOTS = 483
RECORDS_A_SNAPSHOT = 1_000


class Stored(msgspec.Struct):
    """What a channel with many revoked states leaves in the store at `path`, which is closed.

    full: a commitment with all slots used, long revoked. log: the penalty log.
    """

    path: Path
    journal: PayerJournal
    full: Transaction
    full_number: int
    log: bytes
    states: int
    rest_bytes: int
    read_ms: float
    memory_bytes: int


def revoked(run: Run) -> Figures:
    """A channel with many old states, on disk and in memory, and one of the states published."""
    run.settle()
    run.say(f"{run.scale.states:,} revoked states")
    with tempfile.TemporaryDirectory(prefix="leyden-bench-") as folder:
        seen = asyncio.run(grow(Path(folder), run.scale.states))
    run.say("looking for one of them")
    seconds = max(run.scale.micro_seconds, 0.01)
    lookup = _lookups(seen, run.scale.states, seconds)
    disk = {
        "states": seen.states,
        "store_bytes_beside_rows": seen.rest_bytes,
        "row_bytes_per_htlc": ROW_LENGTH,
        "rows": len(seen.log) // ROW_LENGTH,
        "read_log_ms": seen.read_ms,
    }
    return {
        "revoked_disk": Figure(round(max(seen.rest_bytes / seen.states, 0.001), 3), disk),
        "revoked_memory": Figure(round(max(seen.memory_bytes / seen.states, 0.001), 3), {"bytes": seen.memory_bytes}),
        "revoked_lookup": Figure(lookup.pop("ms"), lookup),
    }


async def grow(folder: Path, states: int, others: int = 0) -> Stored:
    """Let a channel pay one HTLC after the other, its snapshots in a real store; half-way once all slots at a time.

    others: rows of HTLCs that leave with each state beside its own, for a log as long as that of a busier channel.
    """
    path = folder / files.STORE_FILE
    store = SqliteStore(path)
    epoch = await store.open()
    journal = PayerJournal()
    written, covered = 0, 0
    born = NodeBorn(REGTEST.chain_hash, journal.own.signer.node_id, 0, REGTEST.chain_hash)
    store.append(epoch, [Append(NODE_JOURNAL, 1, [encode_node_record(born)])], lambda _appends, _failure: None)

    async def compact() -> bytes:
        """Write what is new and replace it by a snapshot, as a node does; return the state."""
        nonlocal written, covered
        core, records = journal.core, journal.records[written:]
        durable: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        state, rows = encode_core(core), [*core.penalty_rows]
        if others:
            rows = sorted([*rows, *_rows_of_others(range(covered, core.remote.number), others)], key=_last_number)
        store.append(epoch, [Append(JOURNAL, written + 1, records)], lambda _appends, _failure: None)
        store.snapshot(epoch, [Snapshot(JOURNAL, core.position, state, b"".join(rows))], durable.set_result)
        assert await durable is None
        core.penalty_rows.clear()
        written, covered = written + len(records), core.remote.number
        return state

    first = await compact()
    await store.reclaim()
    size_before, full, number = _size(path), b"", 0
    while journal.core.remote.number < states:
        if not full and journal.core.remote.number >= states // 2:
            ids = journal.offer(SLOTS)
            core = journal.core
            commitment = remote_commitment(channel_keys(core.opened), core.remote, core.remote_point)
            full, number = commitment.transaction().serialize(), core.remote.number
            journal.settle(ids)
        journal.settle(journal.offer(1))
        if len(journal.records) - written >= RECORDS_A_SNAPSHOT:
            await compact()
    last = await compact()
    await asyncio.sleep(0.2)
    await store.reclaim()
    begun = time.perf_counter()
    log = store.penalty_rows(JOURNAL)
    read_ms = (time.perf_counter() - begun) * 1000
    rest = _size(path) - size_before - len(log)
    await store.close()
    memory = _memory(partial(decode_core, last)) - _memory(partial(decode_core, first))
    states = journal.core.remote.number
    return Stored(path, journal, Transaction.parse(full), number, log, states, rest, round(read_ms, 2), memory)


def _size(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum([one.stat().st_size for one in files if one.exists()])


def _memory(make: Callable[[], object]) -> int:
    """Return the bytes that a value takes."""
    make()
    tracemalloc.start()
    kept = make()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return used


def _lookups(seen: Stored, states: int, seconds: float) -> dict[str, Any]:
    """Time what justice asks first, with more and more in the log: where the HTLCs of the published state are."""
    core, keys, number = seen.journal.core, channel_keys(seen.journal.core.opened), seen.full_number
    figures: dict[str, Any] = {}
    # Every slot used in every state, 20 HTLCs of each leaving with it, and the same with 100.
    for replaced in (0, 20, 100):
        log = seen.log if not replaced else _with_others(seen.log, states, replaced)
        rows = len(log) // ROW_LENGTH
        look = partial(revoked_commitment, core, keys, seen.full, number, log)
        whole = partial(_whole, log, number)
        assert len(look().penalised()) == SLOTS + 1
        assert not look().unknown
        figures[f"ms_with_{rows}_rows"] = ms = round(best_us(look, seconds) / 1000, 3)
        figures[f"whole_log_ms_with_{rows}_rows"] = round(best_us(whole, seconds) / 1000, 3)
        figures["ms"] = ms
    return figures


def _whole(log: bytes, number: int) -> None:
    deque(rows_of_commitment(log, number), 0)


def _with_others(log: bytes, states: int, replaced: int) -> bytes:
    """Return the log with rows of other HTLCs between its own: `replaced` that leave after each state."""
    rows = [log[at : at + ROW_LENGTH] for at in range(0, len(log), ROW_LENGTH)]
    together: list[bytes] = sorted([*rows, *_rows_of_others(range(states), replaced)], key=_last_number)
    return b"".join(together)


def _rows_of_others(states: range, replaced: int) -> list[bytes]:
    """Return rows of a channel whose slots are all in use, `replaced` of them leaving with each state."""
    lived = SLOTS // replaced
    return [
        encode_row(sha256(b"other %d %d" % (number, one)), 500, one % 2 == 0, max(number - lived, 0), number)
        for number in states
        for one in range(replaced)
    ]


def _last_number(row: bytes) -> bytes:
    return row[-6:]
