"""What a channel may know of the world when it decides: a frozen snapshot that the driver takes."""

from collections.abc import Callable

import msgspec

from leyden.channel.build import PointOf
from leyden.transactions.fees import dust_buffer_feerate_per_kw


class ChannelLimits(msgspec.Struct, frozen=True):
    """What we ask of peers and of ourselves. Defaults follow PROTOCOL (d).

    max_dust_htlc_exposure_msat: trimmed HTLCs on either commitment may sum to this (BOLT 2, "Bounding exposure to
    trimmed ..."). max_queued_htlcs: HTLCs that may wait for room in one channel.
    """

    dust_limit_satoshis: int = 354
    max_htlc_value_in_flight_percent: int = 100
    channel_reserve_percent: int = 1
    channel_reserve_floor_satoshis: int = 1000
    htlc_minimum_msat: int = 1
    to_self_delay: int = 144
    to_self_delay_max: int = 2016
    max_accepted_htlcs: int = 483
    minimum_depth: int = 3
    funding_satoshis_min: int = 20_000
    funding_satoshis_max: int = 10_000_000_000
    peer_dust_limit_satoshis_max: int = 10_000
    peer_htlc_minimum_msat_max: int = 1_000_000
    max_dust_htlc_exposure_msat: int = 50_000_000
    max_queued_htlcs: int = 10_000
    unfunded_channels_per_peer: int = 4


class ChannelEnv(msgspec.Struct, frozen=True):
    """Height of the best block, feerates (sat per 1000 weight units), limits, and what the signer makes public.

    feerate_min_per_kw, feerate_max_per_kw: bounds of a feerate that the peer may set.
    point_of: our per-commitment points. shutdown_script_of: where a channel (channel_keys_id) pays us when it closes.
    anysegwit, large_channel: option_shutdown_anysegwit and option_support_large_channel are negotiated with this peer.
    chain_hash: 32 bytes, the chain that channels are opened on.
    """

    block_height: int
    feerate_per_kw: int
    feerate_min_per_kw: int
    feerate_max_per_kw: int
    closing_feerate_per_kw: int
    limits: ChannelLimits
    point_of: PointOf
    shutdown_script_of: Callable[[bytes], bytes]
    anysegwit: bool = True
    large_channel: bool = True
    chain_hash: bytes = b""

    def buffer_feerate_per_kw(self, feerate_per_kw: int) -> int:
        """Return the feerate at which dust is judged."""
        return dust_buffer_feerate_per_kw(feerate_per_kw)
