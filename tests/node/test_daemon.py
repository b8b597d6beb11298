"""The node as a process: how it starts, what it says when it does not, and how it ends."""

import asyncio
import logging
from pathlib import Path
from typing import final

import pytest

from leyden.base.errors import CommandRejected, StorageBroken
from leyden.drivers.storage.sqlite import SqliteStore
from leyden.node import daemon
from leyden.node.control import NodeControl
from leyden.node.embedded_chain import EmbeddedChain
from leyden.node.node import Node
from leyden.node.settings import BitcoindSettings, LogSettings, NodeConfig


@final
class Server:
    """A `ControlServer` that hands the node to the test."""

    def __init__(self) -> None:
        self.control: asyncio.Future[NodeControl] = asyncio.get_running_loop().create_future()
        self.is_closed = False

    async def start(self, control: NodeControl) -> None:
        """Serve."""
        self.control.set_result(control)

    async def close(self) -> None:
        """Stop serving."""
        self.is_closed = True


class NeverServed:
    """A `ControlServer` that must not be started."""

    async def start(self, control: NodeControl) -> None:
        """Fail."""
        raise AssertionError(f"{control} is served, although it did not start")

    async def close(self) -> None:
        """Stop serving."""


def config(directory: Path, bitcoind: BitcoindSettings) -> NodeConfig:
    """A node that takes no connections and is quiet."""
    return NodeConfig(data_dir=str(directory), listen=(), bitcoind=bitcoind, log=LogSettings(stderr=False))


async def test_asked_to_stop_it_ends_well(tmp_path: Path) -> None:
    """`leyden stop` is an ordinary end, and the directory is free at once."""
    async with EmbeddedChain(tmp_path / "chain") as chain:
        for _ in range(2):
            server = Server()
            running = asyncio.ensure_future(daemon.serve(config(tmp_path / "alice", chain.bitcoind), server, None))
            control = await server.control
            assert (await control.info()).network == "regtest"
            await control.stop()
            assert await running == daemon.EXIT_STOPPED
            assert server.is_closed


async def test_lost_store_is_told_by_the_exit_status(tmp_path: Path) -> None:
    """Whoever starts the process again must know that it is the disk that needs a look."""
    async with EmbeddedChain(tmp_path / "chain") as chain:
        server = Server()
        running = asyncio.ensure_future(daemon.serve(config(tmp_path / "alice", chain.bitcoind), server, None))
        node = await server.control
        assert isinstance(node, Node)
        thief = SqliteStore(tmp_path / "alice" / "journals.sqlite")
        with pytest.raises(StorageBroken):
            await thief.open()
        node.core.runtime.on_broken(StorageBroken("the disk is gone"))
        assert await running == daemon.EXIT_STORE_LOST


def test_refusal_is_raised_and_logged(tmp_path: Path) -> None:
    """One sentence for who looks at the terminal, the same one for who looks at the log tomorrow."""
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "node.key").write_text("garbage")
    with pytest.raises(CommandRejected) as refused:
        daemon.run(config(tmp_path / "alice", BitcoindSettings()), NeverServed(), None)
    assert refused.value.code == "key_file_damaged"
    assert refused.value.what in (tmp_path / "alice" / "leyden.log").read_text()
    assert logging.getLogger("leyden").handlers == []


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandRejected) as refused:
        daemon.run(config(tmp_path / "file" / "alice", BitcoindSettings()), NeverServed(), None)
    assert refused.value.code == "directory_unwritable"
