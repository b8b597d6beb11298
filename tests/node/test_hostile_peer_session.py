"""Strangers on the line: whatever they say around channels, the node drops them or goes on, and nothing changes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.channel.inputs import Connected, Disconnected
from leyden.crypto.hashes import sha256
from leyden.manager.peers import NODE_FEATURES, REPORTS_MAX, UNKNOWN_CHANNELS_ANSWERED_MAX
from leyden.node.node import Node
from leyden.node.onchain import RESERVE_ALARM
from leyden.noise import ACT_THREE_LENGTH, ACT_TWO_LENGTH, Initiator
from leyden.wire.features import Context, Feature, FeatureVector
from leyden.wire.messages import (
    AnnouncementSignatures,
    ChannelReestablish,
    ClosingComplete,
    CommitmentSigned,
    ErrorMessage,
    GossipTimestampFilter,
    Init,
    OnionMessage,
    OpenChannel2,
    PeerStorageRetrieval,
    Ping,
    Pong,
    SpliceInit,
    Stfu,
    TxAbort,
    UnknownMessage,
    UpdateFee,
    WarningMessage,
    encode,
)
from tests.node.hostile import INIT, HostileChannel, HostilePeer, kinds
from tests.node.real_world import WAIT_SECONDS, World, channel_view, fingerprint, pay, until, world

OFFERED = NODE_FEATURES.restricted_to(Context.INIT).encode()
POINT = bytes.fromhex("02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")


class Scene(msgspec.Struct):
    """alice and bob have a channel; mallory knows where bob is."""

    world: World
    alice: Node
    bob: Node
    channel_id: str

    async def unharmed(self, before: dict[str, Any]) -> None:
        """bob keeps what he kept before; alice is still connected and can still pay him."""
        assert fingerprint(self.bob) == before
        assert channel_view(self.bob, self.channel_id).is_usable
        assert (await pay(self.alice, self.bob)).status == "succeeded"
        assert not self.bob.core.manager.faults
        # bob has no coins for the reserve, whatever peers do.
        assert set(self.bob.core.alarms) <= {RESERVE_ALARM}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """See `Scene`."""
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice"), await made.start("bob")
        channel_id = await made.channel(alice, bob, push_msat=300_000_000)
        yield Scene(made, alice, bob, channel_id)


# --- before the handshake is done -----------------------------------------------------------------------------------


async def everything_said(peer: HostilePeer) -> bytes:
    """What the node says until it ends the connection."""
    async with asyncio.timeout(WAIT_SECONDS):
        try:
            return await peer.reader.read()
        except ConnectionError:
            return b""


async def test_garbage_instead_of_a_handshake(scene: Scene) -> None:
    """Browsers, scanners, nonsense: closed without a byte in answer, so nothing is learnt from us."""
    mallory, before = HostilePeer(), fingerprint(scene.bob)
    act_one = Initiator(mallory.secret, scene.bob.core.manager.node_id, sha256(b"e")).act_one()
    for said in (
        bytes(50), b"GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: any\r\n\r\n", b"\x16\x03\x01" + bytes(200),
        b"\xff" * 50, bytes(1 << 20), b"\x01" + act_one[1:], act_one[:-1] + bytes([act_one[-1] ^ 1]),
        act_one[:1] + b"\x04" + act_one[2:], act_one[:1] + bytes(33) + act_one[34:],
        Initiator(mallory.secret, scene.alice.core.manager.node_id, sha256(b"f")).act_one(),
    ):  # fmt: skip
        await mallory.dial(scene.bob)
        mallory.writer.write(said)
        assert await everything_said(mallory) == b"", said[:20]
        await mallory.leave()
    await scene.unharmed(before)


async def test_a_wrong_end_of_the_handshake(scene: Scene) -> None:
    """Whoever does not prove in act three who it is, is no peer."""
    mallory, before = HostilePeer(), fingerprint(scene.bob)
    for wrong in (
        lambda act: bytes(ACT_THREE_LENGTH),
        lambda act: b"\x01" + act[1:],
        lambda act: act[:-1] + bytes([act[-1] ^ 1]),
    ):
        await mallory.dial(scene.bob)
        initiator = Initiator(mallory.secret, scene.bob.core.manager.node_id, sha256(b"e"))
        mallory.writer.write(initiator.act_one())
        act_three, _ = initiator.receive_act_two(await mallory.reader.readexactly(ACT_TWO_LENGTH))
        mallory.writer.write(wrong(act_three))
        assert await everything_said(mallory) == b""
        await mallory.leave()
        assert mallory.session(scene.bob) is None
    await scene.unharmed(before)


async def test_frames_that_do_not_decrypt(scene: Scene) -> None:
    """One wrong bit on the line ends the connection: nothing behind it can be trusted."""
    before = fingerprint(scene.bob)
    for place in (0, 17, 18, 40):
        mallory = await HostilePeer(f"mallory {place}").introduce(scene.bob)
        frame = bytearray(mallory.noise.encrypt(encode(Ping(1, bytes(30)))))
        frame[place] ^= 1
        mallory.writer.write(bytes(frame))
        await mallory.gone()
        assert "Pong" not in kinds(mallory.received)
        await mallory.leave()
    await scene.unharmed(before)


async def test_messages_that_trickle_and_messages_that_are_huge(scene: Scene) -> None:
    """Byte by byte or 65,535 at once: BOLT 8 allows both."""
    mallory = await HostilePeer().introduce(scene.bob)
    for byte in mallory.noise.encrypt(encode(Ping(3, b""))):
        mallory.writer.write(bytes([byte]))
        await mallory.writer.drain()
    assert len((await mallory.expect(Pong)).ignored) == 3
    mallory.send((40_001).to_bytes(2, "big") + bytes(65_533))
    assert await mallory.answered() == []
    # Half a message is a connection that waits, and ends without harm.
    mallory.writer.write(mallory.noise.encrypt(bytes(60_000))[:30_000])
    await mallory.leave()
    await until(lambda: mallory.session(scene.bob) is None)


# --- init -----------------------------------------------------------------------------------------------------------


async def test_init_is_our_first_message_and_nothing_follows_until_the_peer_says_it_too(scene: Scene) -> None:
    """A peer with a channel gets no `channel_reestablish` before both have said what they can do."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    await mallory.leave()
    await until(lambda: mallory.session(scene.bob) is None)
    await mallory.connect(scene.bob)
    first = await until(lambda: mallory.received.popleft() if mallory.received else None)
    assert type(first) is Init
    assert first.networks == (REGTEST.chain_hash,)
    scene.bob.core.runtime.ping_all()
    assert not mallory.received, "not even a ping"
    mallory.send(INIT)
    assert (await mallory.expect(ChannelReestablish)).channel_id == channel.channel_id
    assert "Init" not in kinds(mallory.received), "and only once"
    await mallory.leave()


