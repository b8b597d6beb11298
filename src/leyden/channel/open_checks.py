"""What a peer may ask for when a channel opens: every limit of BOLT 2, "Channel Establishment v1", in one place."""

from leyden.channel.env import ChannelEnv
from leyden.channel.errors import InvalidOpen
from leyden.channel.limits import MAX_HTLCS_PER_SIDE
from leyden.channel.shutdown import is_shutdown_script
from leyden.crypto import ec
from leyden.transactions import fees
from leyden.wire.channel_type import ChannelType, CommitmentFormat, channel_type_from_bytes
from leyden.wire.messages import AcceptChannel, OpenChannel

FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX = (1 << 24) - 1

_POINTS = (
    "funding_pubkey",
    "revocation_basepoint",
    "payment_basepoint",
    "delayed_payment_basepoint",
    "htlc_basepoint",
    "first_per_commitment_point",
)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InvalidOpen(what)


def check_open(msg: OpenChannel, env: ChannelEnv) -> ChannelType:
    """Check `open_channel` and return its channel type.

    Raises: InvalidOpen.
    Spec:   BOLT 2, "The `open_channel` Message".
    """
    _require(msg.channel_type is not None, "channel_type is missing")
    channel_type = channel_type_from_bytes(msg.channel_type or b"")
    if channel_type is None:
        raise InvalidOpen("channel_type is not one we know")
    if channel_type.scid_alias:
        _require(not msg.channel_flags & 1, "scid_alias channels cannot be announced")
    _require(env.chain_hash in (b"", msg.chain_hash), "chain_hash is not that of our chain")
    _require(
        env.large_channel or msg.funding_satoshis <= FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX,
        f"funding_satoshis is above {FUNDING_SATOSHIS_WITHOUT_LARGE_CHANNEL_MAX} without option_support_large_channel",
    )
    limits = env.limits
    _require(
        limits.funding_satoshis_min <= msg.funding_satoshis <= limits.funding_satoshis_max,
        f"funding_satoshis is outside {limits.funding_satoshis_min}..{limits.funding_satoshis_max}",
    )
    _require(msg.push_msat <= msg.funding_satoshis * 1000, "push_msat is more than the channel holds")
    _require(
        env.feerate_min_per_kw <= msg.feerate_per_kw <= env.feerate_max_per_kw,
        f"feerate_per_kw is outside {env.feerate_min_per_kw}..{env.feerate_max_per_kw}",
    )
    _check_side(msg, env)
    _check_funding(msg, channel_type, env)
    return channel_type


def _check_funding(msg: OpenChannel, channel_type: ChannelType, env: ChannelEnv) -> None:
    anchors = channel_type.commitment_format is CommitmentFormat.ANCHORS
    cost_satoshis = fees.commitment_cost_sat(msg.feerate_per_kw, 0, anchors)
    opener_msat = msg.funding_satoshis * 1000 - msg.push_msat
    _require(opener_msat >= cost_satoshis * 1000, "the opener cannot pay the fee of the first commitment")
    after_fee_satoshis = opener_msat // 1000 - cost_satoshis
    _require(
        after_fee_satoshis > msg.channel_reserve_satoshis or msg.push_msat // 1000 > msg.channel_reserve_satoshis,
        "both initial outputs are at or below channel_reserve_satoshis",
    )
    _require(msg.channel_reserve_satoshis <= msg.funding_satoshis // 5, "channel_reserve_satoshis is too large")
    _require(
        msg.channel_reserve_satoshis >= env.limits.dust_limit_satoshis,
        "channel_reserve_satoshis is below our dust limit",
    )


def _check_side(msg: OpenChannel | AcceptChannel, env: ChannelEnv) -> None:
    """What both messages have in common."""
    limits = env.limits
    for name in _POINTS:
        _require(ec.is_valid_point(getattr(msg, name)), f"{name} is not a point")
    _require(msg.to_self_delay <= limits.to_self_delay_max, f"to_self_delay is above {limits.to_self_delay_max} blocks")
    _require(1 <= msg.max_accepted_htlcs <= MAX_HTLCS_PER_SIDE, "max_accepted_htlcs is outside 1..483")
    _require(
        fees.MIN_DUST_LIMIT_SAT <= msg.dust_limit_satoshis <= limits.peer_dust_limit_satoshis_max,
        f"dust_limit_satoshis is outside {fees.MIN_DUST_LIMIT_SAT}..{limits.peer_dust_limit_satoshis_max}",
    )
    _require(msg.htlc_minimum_msat <= limits.peer_htlc_minimum_msat_max, "htlc_minimum_msat is too large")
    _require(
        msg.max_htlc_value_in_flight_msat >= 1_000_000, "max_htlc_value_in_flight_msat is too small to pay anything"
    )
    _require(
        msg.dust_limit_satoshis <= msg.channel_reserve_satoshis,
        "dust_limit_satoshis is above channel_reserve_satoshis",
    )
    if msg.upfront_shutdown_script:
        _require(
            is_shutdown_script(msg.upfront_shutdown_script, anysegwit=env.anysegwit),
            "upfront_shutdown_script is not allowed",
        )


def check_accept(sent: OpenChannel, msg: AcceptChannel, env: ChannelEnv) -> None:
    """Check `accept_channel` against what we asked for.

    Raises: InvalidOpen.
    Spec:   BOLT 2, "The `accept_channel` Message".
    """
    _require(msg.channel_type == sent.channel_type, "accept_channel has another channel_type than open_channel")
    asked = channel_type_from_bytes(sent.channel_type or b"")
    assert asked is not None, "we open with types we know"
    if asked.zeroconf:
        _require(msg.minimum_depth == 0, "a zero-conf channel has minimum_depth 0")
    _require(msg.minimum_depth <= 144, "minimum_depth is unreasonably large")
    _check_side(msg, env)
    _require(
        msg.channel_reserve_satoshis >= sent.dust_limit_satoshis,
        "channel_reserve_satoshis is below our dust_limit_satoshis",
    )
    _require(
        sent.channel_reserve_satoshis >= msg.dust_limit_satoshis,
        "dust_limit_satoshis is above the reserve we asked for",
    )
    _require(msg.channel_reserve_satoshis <= sent.funding_satoshis // 5, "channel_reserve_satoshis is too large")
