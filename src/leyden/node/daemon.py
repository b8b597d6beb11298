"""The node as a process: start, serve the API, stop quickly on a signal. Nothing depends on the stop.

The API is a layer above: whoever calls `run` says how a node is served.
"""

import asyncio
import logging
import os
import signal
import threading
from typing import Final

from leyden.base.errors import CommandRejected, LeydenError, StorageFailed
from leyden.drivers.atomic_file import make_directory
from leyden.node import logs
from leyden.node.control import ControlServer
from leyden.node.node import Node
from leyden.node.settings import NodeConfig

EXIT_STOPPED: Final = 0
"""It was asked to stop."""
EXIT_STORE_LOST: Final = 4
"""The store was lost while it ran: what was told to anybody is durable, the next start goes on from there."""
EXIT_SECOND_SIGNAL: Final = 130

STOP_SECONDS: Final = 3.0
_log = logging.getLogger("leyden.node")


def run(config: NodeConfig, control_server: ControlServer, passphrase: str | None) -> int:
    """Run a node in this process until it is told to stop; return the exit status.

    Args:
        control_server: serves the node's API. passphrase: of the key file, or None.
    Raises: CommandRejected, StorageFailed: the node does not start. Nothing was changed; the sentence says why, and it
    is in the log too.
    """
    try:
        make_directory(config.directory)
        logs.set_up(config.log, config.log_path)
    except OSError as error:
        raise CommandRejected(
            f"cannot write in {config.directory} ({error.strerror}): check the place and its permissions",
            code="directory_unwritable",
        ) from None
    try:
        return asyncio.run(serve(config, control_server, passphrase))
    except LeydenError as error:
        _log_in_file(error)
        raise
    finally:
        logs.tear_down()


def _log_in_file(error: LeydenError) -> None:
    """Whoever called `run` says it on standard error, once."""
    root = logging.getLogger(logs.ROOT)
    for handler in list(root.handlers):
        if not isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    _log.error("not started: %s", error)


async def serve(config: NodeConfig, server: ControlServer, passphrase: str | None) -> int:
    """Run a node under a running event loop; return the exit status of the process.

    Raises: CommandRejected, StorageFailed: the node does not start. Nothing was changed.
    """
    asked = asyncio.Event()
    _on_signals(asked)
    node = Node(config, passphrase=passphrase)
    try:
        if not await _start(node, asked):
            return EXIT_STOPPED
        await server.start(node)
        _log.info("node %s is ready", node.core.manager.node_id.hex())
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(asked.wait()), group.create_task(node.stopped())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        return _status(node.failure)
    finally:
        await _stop(node, server)


async def _start(node: Node, asked: asyncio.Event) -> bool:
    """Start the node, or give up when a signal comes first: it may be waiting for the chain service."""
    starting = asyncio.get_running_loop().create_task(node.start())
    stopping = asyncio.get_running_loop().create_task(asked.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait((starting,), timeout=STOP_SECONDS)
    return False


def _status(failure: StorageFailed | None) -> int:
    if failure is None:
        _log.info("stopping")
        return EXIT_STOPPED
    _log.error("stopping, because the store is lost: %s", failure)
    return EXIT_STORE_LOST


async def _stop(node: Node, server: ControlServer) -> None:
    """Close what can be closed at once. What takes longer is left: the next start does not mind."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await server.close()
            await node.aclose()
    except TimeoutError:
        _log.warning("some connections did not close within %g s; leaving them", STOP_SECONDS)


def _on_signals(asked: asyncio.Event) -> None:
    """The first signal asks to stop, the second one does not ask."""
    if threading.current_thread() is not threading.main_thread():
        return

    def take() -> None:
        if asked.is_set():
            os._exit(EXIT_SECOND_SIGNAL)
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take)