EARLY: list[Any] = [
    Ping(1, b""), Pong(b""), b"\x00\x20" + bytes(400), ChannelReestablish(bytes(32), 1, 0, bytes(32), POINT),
    CommitmentSigned(bytes(32), bytes(64), ()), UpdateFee(bytes(32), 1000), b"\x9c\x41", b"\x9c\x40", b"\x00", b"",
]  # fmt: skip


async def test_messages_before_init(scene: Scene) -> None:
    """`init` comes first; anything else means that the other side does not speak our protocol."""
    before = fingerprint(scene.bob)
    for message in EARLY:
        mallory = await HostilePeer().connect(scene.bob)
        mallory.send(message)
        await mallory.gone()
        said = [one for one in mallory.received if type(one) is not Init]
        assert kinds(said) == ["WarningMessage"], message
        await mallory.leave()
        await until(partial(mallory.is_gone, scene.bob))
    await scene.unharmed(before)


async def test_errors_and_warnings_may_come_before_init(scene: Scene) -> None:
    """A peer may say why it will not talk to us; that is no offence."""
    mallory = await HostilePeer().connect(scene.bob)
    await mallory.expect(Init)
    mallory.send(ErrorMessage(bytes(32), b"no"), WarningMessage(bytes(32), b"well"), INIT)
    assert await mallory.answered() == []
    await mallory.leave()


