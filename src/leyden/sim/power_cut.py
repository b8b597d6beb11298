"""A disk in memory below SQLite that keeps unsynced writes apart, and the images that a power cut could leave of it.

At a cut each file is what was synced plus *any subset* of the operations since: whole operations or single sectors, in
order or not, the last one torn, with garbage where it stopped. Two things are assumed, as SQLite's own layer assumes
them of every disk: a sync makes a new file's name durable with its content (it syncs the directory), and a torn write
spoils no byte outside of it, though one in the same sector ("powersafe overwrite").
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import apsw
import msgspec

SECTOR = 512

Image: TypeAlias = dict[str, bytes]
"""Files by name."""


class Change(msgspec.Struct, frozen=True):
    """One operation on a file: bytes at an offset, a new size, or its removal; none of these: it was made.

    whole: another file, synced and with `data` in it, took its name.
    """

    name: str
    offset: int = 0
    data: bytes | None = None
    size: int = -1
    deleted: bool = False
    whole: bool = False


class Synced(msgspec.Struct, frozen=True):
    """The disk promised that a file's operations so far are on it."""

    name: str


class SyncFailed(msgspec.Struct, frozen=True):
    """The disk failed to sync a file. What was not on it yet may never get there, though it can still be read: a system
    may take pages that it could not write for written.
    """

    name: str


class Told(msgspec.Struct, frozen=True):
    """The store promised something to its caller. position: a record, a snapshot's, or an epoch."""

    promise: str
    journal: str = ""
    position: int = 0


Event: TypeAlias = Change | Synced | SyncFailed | Told


def apply(files: dict[str, bytearray], change: Change) -> None:
    """Carry out one operation."""
    if change.deleted:
        files.pop(change.name, None)
        return
    content = files.setdefault(change.name, bytearray())
    if change.data is not None:
        if len(content) < change.offset:
            content.extend(bytes(change.offset - len(content)))
        content[change.offset : len(content) if change.whole else change.offset + len(change.data)] = change.data
    elif change.size >= 0:
        del content[change.size :]


