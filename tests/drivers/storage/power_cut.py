"""A disk in memory below SQLite that remembers what was synced, and every image a power cut could leave.

At a cut each file is its synced bytes plus *any subset* of the operations since, the last of them perhaps torn at a
sector.
"""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import apsw
import msgspec

SECTOR = 512

Image: TypeAlias = dict[str, bytes]


class Change(msgspec.Struct, frozen=True):
    """One operation on a file: bytes at an offset, a new size, or its removal."""

    name: str
    offset: int = 0
    data: bytes | None = None
    size: int = -1
    deleted: bool = False


class Synced(msgspec.Struct, frozen=True):
    """The disk promised that a file's operations so far are on it."""

    name: str


class Reported(msgspec.Struct, frozen=True):
    """The store promised something to its caller."""

    promise: Any


Event: TypeAlias = Change | Synced | Reported


def apply(files: dict[str, bytearray], change: Change) -> None:
    """Carry out one operation."""
    if change.deleted:
        files.pop(change.name, None)
        return
    content = files.setdefault(change.name, bytearray())
    if change.data is not None:
        if len(content) < change.offset:
            content.extend(bytes(change.offset - len(content)))
        content[change.offset : change.offset + len(change.data)] = change.data
    elif change.size >= 0:
        del content[change.size :]


class MemoryVfs(apsw.VFS):
    """An SQLite VFS whose files are `files`; every operation goes to `history`. Use `unregister` when done.

    `room` is how many bytes all files may have together; `sync_fails` makes every sync an input/output error.
    """

    _names = itertools.count()

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.name = f"memory-{next(self._names)}"
        self.files = {name: bytearray(content) for name, content in (files or {}).items()}
        self.history: list[Event] = []
        self.room = 1 << 40
        self.sync_fails = False
        super().__init__(self.name, "")

    def change(self, change: Change) -> None:
        """Do and remember an operation."""
        self.history.append(change)
        apply(self.files, change)

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        filename = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        if filename not in self.files:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(filename)
            self.change(Change(filename))
        flags[1] = flags[0]
        return MemoryFile(self, filename)

    def xAccess(self, pathname: str, flags: int) -> bool:
        return pathname in self.files

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.change(Change(filename, deleted=True))
        if syncdir:
            self.history.append(Synced(filename))

    def xFullPathname(self, name: str) -> str:
        return name


class MemoryFile:
    """One open file. Locks always succeed: the store runs alone on its disk."""

    def __init__(self, vfs: MemoryVfs, name: str) -> None:
        self._vfs = vfs
        self._name = name

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._vfs.files[self._name][offset : offset + amount])

    def xWrite(self, data: Any, offset: int) -> None:
        content = self._vfs.files[self._name]
        growth = max(offset + len(data) - len(content), 0)
        if growth and growth + sum(map(len, self._vfs.files.values())) > self._vfs.room:
            raise apsw.FullError("no room")
        self._vfs.change(Change(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._vfs.change(Change(self._name, size=newsize))

    def xSync(self, flags: int) -> None:
        if self._vfs.sync_fails:
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        self._vfs.history.append(Synced(self._name))

    def xFileSize(self) -> int:
        return len(self._vfs.files[self._name])

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        pass


def power_cuts(history: list[Event], seed: int, images_per_cut: int) -> Iterator[tuple[Image, list[Any]]]:
    """Yield (image, promises made before the cut), `images_per_cut` for a cut after every event of `history`."""
    chance = random.Random(seed)
    synced: dict[str, bytearray] = {}
    unsynced: list[Change] = []
    promises: list[Any] = []
    for event in history:
        match event:
            case Change():
                unsynced.append(event)
            case Reported(promise=promise):
                promises.append(promise)
            case Synced(name=name):
                for change in unsynced:
                    if change.name == name:
                        apply(synced, change)
                unsynced = [change for change in unsynced if change.name != name]
        for _ in range(images_per_cut):
            yield _image(synced, unsynced, chance), promises[:]


def _image(synced: dict[str, bytearray], unsynced: list[Change], chance: random.Random) -> Image:
    keep = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    kept = [change for change in unsynced if chance.random() < keep]
    if kept and chance.random() < 0.5 and (last := kept[-1]).data is not None:
        sectors = chance.randrange(len(last.data) // SECTOR + 1)
        kept[-1] = Change(last.name, last.offset, last.data[: sectors * SECTOR])
    touched = {change.name for change in kept}
    files = {name: bytearray(content) if name in touched else content for name, content in synced.items()}
    for change in kept:
        apply(files, change)
    return {name: bytes(content) for name, content in files.items()}
