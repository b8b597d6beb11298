"""What a channel may know of the world."""

from leyden.channel.env import ChannelLimits
from leyden.transactions.fees import MIN_DUST_LIMIT_SAT
from tests.channel.pair import two_parties


def test_dust_is_judged_at_a_higher_feerate() -> None:
    """A quarter more, at least 2,530 (10 sat/vB): the feerate may rise before anything can be done."""
    env = two_parties()[0].env
    assert env.buffer_feerate_per_kw(1_000) == 3_530
    assert env.buffer_feerate_per_kw(20_000) == 25_000


def test_the_defaults_are_within_what_the_protocol_allows() -> None:
    """A default that peers refuse would open no channel."""
    limits = ChannelLimits()
    assert limits.dust_limit_satoshis >= MIN_DUST_LIMIT_SAT
    assert 1 <= limits.max_accepted_htlcs <= 483
    assert limits.channel_reserve_floor_satoshis >= limits.dust_limit_satoshis
    assert limits.to_self_delay <= limits.to_self_delay_max
