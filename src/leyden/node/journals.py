"""Looking into the journals of a node that does not run: records, whether they are whole, their fold at any record.

Nothing is written. For whoever debugs; the shapes of records and states change with the version.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from leyden.base.errors import CommandRejected, DecodeError, StorageBroken, StorageFenced
from leyden.base.ids import NODE_JOURNAL
from leyden.channel.core import ChannelCore
from leyden.channel.snapshot import decode_core, snapshot_of
from leyden.channel.states import state_class
from leyden.drivers.storage.sqlite_reader import SqliteReader
from leyden.journal.codec import decode_record
from leyden.journal.node_codec import decode_node_record
from leyden.manager.rebuild import fold_channel, fold_journals
from leyden.node import files
from leyden.ports.store import StoredJournal

_SECRETS: Final = frozenset({
    "per_commitment_secret", "session_seed", "keysend_preimage", "preimage", "shared_secret", "payment_secret",
    "secrets", "handed_off",
})  # fmt: skip
HIDDEN: Final = "hidden; --secrets shows it"


class JournalSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One journal. records: position of its last record; snapshot: position up to which a snapshot replaces records."""

    journal: str
    records: int
    snapshot: int
    bytes: int
    state: str
    node_id: str | None


class RecordLine(msgspec.Struct, frozen=True, kw_only=True):
    """One record: its position, its kind, its encoded size, its fields."""

    position: int
    kind: str
    bytes: int
    fields: dict[str, Any]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a journal decodes and folds. problem: empty, or what is wrong and where."""

    journal: str
    records: int
    problem: str


def list_journals(directory: Path) -> list[JournalSummary]:
    """Return every journal of a data directory. Raises CommandRejected: see `_reader`."""
    with _reader(directory) as reader:
        return [_summary(stored) for stored in reader.journals()]


def show(directory: Path, name: str, first: int, last: int | None, secrets: str) -> list[RecordLine]:
    """Return the records of a journal from position `first` to `last`, those that a snapshot has not replaced.

    name: the journal's, or the beginning of a channel_id. secrets: `show` or `hide`.
    Raises: CommandRejected: see `_reader`; `unknown_journal`, `bad_journal`.
    """
    stored = _load(directory, name)
    lines: list[RecordLine] = []
    for position, raw in enumerate(stored.records, stored.position + 1):
        if first <= position and (last is None or position <= last):
            record = _decode(stored, position, raw)
            fields = _plain(record, secrets)
            lines.append(RecordLine(position=position, kind=type(record).__name__, bytes=len(raw), fields=fields))
    return lines


def verify(directory: Path) -> list[Verdict]:
    """Decode and fold every journal;

    checksums and gaps were looked at before. Raises CommandRejected: see `_reader`.
    """
    verdicts: list[Verdict] = []
    with _reader(directory) as reader:
        for stored in reader.journals():
            count = stored.position + len(stored.records)
            verdicts.append(Verdict(journal=stored.journal, records=count, problem=_problem(stored)))
            reader.penalty_rows(stored.journal)
    return verdicts


def fold_at(directory: Path, name: str, at: int | None, secrets: str) -> dict[str, Any]:
    """Return what a journal says after record `at` (None: its last), as a program would have known it then.

    Raises: CommandRejected: as `show`; `no_such_record` when a snapshot has replaced it, or it was never written.
    """
    stored = _load(directory, name)
    end = stored.position + len(stored.records)
    position = end if at is None else at
    if not max(stored.position, 1) <= position <= end:
        raise CommandRejected(
            f"{stored.journal} can be folded at {max(stored.position, 1)} to {end}"
            + (" (a snapshot has replaced what was before)" if stored.position else ""),
            code="no_such_record",
        )
    cut = StoredJournal(stored.journal, stored.position, stored.state, stored.records[: position - stored.position])
    problem = _problem(cut)
    if problem:
        raise CommandRejected(f"{stored.journal}: {problem}", code="bad_journal")
    if cut.journal == NODE_JOURNAL:
        return {"journal": cut.journal, "position": position, "fold": _plain(fold_journals([cut]).node, secrets)}
    core = fold_channel(cut)
    fold = _plain(snapshot_of(core), secrets)
    return {"journal": cut.journal, "position": position, "state": state_class(core).__name__, "fold": fold}


# --- reading -------------------------------------------------------------------------------------------------------


@contextmanager
def _reader(directory: Path) -> Generator[SqliteReader]:
    """Open the store. Raises CommandRejected: `node_running`, `bad_journal`."""
    try:
        with SqliteReader(directory / files.STORE_FILE) as reader:
            yield reader
    except StorageFenced as error:
        pid = re.search(r"\(pid \d+\)", str(error))
        raise CommandRejected(
            f"a node is running in {directory}{' ' + pid[0] if pid else ''}, and only it may use its journals: "
            "stop it first (`leyden stop`)",
            code="node_running",
        ) from None
    except StorageBroken as error:
        raise CommandRejected(str(error), code="bad_journal") from None


def _load(directory: Path, name: str) -> StoredJournal:
    with _reader(directory) as reader:
        found = [one for one in reader.journals() if one.journal == name or one.journal.startswith(f"channel/{name}")]
    if len(found) != 1:
        raise CommandRejected(
            f"no journal begins with `{name}`: `leyden journal list` shows them"
            if not found
            else f"{len(found)} journals begin with `{name}`: give more of the name",
            code="unknown_journal",
        )
    return found[0]


def _decode(stored: StoredJournal, position: int, raw: bytes) -> Any:
    try:
        return decode_node_record(raw) if stored.journal == NODE_JOURNAL else decode_record(raw)
    except DecodeError as error:
        raise CommandRejected(f"record {position} of {stored.journal}: {error}", code="bad_journal") from None


def _problem(stored: StoredJournal) -> str:
    """Return why a journal does not decode or fold, or an empty string."""
    for position, raw in enumerate(stored.records, stored.position + 1):
        try:
            _decode(stored, position, raw)
        except CommandRejected as error:
            return error.what
    try:
        unreadable = fold_journals([stored]).unreadable
    except DecodeError as error:
        return str(error)
    return "".join([f"journal {journal} cannot be read: {one.reason}" for journal, one in unreadable.items()])


def _summary(stored: StoredJournal) -> JournalSummary:
    size = len(stored.state) + sum([len(raw) for raw in stored.records])
    state, node_id = "", None
    if stored.journal != NODE_JOURNAL:
        core = _fold_or_none(stored)
        state = "cannot be folded" if core is None else state_class(core).__name__
        node_id = None if core is None else core.opened.counterparty_node_id.hex()
    return JournalSummary(
        journal=stored.journal,
        records=stored.position + len(stored.records),
        snapshot=stored.position,
        bytes=size,
        state=state,
        node_id=node_id,
    )


def _fold_or_none(stored: StoredJournal) -> ChannelCore | None:
    return None if _problem(stored) else fold_channel(stored) if stored.records else decode_core(stored.state)


# --- values for people and JSON ------------------------------------------------------------------------------------


def _plain(value: object, secrets: str) -> Any:
    """Return a value of JSON's types: structs as objects, bytes as hexadecimal."""
    if isinstance(value, msgspec.Struct):
        return {
            name: HIDDEN if name in _SECRETS and secrets != "show" else _plain(getattr(value, name), secrets)
            for name in value.__struct_fields__
        }
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {_key(key): _plain(inner, secrets) for key, inner in entries.items()}
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return [_plain(item, secrets) for item in items]
    return value.hex() if isinstance(value, bytes) else value


def _key(key: object) -> str:
    if isinstance(key, bytes):
        return key.hex()
    if isinstance(key, tuple):
        parts = cast("tuple[object, ...]", key)
        return "/".join(_key(part) for part in parts)
    return str(key)
