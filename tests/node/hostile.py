"""A peer that is up to no good: it speaks BOLT 8 over a real socket and says whatever a test wants said.

`HostilePeer` is the connection: bytes out, messages in. `HostileChannel` is one real channel of it, with its own keys
and a `Party` that follows BOLT 2, so that a test can break one rule at a time and keep all others.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.channel import opening_v1
from leyden.channel.build import channel_keys, remote_commitment
from leyden.channel.core import new_core
from leyden.channel.dispatch import apply
from leyden.channel.env import ChannelLimits
from leyden.channel.inputs import BecomeReady, Commit, Connected, Disconnected, Learn, PendingAdd, QueueAdd
from leyden.channel.session import ConnectionOpened, ReestablishPassed
from leyden.crypto import ec
from leyden.crypto.hashes import sha256
from leyden.journal.records import ChannelOpened, ForwardingPolicy, FundingConfirmed, HtlcSource
from leyden.manager.peers import CHANNEL_MESSAGES, NODE_FEATURES
from leyden.node.node import Node
from leyden.noise import ACT_TWO_LENGTH, Initiator, Transport
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.features import Context
from leyden.wire.messages import (
    AcceptChannel,
    ChannelReady,
    ChannelUpdate,
    FundingCreated,
    FundingSigned,
    Init,
    OpenChannel,
    Ping,
    Pong,
    decode,
    encode,
)
from tests.channel.play import Party
from tests.node.real_world import STRANGERS, WAIT_SECONDS, World, channel_view, until

POLICY = ForwardingPolicy(1_000, 10, 40, 1)
INIT = Init(b"", NODE_FEATURES.restricted_to(Context.INIT).encode(), (REGTEST.chain_hash,))


def raw(message: Any) -> bytes:
    """A message as bytes; bytes are taken as they are."""
    return message if isinstance(message, bytes) else encode(message)


class HostilePeer:
    """One connection to a node. received: what came and was not looked at yet, oldest first."""

    def __init__(self, name: str = "mallory") -> None:
        self.name = name
        self.secret = sha256(b"node key of " + name.encode())
        self.node_id = ec.public_key(self.secret)
        self.received: deque[Any] = deque()
        self.closed = asyncio.Event()
        self._connections = 0
        self._reading: asyncio.Task[None] | None = None

    # --- the connection ---------------------------------------------------------------------------------------------

    async def dial(self, node: Node) -> None:
        """Connect the socket, no more."""
        host, _, port = node.core.listening[0].rpartition(":")
        if self in STRANGERS:
            await self.leave()
        STRANGERS[self] = None
        self.closed = asyncio.Event()
        self.received.clear()
        self.reader, self.writer = await asyncio.open_connection(host, int(port))

    async def connect(self, node: Node, *, read: bool = True) -> "HostilePeer":
        """Connect and shake hands. read: look at what the node sends."""
        await self.dial(node)
        self._connections += 1
        ephemeral = sha256(self.secret + self._connections.to_bytes(4, "big"))
        initiator = Initiator(self.secret, node.core.manager.node_id, ephemeral)
        self.writer.write(initiator.act_one())
        async with asyncio.timeout(WAIT_SECONDS):
            answer, keys = initiator.receive_act_two(await self.reader.readexactly(ACT_TWO_LENGTH))
        self.writer.write(answer)
        self.noise = Transport(keys)
        if read:
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return self

    async def introduce(self, node: Node, init: Init | bytes = INIT) -> "HostilePeer":
        """Connect and exchange `init`; then the node takes this peer for a proper one."""
        await self.connect(node)
        await self.expect(Init)
        self.send(init)
        await until(lambda: self.session(node) is not None and self.session(node).features is not None)
        return self

    def session(self, node: Node) -> Any:
        """What the node knows of this connection; None when it has none."""
        return node.core.manager.peers.get(self.node_id)

    def is_gone(self, node: Node) -> bool:
        """Whether the node has forgotten the connection."""
        return self.session(node) is None

    async def _read(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while data := await self.reader.read(1 << 16):
                self.received.extend([decode(message) for message in self.noise.feed(data)])
        self.closed.set()

    async def gone(self) -> None:
        """Wait until the node has ended the connection."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.closed.wait()

    async def leave(self) -> None:
        """End the connection."""
        STRANGERS.pop(self, None)
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
            self._reading = None

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, *messages: Any) -> None:
        """Send messages with one write."""
        self.writer.write(self.noise.encrypt_many([raw(message) for message in messages]))

    async def expect(self, kind: type, **fields: Any) -> Any:
        """Wait for a message of a kind (with these fields), and pass over others."""

        def look() -> Any:
            while self.received:
                message = self.received.popleft()
                if type(message) is kind and all(getattr(message, name) == value for name, value in fields.items()):
                    return message
            assert not self.closed.is_set(), f"closed before {kind.__name__}"
            return None

        return await until(look, kind.__name__)

    async def answered(self) -> list[Any]:
        """Let the node answer all that was sent (a ping comes last); return what it said but for pings and policies."""
        self.send(Ping(7, b""))
        said: list[Any] = []

        def look() -> bool:
            while self.received:
                message = self.received.popleft()
                if type(message) is Pong and len(message.ignored) == 7:
                    return True
                if type(message) not in (Ping, ChannelUpdate):
                    said.append(message)
            assert not self.closed.is_set(), f"closed, after {said}"
            return False

        await until(look)
        return said


