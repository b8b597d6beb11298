"""What a process uses, seen from outside."""

import asyncio
import os
import shutil
import sys

import pytest

from benchmarks.process_use import count_syncs, sync_calls, use_of

SUMMARY = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.00    0.003400         100        34           fsync
  1.00    0.000034          17         2         1 fdatasync
------ ----------- ----------- --------- --------- ----------------
100.00    0.003434          95        36         1 total
"""
SYNCS = """
import os, sys, tempfile
sys.stdin.readline()
with tempfile.TemporaryFile() as file:
    for _ in range(7):
        file.write(b"x"); file.flush(); os.fsync(file.fileno())
print("done", flush=True)
sys.stdin.readline()
"""


def test_sync_calls_adds_up_the_table_that_strace_leaves() -> None:
    """The total of the table is no call; calls with errors count."""
    assert sync_calls(SUMMARY) == 36
    assert sync_calls("") == 0


def test_use_of_grows_with_work() -> None:
    """Seconds of CPU of a process."""
    before = use_of(os.getpid())
    while use_of(os.getpid()) == before:
        sum(range(10_000))
    assert use_of(os.getpid()) - before < 5.0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts them")
async def test_syncs_of_a_process_are_counted() -> None:
    """Exactly those that were made meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SYNCS, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with count_syncs([process.pid]) as counts:
        process.stdin.write(b"go\n")
        assert await process.stdout.readline() == b"done\n"
    process.stdin.write(b"end\n")
    await process.wait()
    assert counts == [7]