def bits(*numbers: int) -> bytes:
    """A feature vector."""
    return FeatureVector(sum(1 << number for number in numbers)).encode()


BAD_INITS: dict[str, Any] = {
    "an unknown even bit": Init(b"", bits(1000)),
    "an unknown even bit beside what we know": Init(b"", b"\x01" + bytes(30 - len(OFFERED)) + OFFERED),
    "an unknown even bit in globalfeatures": Init(bits(100), OFFERED),
    "a known even bit that we do not offer": Init(b"", bits(Feature.OPTION_QUIESCE.value)),
    "every bit of a whole message": Init(b"", b"\xff" * 65_000),
    "a feature without what it needs": Init(b"", bits(Feature.BASIC_MPP.value + 1)),
    "another network": Init(b"", OFFERED, (MAINNET.chain_hash,)),
    "other networks": Init(b"", OFFERED, (MAINNET.chain_hash, bytes(32))),
    "cut": encode(INIT)[:5],
    "networks of a wrong length": encode(INIT)[:-1],
    "a record twice": encode(INIT) + encode(INIT)[-34:],
    "an unknown even record": encode(INIT) + b"\xfd\x10\x00\x00",
}  # fmt: skip


async def test_inits_that_we_cannot_work_with(scene: Scene) -> None:
    """The connection ends with a sentence, however long the list of what is wrong."""
    before = fingerprint(scene.bob)
    for what, init in BAD_INITS.items():
        mallory = await HostilePeer().connect(scene.bob)
        mallory.send(init, Ping(1, b""))
        await mallory.gone()
        (said,) = [one for one in mallory.received if type(one) is not Init]
        assert type(said) is WarningMessage, what
        assert 10 < len(said.data) <= 200, what
        await mallory.leave()
        await until(partial(mallory.is_gone, scene.bob))
    await scene.unharmed(before)


async def test_inits_that_look_odd_and_are_fine(scene: Scene) -> None:
    """Unknown odd bits and records, features in either vector, a list of networks that holds ours."""
    split = FeatureVector.parse(OFFERED)
    low, high = split.bitmap & 0xFFFF, split.bitmap & ~0xFFFF
    for init in (
        Init(b"", b""),
        Init(b"", b"\xaa" * 65_000 + bytes(64) + OFFERED),
        Init(FeatureVector(low).encode(), FeatureVector(high).encode()),
        Init(FeatureVector(high).encode(), FeatureVector(low).encode()),
        Init(OFFERED, b"\x00" * 20 + OFFERED),
        Init(b"", OFFERED, (MAINNET.chain_hash, REGTEST.chain_hash)),
        Init(b"", OFFERED, ()),
        encode(INIT) + b"\xfd\x10\x01\x02hi",
    ):
        mallory = await HostilePeer().introduce(scene.bob, init)
        session = mallory.session(scene.bob)
        if isinstance(init, Init) and init.globalfeatures:
            assert session.features.supports(Feature.OPTION_ANCHORS), "joined by OR"
        assert session.features.bitmap.bit_length() <= 1024, "a vector costs what it may mean, not what was sent"
        assert await mallory.answered() == []
        await mallory.leave()
        await until(partial(mallory.is_gone, scene.bob))


async def test_a_second_init(scene: Scene) -> None:
    """Features are settled once a connection."""
    mallory = await HostilePeer().introduce(scene.bob)
    mallory.send(INIT)
    await mallory.gone()
    assert b"second init" in next(one.data for one in mallory.received if type(one) is WarningMessage)
    await mallory.leave()


