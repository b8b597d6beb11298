"""The bitmaps of `channel_type`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.wire.channel_type import ChannelType, CommitmentFormat, channel_type_from_bytes
from leyden.wire.features import Feature, FeatureVector

TYPES = {
    "1000": ChannelType(CommitmentFormat.STATIC_REMOTEKEY),
    "401000": ChannelType(CommitmentFormat.ANCHORS),
    "400000001000": ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=True),
    "400000401000": ChannelType(CommitmentFormat.ANCHORS, scid_alias=True),
    "04000000001000": ChannelType(CommitmentFormat.STATIC_REMOTEKEY, zeroconf=True),
    "04000000401000": ChannelType(CommitmentFormat.ANCHORS, zeroconf=True),
    "04400000001000": ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=True, zeroconf=True),
    "04400000401000": ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=True),
}


@pytest.mark.parametrize("raw", TYPES)
def test_a_type_is_an_exact_bitmap(raw: str) -> None:
    """Both sides must build the same commitment transaction from it."""
    assert channel_type_from_bytes(bytes.fromhex(raw)) == TYPES[raw]
    assert TYPES[raw].encode().hex() == raw


@pytest.mark.parametrize("raw", ["", "00", "2000", "400000", "00401000", "801000", "c01000", "010000000000", "401008"])
def test_anything_else_is_no_type(raw: str) -> None:
    """Optional bits, padding and features that are no part of a type: the open is refused."""
    assert channel_type_from_bytes(bytes.fromhex(raw)) is None


@given(st.binary(max_size=12))
def test_any_bytes_are_a_type_or_none(raw: bytes) -> None:
    """The peer chooses them."""
    found = channel_type_from_bytes(raw)
    assert found is None or found.encode() == raw


def test_a_type_needs_all_its_features_at_the_peer() -> None:
    """To propose a type that the peer lacks fails the open; static_remotekey is assumed."""
    anchors = FeatureVector.of(mandatory=(), optional=(Feature.OPTION_ANCHORS,))
    assert ChannelType(CommitmentFormat.ANCHORS).is_supported_by(anchors)
    assert ChannelType(CommitmentFormat.STATIC_REMOTEKEY).is_supported_by(FeatureVector())
    assert not ChannelType(CommitmentFormat.ANCHORS).is_supported_by(FeatureVector())
    assert not ChannelType(CommitmentFormat.ANCHORS, zeroconf=True).is_supported_by(anchors)
