"""The server on a real Unix socket: permissions, HTTP, limits, long polls, faults."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leyden.api import http, schema, server
from leyden.api.client import async_control
from leyden.api.server import ApiServer
from leyden.base.errors import CommandRejected, DecodeError, DriverError, StorageBroken
from leyden.node.views import EventView
from tests.api.small_node import CHAIN_IS_DOWN, INVOICE, SmallNode


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[SmallNode]:
    """A node that is served at `tmp_path / api.sock`."""
    control = SmallNode()
    api = ApiServer(tmp_path / "api.sock")
    await api.start(control)
    yield control
    await api.close()


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def exchange(path: Path, sent: bytes) -> tuple[int, Any]:
    """Send bytes on a connection of their own, return status and body of what comes back until the end."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def post(method: str, body: bytes = b"{}", *extra: str) -> bytes:
    """A request whose connection ends with it."""
    lines = [f"POST /v1/{method} HTTP/1.1", f"Content-Length: {len(body)}", "Connection: close", *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def test_socket_is_for_the_owner_alone(node: SmallNode, tmp_path: Path) -> None:
    """Whoever can open the socket can spend the money."""
    assert mode_of(tmp_path / "api.sock") == 0o600
    assert mode_of(tmp_path) == 0o700


async def test_directory_that_others_can_read_is_closed(tmp_path: Path) -> None:
    """The directory holds keys too."""
    os.chmod(tmp_path, 0o755)
    api = ApiServer(tmp_path / "api.sock")
    await api.start(SmallNode())
    assert mode_of(tmp_path) == 0o700
    await api.close()
    assert not (tmp_path / "api.sock").exists()


async def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    """After `kill -9` the socket is still there, and the node must start again."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    api = ApiServer(path)
    await api.start(SmallNode())
    assert (await async_control(path).info()).alias == "alice"
    await api.close()


async def test_living_socket_is_never_taken(node: SmallNode, tmp_path: Path) -> None:
    """A second node at the same place would cut the first one off from its owner."""
    with pytest.raises(CommandRejected, match="another node answers") as refused:
        await ApiServer(tmp_path / "api.sock").start(SmallNode())
    assert refused.value.code == "socket_in_use"
    assert (await async_control(tmp_path / "api.sock").info()).alias == "alice"


async def test_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    """What is no socket was put there by somebody."""
    (tmp_path / "api.sock").write_text("mine")
    with pytest.raises(CommandRejected) as refused:
        await ApiServer(tmp_path / "api.sock").start(SmallNode())
    assert refused.value.code == "socket_path_taken"
    assert (tmp_path / "api.sock").read_text() == "mine"


async def test_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    """The system's own error does not say what to do."""
    with pytest.raises(CommandRejected, match="shorter data directory") as refused:
        await ApiServer(tmp_path / ("x" * 100) / "api.sock").start(SmallNode())
    assert refused.value.code == "socket_path_too_long"


async def test_closing_leaves_the_socket_of_a_successor(tmp_path: Path) -> None:
    """A node that stops late must not remove what the next one has made."""
    path = tmp_path / "api.sock"
    first = ApiServer(path)
    await first.start(SmallNode())
    os.unlink(path)
    second = ApiServer(path)
    await second.start(SmallNode())
    await first.close()
    assert (await async_control(path).info()).alias == "alice"
    await second.close()


async def test_connection_carries_several_requests(node: SmallNode, tmp_path: Path) -> None:
    """HTTP libraries keep connections open."""
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    for _ in range(3):
        writer.write(b"POST /v1/new_address HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: keep-alive" in head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["result"]["kind"] == "p2wpkh"
    writer.close()


REFUSED = [
    (b"nonsense\r\n\r\n", 400, "invalid_http"),
    (b"POST /v1/info HTTP/2\r\n\r\n", 505, "invalid_http"),
    (b"POST /v1/info HTTP/1.1\r\nbad header\r\n\r\n", 400, "invalid_http"),
    (b"POST /v1/info HTTP/1.1\r\nContent-Length : 2\r\n\r\n{}", 400, "invalid_http"),
    (b"POST /v1/info HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "invalid_http"),
    (b"POST /v1/info HTTP/1.1\r\nContent-Length: -2\r\n\r\n", 400, "invalid_http"),
    (b"POST /v1/info HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400, "invalid_http"),
    (b"POST /v1/info HTTP/1.1\r\n\r\n", 411, "length_required"),
    (b"POST /v1/info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "length_required"),
    (b"POST /v1/info HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413, "body_too_large"),
    (b"POST /v1/info HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, "body_too_large"),
    (b"GET /v1/info HTTP/1.1\r\n\r\n", 405, "post_required"),
    (b"POST /info HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404, "unknown_path"),
    (post("chanels"), 404, "unknown_method"),
    (post("__class__"), 404, "unknown_method"),
    (post("pay", b"[]"), 400, "invalid_request"),
    (post("pay", b'{"invoice": "x"}'), 409, "already_paid"),
    (post("payment", b'{"payment_id": "00"}'), 404, "unknown_payment"),
    (post("send_onchain", b'{"address": "x", "amount_sat": 0}'), 400, "invalid_amount"),
    (post("connect", b'{"node_id": "x", "host": "h", "port": 1}'), 503, "driver_error"),
    (b"POST /v1/info HTTP/1.1\r\n" + b"X: y\r\n" * 4000 + b"\r\n", 431, "header_too_large"),
]


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED)
async def test_bad_request_is_answered_with_its_reason(
    node: SmallNode, tmp_path: Path, sent: bytes, status: int, code: str
) -> None:
    """A client must be able to tell its own mistakes from the node's, and nothing may reach the node."""
    got, body = await exchange(tmp_path / "api.sock", sent)
    assert (got, body["error"]["code"]) == (status, code)
    assert set(body["error"]) == {"code", "message", "data"}
    assert (await async_control(tmp_path / "api.sock").info()).alias == "alice"


async def test_fault_of_the_node_shows_nothing_of_its_inside(
    node: SmallNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A trace in a reply may hold a secret; in the log it helps."""
    node.failure = KeyError("sekret")
    status, body = await exchange(tmp_path / "api.sock", post("info"))
    assert status == 500
    assert body["error"]["code"] == "internal_error"
    assert "sekret" not in json.dumps(body)
    assert "sekret" in caplog.text


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (CHAIN_IS_DOWN, 503, "chain_unavailable"),
        (StorageBroken("the disk failed"), 503, "storage_broken"),
        (DriverError("the world failed"), 503, "driver_error"),
        (DecodeError("bad checksum", field="address"), 400, "invalid_request"),
        (CommandRejected("it runs already", code="already_closing"), 409, "already_closing"),
    ],
)
async def test_each_kind_of_failure_has_its_status(
    node: SmallNode, tmp_path: Path, failure: Exception, status: int, code: str
) -> None:
    """Programs repeat what the world broke, and do not repeat what was refused."""
    node.failure = failure
    got, body = await exchange(tmp_path / "api.sock", post("info"))
    assert (got, body["error"]["code"], body["error"]["message"]) == (status, code, str(failure))


async def test_long_poll_answers_as_soon_as_something_happens(node: SmallNode, tmp_path: Path) -> None:
    """A program that waits for a payment should neither ask all the time nor hear late."""
    call = asyncio.ensure_future(async_control(tmp_path / "api.sock").events(wait_seconds=300))
    await node.began_waiting.wait()
    node.add_event(EventView(event_id="sent/1", type="payment_sent", fields={"amount_msat": 5}))
    assert [event.event_id for event in await call] == ["sent/1"]


async def test_wait_ends_when_its_client_is_gone(node: SmallNode, tmp_path: Path) -> None:
    """Otherwise clients that come and go leave their waits behind."""
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    writer.write(post("events", b'{"wait_seconds": 300}'))
    await node.began_waiting.wait()
    writer.close()
    await node.gave_up.wait()


async def test_wait_is_cut_to_a_bound(node: SmallNode, tmp_path: Path) -> None:
    """A client must not be able to hold a connection for ever."""
    node.add_event(EventView(event_id="sent/1", type="payment_sent", fields={}))
    await async_control(tmp_path / "api.sock").events(wait_seconds=10**9)
    await async_control(tmp_path / "api.sock").events(wait_seconds=-5)
    assert node.calls == [("events", (None, schema.WAIT_SECONDS_MAX)), ("events", (None, 0))]


async def test_command_goes_on_when_its_client_is_gone(
    tmp_path: Path,
) -> None:
    """A payment must not depend on the terminal it was typed in."""
    begun, finished = asyncio.Event(), asyncio.Event()

    class SlowNode(SmallNode):
        async def new_address(self) -> Any:
            begun.set()
            await asyncio.sleep(0.01)
            finished.set()
            return await super().new_address()

    api = ApiServer(tmp_path / "api.sock")
    await api.start(SlowNode())
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    writer.write(post("new_address"))
    await begun.wait()
    writer.close()
    await finished.wait()
    await api.close()


async def test_closing_ends_waiting_connections(tmp_path: Path) -> None:
    """A node that stops must not wait for those who wait for it."""
    control = SmallNode()
    api = ApiServer(tmp_path / "api.sock")
    await api.start(control)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    writer.write(post("events", b'{"wait_seconds": 300}'))
    await control.began_waiting.wait()
    await api.close()
    assert await reader.read() == b""
    writer.close()
    await api.close()


async def test_silent_connection_is_closed(node: SmallNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that say nothing, or only half of something, would use up all there are."""
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.01)
    monkeypatch.setattr(http, "BODY_SECONDS", 0.01)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    writer.write(b"POST /v1/inf")
    assert await reader.read() == b""
    writer.close()
    status, body = await exchange(tmp_path / "api.sock", b"POST /v1/info HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}")
    assert (status, body["error"]["code"]) == (408, "request_timeout")


async def test_connections_are_bounded(node: SmallNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens connections without end must not use up the node's memory."""
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 1)
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    writer.write(post("events", b'{"wait_seconds": 300}'))
    await node.began_waiting.wait()
    reader, second = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"too_many_connections" in answer
    second.close()
    writer.close()


async def test_two_hundred_calls_at_once(node: SmallNode, tmp_path: Path) -> None:
    """A shop asks for many invoices in one second."""
    control = async_control(tmp_path / "api.sock")
    views = await asyncio.gather(*[control.create_invoice(1000, str(number)) for number in range(200)])
    assert [view.description for view in views] == [str(number) for number in range(200)]
    assert views[0].invoice == INVOICE