# --- types ----------------------------------------------------------------------------------------------------------


async def test_odd_messages_that_we_do_not_know_or_do_not_offer_are_ignored(scene: Scene) -> None:
    """It is OK to be odd: also a message of a feature that we do not have, also one that names a channel of ours."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    before = fingerprint(scene.bob)
    mallory.send(
        UnknownMessage(19 + 256, b""), UnknownMessage(4001, bytes(1000)), UnknownMessage(65_535, b"x"), b"\x80\x01",
        AnnouncementSignatures(channel.channel_id, 1, bytes(64), bytes(64)), PeerStorageRetrieval(b"blob"),
        OnionMessage(POINT, bytes(1366)), GossipTimestampFilter(REGTEST.chain_hash, 0, 2**32 - 1),
    )  # fmt: skip
    assert await mallory.answered() == []
    assert channel.state() == "normal"
    await scene.unharmed(before)
    await mallory.leave()


async def test_even_messages_that_we_do_not_know_or_do_not_offer_end_the_connection(scene: Scene) -> None:
    """An even message must be understood. The peer is gone, its channel is not."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    before = fingerprint(scene.bob)
    for message in (
        UnknownMessage(300, b""), UnknownMessage(40_000, bytes(100)), UnknownMessage(65_534, b""),
        Stfu(channel.channel_id, 1), TxAbort(channel.channel_id, b""), TxAbort(bytes(32), b""),
        SpliceInit(channel.channel_id, 1, 253, 0, POINT), b"\x00\x40" + encode(OPEN_2)[2:],
        ClosingComplete(channel.channel_id, b"", b"", 1, 0),
    ):  # fmt: skip
        if mallory.closed.is_set():
            await mallory.leave()
            await until(lambda: mallory.session(scene.bob) is None)
            await mallory.introduce(scene.bob)
        mallory.send(message)
        await mallory.gone()
        assert "WarningMessage" in kinds(mallory.received), message
        assert channel.state() == "normal", message
    await mallory.leave()
    await scene.unharmed(before)


KEYS = [
    "funding_pubkey",
    "revocation_basepoint",
    "payment_basepoint",
    "delayed_payment_basepoint",
    "htlc_basepoint",
    "first_per_commitment_point",
    "second_per_commitment_point",
]
OPEN_2 = OpenChannel2(
    chain_hash=REGTEST.chain_hash,
    temporary_channel_id=bytes(32),
    funding_feerate_perkw=253,
    commitment_feerate_perkw=253,
    funding_satoshis=1_000_000,
    dust_limit_satoshis=354,
    max_htlc_value_in_flight_msat=10**9,
    htlc_minimum_msat=1,
    to_self_delay=144,
    max_accepted_htlcs=483,
    locktime=0,
    channel_flags=0,
    **dict.fromkeys(KEYS, POINT),  # type: ignore[arg-type]
)


async def test_undecodable_messages_of_every_type(scene: Scene) -> None:
    """Cut short, every known message is refused, whoever it speaks of; a channel is not closed for bytes."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    before = fingerprint(scene.bob)
    for number in (1, 17, 16, 18, 19, 32, 33, 34, 35, 36, 38, 39, 128, 130, 131, 132, 133, 134, 135, 136, 258):
        for body in (
            (b"", b"\x01", channel.channel_id[:31], channel.channel_id) if number in (132, 39) else (b"", b"\x01")
        ):
            if mallory.closed.is_set():
                await mallory.leave()
                await until(lambda: mallory.session(scene.bob) is None)
                await mallory.introduce(scene.bob)
            mallory.send(number.to_bytes(2, "big") + body)
            await mallory.gone()
            warning = next(one for one in mallory.received if type(one) is WarningMessage)
            assert b"undecodable" in warning.data, number
    assert channel.state() == "normal"
    await mallory.leave()
    await scene.unharmed(before)


async def test_after_the_message_that_ends_the_connection_nothing_is_read(scene: Scene) -> None:
    """What stands behind it in the same read is not acted on: one offence, one warning, one line in the log."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = HostileChannel(mallory, scene.bob, scene.world)
    mallory.send(UnknownMessage(300, b""), *[UnknownMessage(302, b"")] * 50, channel.request().sent)
    await mallory.gone()
    assert kinds(mallory.received) == ["WarningMessage"]
    await mallory.leave()


