"""Places for the stores of ours, with all that can go wrong with them."""

import random
import shutil
from collections.abc import Iterable
from pathlib import Path

from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.ports.store import Store
from leyden.sim.power_cut import Image, PowerVfs, cut_now
from leyden.sim.store_contract import StoreMaker, Trouble

TROUBLE = frozenset(
    {"transient_failure_can_be_repeated", "nothing_overtakes_a_refused_append", "final_failure_is_final"}
)
TWO_OPEN = frozenset({"append_under_way_never_lands_behind_the_next_open", "load_is_not_disturbed_by_the_older_store"})


class MemoryPlace(StoreMaker):
    """A disk in memory. A crash keeps nothing, all, or another prefix of each journal."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk

    def store(self) -> Store:
        return MemoryStore(self.disk)

    def crashes(self) -> Iterable[StoreMaker]:
        counts = self.disk.unwritten_counts()
        uneven = {name: count * place // 3 for place, (name, count) in enumerate(counts.items())}
        return [type(self)(self.disk.crashed(kept)) for kept in (uneven, {}, counts)]


class FilePlace(StoreMaker):
    """An SQLite file. A crash is `kill -9`: what was written to the files is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copies = 0

    def store(self) -> Store:
        return SqliteStore(self.path, reserve_bytes=0)

    def crashes(self) -> Iterable[StoreMaker]:
        self._copies += 1
        into = self.path.parent / f"crash-{self._copies}"
        into.mkdir()
        for suffix in ("-wal", ""):
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                shutil.copy(file, into)
        return [FilePlace(into / self.path.name)]


class PowerPlace(StoreMaker):
    """An SQLite file on a disk whose power can be cut."""

    def __init__(self, image: Image | None = None, seed: int = 1) -> None:
        self._image = image or {}
        self._vfs = PowerVfs(self._image)
        self._chance = random.Random(seed)

    def store(self) -> Store:
        return SqliteStore(Path("/leyden.db"), vfs=self._vfs.name)

    def crashes(self) -> Iterable[StoreMaker]:
        cuts = cut_now(list(self._vfs.history), self._chance, 2, self._image)
        return [PowerPlace(cut.image, self._chance.getrandbits(32)) for cut in cuts]

    def trouble(self, kind: Trouble) -> bool:
        self._vfs.room = 0 if kind is Trouble.TRANSIENT else 1 << 40
        self._vfs.sync_fails = kind is Trouble.FINAL
        return True

    def close(self) -> None:
        self._vfs.unregister()
