"""The service: one thread owns the chain, the event loop serves HTTP, and they meet in `RegtestService.call`."""

import asyncio
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, final

from leyden.base.errors import CommandRejected, LeydenError
from leyden.regtest import rpc_chain, rpc_mempool, rpc_mining, rpc_node
from leyden.regtest.backend import Backend
from leyden.regtest.http_server import HttpServer
from leyden.regtest.policy import PolicySettings
from leyden.regtest.rpc import RpcServer, decode_json, encode_json
from leyden.regtest.rpc_errors import DATABASE_ERROR, METHOD_NOT_FOUND, MISC_ERROR, RpcError
from leyden.regtest.rpc_params import Method, Params, bind
from leyden.regtest.waiting import TipWaiters

METHODS: Final[dict[str, Method]] = {
    **rpc_chain.METHODS,
    **rpc_mempool.METHODS,
    **rpc_mining.METHODS,
    **rpc_node.METHODS,
}
_BLOCKS_AT_ONCE: Final = 10
_COOKIE_USER: Final = "__cookie__"
_T = TypeVar("_T")


def system_clock() -> int:
    """Return the seconds since 1970: this package is an edge, and its blocks carry real times."""
    return int(time.time())  # noqa: TID251 - the chain service has real block times


@final
class RegtestService:
    """A regtest chain with bitcoind's JSON-RPC on 127.0.0.1, made by `start`.

    Attributes:
        port: where it listens.
        cookie_path: file with `user:password` for the RPC, made at each start.
        stopped: set when the service ends by itself: the method `stop` was called, or storage failed (`failure`).
    """

    def __init__(self, directory: Path, executor: ThreadPoolExecutor, backend: Backend) -> None:
        self.directory = directory
        self.cookie_path = directory / ".cookie"
        self.port = 0
        self.stopped = asyncio.Event()
        self.failure: Exception | None = None
        self._executor = executor
        self._backend = backend
        self._waiters = TipWaiters()
        self._announced = b""
        self._http: HttpServer | None = None

    @staticmethod
    async def start(
        data_directory: Path,
        port: int = 0,
        *,
        user: str = "",
        password: str = "",
        settings: PolicySettings | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> "RegtestService":
        """Open the data directory and serve.

        Args:
            data_directory: made when absent.
            port: 0 for any free one.
            user, password: accepted besides the cookie, when both are given.
            settings: of the mempool.
            clock: seconds since 1970.
        Raises:
            CommandRejected: another process has the directory (`directory_in_use`) or the port (`port_in_use`).
            StorageFailed, ChainUnavailable: the journal or the consensus library does not open.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="regtest-chain")
        loop = asyncio.get_running_loop()
        try:
            backend = await loop.run_in_executor(executor, Backend, data_directory, settings or PolicySettings(), clock)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        service = RegtestService(data_directory, executor, backend)
        try:
            await service._listen(port, user, password)
        except BaseException:
            await service.stop()
            raise
        return service

    async def _listen(self, port: int, user: str, password: str) -> None:
        cookie = f"{_COOKIE_USER}:{secrets.token_hex(32)}"
        credentials = [cookie.encode()]
        if user and password:
            credentials.append(f"{user}:{password}".encode())
        http = HttpServer(RpcServer(self.call_method, credentials).handle)
        try:
            self.port = await http.start(port)
        except OSError as error:
            raise CommandRejected(f"cannot listen on 127.0.0.1:{port}: {error.strerror}", code="port_in_use") from None
        self._http = http
        _write_private(self.cookie_path, cookie)

    async def stop(self) -> None:
        """Stop serving and release the directory. Quick, and harmless when called twice."""
        self.stopped.set()
        http, self._http = self._http, None
        if http is not None:
            await http.stop()
            self.cookie_path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._backend.close)
        except RuntimeError:
            return
        self._executor.shutdown(wait=True)

    async def call(self, name: str, *params: object) -> object:
        """Call an RPC method in this process; the result is what a client would decode, fractions as Decimal.

        Raises RpcError.
        """
        return decode_json(encode_json(await self.call_method(name, list(params))))

    async def call_method(self, name: str, params: object) -> object:
        """Run an RPC method; `params` is an array, an object or None. Raises RpcError."""
        match name:
            case "generatetoaddress" | "generatetodescriptor":
                return await self._generate(name, params)
            case "waitfornewblock":
                bound = bind(name, ("timeout", "current_tip"), 0, params)
                return await self._wait(bound, 0, "new", bound.hash(1) if bound.has(1) else b"")
            case "waitforblockheight":
                bound = bind(name, ("height", "timeout"), 1, params)
                return await self._wait(bound, 1, "height", bound.integer(0))
            case "waitforblock":
                bound = bind(name, ("blockhash", "timeout"), 1, params)
                return await self._wait(bound, 1, "hash", bound.hash(0))
            case "stop":
                self.stopped.set()
                return "Bitcoin Core stopping"
            case "help":
                return "\n".join(sorted([*METHODS, *_OWN_METHODS]))
            case _:
                return await self._run_method(name, params)

    async def _run_method(self, name: str, params: object) -> object:
        method = METHODS.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        bound = bind(name, method.names, method.required, params)
        return await self._in_chain_thread(lambda: method.run(self._backend, bound))

    async def _in_chain_thread(self, work: Callable[[], _T]) -> _T:
        """Run work in the thread that owns the chain; who waits for a tip is woken, even when the caller is gone."""
        if self.failure is not None:
            raise self._failed(self.failure)
        loop = asyncio.get_running_loop()

        def run() -> _T:
            try:
                return work()
            finally:
                tip = self._backend.chain.tree.tip
                if tip.hash != self._announced:
                    self._announced = tip.hash
                    loop.call_soon_threadsafe(self._waiters.on_tip, tip.height, tip.hash)

        try:
            return await loop.run_in_executor(self._executor, run)
        except RpcError:
            raise
        except CommandRejected as error:
            raise RpcError(MISC_ERROR, error.what) from None
        except Exception as error:
            # The run loop of this service, so every error ends here: what the library, the journal and the index
            # know may differ now, and only a new start puts that right.
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> RpcError:
        self.failure = error
        self.stopped.set()
        return RpcError(DATABASE_ERROR, f"the chain service has failed: {str(error) or type(error).__name__}")

    async def _generate(self, name: str, params: object) -> object:
        to_address = name == "generatetoaddress"
        names = ("nblocks", "address", "maxtries") if to_address else ("num_blocks", "descriptor", "maxtries")
        script_pubkey, count = rpc_mining.mining_request(bind(name, names, 2, params), 0)
        hashes: list[str] = []
        # In portions: other calls get their turn, and each portion is durable before the next.
        while count:
            portion = min(count, _BLOCKS_AT_ONCE)
            hashes += await self._in_chain_thread(partial(rpc_mining.mine, self._backend, script_pubkey, portion))
            count -= portion
        return hashes

    async def _wait(self, params: Params, timeout_index: int, kind: str, wanted: object) -> object:
        timeout_ms = params.optional_integer(timeout_index, 0)
        if timeout_ms < 0:
            raise RpcError(MISC_ERROR, "Negative timeout")
        # A read in the chain thread first, so that the waiters know the tip.
        await self._in_chain_thread(lambda: None)
        return await self._waiters.wait(kind, wanted, timeout_ms)


_OWN_METHODS: Final = (
    "generatetoaddress",
    "generatetodescriptor",
    "help",
    "stop",
    "waitforblock",
    "waitforblockheight",
    "waitfornewblock",
)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    temporary.replace(path)


async def serve(
    data_directory: Path,
    port: int,
    *,
    user: str,
    password: str,
    settings: PolicySettings,
    announce: Callable[[str], None],
) -> int:
    """Serve until SIGTERM, SIGINT or the method `stop`; return the exit status of the process.

    `announce` is told one line, `listening on 127.0.0.1:PORT`, when the service is ready.
    """
    loop = asyncio.get_running_loop()
    service = await RegtestService.start(data_directory, port, user=user, password=password, settings=settings)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stopped.set)
    announce(f"listening on 127.0.0.1:{service.port}")
    try:
        await service.stopped.wait()
    finally:
        await service.stop()
    return 0 if service.failure is None else 1


def run(
    data_directory: Path,
    port: int = 18443,
    *,
    user: str = "",
    password: str = "",
    settings: PolicySettings | None = None,
) -> int:
    """Run the service in this process until it is told to stop; return the exit status.

    Prints `listening on 127.0.0.1:PORT` when ready, and one line on standard error when it cannot start.
    """

    def announce(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        return asyncio.run(
            serve(
                data_directory,
                port,
                user=user,
                password=password,
                settings=settings or PolicySettings(),
                announce=announce,
            )
        )
    except LeydenError as error:
        sys.stderr.write(f"leyden regtest: {error}\n")
        return 1