# --- pings ----------------------------------------------------------------------------------------------------------


async def test_pings_are_answered_as_they_ask(scene: Scene) -> None:
    """Up to 65,531 bytes, all of them zero; above that nothing is asked for."""
    mallory = await HostilePeer().introduce(scene.bob)
    for length in (0, 1, 100, 65_531):
        mallory.send(Ping(length, bytes(20)))
        assert (await mallory.expect(Pong)).ignored == bytes(length)
    mallory.send(Ping(65_532, b""), Ping(65_535, b"x" * 1000))
    assert await mallory.answered() == []
    mallory.send(Pong(bytes(5)), Pong(b"x" * 60_000))
    assert await mallory.answered() == [], "a pong that nobody asked for is ignored"
    await mallory.leave()


async def test_who_does_not_answer_has_to_go(scene: Scene) -> None:
    """Two pings without an answer; a connection that never says `init` is not kept either."""
    mallory = await HostilePeer().introduce(scene.bob)
    silent = await HostilePeer("silent").connect(scene.bob)
    await until(lambda: silent.session(scene.bob))
    for _ in range(2):
        scene.bob.core.runtime.ping_all()
    ping = await mallory.expect(Ping)
    assert not any(ping.ignored), "what we send as ignored is zero"
    mallory.send(Pong(bytes(ping.num_pong_bytes)))
    await mallory.answered()
    scene.bob.core.runtime.ping_all()
    await silent.gone()
    assert mallory.session(scene.bob) is not None
    for _ in range(2):
        scene.bob.core.runtime.ping_all()
    await mallory.gone()
    for peer in (mallory, silent):
        await peer.leave()


# --- errors and warnings --------------------------------------------------------------------------------------------


async def test_an_error_for_all_channels_fails_those_of_its_sender_only(scene: Scene) -> None:
    """All-zero means all that the sender has with us; for everybody else it means nothing."""
    mallory = await HostilePeer().introduce(scene.bob)
    channels = [await HostileChannel(mallory, scene.bob, scene.world, number).open() for number in (1, 2)]
    mallory.send(ErrorMessage(bytes(32), b"all of it"))
    await until(lambda: [channel.state() for channel in channels] == ["force_closing"] * 2)
    assert channel_view(scene.bob, scene.channel_id).is_usable
    assert (await pay(scene.alice, scene.bob)).status == "succeeded"
    await mallory.leave()


async def test_an_error_for_a_channel_that_is_not_the_senders_is_ignored(scene: Scene) -> None:
    """Or anybody could close anybody's channels."""
    mallory, before = await HostilePeer().introduce(scene.bob), fingerprint(scene.bob)
    mallory.send(ErrorMessage(bytes.fromhex(scene.channel_id), b"die"), ErrorMessage(b"\xab" * 32, b"die"))
    assert await mallory.answered() == []
    await scene.unharmed(before)
    await mallory.leave()


