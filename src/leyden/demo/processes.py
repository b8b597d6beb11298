"""The processes of the demo: started with logs and data directories in one temporary folder, and always ended."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Final, final

from leyden.api.client import async_control, socket_path
from leyden.api.errors import NodeNotRunning
from leyden.base.errors import DriverError
from leyden.demo.errors import DemoFailed
from leyden.drivers.chain.http import HttpClient
from leyden.drivers.chain.rpc import CookieFile, RpcClient
from leyden.node.control import NodeControl

START_SECONDS: Final = 20.0
REAP_SECONDS: Final = 0.2
"""The end of a process is told a little after its sockets close."""
STOP_SECONDS: Final = 5.0
LOG_FILE: Final = "output.log"
COOKIE_FILE: Final = ".cookie"
_SOCKET_NAME_BYTES_MAX: Final = 100
_PORTS: Final = range(10_000, 32_000)
"""Below the ports that outgoing connections take, so that a node finds its own again after a restart."""


@final
class Child:
    """One process, its directory and its log."""

    def __init__(self, kind: str, name: str, directory: Path) -> None:
        self.kind = kind
        self.name = name
        self.directory = directory
        self.log_path = directory / LOG_FILE
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; it need not be ready when this returns."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "leyden.demo.child", self.kind, str(self.directory)),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C in the terminal reaches the demo alone, which then ends its children.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that runs, 0 when there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended; None while it runs. Negative: by that signal."""
        return None if self._process is None else self._process.returncode

    @property
    def has_ended(self) -> bool:
        """Whether it is not running (any more)."""
        return self._process is None or self._process.returncode is not None

    async def kill(self) -> None:
        """`kill -9`: no handler runs, nothing is flushed. Returns when the process is gone."""
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until the process has ended; end it by force when it takes too long."""
        process = self._process
        if process is None:
            return
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()

    def last_words(self) -> str:
        """Return the last line of the log."""
        try:
            lines = self.log_path.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


@final
class DemoNode:
    """A node of the demo, driven through its socket. settings: more lines of its configuration."""

    def __init__(
        self, name: str, directory: Path, port: int, chain_port: int, chain_directory: Path, settings: str
    ) -> None:
        self.name = name
        self.port = port
        self.node_id = ""
        self.child = Child("node", name, directory)
        self.api: NodeControl = async_control(socket_path(directory))
        directory.mkdir(mode=0o700, parents=True)
        (directory / "leyden.toml").write_text(
            f'network = "regtest"\nalias = "{name}"\nlisten = ["127.0.0.1:{port}"]\n\n'
            f'[bitcoind]\nurl = "http://127.0.0.1:{chain_port}"\ncookie_file = "{chain_directory / COOKIE_FILE}"\n'
            f"{settings}"
        )

    async def start(self) -> None:
        """Start the process and wait until it is in sync and takes connections."""
        await self.child.start()
        async with asyncio.timeout(START_SECONDS):
            while True:
                if self.child.has_ended:
                    raise DemoFailed(
                        f"{self.name} did not start (exit status {self.child.exit_status}): {self.child.last_words()}"
                    )
                try:
                    info = await self.api.info()
                except (NodeNotRunning, DriverError):
                    pass
                else:
                    if info.is_synced and info.listening:
                        self.node_id = info.node_id
                        return
                await asyncio.sleep(0.02)


@final
class Processes:
    """All of them, in one temporary folder. `close` leaves none behind."""

    def __init__(self) -> None:
        self.folder = _temporary_folder()
        self.chain_child = Child("chain", "chain", self.folder / "chain")
        self.nodes: dict[str, DemoNode] = {}
        self._http: HttpClient | None = None
        self._rpc: RpcClient | None = None
        self._chain_port = 0

    async def start_chain(self) -> None:
        """Start the chain service and wait until it answers."""
        child = self.chain_child
        await child.start()
        async with asyncio.timeout(START_SECONDS):
            while not child.last_words().startswith("listening on 127.0.0.1:"):
                if child.has_ended:
                    raise DemoFailed(f"the chain service did not start: {child.last_words()}")
                await asyncio.sleep(0.02)
        self._chain_port = int(child.last_words().rpartition(":")[2])
        self._http = HttpClient("127.0.0.1", self._chain_port, START_SECONDS)
        self._rpc = RpcClient(self._http, CookieFile(child.directory / COOKIE_FILE))

    def add_node(self, name: str, settings: str = "") -> DemoNode:
        """Make the data directory of a node; it is not started yet. settings: more lines of its configuration."""
        folder = self.folder / name
        node = DemoNode(name, folder, free_port(), self._chain_port, self.chain_child.directory, settings)
        self.nodes[name] = node
        return node

    async def rpc(self, method: str, *params: object) -> object:
        """Call the chain service."""
        assert self._rpc is not None, "the chain service is started first"
        return await self._rpc.call(method, *params)

    @property
    def chain_port(self) -> int:
        """Where the chain service listens on 127.0.0.1; 0 before it was started."""
        return self._chain_port

    @property
    def children(self) -> list[Child]:
        """Every process, the chain service first."""
        return [self.chain_child, *[node.child for node in self.nodes.values()]]

    async def gone(self) -> list[str]:
        """Return the names of the processes that were started and have ended."""
        await asyncio.sleep(REAP_SECONDS)
        return [child.name for child in self.children if child.exit_status is not None]

    async def close(self) -> None:
        """End every process."""
        if self._http is not None:
            await self._http.close()
        for child in self.children:
            child.ask_to_stop()
        await asyncio.gather(*[child.ended() for child in self.children])

    def kill_left_over(self) -> None:
        """End by force what `close` did not come to, because it was interrupted."""
        for child in self.children:
            if not child.has_ended:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)

    def remove_folder(self) -> None:
        """Remove data and logs."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _temporary_folder() -> Path:
    """Make the folder, where a Unix socket in it has a name that is short enough."""
    folder = Path(tempfile.mkdtemp(prefix="leyden-demo-"))
    if len(os.fsencode(folder)) + len("/carol/api.sock") > _SOCKET_NAME_BYTES_MAX:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="leyden-demo-", dir="/tmp"))
    return folder


def free_port() -> int:
    """Return a port of this computer that nobody uses now."""
    for _ in range(100):
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise DemoFailed("found no free port on 127.0.0.1")
