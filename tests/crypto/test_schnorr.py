"""BIP 340 and the tweak of BIP 341."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto import ec

VECTORS = Path(__file__).parent.parent / "vectors" / "bips" / "bip-0340" / "test-vectors.csv"
CASES = list(csv.DictReader(VECTORS.read_text().splitlines()))
SECRETS = st.integers(1, ec.CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["index"])
def test_bip_340_vectors(case: dict[str, str]) -> None:
    """Taproot outputs are spent with these signatures, so they must be exactly those of everybody else."""
    xonly, message, signature = (bytes.fromhex(case[name]) for name in ("public key", "message", "signature"))
    assert ec.verify_schnorr(xonly, message, signature) is (case["verification result"] == "TRUE")
    if case["secret key"]:
        secret, aux_rand = bytes.fromhex(case["secret key"]), bytes.fromhex(case["aux_rand"])
        assert ec.sign_schnorr(secret, message, aux_rand) == signature
        assert ec.public_key(secret)[1:] == xonly


@given(SECRETS, st.binary(min_size=32, max_size=32))
def test_tweaked_key_is_the_sum_of_points(secret: bytes, tweak: bytes) -> None:
    """An output key that differs from the sum could not be spent."""
    xonly = ec.public_key(secret)[1:]
    total, parity = ec.xonly_tweak_add(xonly, tweak)
    assert bytes((2 + parity,)) + total == ec.point_add_scalar(b"\x02" + xonly, tweak)


def test_tweak_at_infinity_is_refused() -> None:
    """There is no such key."""
    xonly = ec.public_key((1).to_bytes(32, "big"))[1:]
    with pytest.raises(ValueError, match="infinity"):
        ec.xonly_tweak_add(xonly, (ec.CURVE_ORDER - 1).to_bytes(32, "big"))
    with pytest.raises(ValueError, match="x-only"):
        ec.xonly_tweak_add(b"\xff" * 32, bytes(32))
