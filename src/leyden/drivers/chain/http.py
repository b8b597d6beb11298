"""A small HTTP/1.1 client for one host: keep-alive, bounded in size, time and connections.

No TLS: bitcoind has none, so what is not on loopback needs a tunnel.
"""

import asyncio
from typing import Final, final

import msgspec

from leyden.base.errors import ChainUnavailable

MAX_CONNECTIONS: Final = 4
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""A block of 4 MB is 8 MB of hex; a batch of a few fits."""


class Response(msgspec.Struct, frozen=True):
    """Status code and body of an answer."""

    status: int
    body: bytes


class _StaleConnection(Exception):
    """The server closed a kept connection before it answered; the request may be sent again on a new one."""


@final
class HttpClient:
    """POST to one host.

    Args of the constructor: timeout_s: for one whole exchange, connecting included.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, headers: dict[str, str], body: bytes) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises:
            ChainUnavailable: no connection, no answer in time, or not HTTP.
        """
        head = [f"POST {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        request = ("\r\n".join(head) + "\r\n\r\n").encode() + body
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._exchange(request)
            except TimeoutError:
                raise self._unavailable(f"no answer within {self._timeout_s:g} s") from None
            except asyncio.IncompleteReadError:
                raise self._unavailable("connection closed in the middle of an answer") from None
            except OSError as error:
                raise self._unavailable(error.strerror or str(error) or type(error).__name__) from None

    def _unavailable(self, why: str) -> ChainUnavailable:
        return ChainUnavailable(f"chain service at {self._host}:{self._port}: {why}")

    async def _exchange(self, request: bytes) -> Response:
        while self._idle:
            try:
                return await self._once(*self._idle.pop(), request)
            except _StaleConnection:
                continue
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=MAX_HEADER_BYTES)
        try:
            return await self._once(reader, writer, request)
        except _StaleConnection:
            raise self._unavailable("connection closed without an answer") from None

    async def _once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Response:
        keep = False
        try:
            try:
                writer.write(request)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise
                raise _StaleConnection from None
            except (ConnectionError, BrokenPipeError):
                raise _StaleConnection from None
            except asyncio.LimitOverrunError:
                raise self._unavailable("headers too long") from None
            status, length, keep_alive = self._parse_head(head)
            response = Response(status, await reader.readexactly(length))
            keep = keep_alive
            return response
        finally:
            if keep:
                self._idle.append((reader, writer))
            else:
                writer.close()

    def _parse_head(self, head: bytes) -> tuple[int, int, bool]:
        """Return status, length of the body, and whether the connection stays open."""
        lines = head.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit() and len(status) == 3):
            raise self._unavailable("what answers does not speak HTTP")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = fields.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10) or int(length) > MAX_BODY_BYTES:
            raise self._unavailable("an answer without a length, or one that is too long")
        keep_alive = version != "HTTP/1.0" and fields.get("connection", "").lower() != "close"
        return int(status), int(length), keep_alive

    async def close(self) -> None:
        """Close the connections that are kept open."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            try:
                async with asyncio.timeout(1):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                continue
