"""A chain service and nodes as processes, for the benchmarks."""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 60.0
NOBODY = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


class BenchNode:
    """One node process. Calls block: the benchmark itself must cost nothing while nodes work.

    started_seconds: from the start of the process until it followed the chain and listened.
    """

    def __init__(self, world: "World", name: str, delay_ms: int, *, switch: bool) -> None:
        self.name = name
        self.errors = world.directory / f"{name}.err"
        options = {
            "data_dir": str(world.directory / name),
            "chain_url": world.chain_url,
            "cookie_file": str(world.cookie),
            "delay_ms": delay_ms,
            "switch": switch,
        }
        begun = time.monotonic()
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", json.dumps(options)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        info = self.wait(lambda one: bool(one["synced"] and one["listening"]))
        self.started_seconds = time.monotonic() - begun
        self.node_id: str = info["node_id"]
        self.host, _, port = info["listening"][0].rpartition(":")
        self.port = int(port)

    def send(self, **command: Any) -> None:
        """Give a command without waiting for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Any:
        """Return the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended:\n{self.errors.read_text(errors='replace')[-4000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer["ok"]

    def call(self, do: str, **command: Any) -> Any:
        """Give a command and return its answer."""
        self.send(do=do, **command)
        return self.receive()

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for `info` until the condition holds."""
        info: dict[str, Any] = {}

        def holds() -> bool:
            info.update(self.call("info"))
            return condition(info)

        try:
            until(f"{self.name} to get ready", holds)
        except TimeoutError as error:
            said = self.errors.read_text(errors="replace")[-4000:]
            raise TimeoutError(f"{error}; it says {info} and\n{said}") from None
        return info

    def kill(self) -> None:
        """End the process; nothing depends on a clean stop."""
        self.process.kill()
        self.process.wait()


def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {WAIT_SECONDS:.0f} s in vain for {what}")
        time.sleep(0.02)


class World:
    """A regtest chain and its nodes, in a temporary folder; everything ends with it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="leyden-bench-")
        self.directory = Path(self._folder.name)
        self.nodes: list[BenchNode] = []
        chain = self.directory / "chain"
        self.service = subprocess.Popen(
            [sys.executable, "-m", "leyden.regtest", "--data-dir", str(chain), "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.service.stdout is not None
        port = self.service.stdout.readline().strip().rpartition(":")[2]
        self.chain_url = f"http://127.0.0.1:{port}"
        self.cookie = chain / ".cookie"

    def __enter__(self) -> "World":
        """Have one block, so that the chain counts as recent."""
        try:
            self.rpc("generatetoaddress", 1, NOBODY)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes and remove the folder."""
        self._end()

    def _end(self) -> None:
        for node in self.nodes:
            node.kill()
        self.service.kill()
        self.service.communicate()  # waits, and closes its pipe
        self._folder.cleanup()

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the chain service."""
        credentials = b64encode(self.cookie.read_bytes()).decode()
        request = urllib.request.Request(
            self.chain_url,
            json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": params}).encode(),
            {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["result"]

    def node(self, name: str, delay_ms: int = 0, *, switch: bool = False) -> BenchNode:
        """Start a node. switch: its store can be told to stall."""
        node = BenchNode(self, name, delay_ms, switch=switch)
        self.nodes.append(node)
        return node

    def stop(self, node: BenchNode) -> None:
        """End one node."""
        self.nodes.remove(node)
        node.kill()

    def fund(self, node: BenchNode) -> None:
        """Give a node coins that it can spend."""
        self.rpc("generatetoaddress", 101, node.call("address"))
        self.settle()

    def settle(self) -> None:
        """Wait until every node has seen the tip."""
        height = self.rpc("getblockcount")
        for node in self.nodes:
            node.wait(lambda info: bool(info["height"] >= height))

    def channel(self, opener: BenchNode, accepter: BenchNode, amount_sat: int) -> str:
        """Open a channel and wait until both can use it, and the accepter can be found through it; return its id."""
        both = (opener, accepter)
        usable = [one.call("usable") + 1 for one in both]
        opener.call("connect", node_id=accepter.node_id, host=accepter.host, port=accepter.port)
        channel_id: str = opener.call("open", node_id=accepter.node_id, amount_sat=amount_sat, push_msat=0)
        self.rpc("generatetoaddress", 6, NOBODY)
        self.settle()
        until("the channel", lambda: [one.call("usable") for one in both] == usable)
        until("the policy of the opener", lambda: accepter.call("hints") > 0)
        return channel_id
