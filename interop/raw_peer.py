"""A connection to a foreign node on which every single message is chosen: nobody's node, or one of ours as it might be.

It keeps no channel. One with the key of a node of ours shows what a peer makes of a message while it has channels.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar, final

from interop.foreign import ForeignNode
from interop.scenario import ScenarioFailed
from leyden.base.ids import NodeId
from leyden.bitcoin.networks import REGTEST
from leyden.demo.processes import DemoNode
from leyden.drivers.keyfile import KeyFile
from leyden.drivers.net.limits import TransportLimits
from leyden.drivers.net.tcp import TcpTransport
from leyden.manager.peers import INIT_FEATURES
from leyden.node import files
from leyden.node.boot import signer_of_entropy
from leyden.noise import StaticKey
from leyden.ports.transport import Connection
from leyden.wire.messages import Init, Message, UnknownMessage, decode, encode

WAIT_SECONDS: Final = 10.0
MessageT = TypeVar("MessageT", bound=Message)


def stranger() -> StaticKey:
    """Return the key of a node that nobody knows."""
    return StaticKey.from_secret(secrets.token_bytes(32))


def key_of(node: DemoNode) -> StaticKey:
    """Return the key of a node of ours; two connections with it at once disturb each other."""
    signer = signer_of_entropy(KeyFile(Path(node.child.directory) / files.KEY_FILE).read(None).entropy, REGTEST)
    return StaticKey(signer.node_id, signer.ecdh)


@final
class RawPeer:
    """One connection. messages: all that came, in order; has_ended: whether it is over."""

    def __init__(self, key: StaticKey) -> None:
        self.node_id = key.point.hex()
        self.messages: list[Message | UnknownMessage] = []
        self.has_ended = False
        self._changed = asyncio.Event()
        self._transport = TcpTransport(key, self, TransportLimits(), secrets.token_bytes)
        self._connection: Connection | None = None

    async def connect(self, peer: ForeignNode) -> None:
        """Connect and say `init` as a node of ours does; returns when the peer has said it too."""
        node_id = NodeId(bytes.fromhex((await peer.info()).node_id))
        self._connection = await self._transport.connect(node_id, "127.0.0.1", peer.port)
        self.send(Init(b"", INIT_FEATURES, (REGTEST.chain_hash,)))
        await self.until_got(Init, lambda _: True, "its init")

    async def close(self) -> None:
        """End the connection."""
        await self._transport.close()

    def send(self, message: Message) -> None:
        """Send a message."""
        self.send_raw(encode(message))

    def send_raw(self, message: bytes) -> None:
        """Send type and payload."""
        assert self._connection is not None, "it was connected"
        self._connection.send([message])

    async def until_got(self, kind: type[MessageT], fits: Callable[[MessageT], bool], what: str) -> MessageT:
        """Return the first message of a kind that fits. Raises ScenarioFailed when it does not come."""
        found: list[MessageT] = []

        def has_come() -> bool:
            found.extend(one for one in self.messages if isinstance(one, kind) and fits(one))
            return bool(found)

        await self._until(has_come, what)
        return found[0]

    async def until_got_or_ended(self, kind: type[MessageT]) -> bool:
        """Wait for a message of a kind, or the end of the connection; return whether it was the message."""

        def has_come() -> bool:
            return any(isinstance(one, kind) for one in self.messages)

        await self._until(lambda: has_come() or self.has_ended, f"{kind.__name__} or the end of the connection")
        return has_come()

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise ScenarioFailed(f"waited {WAIT_SECONDS:g} s for {what}; came: {self.messages}") from None

    # --- `ConnectionHandler` ------------------------------------------------------------------------------------------

    def on_connected(self, connection: Connection) -> None:
        """See `ConnectionHandler`."""
        self._connection = connection

    def on_messages(self, _connection: Connection, messages: Sequence[bytes]) -> None:
        """See `ConnectionHandler`."""
        self.messages += [decode(one) for one in messages]
        self._changed.set()

    def on_disconnected(self, _connection: Connection, _reason: str) -> None:
        """See `ConnectionHandler`."""
        self.has_ended = True
        self._changed.set()

    def on_writable(self, _connection: Connection) -> None:
        """See `ConnectionHandler`."""


@asynccontextmanager
async def raw_peer(peer: ForeignNode, key: StaticKey | None = None) -> AsyncIterator[RawPeer]:
    """Connect to a foreign node for as long as the block lasts. key: None is a stranger's."""
    raw = RawPeer(key or stranger())
    try:
        await raw.connect(peer)
        yield raw
    finally:
        await raw.close()
