"""A service that runs beside a test."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from threading import Thread
from typing import Any

from leyden.regtest.service import RegtestService
from tests.regtest.rpc_client import RpcClient


class Node:
    """A service in this process whose event loop runs in a thread of its own, so that plain clients can call it."""

    def __init__(self, directory: Path) -> None:
        """Start it."""
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        self.service = self.run(RegtestService.start(directory, user="alice", password="secret"))
        self.client = RpcClient(self.service.port, self.service.cookie_path.read_text())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        """Stop everything."""
        self.client.close()
        self.run(self.service.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
