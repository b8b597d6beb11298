"""The service as others use it: life and death, in this process and in its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from leyden.base.errors import CommandRejected, StorageBroken
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from leyden.regtest.block_journal import BlockJournal
from leyden.regtest.rpc_errors import RpcError
from leyden.regtest.service import RegtestService
from tests.regtest.rpc_client import RpcClient
from tests.regtest.world import SCRIPT

ADDRESS = encode_address(SCRIPT, REGTEST)
SOURCE = Path(__file__).resolve().parent.parent.parent / "src"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RegtestService]:
    """A service in this process."""
    made = await RegtestService.start(tmp_path / "data", user="alice", password="secret")
    yield made
    await made.stop()


class Process:
    """A service in its own process."""

    def __init__(self, directory: Path) -> None:
        """Start it and wait for its line."""
        self.directory = directory
        command = [sys.executable, "-m", "leyden.regtest", "--data-dir", str(directory), "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        self.client = RpcClient(int(self.line.rsplit(":", 1)[1]), (directory / ".cookie").read_text())

    def end(self, number: int) -> int:
        """Send a signal and return the exit status."""
        self.client.close()
        self.process.send_signal(number)
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A service in its own process, killed at the end if a test did not."""
    made = Process(tmp_path / "data")
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGKILL)


def test_no_reported_block_is_lost_by_kill(process: Process) -> None:
    """The library alone would come back at height 0; every block we named must be there."""
    client = process.client
    hashes = client("generatetoaddress", 55, ADDRESS)
    made = client("generateblock", ADDRESS, [], False)["hex"]
    client("submitblock", made)
    hashes.append(client("getbestblockhash"))
    client("invalidateblock", hashes[-1])
    hashes[-1:] = client("generatetoaddress", 1, ADDRESS)
    process.end(signal.SIGKILL)
    again = Process(process.directory)
    assert [again.client("getblockhash", height + 1) for height in range(56)] == hashes
    assert again.client("getblockcount") == 56
    assert again.end(signal.SIGTERM) == 0


def test_kill_in_the_middle_of_mining_leaves_a_prefix_that_goes_on(process: Process) -> None:
    """Killed at any moment: whatever is there is a valid chain of the blocks that were made."""
    client = process.client
    client("generatetoaddress", 10, ADDRESS)
    best = client("getbestblockhash")
    body = json.dumps({"method": "generatetoaddress", "params": [5000, ADDRESS]})
    client.connection.request("POST", "/", body, client.headers)
    watcher = RpcClient(int(process.line.rsplit(":", 1)[1]), (process.directory / ".cookie").read_text())
    seen = watcher("waitforblockheight", 40)
    watcher.close()
    process.end(signal.SIGKILL)
    again = Process(process.directory)
    assert again.client("getblockhash", 10) == best
    assert again.client("getblockhash", seen["height"]) == seen["hash"]
    assert len(again.client("generatetoaddress", 5, ADDRESS)) == 5
    assert again.end(signal.SIGINT) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_also_during_a_long_poll(process: Process, number: int) -> None:
    """A supervisor does not wait."""
    process.client.connection.request("POST", "/", '{"method": "waitfornewblock"}', process.client.headers)
    assert process.end(number) == 0
    assert not (process.directory / ".cookie").exists()


def test_stop_method_ends_the_process(process: Process) -> None:
    """Harnesses stop bitcoind by RPC."""
    assert "stopping" in process.client("stop")
    assert process.process.wait(20) == 0
    process.end(signal.SIGTERM)


def test_second_process_on_the_directory_is_refused(process: Process) -> None:
    """With a sentence that says what to do."""
    command = [sys.executable, "-m", "leyden.regtest", "--data-dir", str(process.directory), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "in use by another process" in done.stderr
    assert done.stdout == ""


async def test_calls_inside_the_process(service: RegtestService) -> None:
    """The demo and tests need no HTTP."""
    assert len(_list(await service.call("generatetoaddress", 101, ADDRESS))) == 101
    assert await service.call("getblockcount") == 101
    info: Any = await service.call("getmempoolinfo")
    assert info["minrelaytxfee"] == Decimal("0.00000100")
    with pytest.raises(RpcError, match="Method not found"):
        await service.call("getinfo")


async def test_password_works_beside_the_cookie(service: RegtestService) -> None:
    """Foreign nodes are configured with a user and a password."""
    client = RpcClient(service.port, "alice:secret")
    assert await asyncio.to_thread(client, "getblockcount") == 0
    client.close()
    assert service.cookie_path.stat().st_mode & 0o777 == 0o600


async def test_waiting_calls(service: RegtestService) -> None:
    """They answer when a block comes, while others are served."""
    async with asyncio.TaskGroup() as group:
        new = group.create_task(service.call("waitfornewblock"))
        high = group.create_task(service.call("waitforblockheight", 12, 0))
        for _ in range(3):
            await service.call("getblockcount")
        await service.call("generatetoaddress", 12, ADDRESS)
    best = await service.call("getbestblockhash")
    assert high.result() == {"hash": best, "height": 12}
    assert _dict(new.result())["height"] > 0
    assert _dict(await service.call("waitforblock", best))["height"] == 12
    assert _dict(await service.call("waitfornewblock", 1))["height"] == 12
    assert _dict(await service.call("waitfornewblock", 0, "ab" * 32))["height"] == 12
    with pytest.raises(RpcError, match="Negative timeout"):
        await service.call("waitfornewblock", -1)


async def test_taken_port_is_told(service: RegtestService, tmp_path: Path) -> None:
    """And the directory is free again afterwards."""
    for _ in range(2):
        with pytest.raises(CommandRejected) as caught:
            await RegtestService.start(tmp_path / "other", service.port)
        assert caught.value.code == "port_in_use"


async def test_directory_is_free_after_stopping(tmp_path: Path) -> None:
    """Stop, start, stop twice."""
    first = await RegtestService.start(tmp_path)
    await first.call("generatetoaddress", 3, ADDRESS)
    with pytest.raises(CommandRejected, match="in use"):
        await RegtestService.start(tmp_path)
    await first.stop()
    await first.stop()
    second = await RegtestService.start(tmp_path)
    assert await second.call("getblockcount") == 3
    await second.stop()


async def test_disk_that_fails_stops_the_service(service: RegtestService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that may not be durable is not reported, and nothing more is answered from a doubtful state."""

    def fail(_: BlockJournal) -> None:
        raise StorageBroken("the disk is gone")

    monkeypatch.setattr(BlockJournal, "sync", fail)
    with pytest.raises(RpcError, match="the disk is gone"):
        await service.call("generatetoaddress", 1, ADDRESS)
    assert service.stopped.is_set()
    assert isinstance(service.failure, StorageBroken)
    with pytest.raises(RpcError, match="has failed"):
        await service.call("getblockcount")


async def test_loop_stays_free_while_mining(service: RegtestService) -> None:
    """Other calls get their turn between portions of a long mining call."""
    order: list[str] = []

    async def mine() -> None:
        await service.call("generatetoaddress", 200, ADDRESS)
        order.append("mined")

    async def look() -> None:
        await service.call("getblockcount")
        order.append("looked")

    async with asyncio.TaskGroup() as group:
        group.create_task(mine())
        group.create_task(look())
    assert order == ["looked", "mined"]


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _dict(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value
