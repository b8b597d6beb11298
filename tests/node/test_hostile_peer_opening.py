"""Openings with a peer that breaks the rules or goes away: an opening ends, no journal is begun, no coin is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.networks import MAINNET
from leyden.crypto.hashes import sha256
from leyden.manager import opening
from leyden.node.node import Node
from leyden.node.settings import ChannelSettings
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import (
    AcceptChannel,
    ChannelReady,
    ErrorMessage,
    FundingCreated,
    FundingSigned,
    Init,
    OpenChannel,
    WarningMessage,
    encode,
)
from tests.node.hostile import HostileChannel, HostilePeer, flipped, kinds
from tests.node.real_world import World, fingerprint, until, usable, world

ANCHORS = ChannelType(CommitmentFormat.ANCHORS)


class Scene(msgspec.Struct):
    """bob has coins; mallory is connected to him."""

    world: World
    bob: Node
    mallory: HostilePeer

    def channel(self, number: int = 0) -> HostileChannel:
        """A channel to be of mallory and bob."""
        return HostileChannel(self.mallory, self.bob, self.world, number)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """See `Scene`."""
    async with world(tmp_path) as made:
        bob = await made.start("bob")
        await made.fund(bob)
        yield Scene(made, bob, await HostilePeer().introduce(bob))


BAD_OPENS: dict[str, dict[str, Any]] = {
    "chain": {"chain_hash": MAINNET.chain_hash},
    "funding_satoshis is outside": {"funding_satoshis": 19_999},
    "push_msat": {"push_msat": 1_000_000_001},
    "feerate_per_kw is outside 253": {"feerate_per_kw": 252},
    "feerate_per_kw is outside": {"feerate_per_kw": 250_001},
    "to_self_delay": {"to_self_delay": 2017},
    "max_accepted_htlcs is outside": {"max_accepted_htlcs": 484},
    "max_accepted_htlcs": {"max_accepted_htlcs": 0},
    "dust_limit_satoshis is outside": {"dust_limit_satoshis": 353},
    "dust_limit_satoshis": {"dust_limit_satoshis": 10_001, "channel_reserve_satoshis": 10_001},
    "channel_reserve_satoshis is too large": {"channel_reserve_satoshis": 200_001},
    "above channel_reserve_satoshis": {"channel_reserve_satoshis": 353},
    "htlc_minimum_msat is too large": {"htlc_minimum_msat": 1_000_001},
    "max_htlc_value_in_flight_msat": {"max_htlc_value_in_flight_msat": 999_999},
    "funding_pubkey is not a point": {"funding_pubkey": b"\x02" + b"\xff" * 32},
    "first_per_commitment_point is not a point": {"first_per_commitment_point": b"\x03" + b"\xff" * 32},
    "htlc_basepoint is not a point": {"htlc_basepoint": b"\x02" + bytes(32)},
    "channel_type is missing": {"channel_type": None},
    "channel_type is not one we know": {"channel_type": b"\xff\xff\xff"},
    "channel_type": {"channel_type": b""},
    "upfront_shutdown_script": {"upfront_shutdown_script": b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"},
    "zero-conf": {"channel_type": ChannelType(CommitmentFormat.ANCHORS, True, True).encode()},
    "scid_alias": {"channel_type": ChannelType(CommitmentFormat.ANCHORS, True, False).encode(), "channel_flags": 1},
    "fee of the first commitment": {"push_msat": 999_999_000},
}


async def test_open_channel_with_parameters_that_nobody_should_take(scene: Scene) -> None:
    """Each gets an `error` that says which; the connection goes on and nothing is begun."""
    good, before = scene.channel().request().sent, fingerprint(scene.bob)
    for what, changes in BAD_OPENS.items():
        scene.mallory.send(msgspec.structs.replace(good, **changes))
        (said,) = await scene.mallory.answered()
        assert (type(said), said.channel_id) == (ErrorMessage, good.temporary_channel_id), what
        assert what in said.data.decode(), f"{what}: {said.data}"
        assert fingerprint(scene.bob) == before, what
    assert (await scene.channel().open()).state() == "normal", "a good one is still welcome"


async def test_open_channel_of_a_type_that_was_not_negotiated(scene: Scene) -> None:
    """Who did not offer anchors in `init` cannot want them now."""
    plain = await HostilePeer("plain").introduce(scene.bob, Init(b"", b""))
    before = fingerprint(scene.bob)
    plain.send(scene.channel().request().sent)
    assert b"channel_type needs features" in (await plain.expect(ErrorMessage)).data
    assert fingerprint(scene.bob) == before


async def test_messages_of_an_opening_that_is_not_there(scene: Scene) -> None:
    """Out of order: the second step without the first."""
    asked = scene.channel().request().sent
    before = fingerprint(scene.bob)
    point = asked.funding_pubkey
    accept = AcceptChannel(
        bytes(32),
        354,
        10**9,
        10_000,
        1,
        1,
        144,
        483,
        point,
        point,
        point,
        point,
        point,
        point,
        None,
        asked.channel_type,
    )
    for message in (
        accept, FundingCreated(bytes(32), bytes(32), 0, bytes(64)), FundingSigned(bytes(32), bytes(64)),
        FundingCreated(asked.temporary_channel_id, bytes(32), 0, bytes(64)),
    ):  # fmt: skip
        if scene.mallory.closed.is_set():
            await until(lambda: scene.mallory.session(scene.bob) is None)
            await scene.mallory.introduce(scene.bob)
        scene.mallory.send(message)
        await scene.mallory.gone()
        assert kinds(scene.mallory.received)[-1] == "WarningMessage", type(message)
        assert fingerprint(scene.bob) == before
    await scene.mallory.introduce(scene.bob)
    scene.mallory.send(ChannelReady(bytes(32), point))
    assert kinds(await scene.mallory.answered()) == ["ErrorMessage"], "an unknown channel"


async def test_funding_created_that_does_not_fit(scene: Scene) -> None:
    """A bad signature on our first commitment would leave us without a way out."""
    for number, change in enumerate(
        (
            lambda made: {"signature": flipped(made.signature)},
            lambda made: {"signature": bytes(64)},
            lambda made: {"signature": b"\xff" * 64},
            lambda made: {"funding_output_index": made.funding_output_index + 1},
            lambda made: {"funding_txid": sha256(made.funding_txid)},
        )
    ):
        channel = scene.channel(number)
        before = fingerprint(scene.bob)
        made = channel.funding_created(await channel.accepted())
        scene.mallory.send(msgspec.structs.replace(made, **change(made)))
        error = await scene.mallory.expect(ErrorMessage)
        assert error.channel_id == made.temporary_channel_id
        assert b"signature does not sign our first commitment" in error.data
        assert fingerprint(scene.bob) == before


async def test_two_openings_with_one_temporary_channel_id(scene: Scene) -> None:
    """Names of openings are unique; both end, and another one may follow. Another peer's names are its own."""
    asked = scene.channel().request().sent
    scene.mallory.send(asked, asked)
    assert kinds(await scene.mallory.answered()) == ["AcceptChannel", "ErrorMessage"]
    assert fingerprint(scene.bob)["openings"] == {}
    other = await HostilePeer("other").introduce(scene.bob)
    scene.mallory.send(asked)
    await scene.mallory.expect(AcceptChannel)
    other.send(asked)
    await other.expect(AcceptChannel)