class PowerVfs(apsw.VFS):
    """An SQLite VFS whose files are `files`; every operation goes to `history`. Use `unregister` when done.

    Give its `name` to `SqliteStore(path, vfs=...)`. `room` is how many bytes all files may have together (0: nothing is
    written at all); `sync_fails` makes every sync an input/output error; `sync_lies` makes every sync do nothing, so
    that a test of power cuts can show that it would notice.
    """

    _names = itertools.count()

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.name = f"power-{next(self._names)}"
        self.files = {name: bytearray(content) for name, content in (files or {}).items()}
        self.history: list[Event] = []
        self.room = 1 << 40
        self.sync_fails = False
        self.sync_lies = False
        super().__init__(self.name, "")

    def change(self, change: Change) -> None:
        """Do and remember an operation."""
        self.history.append(change)
        apply(self.files, change)

    def sync(self, name: str) -> None:
        """Make a file durable, or what is said to be that."""
        if not self.sync_lies:
            self.history.append(Synced(name))

    def renew(self, name: str) -> None:
        """Put a copy of a file in its place, as a start does with the log (`drivers/storage/sqlite_log.py`)."""
        content = bytes(self.files.get(name, b""))
        if content:
            self.change(Change(name, data=content, whole=True))
            self.sync(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open or make a file."""
        filename = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        if filename not in self.files:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(filename)
            self.change(Change(filename))
        flags[1] = flags[0]
        return cast("apsw.VFSFile", PowerFile(self, filename))  # SQLite asks for no more than its methods

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        """Return whether there is such a file."""
        return pathname in self.files

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Remove a file."""
        self.change(Change(filename, deleted=True))
        if syncdir:
            self.sync(filename)

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        """Return the name: there are no directories."""
        return name


class PowerFile:
    """One open file. Locks always succeed: the store runs alone on its disk."""

    def __init__(self, vfs: PowerVfs, name: str) -> None:
        self._vfs = vfs
        self._name = name

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Return up to `amount` bytes."""
        return bytes(self._vfs.files[self._name][offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write, if there is room."""
        content = self._vfs.files[self._name]
        growth = max(offset + len(data) - len(content), 0)
        if (growth or not self._vfs.room) and growth + sum(map(len, self._vfs.files.values())) > self._vfs.room:
            raise apsw.FullError("no room")
        self._vfs.change(Change(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Cut the file."""
        self._vfs.change(Change(self._name, size=newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Make the file durable."""
        if self._vfs.sync_fails:
            self._vfs.history.append(SyncFailed(self._name))
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        self._vfs.sync(self._name)

    def xFileSize(self) -> int:  # noqa: N802
        """Return the size in bytes."""
        return len(self._vfs.files[self._name])

    def xLock(self, level: int) -> None:  # noqa: N802
        """Succeed."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """Succeed."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        """Return that nobody else has it."""
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        """Know no operation."""
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        """Return what is written whole or not at all."""
        return SECTOR

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        """Promise what SQLite's own layer promises for every disk: a torn write spoils no byte outside it."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:  # noqa: N802
        """Do nothing: closing syncs nothing."""


class Cut(msgspec.Struct, frozen=True):
    """What a power cut left, and what had been told to anybody before it."""

    image: Image
    told: Sequence[Told]


class _Platter:
    """What is on a disk for sure, what is not, and what was told, event by event."""

    def __init__(self, chance: random.Random, start: Image | None) -> None:
        self._chance = chance
        self._synced = {name: bytearray(content) for name, content in (start or {}).items()}
        self._unsynced: list[Change] = []
        self._told: list[Told] = []

    def take(self, event: Event) -> None:
        """Go on by one event."""
        match event:
            case Change():
                self._unsynced.append(event)
            case Told():
                self._told.append(event)
            case Synced() | SyncFailed():
                mine = [change for change in self._unsynced if change.name == event.name]
                self._unsynced = [change for change in self._unsynced if change.name != event.name]
                for change in mine:
                    # Of a sync that failed some got there, and the rest no later sync will bring.
                    if isinstance(event, Synced) or self._chance.random() < 0.5:
                        apply(self._synced, change)

    def cut(self) -> Cut:
        """Return what a cut now leaves, with some luck."""
        return Cut(_image(self._synced, self._unsynced, self._chance), self._told[:])


def power_cuts(
    history: Sequence[Event], chance: random.Random, images_per_cut: int, start: Image | None = None
) -> Iterator[Cut]:
    """Yield the images of a cut before the first event and after each one, `images_per_cut` for each.

    start: the files before the history began, all of them synced.
    """
    platter = _Platter(chance, start)
    for _ in range(images_per_cut):
        yield platter.cut()
    for event in history:
        platter.take(event)
        for _ in range(images_per_cut):
            yield platter.cut()


def cut_now(history: Sequence[Event], chance: random.Random, images: int, start: Image | None = None) -> Iterator[Cut]:
    """Yield `images` images of a cut behind the last event."""
    platter = _Platter(chance, start)
    for event in history:
        platter.take(event)
    for _ in range(images):
        yield platter.cut()


def _image(synced: Mapping[str, bytearray], unsynced: Sequence[Change], chance: random.Random) -> Image:
    pieces = unsynced if chance.random() < 0.5 else [piece for change in unsynced for piece in _sectors(change)]
    keep = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    kept = [piece for piece in pieces if chance.random() < keep]
    if chance.random() < 0.5:
        kept = _reordered(kept, chance)
    if kept and chance.random() < 0.5:
        kept[-1] = _torn(kept[-1], chance)
    touched = {change.name for change in kept}
    files = {name: bytearray(content) if name in touched else content for name, content in synced.items()}
    for change in kept:
        apply(files, change)
    return {name: bytes(content) for name, content in files.items()}


def _sectors(change: Change) -> Iterator[Change]:
    """Yield the parts of a write that the disk may keep or lose each by itself."""
    data = change.data
    if data is None or change.whole:
        yield change
        return
    start = 0
    while start < len(data):
        end = min(start + SECTOR - (change.offset + start) % SECTOR, len(data))
        yield Change(change.name, change.offset + start, data[start:end])
        start = end


def _reordered(changes: list[Change], chance: random.Random) -> list[Change]:
    """Return the changes in another order. No write is moved over a removal or a replacement: it has another file."""
    ordered: list[Change] = []
    run: list[Change] = []
    for change in changes:
        if change.deleted or change.whole:
            chance.shuffle(run)
            ordered += [*run, change]
            run = []
        else:
            run.append(change)
    chance.shuffle(run)
    return ordered + run


def _torn(change: Change, chance: random.Random) -> Change:
    """Return a write that stopped in the middle: some whole sectors, then perhaps garbage as far as the write went."""
    if change.data is None or change.whole:
        return change
    sectors = [piece.data for piece in _sectors(change) if piece.data is not None]
    whole = chance.randrange(len(sectors) + 1)
    data = b"".join(sectors[:whole])
    if whole < len(sectors) and chance.random() < 0.5:
        data += chance.randbytes(len(sectors[whole]))
    return Change(change.name, change.offset, data)
