"""Reading requests from a stream, byte by byte and broken off."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.api import http
from leyden.api.schema import BODY_BYTES_MAX, HEADER_BYTES_MAX

GOOD = b'POST /v1/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{"a":1}'


def reader_of(sent: bytes) -> asyncio.StreamReader:
    """A stream that has received these bytes and then its end."""
    reader = asyncio.StreamReader(limit=HEADER_BYTES_MAX)
    reader.feed_data(sent)
    reader.feed_eof()
    return reader


async def test_request_is_read_whole() -> None:
    """Path and body, and whether another one may follow."""
    request = await http.read_request(reader_of(GOOD))
    assert request == http.Request("POST", "/v1/pay", b'{"a":1}', keep_alive=True)
    old = await http.read_request(reader_of(GOOD.replace(b"1.1", b"1.0")))
    assert old is not None
    assert not old.keep_alive


async def test_request_that_breaks_off_anywhere_is_nothing() -> None:
    """A client that goes away in the middle has asked for nothing."""
    for end in range(len(GOOD)):
        assert await http.read_request(reader_of(GOOD[:end])) is None


async def test_two_requests_are_told_apart() -> None:
    """The length says where the next one begins."""
    reader = reader_of(GOOD + GOOD.replace(b"pay", b"fee"))
    first, second = await http.read_request(reader), await http.read_request(reader)
    assert first is not None
    assert second is not None
    assert (first.path, second.path) == ("/v1/pay", "/v1/fee")


async def test_largest_body_is_taken() -> None:
    """The bound itself is allowed."""
    head = f"POST / HTTP/1.1\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n".encode()
    request = await http.read_request(reader_of(head + bytes(BODY_BYTES_MAX)))
    assert request is not None
    assert len(request.body) == BODY_BYTES_MAX


@pytest.mark.parametrize("status", [200, 400, 404, 405, 408, 409, 411, 413, 431, 500, 503, 505])
def test_every_status_has_its_words(status: int) -> None:
    """A status without a reason would be a crash in an error path."""
    shown = http.response(status, b"{}", keep_alive=False)
    assert shown.startswith(f"HTTP/1.1 {status} ".encode())
    assert shown.endswith(b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: GOOD[:30] + tail + b"\r\n\r\n")))
def test_no_bytes_do_anything_but_be_read_or_refused(sent: bytes) -> None:
    """Whatever connects to the socket, the server must go on."""

    async def read() -> None:
        with contextlib.suppress(http.HttpError):
            await http.read_request(reader_of(sent))

    asyncio.run(read())
