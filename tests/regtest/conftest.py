"""Fixtures of the chain service."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from leyden.regtest.service import RegtestService
from tests.regtest.rpc_client import RpcClient
from tests.regtest.world import SCRIPT, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A chain of 103 blocks: the coinbases of heights 1 to 4 are mature for the next block."""
    made = World(tmp_path / "chain")
    made.mine(103)
    yield made
    made.backend.close()


class Node:
    """A service in this process whose event loop runs in a thread of its own, so that plain clients can call it."""

    def __init__(self, directory: Path) -> None:
        """Start it."""
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        self.service = self.run(RegtestService.start(directory, user="alice", password="secret"))
        self.client = RpcClient(self.service.port, self.service.cookie_path.read_text())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        """Stop everything."""
        self.client.close()
        self.run(self.service.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def backend_world(self) -> World:
        """Return a world over the backend of the service, to look up coins (the chain thread must be idle)."""
        world = World.__new__(World)
        world.backend = self.service._backend
        return world


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One service for all tests of a module, which each leave it as they like: 110 blocks paid to the key."""
    node = Node(tmp_path_factory.mktemp("node"))
    node.client("generatetoaddress", 110, encode_address(SCRIPT, REGTEST))
    yield node
    node.stop()


@pytest.fixture
def node(shared_node: Node) -> Node:
    """The shared service with an empty pool, on a chain that only grows."""
    shared_node.client("generatetoaddress", 1, encode_address(SCRIPT, REGTEST))
    assert shared_node.client("getrawmempool") == []
    return shared_node


@pytest.fixture
def rpc(node: Node) -> RpcClient:
    """A client of the shared service."""
    return node.client
