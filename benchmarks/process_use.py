"""What a process uses, seen from outside: CPU time, and how often it makes a disk keep something."""

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

Use: TypeAlias = float
"""Seconds of CPU."""
SYNC_CALLS: Final = "fsync,fdatasync,msync,sync_file_range,syncfs,sync"
ATTACH_SECONDS: Final = 0.5
_AFTER_NAME: Final = 11
"""Field of user time in /proc/PID/stat, counted after the name in parentheses."""
_CALLS: Final = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*\b(?:fsync|fdatasync|msync|sync\w*)$", re.MULTILINE)


def use_of(pid: int) -> Use:
    """Return the seconds of CPU that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[_AFTER_NAME]) + int(fields[_AFTER_NAME + 1])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def count_syncs(pids: Sequence[int]) -> AsyncIterator[list[int]]:
    """Count the calls that sync files, by process, during the block; the list is filled at its end. Needs strace."""
    counts: list[int] = []
    with tempfile.TemporaryDirectory(prefix="leyden-syncs-") as folder:
        files = [Path(folder) / str(number) for number in range(len(pids))]
        tracers = [
            await asyncio.create_subprocess_exec(
                *("strace", "-f", "-c", "-e", f"trace={SYNC_CALLS}", "-o", str(file), "-p", str(pid)),
                stderr=asyncio.subprocess.DEVNULL,
            )
            for pid, file in zip(pids, files, strict=True)
        ]
        await asyncio.sleep(ATTACH_SECONDS)
        try:
            yield counts
        finally:
            for tracer in tracers:
                tracer.send_signal(signal.SIGINT)
                await tracer.wait()
            counts += [sync_calls(file.read_text()) for file in files]


def sync_calls(summary: str) -> int:
    """Return the calls in the table that `strace -c` leaves."""
    return sum(int(found) for found in _CALLS.findall(summary))
