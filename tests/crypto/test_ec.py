"""secp256k1 through the seam: right answers on good input, and no crash on any bytes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec as reference
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from leyden.crypto import ec
from leyden.crypto.hashes import sha256

GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
ONE = (1).to_bytes(32, "big")
TWO = (2).to_bytes(32, "big")
MINUS_ONE = (ec.CURVE_ORDER - 1).to_bytes(32, "big")
SECRETS = st.integers(1, ec.CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
DIGESTS = st.binary(min_size=32, max_size=32)


def high_s(signature: bytes) -> bytes:
    """The other signature that plain ECDSA would accept."""
    return signature[:32] + (ec.CURVE_ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


@given(SECRETS, SECRETS)
def test_scalars_and_points_agree(s: bytes, t: bytes) -> None:
    """Every derived key rests on these identities between secrets and points."""
    point = ec.public_key(s)
    assert ec.public_key(ec.secret_mul(s, t)) == ec.point_mul(point, t)
    assert ec.point_negate(point) == ec.public_key(ec.secret_negate(s))
    if s != ec.secret_negate(t):
        total = ec.public_key(ec.secret_add(s, t))
        assert total == ec.point_add_scalar(point, t) == ec.point_add(point, ec.public_key(t))
    assert ec.ecdh(s, ec.public_key(t)) == ec.ecdh(t, point) == sha256(ec.point_mul(point, t))


def test_generator_and_infinity() -> None:
    """Sums at infinity have no encoding and must be refused, not returned as zeros."""
    assert ec.public_key(ONE) == GENERATOR
    assert ec.point_add(GENERATOR, GENERATOR, GENERATOR) == ec.public_key((3).to_bytes(32, "big"))
    for impossible in (
        lambda: ec.point_add(GENERATOR, ec.public_key(MINUS_ONE)),
        lambda: ec.point_add_scalar(GENERATOR, MINUS_ONE),
        lambda: ec.secret_add(ONE, MINUS_ONE),
        lambda: ec.point_mul(GENERATOR, bytes(32)),
        lambda: ec.secret_mul(ONE, bytes(32)),
        lambda: ec.point_add(),
    ):
        with pytest.raises(ValueError, match=r"infinity|invalid|no point"):
            impossible()


@given(SECRETS, DIGESTS)
def test_signatures_verify_here_and_elsewhere(secret: bytes, digest: bytes) -> None:
    """A signature that only we accept would close channels."""
    point = ec.public_key(secret)
    theirs = reference.EllipticCurvePublicKey.from_encoded_point(reference.SECP256K1(), point)
    low_r = ec.sign_ecdsa_low_r(secret, digest)
    assert low_r[0] < 0x80
    for signature in (ec.sign_ecdsa(secret, digest), low_r):
        assert ec.verify_ecdsa(point, digest, signature)
        assert not ec.verify_ecdsa(point, digest, high_s(signature))
        der = ec.signature_to_der(signature)
        assert ec.signature_from_der(der) == signature
        theirs.verify(der, digest, reference.ECDSA(Prehashed(SHA256())))
    with pytest.raises(InvalidSignature):
        theirs.verify(ec.signature_to_der(low_r), sha256(digest), reference.ECDSA(Prehashed(SHA256())))


def test_rfc6979_signature_is_the_known_one() -> None:
    """Deterministic nonces make recorded transactions reproducible (the value is Bitcoin's, for key 1)."""
    digest = sha256(b"Satoshi Nakamoto")
    assert ec.sign_ecdsa(ONE, digest).hex() == (
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
        "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    )


@given(SECRETS, st.lists(DIGESTS, max_size=6), st.integers(0, 5))
def test_many_signatures_are_those_of_single_calls(secret: bytes, digests: list[bytes], bad: int) -> None:
    """The loops of commitment_signed must name exactly the first bad HTLC signature."""
    point = ec.public_key(secret)
    signatures = ec.sign_ecdsa_many(secret, digests)
    assert signatures == [ec.sign_ecdsa(secret, digest) for digest in digests]
    assert ec.verify_ecdsa_many(point, digests, signatures) is None
    if bad < len(digests):
        signatures[bad:] = [high_s(signature) for signature in signatures[bad:]]
        assert ec.verify_ecdsa_many(point, digests, signatures) == bad
        assert ec.verify_ecdsa_many(point, digests, [*signatures[:bad], b"", *signatures[bad + 1 :]]) == bad
        assert ec.verify_ecdsa_many(bytes(33), digests, signatures) == 0


def test_two_threads_do_not_disturb_each_other() -> None:
    """The library runs without the interpreter lock: a shared buffer would mix signatures up."""
    digests = [sha256(bytes((number,))) for number in range(100)]
    secrets = [sha256(bytes((number, number))) for number in range(8)]
    expected = [[ec.sign_ecdsa(secret, digest) for digest in digests] for secret in secrets]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda secret: ec.sign_ecdsa_many(secret, digests), secrets)) == expected
        checks = pool.map(
            lambda both: ec.verify_ecdsa_many(ec.public_key(both[0]), digests, both[1]),
            zip(secrets, expected, strict=True),
        )
        assert list(checks) == [None] * 8


