"""Limits of `open_channel` and `accept_channel`: what we cannot live with is refused before anything is at stake."""

from typing import Any

import msgspec
import pytest

from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.channel import opening_v1
from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidOpen
from leyden.channel.open_checks import check_accept, check_open
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.messages import AcceptChannel, OpenChannel
from tests.channel.pair import accept_request, open_request, two_parties, wired

ANCHORS = CommitmentFormat.ANCHORS
NO_POINT = b"\x02" + b"\xff" * 32
OP_RETURN = b"\x6a\x06" + b"r" * 6
P2PKH = b"\x76\xa9\x14" + b"h" * 20 + b"\x88\xac"


def messages(**request: Any) -> tuple[OpenChannel, AcceptChannel, ChannelEnv]:
    """`open_channel`, the answer to it, and the environment of whoever receives either."""
    a, b = two_parties()
    sent = opening_v1.start_opening(open_request((a, b), **request), a.signer.channel_basepoints(a.keys_id), a.env).sent
    env = msgspec.structs.replace(b.env, chain_hash=REGTEST.chain_hash)
    zero_conf = request.get("channel_type", ChannelType(ANCHORS)).zeroconf
    accepting = accept_request(b, minimum_depth=0 if zero_conf else 3)
    points = b.signer.channel_basepoints(b.keys_id)
    accepted = opening_v1.accept_opening(a.signer.node_id, wired(sent), accepting, points, env)
    return wired(sent), wired(accepted.sent), env


SHARED: list[tuple[dict[str, Any], str]] = [
    ({"dust_limit_satoshis": 353}, "dust_limit_satoshis is outside 354"),
    ({"dust_limit_satoshis": 10_001, "channel_reserve_satoshis": 20_000}, "dust_limit_satoshis is outside"),
    ({"dust_limit_satoshis": 9_000, "channel_reserve_satoshis": 8_999}, "dust_limit_satoshis is above channel_reserve"),
    ({"max_accepted_htlcs": 484}, "max_accepted_htlcs is outside 1..483"),
    ({"max_accepted_htlcs": 0}, "max_accepted_htlcs is outside 1..483"),
    ({"to_self_delay": 2_017}, "to_self_delay is above 2016"),
    ({"htlc_minimum_msat": 1_000_001}, "htlc_minimum_msat is too large"),
    ({"max_htlc_value_in_flight_msat": 999_999}, "max_htlc_value_in_flight_msat is too small"),
    ({"channel_reserve_satoshis": 2_000_001}, "channel_reserve_satoshis is too large"),
    ({"channel_reserve_satoshis": 353, "dust_limit_satoshis": 353}, "dust_limit_satoshis"),
    ({"upfront_shutdown_script": OP_RETURN}, "upfront_shutdown_script is not allowed"),
    ({"upfront_shutdown_script": P2PKH}, "upfront_shutdown_script is not allowed"),
    ({"channel_type": None}, "channel_type"),
    ({"channel_type": ChannelType(CommitmentFormat.STATIC_REMOTEKEY).encode()[:0]}, "channel_type"),
    *[
        ({name: NO_POINT}, f"{name} is not a point")
        for name in (
            "funding_pubkey",
            "revocation_basepoint",
            "payment_basepoint",
            "delayed_payment_basepoint",
            "htlc_basepoint",
            "first_per_commitment_point",
        )
    ],
]


@pytest.mark.parametrize(("changes", "text"), SHARED, ids=lambda value: str(value)[:40])
def test_limits_that_both_messages_share(changes: dict[str, Any], text: str) -> None:
    """One parameter over a limit fails the open: a channel lives for years with what is agreed here."""
    sent, accepted, env = messages()
    with pytest.raises(InvalidOpen, match=text):
        check_open(msgspec.structs.replace(sent, **changes), env)
    with pytest.raises(InvalidOpen, match=text):
        check_accept(sent, msgspec.structs.replace(accepted, **changes), env)


OPEN: list[tuple[dict[str, Any], str]] = [
    ({"chain_hash": MAINNET.chain_hash}, "chain_hash is not that of our chain"),
    ({"push_msat": 10_000_000_001}, "push_msat is more than the channel holds"),
    ({"push_msat": 10_000_000_000}, "the opener cannot pay the fee of the first commitment"),
    ({"push_msat": 10_000_000_000 - 1_784_000 + 1}, "the opener cannot pay the fee of the first commitment"),
    ({"feerate_per_kw": 252}, "feerate_per_kw is outside"),
    ({"feerate_per_kw": 50_001}, "feerate_per_kw is outside"),
    ({"funding_satoshis": 19_999, "push_msat": 0}, "funding_satoshis is outside"),
    ({"funding_satoshis": 10_000_000_001, "push_msat": 0}, "funding_satoshis is outside"),
    ({"channel_reserve_satoshis": 400, "dust_limit_satoshis": 400}, ""),
    ({"channel_type": b"\x40\x00"}, "channel_type is not one we know"),
    ({"channel_type": b"\x00" + ChannelType(ANCHORS).encode()}, "channel_type is not one we know"),
    (
        {"channel_type": ChannelType(ANCHORS, scid_alias=True).encode(), "channel_flags": 1},
        "scid_alias channels cannot be announced",
    ),
]


