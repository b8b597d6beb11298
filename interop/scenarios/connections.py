"""Handshake, init, features, unknown messages, errors, and connections that come and go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from interop.raw_peer import RawPeer, key_of, raw_peer
from interop.scenario import PeerAtFault, check, scenario
from interop.world import Pair, World
from leyden.base.errors import CommandRejected
from leyden.wire.messages import ErrorMessage, Ping, Pong, WarningMessage

DATA_LOSS_PROTECT: Final = 0
STATIC_REMOTEKEY: Final = 12
ANCHORS: Final = 22
CHANNEL_TYPE: Final = 44
STORM_ROUNDS: Final = 20
PAID_MSAT: Final = 2_000_001
ODD_TYPE: Final = 9_999
EVEN_TYPE: Final = 9_998
"""Neither is a message of any BOLT or of a draft that we know."""
CUSTOM_ODD_TYPE: Final = 32_769
CUSTOM_EVEN_TYPE: Final = 44_444
PONG_BYTES_MAX: Final = 65_531
PING_LENGTH: Final = 77
TOLD_SECONDS: Final = 10.0
UNKNOWN_CHANNEL_ID: Final = bytes(31) + b"\x01"
WARNING: Final = b"a warning that means nothing"
ERROR: Final = b"an error about no channel at all"
WARNING_OF_CHANNEL: Final = b"a warning about a channel that is well"
TINY_SAT: Final = 800
"""Too small for everybody but us."""


def offered(features: frozenset[int], bit: int) -> bool:
    """Whether a feature is set, as optional or as mandatory. bit: the even one."""
    return bit in features or bit + 1 in features


@scenario(1, "handshake and `init` with us calling and with the peer calling")
async def handshake(world: World) -> None:
    """Both see the other's features, whoever calls."""
    peer_id = (await world.peer.info()).node_id
    await world.connect(world.us, world.peer)
    await world.us.api.disconnect(peer_id)
    await world.until(lambda: _is_gone(world), "the peer has seen us go")
    await world.peer.connect(world.us.node_id, world.us.port)
    await world.until_connected(world.us, world.peer)
    ours = await world.peer.peer_features(world.us.node_id)
    (text,) = [one.features for one in await world.us.api.peers() if one.node_id == peer_id]
    bits = int(text, 16)
    theirs = frozenset(bit for bit in range(bits.bit_length()) if bits >> bit & 1)
    for bit in (DATA_LOSS_PROTECT, STATIC_REMOTEKEY, ANCHORS, CHANNEL_TYPE):
        check(offered(ours, bit), f"the peer does not see our feature bit {bit}: {sorted(ours)}")
        check(offered(theirs, bit), f"we do not see the peer's feature bit {bit}: {sorted(theirs)}")


@scenario(1, f"{STORM_ROUNDS} reconnections at once with a channel, then a payment")
async def reconnect_storm(world: World) -> None:
    """Connections that are cut as soon as they stand do no harm."""
    pair = await world.channel()
    for number in range(STORM_ROUNDS):
        if number % 2:
            await world.us.api.disconnect((await world.peer.info()).node_id)
        else:
            await world.peer.disconnect(world.us.node_id)
        await world.connect(world.us, world.peer)
    await world.until_usable(world.us, world.peer, pair.funding_outpoint)
    await world.pay_peer(10_000_000)
    await world.peer_pays(10_000_000)
    await world.until_quiet(pair)


@scenario(1, "an unknown odd message from a node without channels: ignored, a ping after it is answered")
async def unknown_odd_from_a_stranger(world: World) -> None:
    """It is okay to be odd."""
    async with raw_peer(world.peer) as raw:
        raw.send_raw(ODD_TYPE.to_bytes(2, "big") + b"what is this?")
        await _pinged(raw)


@scenario(1, "an unknown even message from a node without channels: the connection ends, another one stands")
async def unknown_even_from_a_stranger(world: World) -> None:
    """Who insists on something unknown is not talked to; nobody else suffers."""
    async with raw_peer(world.peer) as raw:
        lives_on = await _survives_even(raw)
    await world.until_connected(world.us, world.peer)
    _check_ended(lives_on)


@scenario(1, "an unknown odd message from us, with a channel: it carries payments as before")
async def unknown_odd_from_us(world: World) -> None:
    """The peer ignores it."""
    pair = await world.channel()
    async with _in_our_place(world) as raw:
        raw.send_raw(ODD_TYPE.to_bytes(2, "big") + b"what is this?")
        await _pinged(raw)
    await _still_pays(world, pair)


@scenario(1, "an unknown even message from us, with a channel: the connection ends, the channel stays")
async def unknown_even_from_us(world: World) -> None:
    """The peer must not close a channel because of it."""
    pair = await world.channel()
    async with _in_our_place(world) as raw:
        lives_on = await _survives_even(raw)
    await _still_pays(world, pair)
    _check_ended(lives_on)


@scenario(1, "an unknown odd message from the peer, with a channel: it carries payments as before")
async def unknown_odd_from_peer(world: World) -> None:
    """We ignore it, and the connection stays."""
    pair = await world.channel()
    begun = _log_size(world)
    await world.peer.send_custom_message(world.us.node_id, CUSTOM_ODD_TYPE, b"what is this?")
    await _still_pays(world, pair)
    check(b"unknown" not in _log_since(world, begun), "we complain of an unknown odd message")


