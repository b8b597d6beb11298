"""The HTTP client against servers that misbehave."""

import asyncio

import pytest

from leyden.base.errors import ChainUnavailable
from leyden.drivers.chain.http import MAX_BODY_BYTES, MAX_CONNECTIONS, HttpClient
from tests.drivers.chain.raw_server import http, raw_server


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "connection closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "connection closed in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection closed in the middle"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "without a length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "without a length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "without a length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), "too long"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000, "headers too long"),
    ],
)
async def test_answers_that_are_none(answer: bytes, why: str) -> None:
    """Whatever a port answers, the node says what is wrong and goes on; memory stays bounded."""
    # A last byte that closes: the server hangs up after anything that is not a whole answer.
    async with raw_server(
        answer.replace(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    ) as server:
        client = server.client()
        with pytest.raises(ChainUnavailable, match=why):
            await client.post("/", {}, b"{}")


async def test_silence_is_bounded_in_time() -> None:
    """A service that hangs must not hang the node."""
    async with raw_server(None) as server:
        client = server.client(0.05)
        with pytest.raises(ChainUnavailable, match=r"no answer within 0.05 s"):
            await client.post("/", {}, b"{}")


async def test_nobody_listens() -> None:
    """The usual case while the service starts."""
    async with raw_server(None) as server:
        port = server.port
    with pytest.raises(ChainUnavailable, match=f"chain service at 127.0.0.1:{port}: "):
        await HttpClient("127.0.0.1", port, 5).post("/", {}, b"{}")


async def test_connections_are_kept_and_replaced_when_the_server_dropped_them() -> None:
    """A restart of the service between two calls must not look like a failure."""
    async with raw_server(
        http(b"1"), http(b"2"), b"", http(b"3"), http(b"4", headers="Connection: close\r\n")
    ) as server:
        client = server.client()
        bodies = [(await client.post("/path", {"A": "b"}, b"{}")).body for _ in range(4)]
        assert bodies == [b"1", b"2", b"3", b"4"]
        assert server.connections == 2
        assert server.requests[0].startswith(b"POST /path HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nA: b\r\n" in server.requests[0]


async def test_connections_are_bounded() -> None:
    """A burst of calls must not open a socket for each."""
    async with raw_server(http(b"x")) as server:
        client = server.client()
        answers = await asyncio.gather(*[client.post("/", {}, b"{}") for _ in range(50)])
        assert len(answers) == 50
        assert server.connections <= MAX_CONNECTIONS
