"""Blobs at rest."""

import pytest

from leyden.base.errors import StorageBroken
from leyden.drivers.storage.sealed import HEADER_SIZE, open_sealed, seal

BODY = bytes(range(256)) * 50


def test_body_comes_back() -> None:
    """Also an empty one and one longer than a checksum slice."""
    for body in (b"", b"x", BODY):
        assert open_sealed(b"here", bytes(seal(b"here", body)), "blob") == body


def test_every_flipped_bit_is_noticed() -> None:
    """A bit that rots must not become a record."""
    blob = bytes(seal(b"here", BODY[:40]))
    for bit in range(len(blob) * 8):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StorageBroken, match="the blob"):
            open_sealed(b"here", bytes(damaged), "the blob")


def test_every_truncation_and_another_place_are_noticed() -> None:
    """A blob cut short or in another's row is not what its row says."""
    blob = bytes(seal(b"here", BODY[:40]))
    for size in range(len(blob)):
        with pytest.raises(StorageBroken):
            open_sealed(b"here", blob[:size], "the blob")
    with pytest.raises(StorageBroken, match="checksum"):
        open_sealed(b"there", blob, "the blob")
    assert len(blob) == HEADER_SIZE + 40