@pytest.mark.parametrize(("changes", "text"), OPEN, ids=lambda value: str(value)[:50])
def test_limits_of_open_channel(changes: dict[str, Any], text: str) -> None:
    """What only the opener says is checked too; the one case without a text is the smallest that passes."""
    sent, _accepted, env = messages()
    changed = msgspec.structs.replace(sent, **changes)
    if not text:
        check_open(changed, env)
        return
    with pytest.raises(InvalidOpen, match=text):
        check_open(changed, env)


def test_both_first_balances_at_or_below_the_reserve_fail() -> None:
    """Such a channel could not move a satoshi, and nobody would have anything to lose."""
    sent, _accepted, env = messages()
    # 20,000 sat, 1,784 for fee and anchors, reserve 4,000: 4,000 to each side at most.
    small = {"funding_satoshis": 20_000, "channel_reserve_satoshis": 4_000, "feerate_per_kw": 10_400}
    cost_satoshis = 10_400 * 1_124 // 1_000 + 660
    to_opener = 20_000 - cost_satoshis - 4_000
    assert to_opener <= 4_000
    with pytest.raises(InvalidOpen, match="both initial outputs are at or below"):
        check_open(msgspec.structs.replace(sent, push_msat=4_000_999, **small), env)
    check_open(msgspec.structs.replace(sent, push_msat=4_001_000, **small), env)


def test_the_opener_s_reserve_is_not_below_our_dust_limit() -> None:
    """Else our whole balance could be dust that vanishes from the commitment."""
    sent, _accepted, env = messages()
    env = msgspec.structs.replace(env, limits=msgspec.structs.replace(env.limits, dust_limit_satoshis=600))
    with pytest.raises(InvalidOpen, match="channel_reserve_satoshis is below our dust limit"):
        check_open(msgspec.structs.replace(sent, channel_reserve_satoshis=599), env)
    check_open(msgspec.structs.replace(sent, channel_reserve_satoshis=600), env)


def test_large_channels_need_the_feature() -> None:
    """2^24 sat and more only between nodes that both said they support it."""
    sent, _accepted, env = messages()
    large = msgspec.structs.replace(sent, funding_satoshis=1 << 24)
    check_open(large, env)
    env = msgspec.structs.replace(env, large_channel=False)
    with pytest.raises(InvalidOpen, match="without option_support_large_channel"):
        check_open(large, env)
    check_open(msgspec.structs.replace(sent, funding_satoshis=(1 << 24) - 1), env)


def test_undefined_channel_flags_are_ignored() -> None:
    """They are room for later versions of the protocol."""
    sent, _accepted, env = messages()
    assert check_open(msgspec.structs.replace(sent, channel_flags=0xFE), env) == ChannelType(ANCHORS)


@pytest.mark.parametrize("known", [True, False])
def test_segwit_upfront_scripts_are_allowed_and_later_versions_need_the_feature(known: bool) -> None:
    """A promise of a script that the peer would refuse at closing time would leave only the force-close."""
    sent, accepted, env = messages()
    env = msgspec.structs.replace(env, anysegwit=known)
    for script in (b"\x00\x14" + b"w" * 20, b"\x00\x20" + b"w" * 32):
        check_open(msgspec.structs.replace(sent, upfront_shutdown_script=script), env)
        check_accept(sent, msgspec.structs.replace(accepted, upfront_shutdown_script=script), env)
    taproot = msgspec.structs.replace(sent, upfront_shutdown_script=b"\x51\x20" + b"t" * 32)
    if known:
        check_open(taproot, env)
    else:
        with pytest.raises(InvalidOpen, match="upfront_shutdown_script"):
            check_open(taproot, env)


ACCEPT: list[tuple[dict[str, Any], str]] = [
    ({"channel_type": ChannelType(CommitmentFormat.STATIC_REMOTEKEY).encode()}, "another channel_type"),
    ({"channel_type": ChannelType(ANCHORS, scid_alias=True).encode()}, "another channel_type"),
    ({"minimum_depth": 145}, "minimum_depth is unreasonably large"),
    ({"channel_reserve_satoshis": 500}, "channel_reserve_satoshis is below our dust_limit_satoshis"),
    ({"dust_limit_satoshis": 9_500, "channel_reserve_satoshis": 20_000}, "dust_limit_satoshis is above the reserve"),
]


@pytest.mark.parametrize(("changes", "text"), ACCEPT, ids=lambda value: str(value)[:50])
def test_limits_of_accept_channel(changes: dict[str, Any], text: str) -> None:
    """The answer must fit what was asked, in both directions."""
    sent, accepted, env = messages()
    sent = msgspec.structs.replace(sent, dust_limit_satoshis=600, channel_reserve_satoshis=9_000)
    check_accept(sent, accepted, env)
    with pytest.raises(InvalidOpen, match=text):
        check_accept(sent, msgspec.structs.replace(accepted, **changes), env)


def test_zero_conf_type_means_depth_zero() -> None:
    """An accepter that takes the type and then wants confirmations has not understood it."""
    sent, accepted, env = messages(channel_type=ChannelType(ANCHORS, scid_alias=True, zeroconf=True))
    assert accepted.minimum_depth == 0
    check_accept(sent, accepted, env)
    with pytest.raises(InvalidOpen, match="minimum_depth 0"):
        check_accept(sent, msgspec.structs.replace(accepted, minimum_depth=1), env)