async def test_a_peer_that_reflects_our_own_temporary_channel_id(scene: Scene) -> None:
    """It ends our opening; it must not take its place while our caller waits for ever."""
    asking = asyncio.get_running_loop().create_task(scene.bob.open_channel(scene.mallory.node_id.hex(), 1_000_000))
    ours = await scene.mallory.expect(OpenChannel)
    scene.mallory.send(
        msgspec.structs.replace(scene.channel().request().sent, temporary_channel_id=ours.temporary_channel_id)
    )
    with pytest.raises(CommandRejected) as failed:
        await asking
    assert failed.value.code == "open_refused"


async def test_funding_of_a_channel_that_is_there(scene: Scene) -> None:
    """Two journals with one name would be one too many; the first channel does not notice."""
    first = await scene.channel(1).open()
    second = scene.channel(2)
    signed = await second.accepted()
    birth = msgspec.structs.replace(
        signed.birth,
        channel_id=first.channel_id,
        funding_txid=first.party.core.opened.funding_txid,
        funding_output_index=first.party.core.opened.funding_output_index,
    )
    before = fingerprint(scene.bob)["channels"]
    scene.mallory.send(second.funding_created(msgspec.structs.replace(signed, birth=birth)))
    await scene.mallory.gone()
    assert fingerprint(scene.bob)["channels"] == before
    await first.reconnect()
    await first.reestablish()
    assert first.state() == "normal"