@given(SECRETS, DIGESTS)
def test_recovery_finds_the_signer(secret: bytes, digest: bytes) -> None:
    """BOLT 11 invoices name their payee only by a recoverable signature."""
    signature = ec.sign_recoverable(secret, digest)
    assert signature[:64] == ec.sign_ecdsa(secret, digest)
    assert ec.recover(signature, digest) == ec.public_key(secret)
    assert ec.recover(high_s(signature[:64]) + bytes((signature[64] ^ 1,)), digest) == ec.public_key(secret)
    assert ec.recover(signature[:64] + b"\x04", digest) is None


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=70))
def test_checks_never_raise(a: bytes, b: bytes, c: bytes) -> None:
    """Peers choose these bytes; the library reads fixed lengths without looking."""
    assert ec.verify_ecdsa(a, b, c) in (True, False)
    assert ec.verify_schnorr(a, b, c) in (True, False)
    assert ec.verify_ecdsa_many(a, [b], [c]) in (None, 0)
    assert ec.is_valid_secret(a) in (True, False)
    assert ec.is_valid_point(a) in (True, False)
    ec.recover(a, b)


@given(DIGESTS, st.binary(min_size=64, max_size=64), st.integers(0, 255))
def test_recovery_never_raises(digest: bytes, signature: bytes, recovery_id: int) -> None:
    """Any 65 bytes can stand in an invoice."""
    ec.recover(signature + bytes((recovery_id,)), digest)


@pytest.mark.parametrize("secret", [b"", bytes(32), ONE + b"\x00", ec.CURVE_ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_invalid_secrets_are_refused(secret: bytes) -> None:
    """A zero key would sign for anybody."""
    assert not ec.is_valid_secret(secret)
    for refused in (
        lambda: ec.public_key(secret),
        lambda: ec.sign_ecdsa(secret, bytes(32)),
        lambda: ec.sign_ecdsa_many(secret, [bytes(32)]),
        lambda: ec.sign_recoverable(secret, bytes(32)),
        lambda: ec.sign_schnorr(secret, bytes(32), bytes(32)),
        lambda: ec.ecdh(secret, GENERATOR),
        lambda: ec.secret_negate(secret),
        lambda: ec.secret_add(secret, ONE),
    ):
        with pytest.raises(ValueError, match=r"secret"):
            refused()


@pytest.mark.parametrize(
    "point", [b"", bytes(33), b"\x04" + GENERATOR[1:], GENERATOR[1:], GENERATOR + b"\x00", b"\x02" + b"\xff" * 32]
)
def test_invalid_points_are_refused(point: bytes) -> None:
    """An uncompressed or invalid point must not slip into a script."""
    assert not ec.is_valid_point(point)
    for refused in (
        lambda: ec.ecdh(ONE, point),
        lambda: ec.point_add(GENERATOR, point),
        lambda: ec.point_mul(point, ONE),
        lambda: ec.point_add_scalar(point, ONE),
        lambda: ec.point_negate(point),
    ):
        with pytest.raises(ValueError, match=r"point"):
            refused()


def test_wrong_lengths_are_refused() -> None:
    """The library would read past the end of a short argument."""
    for refused in (
        lambda: ec.sign_ecdsa(ONE, bytes(31)),
        lambda: ec.sign_ecdsa_many(ONE, [bytes(33)]),
        lambda: ec.sign_recoverable(ONE, bytes(31)),
        lambda: ec.sign_schnorr(ONE, b"", bytes(31)),
        lambda: ec.point_mul(GENERATOR, bytes(31)),
        lambda: ec.point_add_scalar(GENERATOR, bytes(31)),
        lambda: ec.secret_add(ONE, TWO[1:]),
        lambda: ec.xonly_tweak_add(GENERATOR[1:], bytes(31)),
        lambda: ec.signature_to_der(bytes(63)),
    ):
        with pytest.raises(ValueError, match=r"must have|bytes"):
            refused()
    with pytest.raises(ValueError, match="one signature per digest"):
        ec.verify_ecdsa_many(GENERATOR, [bytes(32)], [])


@given(st.binary(max_size=80))
def test_der_is_strict(der: bytes) -> None:
    """Witnesses carry DER; what is read must be written back the same."""
    try:
        signature = ec.signature_from_der(der)
    except ValueError:
        return
    assert ec.signature_from_der(ec.signature_to_der(signature)) == signature


def test_overflowing_signature_has_no_der_form() -> None:
    """R and S above the order are no numbers of this curve."""
    with pytest.raises(ValueError, match="order"):
        ec.signature_to_der(b"\xff" * 64)
