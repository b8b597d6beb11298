"""A `ConnectionHandler` that writes down what it is told, and can be waited for."""

import asyncio
from collections.abc import Callable

from leyden.ports.transport import Connection


class Recorder:
    """Keeps connections and messages. `echo` sends every message back; `on` is called after each entry."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.connected: list[Connection] = []
        self.messages: list[bytes] = []
        self.calls: list[int] = []
        """How many messages each call brought."""
        self.disconnected: list[tuple[Connection, str]] = []
        self.writable = 0
        self.on: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def on_connected(self, connection: Connection) -> None:
        """Write it down."""
        self.connected.append(connection)
        self._change()

    def on_messages(self, connection: Connection, messages: list[bytes]) -> None:
        """Write them down."""
        assert messages
        self.messages += messages
        self.calls.append(len(messages))
        if self.echo:
            connection.send(messages)
        self._change()

    def on_disconnected(self, connection: Connection, reason: str) -> None:
        """Write it down."""
        self.disconnected.append((connection, reason))
        self._change()

    def on_writable(self, connection: Connection) -> None:
        """Count it."""
        self.writable += 1
        self._change()

    def reasons(self) -> list[str]:
        """Why connections ended."""
        return [reason for _, reason in self.disconnected]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds after some entry."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_disconnected(self) -> None:
        """Wait until a connection has ended."""
        await self.until(lambda: bool(self.disconnected))

    async def until_more_than(self, count: int) -> None:
        """Wait until there are more messages."""
        await self.until(lambda: len(self.messages) > count)

    def _change(self) -> None:
        self.on()
        self._changed.set()
