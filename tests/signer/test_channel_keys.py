"""Secrets of one channel and the caches in front of them."""

import pytest

from leyden.bitcoin.networks import REGTEST
from leyden.crypto.ec import public_key
from leyden.crypto.keys import derive_public_key
from leyden.crypto.shachain import FIRST_INDEX, Shachain
from leyden.signer.channel_keys import ChannelKeys
from leyden.signer.derivation import SeedDerivation


def channel() -> ChannelKeys:
    """Return the keys of one channel."""
    return SeedDerivation(b"\x01" * 32, REGTEST).channel_keys(b"\x0a" * 32)


def test_secrets_count_up_outside_and_down_inside() -> None:
    """The peer stores them in a shachain, which takes them in one order only."""
    keys, store = channel(), Shachain()
    for number in range(40):
        secret = keys.per_commitment_secret(number)
        assert public_key(secret) == keys.per_commitment_point(number)
        store = store.insert(FIRST_INDEX - number, secret)
    assert store.get(FIRST_INDEX - 7) == channel().per_commitment_secret(7)


def test_caches_forget_without_changing_an_answer() -> None:
    """Old points are asked for again after a reconnection."""
    keys = channel()
    points = [keys.per_commitment_point(number) for number in range(30)]
    assert [keys.per_commitment_point(number) for number in reversed(range(30))] == points[::-1]
    secrets = [keys.htlc_secret(point) for point in points]
    assert [keys.htlc_secret(point) for point in points] == secrets
    basepoint = keys.basepoints.htlc_basepoint
    assert [public_key(s) for s in secrets] == [derive_public_key(basepoint, point) for point in points]


def test_number_beyond_48_bits_is_refused() -> None:
    """The shachain has no such index; a wrapped one would repeat a secret."""
    for number in (-1, 1 << 48):
        with pytest.raises(ValueError, match="48 bits"):
            channel().per_commitment_point(number)
