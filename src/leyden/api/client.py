"""Clients of the API: a `NodeControl` that is somewhere else, over a blocking socket or over asyncio.

    node = blocking_control(socket_path)         # the command line: no event loop
    info = finish(node.info())

    node = async_control(socket_path)
    info = await node.info()

Every call is one connection. Errors: CommandRejected with the node's code, RemoteFailed, NodeNotRunning, NodeTimeout,
NodeFault.
"""

import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast, final

import msgspec

from leyden.api import schema
from leyden.api.errors import NodeFault, NodeNotRunning, NodeTimeout, RemoteFailed
from leyden.base.errors import CommandRejected
from leyden.node import files
from leyden.node.control import NodeControl

R = TypeVar("R")

Control: TypeAlias = NodeControl
"""Under a name of this layer, for clients."""

CALL_SECONDS: Final = 120
"""How long a call may take, waiting on purpose not counted."""


def socket_path(data_dir: Path) -> Path:
    """Return where the node of a data directory listens."""
    return data_dir / files.SOCKET_FILE


def blocking_control(path: Path, call_seconds: float = CALL_SECONDS) -> NodeControl:
    """Return the node behind a socket. Its methods never wait for an event loop: run each with `finish`."""
    return cast("NodeControl", _Remote(_BlockingExchange(path), call_seconds))


def async_control(path: Path, call_seconds: float = CALL_SECONDS) -> NodeControl:
    """Return the node behind a socket, for use under asyncio."""
    return cast("NodeControl", _Remote(_AsyncExchange(path), call_seconds))


def finish(call: Coroutine[Any, Any, R]) -> R:
    """Run a call of a `blocking_control` to its end and return its result."""
    try:
        call.send(None)
    except StopIteration as done:
        return cast("R", done.value)
    call.close()
    raise RuntimeError("this call waits for an event loop")


class _Exchange(Protocol):
    async def send(self, request: bytes, seconds: float) -> bytes:
        """Send a whole request on a new connection and return all that comes back."""
        ...


@final
class _Remote:
    """Makes each method of `NodeControl` a request."""

    def __init__(self, exchange: _Exchange, call_seconds: float) -> None:
        self._exchange = exchange
        self._call_seconds = call_seconds

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = schema.methods().get(name)
        if method is None:
            raise AttributeError(name)

        async def call(*arguments: object, **named: object) -> Any:
            bound = method.signature.bind(*arguments, **named)
            seconds = self._call_seconds
            if name in schema.WAITING:
                bound.apply_defaults()
                seconds += bound.arguments[schema.WAITING[name]]
            request = _request(name, msgspec.json.encode(bound.arguments))
            return _result(method, await self._exchange.send(request, seconds))

        return call


# --- HTTP ----------------------------------------------------------------------------------------------------------


def _request(name: str, body: bytes) -> bytes:
    head = f"POST {schema.PATH_PREFIX}{name} HTTP/1.1\r\nHost: leyden\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def _result(method: schema.Method, response: bytes) -> Any:
    if not response:
        raise RemoteFailed("the node ended before it answered; what was asked for may be done", code="node_ended")
    head, separator, body = response.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
        raise NodeFault("what answers at the socket is no Leyden node, or it broke off; look at the node's log")
    status = int(head[9:12])
    try:
        reply = msgspec.json.decode(body, type=schema.Reply)
        if reply.error is None:
            return method.decode_result(reply.result)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NodeFault(f"the node's answer cannot be read ({error}); are node and client the same version?") from None
    if status == 503:
        raise RemoteFailed(reply.error.message, code=reply.error.code)
    if status >= 500:
        raise NodeFault(reply.error.message)
    raise CommandRejected(reply.error.message, code=reply.error.code)


def _not_running(path: Path) -> NodeNotRunning:
    return NodeNotRunning(
        f"no node is running in {path.parent}: start it with `leyden node`, or name another directory"
    )


def _timeout(seconds: float) -> NodeTimeout:
    return NodeTimeout(f"the node did not answer within {seconds:g} s; what was asked for may still be done")


@final
class _BlockingExchange:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, request: bytes, seconds: float) -> bytes:
        """See `_Exchange`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(max(seconds, 0.001))  # 0 would mean: do not wait at all
            try:
                connection.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                raise _not_running(self._path) from None
            except OSError as error:
                raise NodeNotRunning(f"cannot reach {self._path}: {error}") from None
            try:
                connection.sendall(request)
                return b"".join(iter(lambda: connection.recv(1 << 16), b""))
            except TimeoutError:
                raise _timeout(seconds) from None
            except OSError:
                # A node that refuses answers and closes at once; what it said may still be there.
                return _rest(connection)


def _rest(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


@final
class _AsyncExchange:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, request: bytes, seconds: float) -> bytes:
        """See `_Exchange`."""
        import asyncio  # the command line does without it, and starts faster

        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                try:
                    writer.write(request)
                    return await reader.read()
                finally:
                    writer.close()
        except TimeoutError:
            raise _timeout(seconds) from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise _not_running(self._path) from None
        except OSError as error:
            raise NodeNotRunning(f"the connection to {self._path} broke: {error}") from None
