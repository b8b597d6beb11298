"""The second place: epoch and the highest position of each journal whose effects were released (docs: DESIGN, "The
store").

It lies beside the key, apart from the store. A store that is behind it is an old copy, and an old copy must not close a
channel. It is written lazily, so it may be behind the store, never ahead of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from leyden.base.errors import StorageBroken
from leyden.crypto.hashes import sha256
from leyden.drivers.atomic_file import write_atomically

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What the second place says."""

    epoch: int
    positions: Mapping[str, int]

    def missing(self, stored: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Return the journals that the store has less of, as (position marked, position stored); 0 when absent.

        A journal that was archived since the mark was written is among them: ask the `node` journal.
        """
        return {
            journal: (position, stored.get(journal, 0))
            for journal, position in self.positions.items()
            if stored.get(journal, 0) < position
        }


class MarkFile:
    """The mark at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    def read(self) -> Mark | None:
        """Return the mark; None when none was ever written. Raises StorageBroken for a file that makes no sense."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageBroken(
                f"cannot read {self._path} ({error.strerror}): check its owner and permissions"
            ) from error
        body, _, checksum = raw.strip().rpartition(b" ")
        if checksum != _checksum(body):
            raise StorageBroken(
                f"{self._path} is damaged: it guards against an old copy of the store. If the store was never restored "
                "from a copy, remove this file; otherwise keep the node stopped and ask your peers to close"
            )
        fields = cast("dict[str, object]", json.loads(body))
        if fields["leyden_mark"] != _FORMAT:
            raise StorageBroken(f"{self._path} has a newer format: use the newer version that wrote it")
        return Mark(cast("int", fields["epoch"]), cast("dict[str, int]", fields["positions"]))

    def write(self, epoch: int, positions: Mapping[str, int]) -> None:
        """Replace the mark. `positions`: last record whose effects were released, per journal. Raises OSError.

        It syncs, so call it away from the event loop's thread.
        """
        fields = {"leyden_mark": _FORMAT, "epoch": epoch, "positions": dict(positions)}
        body = json.dumps(fields, sort_keys=True).encode()
        write_atomically(self._path, body + b" " + _checksum(body) + b"\n")


def _checksum(body: bytes) -> bytes:
    return sha256(body)[:8].hex().encode()
