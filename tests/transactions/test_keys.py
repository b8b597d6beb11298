"""Keys of a commitment against the figures of BOLT 3, Appendix C."""

import pytest

from leyden.crypto.ec import public_key
from leyden.crypto.keys import derive_secret_key
from leyden.transactions.keys import derive_commitment_keys
from tests.transactions.bolt03_vectors import (
    KEYS,
    LOCAL,
    LOCAL_HTLC_SECRET,
    PARAMS,
    PER_COMMITMENT_POINT,
    REMOTE,
    REMOTE_HTLC_SECRET,
    secret,
)


def test_every_key_of_the_commitment_equals_appendix_c() -> None:
    """A key derived from the wrong basepoint still looks like a key."""
    printed = {
        "local_per_commitment_point": KEYS.per_commitment_point,
        "local_revocation_pubkey": KEYS.revocation_public_key,
        "local_delayedpubkey": KEYS.broadcaster_delayed_public_key,
        "local_htlcpubkey": KEYS.broadcaster_htlc_public_key,
        "remote_htlcpubkey": KEYS.countersignatory_htlc_public_key,
        "remote_payment_basepoint": KEYS.countersignatory_payment_point,
        "local_funding_pubkey": KEYS.broadcaster_funding_public_key,
        "remote_funding_pubkey": KEYS.countersignatory_funding_public_key,
        "remote_revocation_basepoint": REMOTE.revocation_basepoint,
        "local_delayed_payment_basepoint": LOCAL.delayed_payment_basepoint,
        "local_payment_basepoint": LOCAL.payment_basepoint,
        "local_htlc_basepoint": LOCAL.htlc_basepoint,
        "remote_htlc_basepoint": REMOTE.htlc_basepoint,
    }
    assert {name: key.hex() for name, key in printed.items()} == {name: PARAMS[name] for name in printed}


def test_secrets_of_the_vectors_belong_to_these_keys() -> None:
    """The signer derives the secret, the transaction carries the key."""
    assert secret("local_privkey") == LOCAL_HTLC_SECRET
    assert secret("remote_privkey") == REMOTE_HTLC_SECRET
    delayed = derive_secret_key(secret("local_delayed_payment_basepoint_secret"), PER_COMMITMENT_POINT)
    assert delayed == secret("local_delayed_privkey")
    assert public_key(delayed) == KEYS.broadcaster_delayed_public_key


def test_keys_change_sides_with_the_broadcaster() -> None:
    """The peer's commitment is built from the same values the other way round."""
    other = derive_commitment_keys(REMOTE, LOCAL, PER_COMMITMENT_POINT)
    assert other.broadcaster_htlc_public_key == KEYS.countersignatory_htlc_public_key
    assert other.countersignatory_payment_point == LOCAL.payment_basepoint
    assert other.revocation_public_key != KEYS.revocation_public_key


def test_invalid_point_is_refused() -> None:
    """A point that came through unchecked must not become a script nobody can spend."""
    with pytest.raises(ValueError, match=r"."):
        derive_commitment_keys(LOCAL, REMOTE, b"\x02" + b"\xff" * 32)