class HostileChannel:
    """A channel between a hostile peer and a node. updates: the node's policies for it, as they came."""

    def __init__(self, peer: HostilePeer, node: Node, world: World, number: int = 0) -> None:
        self.peer, self.node, self.world = peer, node, world
        self.keys_id = sha256(b"channel %d" % number)
        self.updates: list[ChannelUpdate] = []
        limits = ChannelLimits(minimum_depth=1)
        self.party = Party(peer.secret, self.keys_id, limits)
        self.party.env = msgspec.structs.replace(
            self.party.env, block_height=node.core.manager.env.block_height, feerate_max_per_kw=250_000
        )

    @property
    def channel_id(self) -> bytes:
        """The channel_id."""
        return self.party.core.opened.channel_id

    @property
    def hex(self) -> str:
        """The channel_id for calls to the node."""
        return self.channel_id.hex()

    def state(self) -> str:
        """The channel's state at the node."""
        return channel_view(self.node, self.hex).state

    # --- opening ----------------------------------------------------------------------------------------------------

    def request(self, **changes: Any) -> opening_v1.AwaitingAccept:
        """Our `open_channel` and what we remember of it."""
        fields: dict[str, Any] = {
            "counterparty_node_id": self.node.core.manager.node_id,
            "funding_satoshis": 1_000_000,
            "push_msat": 400_000_000,
            "channel_type": ChannelType(CommitmentFormat.ANCHORS),
            "announce_channel": False,
            "feerate_per_kw": 1_000,
            "chain_hash": REGTEST.chain_hash,
            "temporary_channel_id": sha256(b"temporary" + self.keys_id),
            "channel_keys_id": self.keys_id,
            "user_channel_id": self.keys_id[:16],
            "upfront_shutdown_script": b"",
            "policy": POLICY,
        }
        request = opening_v1.OpenRequest(**(fields | changes))
        return opening_v1.start_opening(request, self.party.signer.channel_basepoints(self.keys_id), self.party.env)

    async def accepted(self, **changes: Any) -> opening_v1.AwaitingSigned:
        """Ask for a channel and get `accept_channel`; the funding transaction is made."""
        asked = self.request(**changes)
        self.peer.send(asked.sent)
        accept = await self.peer.expect(AcceptChannel, temporary_channel_id=asked.sent.temporary_channel_id)
        awaiting = opening_v1.on_accept_channel(asked, accept, self.party.env)
        output = TxOut(asked.sent.funding_satoshis, p2wsh_of_script(awaiting.funding_script()))
        self.funding = self.world.spend_coin(output)
        return opening_v1.on_funding_transaction(awaiting, self.funding, 0, self.party.env.block_height)

    def funding_created(self, signed: opening_v1.AwaitingSigned) -> FundingCreated:
        """The message that names the funding output and signs the node's first commitment."""
        birth = signed.birth
        return FundingCreated(
            sha256(b"temporary" + self.keys_id),
            birth.funding_txid,
            birth.funding_output_index,
            self.first_signature(birth),
        )

    def first_signature(self, birth: ChannelOpened) -> bytes:
        """Our signature on the node's first commitment."""
        core = new_core(birth)
        commitment = remote_commitment(channel_keys(birth), core.remote, core.remote_point)
        return self.party.signer.sign_counterparty_commitment(self.keys_id, commitment)[0]

    async def born(self, **changes: Any) -> None:
        """Open a channel as far as `funding_signed`."""
        signed = await self.accepted(**changes)
        self.peer.send(self.funding_created(signed))
        answer = await self.peer.expect(FundingSigned)
        self.be_born(opening_v1.on_funding_signed(signed, answer, self.party.env))

    def be_born(self, opened: ChannelOpened) -> None:
        """Begin our own side."""
        self.party.be_born(opened)
        apply(self.party.state, ConnectionOpened())
        apply(self.party.state, ReestablishPassed())

    async def open(self, **changes: Any) -> "HostileChannel":
        """Open a channel that both can use."""
        await self.born(**changes)
        await self.confirm()
        return self

    async def confirm(self, *, publish: bool = True) -> None:
        """Let the funding confirm and exchange `channel_ready`."""
        if publish:
            self.publish_funding()
        await self.world.mine(1)
        height = self.world.chain.tip.height
        self.party.env = msgspec.structs.replace(self.party.env, block_height=height)
        self.party.handle(Learn(FundingConfirmed(height, self.world.chain.tip.hash, height << 40 | 1 << 16)))
        self.party.handle(BecomeReady(1 << 50))
        self.flush()
        await self.until(lambda: self.party.core.remote_ready)
        await until(lambda: channel_view(self.node, self.hex).is_usable)

    def publish_funding(self) -> Transaction:
        """Give the funding transaction to the chain, unless the node has done so."""
        self.world.chain.offer(self.funding)
        return self.funding

    # --- the node opens ---------------------------------------------------------------------------------------------

    async def asked(self) -> opening_v1.AwaitingCreated:
        """Wait for the node's `open_channel`; return what an honest peer would answer."""
        message = await self.peer.expect(OpenChannel)
        request = opening_v1.AcceptRequest(
            minimum_depth=1,
            channel_keys_id=self.keys_id,
            user_channel_id=self.keys_id[:16],
            upfront_shutdown_script=b"",
            policy=POLICY,
        )
        points = self.party.signer.channel_basepoints(self.keys_id)
        return opening_v1.accept_opening(self.node.core.manager.node_id, message, request, points, self.party.env)

    async def funded(self, awaiting: opening_v1.AwaitingCreated) -> FundingSigned:
        """Wait for `funding_created`; return an honest `funding_signed`, and begin our own side."""
        created = await self.peer.expect(FundingCreated)
        opened = opening_v1.on_funding_created(awaiting, created, self.party.env.block_height, self.party.env)
        self.be_born(opened)
        return FundingSigned(opened.channel_id, self.first_signature(opened))

    async def be_opened(self, amount_sat: int = 1_000_000, push_msat: int = 0) -> "HostileChannel":
        """Let the node open a channel to us, honestly, until both can use it."""
        loop = asyncio.get_running_loop()
        asking = loop.create_task(self.node.open_channel(self.peer.node_id.hex(), amount_sat, push_msat))
        awaiting = await self.asked()
        self.peer.send(awaiting.sent)
        self.peer.send(await self.funded(awaiting))
        await asking
        await self.confirm(publish=False)
        return self

    # --- honest talk ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what our side wants to say."""
        out, self.party.out = self.party.out, []
        if out:
            self.peer.send(*out)

    def handle(self, *events: Any) -> list[bytes]:
        """Give our side inputs; return what it wants to say, unsent."""
        for event in events:
            self.party.handle(event)
        out, self.party.out = self.party.out, []
        return out

    def take(self) -> None:
        """Let our side answer what the node has said so far."""
        received = self.peer.received
        handled = False
        while received:
            message = received.popleft()
            if type(message) is ChannelUpdate:
                self.updates.append(message)
            if type(message) in CHANNEL_MESSAGES and message.channel_id == self.channel_id:
                self.party.handle(message)
                handled = True
        if handled:
            self.party.handle(Commit())
            while self.party.to_sign:
                self.party.handle(self.party.answer_of_signer())
        self.flush()

    async def until(self, condition: Any) -> Any:
        """Follow BOLT 2 until something is so."""

        def step() -> Any:
            self.take()
            return condition()

        return await until(step)

    async def settle(self) -> None:
        """Follow BOLT 2 until nothing is under way on either side."""
        slot = self.node.core.manager.channels[self.channel_id]

        def quiet() -> bool:
            cores = (self.party.core, slot.state.core)
            return all(core.remote_prior is None for core in cores) and (
                self.party.core.local.number == slot.state.core.remote.number
                and self.party.core.remote.number == slot.state.core.local.number
            )

        await self.until(quiet)

    def has_answers(self) -> bool:
        """Whether none of the HTLCs that we offered is left."""
        return not self.party.core.outbound

    async def reconnect(self) -> None:
        """A new connection with `init` on both sides; our `channel_reestablish` is not sent."""
        if not self.peer.closed.is_set():
            await self.peer.leave()
            await until(lambda: self.peer.session(self.node) is None)
        self.party.handle(Disconnected())
        self.party.out = []
        self.party.to_sign.clear()
        await self.peer.introduce(self.node)

    async def reestablish(self) -> None:
        """Send `channel_reestablish` and take up the channel again."""
        self.party.handle(Connected())
        self.flush()
        await self.until(lambda: self.party.session.reestablished)

    def add(self, amount_msat: int = 10_000_000, **changes: Any) -> list[bytes]:
        """Our side offers an HTLC; return `update_add_htlc` and `commitment_signed`, unsent."""
        fields: dict[str, Any] = {
            "amount_msat": amount_msat,
            "payment_hash": sha256(b"hash"),
            "cltv_expiry": self.world.chain.tip.height + 100,
            "onion_routing_packet": bytes(1366),
            "source": HtlcSource(b"p" * 32, 0, forwarded=False),
            "fee_msat": 0,
        }
        return self.handle(QueueAdd(PendingAdd(**(fields | changes))), Commit())


def replaced(message: bytes, **changes: Any) -> bytes:
    """A message with other fields."""
    return encode(msgspec.structs.replace(decode(message), **changes))


def flipped(signature: bytes) -> bytes:
    """A signature that is wrong."""
    return signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]


def kinds(messages: Iterable[Any]) -> list[str]:
    """The names of messages."""
    return [type(message).__name__ for message in messages]


__all__ = ["ChannelReady", "HostileChannel", "HostilePeer", "flipped", "kinds", "raw", "replaced"]
