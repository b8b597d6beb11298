"""A chain service and nodes as processes, for the benchmarks."""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Any

WAIT_SECONDS = 60.0


class BenchNode:
    """One node process. Calls block: the benchmark itself must cost nothing while nodes work."""

    def __init__(self, world: "World", name: str, delay_ms: int) -> None:
        self.name = name
        options = {
            "data_dir": str(world.directory / name),
            "chain_url": world.chain_url,
            "cookie_file": str(world.cookie),
            "delay_ms": delay_ms,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(world.directory / f"{name}.err").open("wb"),
            text=True,
        )
        info = self.wait(lambda one: one["synced"] and one["listening"])
        self.node_id = info["node_id"]
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
            raise RuntimeError(f"{self.name} ended; see its .err file")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer["ok"]

    def call(self, do: str, **command: Any) -> Any:
        """Give a command and return its answer."""
        self.send(do=do, **command)
        return self.receive()

    def wait(self, condition: Any) -> Any:
        """Ask for `info` until the condition holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            info = self.call("info")
            if condition(info):
                return info
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not get ready")


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
        self.rpc("generatetoaddress", 1, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.process.kill()
            node.process.wait()
        self.service.kill()
        self.service.wait()
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

    def node(self, name: str, delay_ms: int = 0) -> BenchNode:
        """Start a node."""
        node = BenchNode(self, name, delay_ms)
        self.nodes.append(node)
        return node

    def fund(self, node: BenchNode) -> None:
        """Give a node coins that it can spend."""
        self.rpc("generatetoaddress", 101, node.call("address"))
        self.settle()

    def settle(self) -> None:
        """Wait until every node has seen the tip."""
        height = self.rpc("getblockcount")
        for node in self.nodes:
            node.wait(lambda info: info["height"] >= height)

    def channel(self, opener: BenchNode, accepter: BenchNode, amount_sat: int, push_msat: int) -> None:
        """Open a channel and wait until both can use it, and the accepter can be found through it."""
        usable = [one.call("usable") for one in (opener, accepter)]
        opener.call("connect", node_id=accepter.node_id, host=accepter.host, port=accepter.port)
        opener.call("open", node_id=accepter.node_id, amount_sat=amount_sat, push_msat=push_msat)
        self.rpc("generatetoaddress", 6, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
        self.settle()
        deadline = time.monotonic() + WAIT_SECONDS
        while [one.call("usable") for one in (opener, accepter)] != [usable[0] + 1, usable[1] + 1]:
            if time.monotonic() > deadline:
                raise RuntimeError("the channel did not get ready")
            time.sleep(0.05)
        while accepter.call("hints") == 0:
            time.sleep(0.05)
