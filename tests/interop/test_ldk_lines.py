"""The conversation with a program by JSON lines, against a small one of our own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.foreign import PeerFailed, PeerRefused
from interop.ldk_lines import LdkLines

PROGRAM = """
import json, sys
print(json.dumps({"id": 0, "result": json.loads(sys.stdin.readline())["what"]}), flush=True)
held = None
for line in sys.stdin:
    request = json.loads(line)
    method, number = request["method"], request.get("id")
    if method == "end":
        break
    if method == "late":
        held = number
        continue
    if method == "no":
        answer = {"id": number, "error": {"kind": "refused", "text": "no means no"}}
    elif method == "broken":
        answer = {"id": number, "error": {"kind": "failed", "text": "a parameter"}}
    else:
        answer = {"id": number, "result": request["params"]}
    print(json.dumps(answer), flush=True)
    if held is not None and method == "echo":
        print(json.dumps({"id": held, "result": "late"}), flush=True)
"""


@pytest.fixture
async def lines(tmp_path: Path) -> AsyncIterator[LdkLines]:
    """A program that has been started."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    lines = LdkLines(process)
    await lines.begin({"what": "options"}, 10)
    yield lines
    await lines.close()
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_answers_come_in_any_order(lines: LdkLines) -> None:
    """Each caller gets its own."""
    late = asyncio.create_task(lines.call("late"))
    await asyncio.sleep(0.05)
    assert await lines.call("echo", word="w") == {"word": "w"}
    assert await late == "late"


async def test_a_refusal_keeps_its_words(lines: LdkLines) -> None:
    """`refused` and `failed` are two exceptions."""
    with pytest.raises(PeerRefused, match="no means no"):
        await lines.call("no")
    with pytest.raises(PeerFailed, match="a parameter"):
        await lines.call("broken")


async def test_nobody_waits_for_a_program_that_ended(lines: LdkLines) -> None:
    """Whoever waits is told at once, and so is whoever asks afterwards."""
    waiting = asyncio.create_task(lines.call("late"))
    await asyncio.sleep(0.05)
    lines.tell("end")
    with pytest.raises(PeerFailed, match="ended"):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(PeerFailed, match="ended before echo"):
        await lines.call("echo")


async def test_waiting_is_bounded(lines: LdkLines) -> None:
    """A method that is never answered fails after its time."""
    with pytest.raises(PeerFailed, match=r"did not answer late in 0\.1 s"):
        await lines.call("late", 0.1)