@scenario(1, "an unknown even message from the peer, with a channel: the connection ends, the channel stays")
async def unknown_even_from_peer(world: World) -> None:
    """We end the connection, say why, and take the next one."""
    pair = await world.channel()
    begun = _log_size(world)
    await world.peer.send_custom_message(world.us.node_id, CUSTOM_EVEN_TYPE, b"you must know this")
    words = f"unknown even message {CUSTOM_EVEN_TYPE}"
    await world.until(lambda: _says(world, begun, words), f"our log says {words!r}")
    await _until_told(world, words)
    await _still_pays(world, pair)


@scenario(1, "pings: answered with as many bytes as asked for, or not at all when that is asked for")
async def pings(world: World) -> None:
    """The length of the answer is the asker's choice."""
    async with raw_peer(world.peer) as raw:
        for length in (0, 1, 1_000, PONG_BYTES_MAX):
            await _pinged(raw, length)
            raw.messages.clear()
        raw.send(Ping(PONG_BYTES_MAX + 1, b""))
        await _pinged(raw)
        pongs = [len(one.ignored) for one in raw.messages if isinstance(one, Pong)]
        check(pongs == [PING_LENGTH], f"a ping that asks for no answer was answered: {pongs}")


@scenario(1, "our warning and our error about a channel that does not exist: the peer shows their words")
async def warning_and_error_from_a_stranger(world: World) -> None:
    """People at the peer can read what went wrong."""
    async with raw_peer(world.peer) as raw:
        raw.send(WarningMessage(UNKNOWN_CHANNEL_ID, WARNING))
        raw.send(ErrorMessage(UNKNOWN_CHANNEL_ID, ERROR))
        for words in (WARNING, ERROR):
            await _until_told(world, words.decode())


@scenario(1, "our warning about a channel: the peer shows its words, the channel stays")
async def warning_from_us(world: World) -> None:
    """A warning never closes a channel."""
    pair = await world.channel()
    async with _in_our_place(world) as raw:
        raw.send(WarningMessage(bytes.fromhex(pair.channel_id), WARNING_OF_CHANNEL))
        await _until_told(world, WARNING_OF_CHANNEL.decode())
    await _still_pays(world, pair)


@scenario(1, "the peer's error about a channel of ours: our log and our caller show its words, other channels stay")
async def error_from_peer(world: World) -> None:
    """An error about an opening is no error about anything else."""
    pair = await world.channel()
    await world.reconfigure(world.us, f"[channels]\nfunding_satoshis_min = {TINY_SAT}\n")
    await world.connect(world.us, world.peer)
    begun = _log_size(world)
    try:
        await world.us.api.open_channel((await world.peer.info()).node_id, TINY_SAT)
    except CommandRejected as error:
        words = str(error).partition("the peer refused: ")[2]
        check(bool(words), f"our caller does not learn the peer's words: {error}")
        await world.until(lambda: _says(world, begun, f"sent an error: {words}"[:100]), "our log has the peer's words")
        world.note(words)
    else:
        check(False, f"the peer takes a channel of {TINY_SAT} sat")
    await world.reconfigure(world.us, "")
    await _still_pays(world, pair)


# --- what they share --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _in_our_place(world: World) -> AsyncIterator[RawPeer]:
    """Be our node for the peer while the true one is away; afterwards it connects again."""
    await world.us.api.disconnect((await world.peer.info()).node_id)
    await world.until(lambda: _is_gone(world), "the peer has seen us go")
    try:
        async with raw_peer(world.peer, key_of(world.us)) as raw:
            yield raw
        await world.until(lambda: _is_gone(world), "the peer has seen the one in our place go")
    finally:
        await world.connect(world.us, world.peer)


async def _pinged(raw: RawPeer, length: int = PING_LENGTH) -> None:
    raw.send(Ping(length, b""))
    await raw.until_got(Pong, lambda pong: len(pong.ignored) == length, f"the answer to a ping for {length} bytes")


async def _survives_even(raw: RawPeer) -> bool:
    """Send an unknown even message and a ping; return whether the ping is answered."""
    raw.send_raw(EVEN_TYPE.to_bytes(2, "big") + b"you must know this")
    raw.send(Ping(PING_LENGTH, b""))
    return await raw.until_got_or_ended(Pong)


def _check_ended(lives_on: bool) -> None:
    if lives_on:
        raise PeerAtFault(
            f"it answers a ping that follows message {EVEN_TYPE}: it goes on after an unknown even message, where BOLT "
            "1 (Lightning Message Format) says that the receiver must close the connection"
        )


async def _still_pays(world: World, pair: Pair) -> None:
    await world.connect(world.us, world.peer)
    await world.until_usable(world.us, world.peer, pair.funding_outpoint)
    await world.pay_peer(PAID_MSAT)
    await world.peer_pays(PAID_MSAT)
    await world.until_quiet(pair)


async def _until_told(world: World, words: str) -> None:
    async def told() -> bool:
        return any(words in one for one in await world.peer.refusals())

    await world.until(told, f"the peer shows {words!r}", TOLD_SECONDS)


def _log_size(world: World) -> int:
    return world.us.child.log_path.stat().st_size


def _log_since(world: World, begun: int) -> bytes:
    return world.us.child.log_path.read_bytes()[begun:]


async def _says(world: World, begun: int, words: str) -> bool:
    return words.encode() in _log_since(world, begun)


async def _is_gone(world: World) -> bool:
    return world.us.node_id not in await world.peer.peers()
