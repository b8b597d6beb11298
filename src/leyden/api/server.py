"""`ApiServer`: serves a `NodeControl` on a Unix socket that only the owner of the data directory can open.

A command that was taken goes on when its client goes away, as a payment does not depend on the terminal it was typed
in; calls that only wait (`schema.WAITING`) end.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any, Final, final

import msgspec

from leyden.api import http
from leyden.api.schema import (
    HEADER_BYTES_MAX,
    PATH_PREFIX,
    WAIT_SECONDS_MAX,
    WAITING,
    ErrorBody,
    Method,
    method_named,
)
from leyden.base.errors import CommandRejected, DecodeError, DriverError
from leyden.node.control import NodeControl

CONNECTIONS_MAX: Final = 512
_WRITE_SECONDS: Final = 30
_SOCKET_PATH_BYTES_MAX: Final = 107
_BUSY: Final = "too_many_connections"

_log = logging.getLogger("leyden.api")


@final
class ApiServer:
    """`ControlServer` over HTTP at the socket `path`; its directory is the data directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._control: NodeControl | None = None
        self._connections: dict[asyncio.Task[None], None] = {}

    async def start(self, control: NodeControl) -> None:
        """Begin to serve.

        Raises: CommandRejected: `socket_in_use` (a node answers there), `socket_path_taken` (there is something that is
        no socket), `socket_path_too_long`, `socket_unusable`.
        """
        self._control = control
        try:
            listener = _listen(self._path)
        except OSError as error:
            raise CommandRejected(
                f"cannot make the socket {self._path} ({error.strerror}): check the data directory",
                code="socket_unusable",
            ) from None
        self._inode = os.stat(self._path).st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=HEADER_BYTES_MAX, backlog=512)

    async def close(self) -> None:
        """Stop serving, cut connections off, remove the socket; harmless when called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        own = asyncio.current_task()
        tasks = [task for task in self._connections if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _remove(self._path, self._inode)

    # --- connections -----------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = None
        try:
            if len(self._connections) > CONNECTIONS_MAX:
                await _send(writer, 503, _error(_BUSY, "too many connections at once; try again"), keep_alive=False)
                return
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, TimeoutError):
            pass
        except asyncio.CancelledError:
            # `close` ends connections so; nobody awaits this task, and the stream server would only log it.
            pass
        finally:
            del self._connections[task]
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether another may follow."""
        try:
            request = await http.read_request(reader)
            if request is None:
                return False
            method = _route(request)
        except http.HttpError as error:
            await _send(writer, error.status, _error(error.code, error.what), keep_alive=False)
            return False
        except CommandRejected as error:
            await _send(writer, _status_of(error.code), _error(error.code, error.what), keep_alive=False)
            return False
        answer, reusable = await self._answer_unless_gone(method, request.body, reader)
        if answer is None:
            return False
        _log.debug("%s: %d", method.name, answer[0])
        keep_alive = request.keep_alive and reusable
        await _send(writer, answer[0], answer[1], keep_alive=keep_alive)
        return keep_alive

    async def _answer_unless_gone(
        self, method: Method, body: bytes, reader: asyncio.StreamReader
    ) -> tuple[tuple[int, bytes] | None, bool]:
        """Answer, or None when the client of a waiting method has gone; and whether the connection is still good."""
        if method.name not in WAITING:
            return await self._answer(method, body), True
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self._answer(method, body))
            # A byte before the answer comes from a client that does not wait, which this server does not speak with.
            gone = group.create_task(_gone(reader))
            await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
            reusable = not gone.done()
            answer = answering.result() if answering.done() else None
            answering.cancel()
            gone.cancel()
        return answer, reusable

    async def _answer(self, method: Method, body: bytes) -> tuple[int, bytes]:
        """Carry out one call; the one place where a failure becomes a reply."""
        try:
            arguments = method.decode_request(body)
            if method.name in WAITING:
                waits = WAITING[method.name]
                arguments[waits] = max(0, min(arguments[waits], WAIT_SECONDS_MAX))
            result: Any = await getattr(self._control, method.name)(**arguments)
            return 200, b'{"result":' + msgspec.json.encode(result) + b"}"
        except CommandRejected as error:
            return _status_of(error.code), _error(error.code, error.what)
        except DecodeError as error:
            return 400, _error("invalid_request", str(error))
        except DriverError as error:
            return 503, _error(_snake_case(type(error).__name__), str(error))
        except Exception:  # noqa: BLE001 - the run loop of a request
            # A fault of ours. The trace goes to the log, which is the owner's; the reply says nothing of the inside.
            _log.exception("%s failed", method.name)
            return 500, _error(
                "internal_error", "this is a fault of Leyden, not of the request; the node's log says more"
            )


async def _gone(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read(1)


# --- replies -------------------------------------------------------------------------------------------------------


def _route(request: http.Request) -> Method:
    path = request.path.partition("?")[0]
    if not path.startswith(PATH_PREFIX):
        raise CommandRejected(f"paths begin with {PATH_PREFIX}", code="unknown_path")
    method = method_named(path.removeprefix(PATH_PREFIX))
    if request.verb != "POST":
        raise http.HttpError(405, "post_required", f"POST a JSON object to {path}")
    return method


def _status_of(code: str) -> int:
    """Return the HTTP status of a refusal: 404 for what does not exist, 409 for what was done before, else 400."""
    if code.startswith("unknown_"):
        return 404
    return 409 if code.startswith("already_") or code.endswith("_in_use") else 400


def _error(code: str, message: str) -> bytes:
    return b'{"error":' + msgspec.json.encode(ErrorBody(code, message)) + b"}"


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, *, keep_alive: bool) -> None:
    writer.write(http.response(status, body, keep_alive=keep_alive))
    async with asyncio.timeout(_WRITE_SECONDS):
        await writer.drain()


# --- the socket ----------------------------------------------------------------------------------------------------


def _listen(path: Path) -> socket.socket:
    """Bind the socket with mode 0600 in a directory with mode 0700. Raises CommandRejected, OSError."""
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
        raise CommandRejected(
            f"{path} is too long for a Unix socket ({_SOCKET_PATH_BYTES_MAX} bytes at most): "
            "use a shorter data directory, or name it by a symbolic link",
            code="socket_path_too_long",
        )
    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(directory.stat().st_mode) & 0o077:
        directory.chmod(0o700)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment on. Nothing runs between these lines.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    """Remove a socket that nobody serves any more."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CommandRejected(f"{path} is in the way and is no socket: move it away", code="socket_path_taken")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise CommandRejected(
        f"another node answers at {path}: stop it first (`leyden stop`), or use another data directory",
        code="socket_in_use",
    )


def _remove(path: Path, inode: int) -> None:
    """Remove our socket, unless somebody else's is there by now."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass
