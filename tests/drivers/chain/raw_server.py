"""A server that answers each request with whatever bytes a test gives it, and keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from leyden.drivers.chain.http import HttpClient


def http(body: bytes, status: int = 200, headers: str = "") -> bytes:
    """A well-formed answer."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def result(value: object) -> bytes:
    """A JSON-RPC answer with a result."""
    return http(msgspec.json.encode({"result": value, "error": None, "id": 0}))


def error(code: int, message: str, status: int = 500) -> bytes:
    """A JSON-RPC answer with an error."""
    return http(msgspec.json.encode({"result": None, "error": {"code": code, "message": message}, "id": 0}), status)


class Closeable(Protocol):
    """A client."""

    async def close(self) -> None:
        """Release connections."""
        ...


class RawServer:
    """See the module. `answers`: one for each request; b"" closes the connection, None keeps silent for ever."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        """Prepare the answers; the last one is given again and again."""
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._clients: list[Closeable] = []
        self._handlers: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    def client(self, timeout_s: float = 5) -> HttpClient:
        """A client of this server, closed with it."""
        made = HttpClient("127.0.0.1", self.port, timeout_s)
        self.adopt(made)
        return made

    def adopt(self, client: "Closeable") -> None:
        """Close something with this server."""
        self._clients.append(client)

    async def close(self) -> None:
        """Hang up everywhere."""
        for client in self._clients:
            await client.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._handlers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        self.connections += 1
        self._writers.append(writer)
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.append(handler)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    await reader.read()
                    return
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer or not answer.startswith(b"HTTP/1.1"):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(*answers: bytes | None) -> AsyncIterator[RawServer]:
    """Run a server."""
    made = RawServer(answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