async def test_a_warning_closes_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """It is for the log, and there only as printable ASCII."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    before = fingerprint(scene.bob)
    with caplog.at_level(logging.WARNING, "leyden"):
        mallory.send(WarningMessage(channel.channel_id, b"care\x1b[2J\n\xff"), WarningMessage(bytes(32), b"x" * 60_000))
        assert await mallory.answered() == []
    assert channel.state() == "normal"
    assert "care?[2J??" in caplog.text
    assert max(map(len, caplog.text.splitlines())) < 400, "a line of the log is a line"
    await scene.unharmed(before)
    await mallory.leave()


async def test_an_error_of_the_link_before_reestablish_closes_nothing(scene: Scene) -> None:
    """Some implementations say so when a connection went wrong; the next connection heals it. Other errors wait."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    for text in (b"link failed to shutdown", b"sync error", b"internal error"):
        await channel.reconnect()
        mallory.send(ErrorMessage(channel.channel_id, text))
        await mallory.gone()
        assert channel.state() == "normal"
    await channel.reconnect()
    await channel.reestablish()
    await channel.reconnect()
    mallory.send(ErrorMessage(channel.channel_id, b"unknown channel"))
    await mallory.answered()
    assert channel.state() == "normal", "our own copy may be the old one: first its channel_reestablish"
    mallory.send(*channel.handle(Connected()))
    await until(lambda: channel.state() == "force_closing")


async def test_a_channel_that_we_failed_is_told_so_again(scene: Scene) -> None:
    """The peer learns why, also when it comes back later and asks."""
    mallory = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(mallory, scene.bob, scene.world).open()
    mallory.send(UpdateFee(channel.channel_id, 1))
    error = await mallory.expect(ErrorMessage)
    assert error.channel_id == channel.channel_id
    assert b"feerate" in error.data
    await channel.reconnect()
    mallory.send(*channel.handle(Connected()))
    assert (await mallory.expect(ErrorMessage)).channel_id == channel.channel_id
    await mallory.leave()


# --- many of the same -----------------------------------------------------------------------------------------------


async def test_unknown_channels_are_answered_so_many_times(scene: Scene) -> None:
    """An answer for each forgotten channel; not one for each of a million invented ones."""
    mallory, before = await HostilePeer().introduce(scene.bob), fingerprint(scene.bob)
    mallory.send(ChannelReestablish(sha256(b"mine"), 1, 0, bytes(32), POINT))
    error = await mallory.expect(ErrorMessage)
    assert (error.channel_id, error.data) == (sha256(b"mine"), b"unknown channel")
    mallory.send(*[UpdateFee(number.to_bytes(32, "big"), 1000) for number in range(1000)])
    mallory.send(CommitmentSigned(bytes.fromhex(scene.channel_id), bytes(64), ()))
    assert len(await mallory.answered()) == UNKNOWN_CHANNELS_ANSWERED_MAX - 1
    await scene.unharmed(before)
    await mallory.leave()


async def test_who_talks_a_lot_is_not_quoted_any_more(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Errors and warnings go to the log, and a log is a disk."""
    mallory = await HostilePeer().introduce(scene.bob)
    with caplog.at_level(logging.INFO, "leyden"):
        mallory.send(*[ErrorMessage(b"\xab" * 32, b"spam"), WarningMessage(bytes(32), b"spam")] * 500)
        assert await mallory.answered() == []
    assert caplog.text.count("spam") == REPORTS_MAX - 1
    await mallory.leave()


async def test_a_newer_connection_of_a_peer_replaces_the_older_one(scene: Scene) -> None:
    """Two at once would be two orders of messages; the older one is likely to be dead. Its messages die with it."""
    first = await HostilePeer().introduce(scene.bob)
    channel = await HostileChannel(first, scene.bob, scene.world).open()
    second = HostilePeer()
    second._connections = 50  # another ephemeral key
    await second.introduce(scene.bob)
    await first.gone()
    channel.peer = second
    channel.handle(Disconnected())
    await channel.reestablish()
    second.send(*channel.add())
    await channel.settle()
    assert channel.state() == "normal"
    assert (
        len([one for one in await scene.bob.peers() if one.node_id == second.node_id.hex() and one.is_connected]) == 1
    )
    for peer in (first, second):
        await peer.leave()
