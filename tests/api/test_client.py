"""The clients against a real socket: the same calls, blocking and asyncio."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leyden.api.client import async_control, blocking_control, finish, socket_path
from leyden.api.errors import NodeFault, NodeNotRunning, NodeTimeout, RemoteFailed
from leyden.api.server import ApiServer
from leyden.base.errors import CommandRejected
from leyden.node.views import RouteHop, RouteRequest
from tests.api.small_node import BOB, CHAIN_IS_DOWN, CHANNEL, INVOICE, SmallNode, channel, node_info


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[SmallNode]:
    """A node that is served at `socket_path(tmp_path)`."""
    control = SmallNode()
    api = ApiServer(socket_path(tmp_path))
    await api.start(control)
    yield control
    await api.close()


async def test_both_clients_return_what_the_node_returned(node: SmallNode, tmp_path: Path) -> None:
    """A view must come through unchanged, or a program would see other amounts than the node."""
    remote = async_control(socket_path(tmp_path))
    blocking = blocking_control(socket_path(tmp_path))
    assert await remote.info() == node_info()
    assert await asyncio.to_thread(lambda: finish(blocking.info())) == node_info()
    assert (await asyncio.to_thread(lambda: finish(blocking.channels())))[0] == channel()
    await remote.disconnect(BOB)


async def test_arguments_arrive_as_given(node: SmallNode, tmp_path: Path) -> None:
    """Positions, names and nested values of a call are those of `NodeControl`."""
    remote = async_control(socket_path(tmp_path))
    route = RouteRequest(channel_id=CHANNEL, hops=[RouteHop("800x1x0", BOB, 1000, 850)])
    await remote.send_to_route("aa", "bb", 1000, [route], payment_id="cc")
    await remote.keysend(BOB, 5000, {65537: "ff"})
    await remote.pay(INVOICE, max_parts=3)
    assert ("send_to_route", ("aa", 1000, [route])) in node.calls
    assert ("keysend", (BOB, 5000, {65537: "ff"})) in node.calls
    assert node.calls[-1] == ("pay", (INVOICE, None, None, None, None, 3))


async def test_wrong_call_fails_before_anything_is_sent(node: SmallNode, tmp_path: Path) -> None:
    """A mistake in a program is a TypeError, as with a node in the same process."""
    remote = async_control(socket_path(tmp_path))
    with pytest.raises(TypeError):
        await remote.pay(amount=5)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        remote.pai  # type: ignore[attr-defined]  # noqa: B018
    assert node.calls == []


async def test_failures_keep_their_kind_and_code(node: SmallNode, tmp_path: Path) -> None:
    """A program decides by kind and code whether to try again."""
    remote = async_control(socket_path(tmp_path))
    with pytest.raises(CommandRejected) as refused:
        await remote.pay("other")
    assert refused.value.code == "already_paid"
    node.failure = CHAIN_IS_DOWN
    with pytest.raises(RemoteFailed) as failed:
        await remote.info()
    assert failed.value.code == "chain_unavailable"
    node.failure = ZeroDivisionError()
    with pytest.raises(NodeFault):
        await remote.info()


@pytest.mark.parametrize("stale", [False, True])
async def test_node_that_does_not_run_is_said(tmp_path: Path, stale: bool) -> None:
    """The commonest failure of all must say what to do."""
    path = socket_path(tmp_path)
    if stale:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with pytest.raises(NodeNotRunning, match="leyden node"):
        finish(blocking_control(path).info())
    with pytest.raises(NodeNotRunning, match="leyden node"):
        await async_control(path).info()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n{", b'HTTP/1.1 200 OK\r\n\r\n{"result": {"node_id": 5}}',
        b"HTTP/1.1 200 OK\r\n\r\n{}", b"HTTP/1.1 abc\r\n\r\n{}",
    ],
)  # fmt: skip
def test_something_else_at_the_socket_is_no_node(tmp_path: Path, answer: bytes) -> None:
    """Whatever comes back, a client ends with a sentence."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(tmp_path)))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.close()

        server = threading.Thread(target=serve)
        server.start()
        with pytest.raises(NodeFault):
            finish(blocking_control(socket_path(tmp_path)).info())
        server.join()


async def test_node_that_ends_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """Whoever follows events sees the node stop or crash: that is the world, and may be tried again."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(tmp_path)))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.close()

        server = threading.Thread(target=serve)
        server.start()
        with pytest.raises(RemoteFailed) as failed:
            finish(blocking_control(socket_path(tmp_path)).info())
        assert failed.value.code == "node_ended"
        server.join()


async def test_node_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """A command line that hangs for ever says nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(tmp_path)))
        listener.listen()
        with pytest.raises(NodeTimeout):
            finish(blocking_control(socket_path(tmp_path), 0.01).info())
        with pytest.raises(NodeTimeout):
            await async_control(socket_path(tmp_path), 0.01).info()
