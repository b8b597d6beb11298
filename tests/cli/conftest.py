"""A command line against a real socket: `SmallNode` is served by a loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leyden.api.client import socket_path
from leyden.api.server import ApiServer
from leyden.cli.main import make_app
from tests.api.small_node import SmallNode

Leyden = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the developer has set must not change a test, and no test may touch a home."""
    for name in ("LEYDEN_DATA_DIR", "LEYDEN_WORDS", "LEYDEN_PASSPHRASE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def leyden(tmp_path: Path) -> Leyden:
    """Run `leyden ARGUMENTS...` for the data directory `tmp_path`."""

    def run(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(make_app(), ["--data-dir", str(tmp_path), *arguments], input=given)

    return run


@pytest.fixture
def node(tmp_path: Path) -> Iterator[SmallNode]:
    """A node that runs in `tmp_path`."""
    control = SmallNode()
    ready, done = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        api = ApiServer(socket_path(tmp_path))
        await api.start(control)
        loops.append(asyncio.get_running_loop())
        ready.set()
        await done.wait()
        await api.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield control
    loops[0].call_soon_threadsafe(done.set)
    thread.join()
