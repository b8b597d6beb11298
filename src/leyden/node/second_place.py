"""The second place is kept near the truth: written lazily, and tried again after a write that failed.

A disk that is full for a minute must not leave the mark as it was for the rest of this life: the older it is, the less
of an old copy of the store it would notice.
"""

import asyncio
from collections.abc import Callable, Mapping

from leyden.drivers.markfile import MarkFile

NAME = "second place"
EVERY_SECONDS = 5.0


async def keep(
    mark: MarkFile,
    epoch: int,
    positions: Callable[[], Mapping[str, int]],
    is_ours: Callable[[], bool],
    tell: Callable[[str], None],
    every_seconds: float = EVERY_SECONDS,
) -> None:
    """Write the mark again and again, never ahead of the truth, until another life has taken the store over.

    positions: the last durable record of each journal, now. is_ours: whether the store is still ours; what the other
    life has marked is newer. tell: takes why the last write failed, empty when it did
    not.
    """
    while is_ours():
        try:
            await asyncio.to_thread(mark.write, epoch, positions())
        except OSError as error:
            tell(
                f"cannot write {mark.path} ({error.strerror}): check the disk; until then an old copy of the journals "
                "may go unnoticed at a start"
            )
        else:
            tell("")
        await asyncio.sleep(every_seconds)
