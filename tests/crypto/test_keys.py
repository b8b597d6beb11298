"""BOLT 3 key derivation."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto import keys
from leyden.crypto.ec import CURVE_ORDER, public_key
from leyden.crypto.hashes import sha256

FILE = Path(__file__).parent.parent / "vectors" / "bolt03" / "appendix-e-key-derivation.json"
VECTOR = {name: bytes.fromhex(value) for name, value in json.loads(FILE.read_text()).items()}
SECRETS = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


def test_appendix_e() -> None:
    """All four derivations and the hashes inside: a key off by one bit loses the output."""
    base, commitment = VECTOR["base_point"], VECTOR["per_commitment_point"]
    assert public_key(VECTOR["base_secret"]) == base
    assert public_key(VECTOR["per_commitment_secret"]) == commitment
    assert sha256(commitment + base) == VECTOR["sha256_per_commitment_point_then_basepoint"]
    assert sha256(base + commitment) == VECTOR["sha256_basepoint_then_per_commitment_point"]
    assert keys.derive_public_key(base, commitment) == VECTOR["localpubkey"]
    assert keys.derive_secret_key(VECTOR["base_secret"], commitment) == VECTOR["localprivkey"]
    assert keys.revocation_public_key(base, commitment) == VECTOR["revocationpubkey"]
    secret = keys.revocation_secret_key(VECTOR["base_secret"], VECTOR["per_commitment_secret"])
    assert secret == VECTOR["revocationprivkey"]


@given(SECRETS, SECRETS)
def test_secrets_fit_their_public_keys(base: bytes, commitment: bytes) -> None:
    """We give out points and must be able to sign for them later."""
    point = public_key(commitment)
    assert public_key(keys.derive_secret_key(base, point)) == keys.derive_public_key(public_key(base), point)
    assert public_key(keys.revocation_secret_key(base, commitment)) == keys.revocation_public_key(
        public_key(base), point
    )
