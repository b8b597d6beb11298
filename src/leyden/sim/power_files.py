"""Power cuts under small files (the mark, the key): what a cut leaves of a directory while files in it are replaced.

A file's bytes and its name are two things. Bytes are there when the file was synced, a name when its directory was; of
everything else a cut keeps any subset, and of bytes any part.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from leyden.sim.power_cut import Cut, Image, Told


class Wrote(msgspec.Struct, frozen=True):
    """Bytes at the end of a file. file: its number, which its name may leave."""

    file: int
    data: bytes


class Named(msgspec.Struct, frozen=True):
    """A name now belongs to this file (None: to none); `left` is the name that it had before, if any."""

    name: str
    file: int | None
    left: str = ""


class BytesSynced(msgspec.Struct, frozen=True):
    """The bytes of a file are on the disk."""

    file: int


class NamesSynced(msgspec.Struct, frozen=True):
    """The names in the directory are on the disk."""


FileEvent: TypeAlias = Wrote | Named | BytesSynced | NamesSynced | Told


class WatchedDirectory:
    """While entered, the system calls that make and replace files of `directory` are written down, and carried out.

    It replaces functions of the module `os`, so nothing else should run meanwhile. Knows what a replacement of small
    files needs: new files written in sequence, renames, removals, syncs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.history: list[FileEvent] = []
        self._files = 0
        self._names: dict[str, int] = {}
        self._open: dict[int, int | None] = {}
        """Files by descriptor; None for the directory itself."""
        self._real: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> "WatchedDirectory":
        """Begin to watch."""
        for name in _WATCHED:
            setattr(os, name, self._watched(name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        for name, real in self._real.items():
            setattr(os, name, real)

    def tell(self, promise: str, position: int) -> None:
        """Note that a caller was told something."""
        self.history.append(Told(promise, "", position))

    def _watched(self, name: str) -> Callable[..., Any]:
        real = self._real[name] = getattr(os, name)
        note = getattr(self, f"_on_{name}")

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = real(*args, **kwargs)
            note(answer, *args)
            return answer

        return call

    def _inside(self, path: object) -> str:
        """Return the name of a file of the directory, else nothing."""
        whole = Path(str(path))
        return whole.name if whole.parent == self._directory else ""

    def _on_open(self, descriptor: int, path: object, flags: int, *_: object) -> None:
        name = self._inside(path)
        if Path(str(path)) == self._directory:
            self._open[descriptor] = None
        elif name and flags & os.O_CREAT:
            assert flags & os.O_EXCL, f"{name}: only new files are understood"
            self._files += 1
            self._names[name] = self._open[descriptor] = self._files
            self.history.append(Named(name, self._files))

    def _on_write(self, written: int, descriptor: int, data: bytes) -> None:
        file = self._open.get(descriptor)
        if file is not None:
            self.history.append(Wrote(file, bytes(data[:written])))

    def _on_fsync(self, _: None, descriptor: int) -> None:
        if descriptor in self._open:
            file = self._open[descriptor]
            self.history.append(NamesSynced() if file is None else BytesSynced(file))

    def _on_close(self, _: None, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def _on_replace(self, _: None, old: object, new: object) -> None:
        if self._inside(old):
            file = self._names.pop(self._inside(old))
            self._names[self._inside(new)] = file
            self.history.append(Named(self._inside(new), file, left=self._inside(old)))

    def _on_unlink(self, _: None, path: object) -> None:
        if self._inside(path) in self._names:
            del self._names[self._inside(path)]
            self.history.append(Named(self._inside(path), None))


_WATCHED = ("open", "write", "fsync", "close", "replace", "unlink")


def file_cuts(history: Sequence[FileEvent], chance: random.Random, images_per_cut: int) -> Iterator[Cut]:
    """Yield images of a directory, empty at first, for a cut before the first event and after each one."""
    for length in range(len(history) + 1):
        for _ in range(images_per_cut):
            told = [event for event in history[:length] if isinstance(event, Told)]
            yield Cut(_image(history[:length], chance), told)


def _image(history: Sequence[FileEvent], chance: random.Random) -> Image:
    keep = chance.choice((0.0, 0.5, 1.0))
    synced_names = max([i for i, event in enumerate(history) if isinstance(event, NamesSynced)], default=-1)
    synced_bytes = {event.file: i for i, event in enumerate(history) if isinstance(event, BytesSynced)}
    names: dict[str, int] = {}
    contents: dict[int, bytes] = {}
    for place, event in enumerate(history):
        match event:
            case Wrote():
                durable = place < synced_bytes.get(event.file, -1) or chance.random() < keep
                kept = event.data if durable else event.data[: chance.randrange(len(event.data) + 1)]
                contents[event.file] = contents.get(event.file, b"") + kept
            case Named() if place < synced_names or chance.random() < keep:
                names.pop(event.left, None)
                if event.file is None:
                    names.pop(event.name, None)
                else:
                    names[event.name] = event.file
            case _:
                pass
    return {name: contents.get(file, b"") for name, file in names.items()}
