"""Fixtures of the chain service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from tests.regtest.rpc_client import RpcClient
from tests.regtest.running_node import Node
from tests.regtest.world import SCRIPT, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A chain of 103 blocks: the coinbases of heights 1 to 4 are mature for the next block."""
    made = World(tmp_path / "chain")
    made.mine(103)
    yield made
    made.backend.close()


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
