"""Payment secrets that carry their own terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto.hashes import sha256
from leyden.signer.inbound import InboundKeys, OpenedPayment

KEYS = InboundKeys(b"\x11" * 32)
METADATA = st.binary(min_size=15, max_size=15)
NONCES = st.binary(min_size=16, max_size=16)
HASHES = st.binary(min_size=32, max_size=32)


@given(NONCES, METADATA)
def test_own_payment_opens_to_its_metadata_and_preimage(nonce: bytes, metadata: bytes) -> None:
    """Nothing was stored, so the secret must bring back everything."""
    payment = KEYS.new_payment(nonce, metadata)
    opened = KEYS.open(payment.payment_hash, payment.payment_secret)
    assert opened is not None
    assert opened.metadata == metadata
    assert opened.preimage is not None
    assert sha256(opened.preimage) == payment.payment_hash


@given(HASHES, METADATA)
def test_foreign_hash_opens_to_its_metadata_without_preimage(payment_hash: bytes, metadata: bytes) -> None:
    """The application brings the preimage; the secret still proves that the invoice is ours."""
    secret = KEYS.secret_for(payment_hash, metadata)
    assert KEYS.open(payment_hash, secret) == OpenedPayment(metadata, None)


@given(NONCES, METADATA, st.integers(0, 255), HASHES)
def test_any_changed_bit_and_any_other_hash_or_key_is_not_ours(
    nonce: bytes, metadata: bytes, bit: int, other_hash: bytes
) -> None:
    """Whoever pays less, later, or probes with a guessed secret must learn nothing."""
    payment = KEYS.new_payment(nonce, metadata)
    foreign = KEYS.secret_for(other_hash, metadata)
    for payment_hash, secret in ((payment.payment_hash, payment.payment_secret), (other_hash, foreign)):
        changed = (int.from_bytes(secret, "big") ^ (1 << bit)).to_bytes(32, "big")
        assert KEYS.open(payment_hash, changed) is None
        assert KEYS.open(sha256(payment_hash), secret) is None
        assert InboundKeys(b"\x12" * 32).open(payment_hash, secret) is None


def test_wrong_lengths_are_refused_when_made_and_unknown_when_opened() -> None:
    """What arrives comes from a payer, what is made comes from our caller."""
    for nonce, metadata in ((bytes(15), bytes(15)), (bytes(16), bytes(16))):
        with pytest.raises(ValueError, match="nonce of 16"):
            KEYS.new_payment(nonce, metadata)
    for payment_hash, metadata in ((bytes(31), bytes(15)), (bytes(32), bytes(14))):
        with pytest.raises(ValueError, match="hash of 32"):
            KEYS.secret_for(payment_hash, metadata)
    assert KEYS.open(bytes(32), bytes(31)) is None
    assert KEYS.open(bytes(33), bytes(32)) is None


def test_payment_secrets_never_change() -> None:
    """Printed invoices must stay payable: the figures are those of version 0.1.0."""
    payment = KEYS.new_payment(bytes(16), bytes(15))
    assert payment.payment_hash.hex() == "111d2ff047412cde4203e21a1839a98487ef8a179a614cc7d71b5f3d53bd1294"
    assert payment.payment_secret.hex() == "00000000000000000000000000000000f0bbe9533219b2f0f1b25e76074613cc"
    assert (
        KEYS.secret_for(bytes(32), bytes(15)).hex()
        == "fa8cbfbb8ee61bf439e2b5b33af4abfa5449da312744e62e5241d889a4377ed9"
    )


def test_repr_hides_keys_and_preimage() -> None:
    """A preimage in a log pays whoever reads it."""
    payment = KEYS.new_payment(bytes(16), bytes(15))
    opened = KEYS.open(payment.payment_hash, payment.payment_secret)
    assert opened is not None
    assert opened.preimage is not None
    assert opened.preimage.hex() not in repr(opened)
    assert repr(opened.preimage) not in repr(opened)
    assert repr(KEYS) == "InboundKeys()"
