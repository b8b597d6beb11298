"""HTTP: what a careless or hostile local client sends must be bounded and answered."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from leyden.regtest import http_server
from leyden.regtest.http_server import BODY_SIZE_MAX, HttpRequest, HttpResponse, HttpServer


async def answer(request: HttpRequest) -> HttpResponse:
    """Say what was asked."""
    return HttpResponse(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that answers with its request."""
    server = HttpServer(answer)
    yield await server.start(0)
    await server.stop()
    await server.stop()


async def talk(port: int, data: bytes) -> bytes:
    """Send bytes, close our direction, return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    return got


async def test_requests_follow_each_other_on_one_connection(port: int) -> None:
    """Keep-alive, also pipelined; the last one asks to close."""
    got = await talk(
        port,
        b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n"
        b"POST /c HTTP/1.1\r\nConnection: close\r\n\r\nPOST /d HTTP/1.1\r\n\r\n",
    )
    assert [part in got for part in (b"POST /a hi", b"GET /b ", b"POST /c ", b"/d")] == [True, True, True, False]
    assert got.count(b"Connection: keep-alive") == 2


async def test_old_protocol_closes_unless_asked(port: int) -> None:
    """HTTP/1.0 clients wait for the end of the connection."""
    assert b"Connection: close" in await talk(port, b"POST / HTTP/1.0\r\n\r\n")
    assert b"keep-alive" in await talk(port, b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")


async def test_client_that_waits_for_permission_gets_it(port: int) -> None:
    """curl holds a large body back for a second unless it is told to go on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok")
    writer.write_eof()
    assert (await reader.read()).endswith(b"POST /x ok")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, b"nonsense"),
        (400, b"POST / HTTP/2"),
        (400, b"POST / HTTP/1.1\r\nno colon"),
        (400, b"POST / HTTP/1.1\r\n: empty"),
        (400, b"POST / HTTP/1.1\r\nContent-Length: -1"),
        (400, b"POST / HTTP/1.1\r\nContent-Length: 1x"),
        (400, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2"),
        (411, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked"),
        (413, b"POST / HTTP/1.1\r\nContent-Length: %d" % (BODY_SIZE_MAX + 1)),
        (413, b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999"),
        (431, b"POST / HTTP/1.1\r\nX: " + b"x" * 20_000),
    ],
)
async def test_bad_requests_are_answered_and_closed(port: int, status: int, head: bytes) -> None:
    """Each with a status, none with an exception in our log."""
    got = await talk(port, head + b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in got


async def test_silence_and_half_requests_end_quietly(port: int) -> None:
    """A client that dies in the middle leaves nothing behind."""
    assert await talk(port, b"") == b""
    assert await talk(port, b"POST / HT") == b""
    assert await talk(port, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc") == b""


async def test_large_body_arrives_whole(port: int) -> None:
    """A block in hex is up to eight million characters."""
    body = b"7" * 3_000_000
    got = await talk(port, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert got.endswith(body)


async def test_connections_are_bounded(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a connection is closed at once; the others go on."""
    monkeypatch.setattr(http_server, "CONNECTIONS_MAX", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /1 HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"/1 ")
    assert await talk(port, b"") == b""
    writer.write(b"POST /2 HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"/2 ")
    writer.close()
    await writer.wait_closed()


async def test_idle_connections_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten connection does not stay for ever."""
    monkeypatch.setattr(http_server, "IDLE_SECONDS_MAX", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_stopping_ends_requests_that_are_under_way() -> None:
    """SIGTERM must not wait for a long poll."""
    reached = asyncio.Event()

    async def wait_for_ever(_: HttpRequest) -> HttpResponse:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    server = HttpServer(wait_for_ever)
    port = await server.start(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\n\r\n")
    await reached.wait()
    await server.stop()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
