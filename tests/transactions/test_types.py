"""Values of the transactions package."""

import msgspec
import pytest

from leyden.crypto.hashes import ripemd160
from leyden.transactions.types import make_commitment_htlc


def test_maker_of_an_htlc_fills_in_the_hash_of_the_script() -> None:
    """The scripts carry RIPEMD-160 of the payment hash; a wrong one would send money to nobody."""
    htlc = make_commitment_htlc(3, True, 5_000_000, b"\x11" * 32, 700)
    assert htlc.payment_hash160 == ripemd160(b"\x11" * 32)
    assert (htlc.htlc_id, htlc.offered, htlc.amount_msat, htlc.cltv_expiry) == (3, True, 5_000_000, 700)


def test_values_survive_the_journal_encoding_and_cannot_change() -> None:
    """They stand in records and are shared between states."""
    htlc = make_commitment_htlc(3, False, 5_000_000, b"\x11" * 32, 700)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(htlc), type=type(htlc)) == htlc
    with pytest.raises(AttributeError):
        htlc.amount_msat = 0  # type: ignore[misc]