async def test_openings_of_one_peer_are_bounded(scene: Scene) -> None:
    """Asked for or funded by name only: four at a time, whatever is sent."""
    scene.mallory.send(*[scene.channel(number).request().sent for number in range(20)])
    said = kinds(await scene.mallory.answered())
    assert (said.count("AcceptChannel"), said.count("ErrorMessage")) == (4, 16)
    await scene.mallory.introduce(scene.bob)
    for number in range(4):
        await scene.channel(100 + number).born()
    await scene.mallory.introduce(scene.bob)
    scene.mallory.send(scene.channel(200).request().sent)
    error = await scene.mallory.expect(ErrorMessage)
    assert b"wait for their funding" in error.data
    assert len(scene.bob.core.manager.channels) == 4


async def test_unfunded_channels_of_all_peers_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names cost nothing, so a bound for each peer is none; a peer that the user trusts still gets in."""
    monkeypatch.setattr(opening, "UNFUNDED_CHANNELS_MAX", 3)
    for number in range(3):
        peer = await HostilePeer(f"name {number}").introduce(scene.bob)
        await HostileChannel(peer, scene.bob, scene.world, number).born()
    asked = scene.channel(9).request().sent
    scene.mallory.send(asked)
    assert b"no new channels" in (await scene.mallory.expect(ErrorMessage)).data
    await scene.bob.trust_peer(scene.mallory.node_id.hex(), True)
    scene.mallory.send(asked)
    await scene.mallory.expect(AcceptChannel)


async def test_a_channel_that_never_gets_its_funding_makes_room_again(tmp_path: Path) -> None:
    """After 2016 blocks it is forgotten, and does not count for ever."""
    async with world(tmp_path) as made:
        bob = await made.start(
            "bob", settings={"channels": ChannelSettings(minimum_depth=1, unfunded_channels_per_peer=1)}
        )
        mallory = await HostilePeer().introduce(bob)
        await HostileChannel(mallory, bob, made, 1).born()
        mallory.send(HostileChannel(mallory, bob, made, 2).request().sent)
        await mallory.expect(ErrorMessage)
        await made.mine(2017)
        mallory.send(HostileChannel(mallory, bob, made, 3).request().sent)
        await mallory.expect(AcceptChannel)


async def test_the_funder_never_forgets_what_it_has_published(scene: Scene) -> None:
    """Its money is in that transaction, however long it takes to confirm."""
    channel = scene.channel()
    asking = asyncio.get_running_loop().create_task(scene.bob.open_channel(scene.mallory.node_id.hex(), 1_000_000))
    awaiting = await channel.asked()
    scene.mallory.send(awaiting.sent)
    scene.mallory.send(await channel.funded(awaiting))
    await asking
    (funding,) = scene.world.chain.pool.values()
    scene.world.chain.pool.clear()
    await scene.world.mine(2100)
    assert channel.state() == "awaiting_ready"
    scene.world.chain.offer(funding)
    await channel.confirm(publish=False)
    assert channel.state() == "normal"


# --- leaving at every step ------------------------------------------------------------------------------------------


async def left(scene: Scene, before: dict[str, Any]) -> None:
    """mallory goes away; nothing is left of the opening."""
    await scene.mallory.leave()
    await until(lambda: scene.mallory.session(scene.bob) is None)
    after = fingerprint(scene.bob)
    for what in ("openings", "channels", "node", "positions"):
        assert after[what] == before[what]


async def test_the_opener_leaves_at_every_step(scene: Scene) -> None:
    """Before its signature is here nothing is at stake, and nothing is kept; a new connection may start anew."""
    before = fingerprint(scene.bob)
    scene.mallory.send(encode(scene.channel().request().sent)[:200])
    await left(scene, before)
    await scene.mallory.introduce(scene.bob)
    scene.mallory.send(scene.channel().request().sent)
    await left(scene, before)
    await scene.mallory.introduce(scene.bob)
    await scene.channel().accepted()
    await left(scene, before)
    await scene.mallory.introduce(scene.bob)
    channel = scene.channel()
    scene.mallory.send(channel.funding_created(await channel.accepted()))
    await until(lambda: scene.bob.core.manager.channels)
    await scene.mallory.leave()
    # Born: it waits for its funding, whether or not mallory has heard of it.
    await until(lambda: scene.mallory.session(scene.bob) is None)
    assert len(scene.bob.core.manager.channels) == 1


async def test_the_accepter_leaves_at_every_step(scene: Scene) -> None:
    """Our opening ends with an error for the caller, and its coins are free again, as long as nothing was published."""
    before, balance = fingerprint(scene.bob), await scene.bob.balance()
    for step in range(3):
        await scene.mallory.introduce(scene.bob)
        channel = scene.channel(step)
        asking = asyncio.get_running_loop().create_task(scene.bob.open_channel(scene.mallory.node_id.hex(), 1_000_000))
        if step == 0:
            await scene.mallory.expect(OpenChannel)
        else:
            awaiting = await channel.asked()
            scene.mallory.send(awaiting.sent)
        if step == 2:
            await scene.mallory.expect(FundingCreated)
        await scene.mallory.leave()
        with pytest.raises(CommandRejected, match="disconnected") as failed:
            await asking
        assert failed.value.code == "open_refused"
        await until(lambda: scene.mallory.session(scene.bob) is None)
        after = fingerprint(scene.bob)
        assert (after["openings"], after["channels"]) == ({}, before["channels"])
        assert await scene.bob.balance() == balance, "nothing is reserved"
        assert not scene.world.chain.pool, "nothing is published"
    await scene.mallory.introduce(scene.bob)
    channel = await scene.channel(9).be_opened()
    assert usable(scene.bob, channel.hex)


BAD_ACCEPTS: dict[str, dict[str, Any]] = {
    "another channel_type": {"channel_type": ChannelType(CommitmentFormat.STATIC_REMOTEKEY).encode()},
    "has another channel_type": {"channel_type": None},
    "minimum_depth": {"minimum_depth": 145},
    "to_self_delay": {"to_self_delay": 2017},
    "max_accepted_htlcs": {"max_accepted_htlcs": 484},
    "dust_limit_satoshis": {"dust_limit_satoshis": 100},
    "channel_reserve_satoshis is too large": {"channel_reserve_satoshis": 200_001},
    "channel_reserve_satoshis is below": {"channel_reserve_satoshis": 353, "dust_limit_satoshis": 353 + 1},
    "payment_basepoint is not a point": {"payment_basepoint": b"\x02" + b"\xff" * 32},
    "max_htlc_value_in_flight_msat": {"max_htlc_value_in_flight_msat": 0},
}


async def test_accept_channel_that_we_do_not_accept(scene: Scene) -> None:
    """The caller gets the reason; no funding transaction is even made."""
    balance = await scene.bob.balance()
    for number, (what, changes) in enumerate(BAD_ACCEPTS.items()):
        channel = scene.channel(number)
        asking = asyncio.get_running_loop().create_task(scene.bob.open_channel(scene.mallory.node_id.hex(), 1_000_000))
        awaiting = await channel.asked()
        scene.mallory.send(msgspec.structs.replace(awaiting.sent, **changes))
        with pytest.raises(CommandRejected) as failed:
            await asking
        assert failed.value.code == "open_refused"
        if "below" not in what:
            assert what in failed.value.what, what
        await scene.mallory.expect(ErrorMessage)
        assert await scene.bob.balance() == balance


async def test_funding_signed_that_does_not_sign(scene: Scene) -> None:
    """Publishing the funding without a valid signature would give our money away."""
    balance = await scene.bob.balance()
    changes: list[Callable[[FundingSigned], dict[str, Any]]] = [
        lambda signed: {"signature": flipped(signed.signature)},
        lambda signed: {"signature": bytes(64)},
    ]
    for number, change in enumerate(changes):
        channel = scene.channel(number)
        asking = asyncio.get_running_loop().create_task(scene.bob.open_channel(scene.mallory.node_id.hex(), 1_000_000))
        awaiting = await channel.asked()
        scene.mallory.send(awaiting.sent)
        signed = await channel.funded(awaiting)
        scene.mallory.send(msgspec.structs.replace(signed, **change(signed)))
        with pytest.raises(CommandRejected, match="does not sign our first commitment"):
            await asking
        await scene.mallory.expect(ErrorMessage)
        assert not scene.world.chain.pool, "the funding is not published"
        assert not scene.bob.core.manager.channels
        assert await scene.bob.balance() == balance


async def test_funding_signed_for_another_channel(scene: Scene) -> None:
    """It signs nothing that we wait for; our opening ends with the connection."""
    asking = asyncio.get_running_loop().create_task(scene.bob.open_channel(scene.mallory.node_id.hex(), 1_000_000))
    channel = scene.channel()
    awaiting = await channel.asked()
    scene.mallory.send(awaiting.sent)
    signed = await channel.funded(awaiting)
    scene.mallory.send(msgspec.structs.replace(signed, channel_id=sha256(signed.channel_id)))
    with pytest.raises(CommandRejected):
        await asking
    await scene.mallory.expect(WarningMessage)
    assert not scene.world.chain.pool
