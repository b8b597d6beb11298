"""Power cuts under the mark and the key file: each is old or new, whole, and not older than what was reported."""

import random
from collections.abc import Sequence
from pathlib import Path

from leyden.base.errors import CommandRejected, StorageBroken
from leyden.drivers.keyfile import KeyFile, Seed
from leyden.drivers.markfile import MarkFile
from leyden.sim.power_cut import Cut
from leyden.sim.power_files import FileEvent, WatchedDirectory, file_cuts

_MARKS = 6
_SEED = Seed(bytes(range(16)), b"\x02" * 33)


def replace_small_files(directory: Path, chance: random.Random) -> list[FileEvent]:
    """Write the mark again and again, make the key file, seal it; return what happened in `directory`, empty so far."""
    mark, key = MarkFile(directory / "mark"), KeyFile(directory / "key")
    with WatchedDirectory(directory) as watched:
        key.create(_SEED, None, chance.randbytes)
        watched.tell("key", 1)
        for epoch in range(1, _MARKS + 1):
            mark.write(epoch, _positions(epoch))
            watched.tell("mark", epoch)
        key.change_passphrase(None, "a passphrase", chance.randbytes)
        watched.tell("sealed", 1)
    return watched.history


def small_file_cuts(directory: Path, chance: random.Random, images_per_cut: int) -> Sequence[Cut]:
    """Return the images of cuts while small files are replaced; `directory` exists and is empty."""
    return list(file_cuts(replace_small_files(directory, chance), chance, images_per_cut))


def small_file_fault(cut: Cut, directory: Path) -> str:
    """Return what is wrong with the small files that a cut left; `directory` is where they are put to be read."""
    for name in ("mark", "key"):
        (directory / name).unlink(missing_ok=True)
    for name, content in cut.image.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    told = {one.promise: one.position for one in cut.told}
    try:
        mark = MarkFile(directory / "mark").read()
        if (0 if mark is None else mark.epoch) < told.get("mark", 0):
            return f"mark {told['mark']} was reported written, the file has {mark}"
        if mark is not None and mark.positions != _positions(mark.epoch):
            return f"mark {mark.epoch} has other positions"
        key = KeyFile(directory / "key")
        if not key.exists():
            return "the key file was reported written and is gone" if "key" in told else ""
        if not key.is_sealed() and ("sealed" in told or key.read(None) != _SEED):
            return "the key file is not the one that was reported written"
    except (StorageBroken, CommandRejected) as error:
        return str(error)
    return ""


def _positions(epoch: int) -> dict[str, int]:
    return {"node": epoch * 7, "channel/" + "ab" * 32: epoch * 1000}
