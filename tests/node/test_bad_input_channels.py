"""Peers, channels and coins that are not there, and amounts that cannot be: refused with a code, nothing changed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leyden.base.errors import CommandRejected, DriverError
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.node import channels
from leyden.node.node import Node
from leyden.node.settings import ChannelSettings
from leyden.wire.messages import OpenChannel
from tests.node.hostile import HostilePeer
from tests.node.real_world import World, fingerprint, pay, refused, until, world

POINT = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


class Pair(msgspec.Struct):
    """alice has money on chain and a channel with bob; carol is nobody's peer and takes large channels only."""

    world: World
    alice: Node
    bob: Node
    carol: Node
    channel_id: str

    def id_of(self, node: Node) -> str:
        """A node_id."""
        return node.core.manager.node_id.hex()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """See `Pair`."""
    async with world(tmp_path) as made:
        alice, bob = await made.start("alice"), await made.start("bob")
        settings = {"channels": ChannelSettings(funding_satoshis_min=5_000_000)}
        carol = await made.start("carol", settings=settings)
        channel_id = await made.channel(alice, bob, push_msat=100_000_000)
        yield Pair(made, alice, bob, carol, channel_id)


NO_NODES = ["", "zz", "02", POINT[:-2], POINT + "00", "02" + "ff" * 32, "04" + POINT[2:], "☕" * 33, "0x" + POINT]


async def test_names_of_nodes(pair: Pair) -> None:
    """What is no public key is no node."""
    alice = pair.alice
    calls: list[Any] = [
        lambda text: alice.connect(text, "127.0.0.1", 9735),
        lambda text: alice.disconnect(text),
        lambda text: alice.trust_peer(text, True),
        lambda text: alice.open_channel(text, 1_000_000),
        lambda text: alice.keysend(text, 1_000),
    ]
    for text in NO_NODES:
        for call in calls:
            await refused(alice, "invalid_node_id", call, text)
    await refused(alice, "invalid_node_id", alice.connect, pair.id_of(alice), "127.0.0.1", 9735)


async def test_unknown_peers(pair: Pair) -> None:
    """A node that we are not connected to."""
    alice = pair.alice
    await refused(alice, "unknown_peer", alice.disconnect, POINT)
    sentence = await refused(alice, "not_connected", alice.open_channel, POINT, 1000000)
    assert "connect" in sentence, "it says what to do"
    for host, port in (("", 9735), ("127.0.0.1", 0), ("127.0.0.1", -1), ("127.0.0.1", 70_000)):
        await refused(alice, "invalid_address", alice.connect, POINT, host, port)


async def test_addresses_where_nobody_or_somebody_else_is(pair: Pair) -> None:
    """The network's failures are errors of their own kind; nothing is remembered of a peer that was never reached."""
    alice, before = pair.alice, fingerprint(pair.alice)
    _, _, port = pair.bob.core.listening[0].rpartition(":")
    for host, number in (("127.0.0.1", 1), ("127.0.0.1", int(port)), ("no.such.host.invalid", 9735), ("::1", 1)):
        with pytest.raises(DriverError) as failed:
            await alice.connect(POINT, host, number)
        assert str(number) in str(failed.value), "it says where"
        assert fingerprint(alice) == before


NO_CHANNELS = ["", "zz", "ab" * 31, "ab" * 32, "ab" * 33, "☕"]


async def test_unknown_channels(pair: Pair) -> None:
    """A channel_id that means nothing here."""
    alice = pair.alice
    for text in NO_CHANNELS:
        for force in (False, True):
            await refused(alice, "unknown_channel", alice.close, text, force=force)
        await refused(alice, "unknown_channel", alice.set_policy, text, 1)


OPEN: list[tuple[dict[str, Any], str]] = [
    ({"amount_sat": 0}, "bad_amount"),
    ({"amount_sat": -1}, "bad_amount"),
    ({"amount_sat": -(10**18)}, "bad_amount"),
    ({"amount_sat": 19_999}, "bad_amount"),
    ({"amount_sat": 10**9}, "insufficient_funds"),
    ({"amount_sat": 2**64}, "insufficient_funds"),
    ({"push_msat": -1}, "bad_amount"),
    ({"push_msat": 1_000_000_001}, "bad_amount"),
    ({"push_msat": 2**64}, "bad_amount"),
    ({"feerate_per_kw": 0}, "invalid_feerate"),
    ({"feerate_per_kw": -1}, "invalid_feerate"),
    ({"feerate_per_kw": 252}, "invalid_feerate"),
    ({"feerate_per_kw": 2**32}, "invalid_feerate"),
    ({"close_to": "bcrt1nonsense"}, "invalid_address"),
    ({"close_to": encode_address(b"\x00\x14" + bytes(20), MAINNET)}, "wrong_network"),
    ({"announce": True, "zero_conf": True}, "invalid_channel_type"),
    ({"announce": True, "scid_alias": True}, "invalid_channel_type"),
]


