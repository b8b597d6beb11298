"""A small HTTP/1.1 server for JSON-RPC on loopback: POST only, keep-alive, everything bounded."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, final

from msgspec import Struct

HEADER_SIZE_MAX: Final = 16_384
BODY_SIZE_MAX: Final = 32 * 1024 * 1024
CONNECTIONS_MAX: Final = 256
IDLE_SECONDS_MAX: Final = 300
BODY_SECONDS_MAX: Final = 30

_REASONS: Final = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
}


class HttpRequest(Struct, frozen=True):
    """A request: header names are in lower case."""

    method: str
    path: str
    version: str
    headers: dict[str, str]
    body: bytes


class HttpResponse(Struct, frozen=True):
    """A response; `close` ends the connection after it."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class _BadRequestError(Exception):
    """A request that cannot be understood; the connection ends."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@final
class HttpServer:
    """Listens on 127.0.0.1 and hands each request to one coroutine function; requests of a connection go in order."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[object], asyncio.StreamWriter] = {}

    async def start(self, port: int) -> int:
        """Listen (`port` 0: any free one); return the port. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=HEADER_SIZE_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and end every connection, also in the middle of a request. May be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        current = asyncio.current_task()
        tasks = [task for task in self._connections if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        try:
            if self._server is None or len(self._connections) >= CONNECTIONS_MAX:
                return
            self._connections[task] = writer
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The peer went away, kept silent too long, or the service stops: nobody is left to answer.
            pass
        finally:
            self._connections.pop(task, None)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether another may follow."""
        try:
            request = await _read_request(reader, writer)
        except _BadRequestError as error:
            await _write(writer, HttpResponse(error.status, error.text.encode(), "text/plain", close=True), keep=False)
            return False
        if request is None:
            return False
        response = await self._handler(request)
        keep = _wants_keep_alive(request) and not response.close
        await _write(writer, response, keep=keep)
        return keep


def _wants_keep_alive(request: HttpRequest) -> bool:
    connection = request.headers.get("connection", "").lower()
    return "close" not in connection if request.version == "HTTP/1.1" else "keep-alive" in connection


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> HttpRequest | None:
    """Read one request; None when the peer closed between requests."""
    try:
        async with asyncio.timeout(IDLE_SECONDS_MAX):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    except asyncio.LimitOverrunError:
        raise _BadRequestError(431, "headers are too large") from None
    method, path, version, headers = _parse_head(head)
    if "transfer-encoding" in headers:
        raise _BadRequestError(411, "a Content-Length is needed")
    length_text = headers.get("content-length", "0")
    if not length_text.isascii() or not length_text.isdigit():
        raise _BadRequestError(400, "bad Content-Length")
    length = int(length_text) if len(length_text) <= 12 else BODY_SIZE_MAX + 1
    if length > BODY_SIZE_MAX:
        raise _BadRequestError(413, "body is too large")
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async with asyncio.timeout(BODY_SECONDS_MAX):
        body = await reader.readexactly(length) if length else b""
    return HttpRequest(method, path, version, headers, body)


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    lines = head[:-4].decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in {"HTTP/1.0", "HTTP/1.1"}:
        raise _BadRequestError(400, "bad request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon or not key:
            raise _BadRequestError(400, "bad header")
        if key == "content-length" and headers.get(key, value.strip()) != value.strip():
            raise _BadRequestError(400, "two different Content-Length headers")
        headers[key] = value.strip()
    return parts[0], parts[1], parts[2], headers


async def _write(writer: asyncio.StreamWriter, response: HttpResponse, *, keep: bool) -> None:
    reason = _REASONS.get(response.status, "Unknown")
    lines = [f"HTTP/1.1 {response.status} {reason}", f"Content-Length: {len(response.body)}"]
    if response.body:
        lines.append(f"Content-Type: {response.content_type}")
    lines.extend(f"{name}: {value}" for name, value in response.headers)
    lines.append("Connection: keep-alive" if keep else "Connection: close")
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + response.body)
    async with asyncio.timeout(BODY_SECONDS_MAX):
        await writer.drain()
