"""Channels and peers as users ask for them: checked here, carried out by the manager, durable when told."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from leyden.base.errors import CommandRejected
from leyden.node import channels
from leyden.node.views import ChannelRequest
from leyden.wallet.wallet import Wallet
from tests.node.pair import Pair, event_of, pair

NOBODY = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


def request(**changes: object) -> ChannelRequest:
    """A channel with a node that nobody is."""
    return ChannelRequest(**({"node_id": NOBODY, "amount_sat": 100_000} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "02", "zz" * 33, "05" + NOBODY[2:], "02" + "ff" * 32])
def test_what_is_no_public_key_is_no_node(text: str) -> None:
    """A wrong letter must not become a channel with nobody."""
    with pytest.raises(CommandRejected) as refused:
        channels.parse_node_id(text)
    assert refused.value.code == "invalid_node_id"
    assert channels.parse_node_id(NOBODY) == bytes.fromhex(NOBODY)


async def test_peers_and_channels_from_connecting_to_closing(tmp_path: Path) -> None:
    """One life of a channel, as a user drives it."""
    async with pair(tmp_path) as both:
        await both.fund()
        await _peers(both)
        await _openings(both)
        opening = await both.open(1_000_000, push_msat=300_000_000)
        await _policy(both, opening.channel_id)
        await _close(both, opening.channel_id)


async def _peers(both: Pair) -> None:
    core, bob = both.alice.core, both.bob.core
    own = core.manager.node_id.hex()
    for node_id, host, port, code in (
        (own, "127.0.0.1", 1, "invalid_node_id"),
        (NOBODY, "", 9735, "invalid_address"),
        (NOBODY, "127.0.0.1", 65_536, "invalid_address"),
    ):
        with pytest.raises(CommandRejected) as refused:
            await channels.connect(core, node_id, host, port)
        assert refused.value.code == code
    assert (await channels.trust(core, bob.manager.node_id.hex(), trusted=True)).is_trusted
    node_id = await both.connect()
    known = core.manager.node.peers[bytes.fromhex(node_id)]
    assert known.address == bob.listening[0]
    assert known.trusted, "connecting takes no trust away"
    peer = await channels.trust(core, node_id, trusted=True)
    assert (peer.is_trusted, peer.address) == (True, known.address), "its address stays"
    host, _, listens = bob.listening[0].rpartition(":")
    again = await channels.connect(core, node_id, host, int(listens))
    assert again.is_trusted
    assert not (await channels.trust(core, node_id, trusted=False)).is_trusted


async def _openings(both: Pair) -> None:
    core = both.alice.core
    for wanted, code in (
        ([request(announce=True, scid_alias=True)], "invalid_channel_type"),
        ([request(announce=True, zero_conf=True)], "invalid_channel_type"),
        ([request(close_to="nowhere")], "invalid_address"),
        ([request(amount_sat=1_000_000_000_000)], "insufficient_funds"),
        ([request()], "not_connected"),
    ):
        with pytest.raises(CommandRejected) as refused:
            await channels.open_channels(core, wanted, None)
        assert refused.value.code == code
    assert not core.opening_waiters
    assert core.wallet.balance().locked_sat == 0


async def _policy(both: Pair, channel_id: str) -> None:
    core = both.alice.core
    changes: tuple[dict[str, int], ...] = (
        {"fee_base_msat": -1},
        {"fee_proportional_millionths": 1_000_001},
        {"cltv_expiry_delta": 1},
        {"htlc_minimum_msat": -1},
    )
    for change in changes:
        with pytest.raises(CommandRejected) as refused:
            await both.alice.set_policy(channel_id, **change)  # type: ignore[arg-type]
        assert refused.value.code == "invalid_policy"
    before = await channels.set_policy(core, channel_id, 7, 8, 90, 10, None)
    after = await channels.set_policy(core, channel_id, None, 9, None, None, True)
    assert (before.fee_base_msat, before.fee_proportional_millionths, before.is_disabled) == (7, 8, False)
    assert (after.fee_base_msat, after.fee_proportional_millionths, after.is_disabled) == (7, 9, True)
    assert (after.cltv_expiry_delta, after.htlc_minimum_msat) == (90, 10)


async def _close(both: Pair, channel_id: str) -> None:
    core, slot = both.alice.core, channels.find_channel(both.alice.core, channel_id)
    with pytest.raises(CommandRejected) as refused:
        channels.find_channel(core, "00" * 32)
    assert refused.value.code == "unknown_channel"

    async def close(*, force: bool = False, address: str | None = None) -> str:
        view = await channels.close(
            core, channel_id, force=force, without_peer=False, address=address, feerate_per_kw=None
        )
        return view.state

    with pytest.raises(CommandRejected):
        await close(address="nowhere")
    assert await close() in ("shutting_down", "negotiating", "mutual_close")
    assert cast(Wallet, core.wallet).is_own_script(slot.state.core.local_shutdown_script)
    with pytest.raises(CommandRejected) as refused:
        await close()
    assert refused.value.code == "already_closing"
    async with asyncio.timeout(20):
        for node in (both.alice, both.bob):
            while (await node.channels())[0].state != "mutual_close":  # noqa: ASYNC110 - no event says it
                await asyncio.sleep(0)
        both.chain.mine(6, bytes(22))
        for node in (both.alice, both.bob):
            await event_of(node, "channel_closed")
    with pytest.raises(CommandRejected) as refused:
        await close(force=True)
    assert refused.value.code == "already_closing"