async def test_channels_that_cannot_be_opened(pair: Pair) -> None:
    """Every amount and choice is checked before anything is said to the peer or taken from the wallet."""
    alice, bob_id = pair.alice, pair.id_of(pair.bob)
    await pair.world.fund(alice)
    for changes, code in OPEN:
        arguments = {"node_id": bob_id, "amount_sat": 1_000_000} | changes
        await refused(alice, code, alice.open_channel, **arguments)
        assert not alice.core.opening_waiters
    assert len(await alice.channels()) == 1


async def test_an_opening_that_the_peer_refuses(pair: Pair) -> None:
    """The peer's own words reach the caller, and the coins are free again."""
    alice = pair.alice
    await pair.world.fund(alice)
    await pair.world.connect(alice, pair.carol)
    before = await alice.balance()
    with pytest.raises(CommandRejected, match="funding_satoshis is outside") as failed:
        await alice.open_channel(pair.id_of(pair.carol), 1_000_000)
    assert failed.value.code == "open_refused"
    assert await alice.balance() == before


async def test_an_opening_that_the_peer_never_answers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent peer does not keep the caller for ever, nor the coins, nor a place in memory."""
    monkeypatch.setattr(channels, "OPEN_WAIT_SECONDS", 0.2)
    alice = pair.alice
    await pair.world.fund(alice)
    silent = await HostilePeer().introduce(alice)
    before, balance = fingerprint(alice), await alice.balance()
    with pytest.raises(CommandRejected, match="did not answer") as failed:
        await alice.open_channel(silent.node_id.hex(), 1_000_000)
    assert failed.value.code == "peer_silent"
    await silent.expect(OpenChannel)
    await silent.answered()
    after = fingerprint(alice)
    assert after["openings"] == {}
    assert (after["positions"], after["node"]) == (before["positions"], before["node"])
    assert await alice.balance() == balance
    await silent.leave()


async def test_a_peer_that_says_no_init(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """`connect` ends, with an error, when the other side is no Lightning node at heart."""
    monkeypatch.setattr(channels, "INIT_WAIT_SECONDS", 0.1)
    silent = await HostilePeer("silent").connect(pair.alice)
    await until(lambda: silent.session(pair.alice))
    with pytest.raises(CommandRejected, match="init") as failed:
        await pair.alice.connect(silent.node_id.hex(), "127.0.0.1", 1)
    assert failed.value.code == "peer_refused"
    await silent.leave()


async def test_closing(pair: Pair) -> None:
    """Bad feerates and addresses close nothing; a channel closes once."""
    alice = pair.alice
    for feerate in (0, -1, 252, 2**32, 2**70):
        await refused(alice, "invalid_feerate", alice.close, pair.channel_id, feerate_per_kw=feerate)
    elsewhere = encode_address(b"\x00\x14" + bytes(20), MAINNET)
    old = encode_address(b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", REGTEST)
    for address, code in (("x", "invalid_address"), (elsewhere, "wrong_network"), (old, "bad_closing_script")):
        await refused(alice, code, alice.close, pair.channel_id, address=address)
    assert (await pay(alice, pair.bob)).status == "succeeded", "it is as alive as before"
    await alice.close(pair.channel_id)
    for force in (False, True):
        await until(lambda: alice.core.manager.channels[bytes.fromhex(pair.channel_id)].state.core.close_agreed)
        await refused(alice, "already_closing", alice.close, pair.channel_id, force=force)


POLICIES: list[dict[str, int]] = [
    {"fee_base_msat": -1},
    {"fee_base_msat": 2**32},
    {"fee_proportional_millionths": -1},
    {"fee_proportional_millionths": 1_000_001},
    {"cltv_expiry_delta": -1},
    {"cltv_expiry_delta": 33},
    {"cltv_expiry_delta": 2017},
    {"cltv_expiry_delta": 2**16},
    {"htlc_minimum_msat": -1},
    {"htlc_minimum_msat": 2**64},
]


async def test_policies(pair: Pair) -> None:
    """What no `channel_update` can hold, or nobody should ask for."""
    for changes in POLICIES:
        await refused(pair.alice, "invalid_policy", pair.alice.set_policy, pair.channel_id, **changes)


async def test_sending_on_chain(pair: Pair) -> None:
    """Amounts, feerates and addresses of the wallet."""
    alice = pair.alice
    await pair.world.fund(alice)
    good = encode_address(b"\x00\x14" + bytes(20), REGTEST)
    assert good is not None
    for amount_sat, code in (
        (0, "amount_not_positive"), (-1, "amount_not_positive"), (1, "amount_below_dust"), (293, "amount_below_dust"),
        (10**9, "insufficient_funds"), (2**64, "amount_too_large"),
    ):  # fmt: skip
        await refused(alice, code, alice.send_onchain, good, amount_sat)
    for feerate in (0, -1, 252, 2**40):
        await refused(alice, "invalid_feerate", alice.send_onchain, good, 10000, feerate)
    for address in ("", "x", good[:-1], good.upper()[:-1] + "q"):
        await refused(alice, "invalid_address", alice.send_onchain, address, 10000)
    elsewhere = encode_address(b"\x00\x14" + bytes(20), MAINNET)
    await refused(alice, "wrong_network", alice.send_onchain, str(elsewhere), 10000)
