"""secp256k1: points, scalars, ECDH and ECDSA; Schnorr signatures come from `schnorr` and are re-exported.

Secrets are 32 bytes big-endian, points 33 bytes compressed, ECDSA signatures 64 bytes compact with a low S. Invalid
arguments raise ValueError (callers check what comes from outside first); `verify_*`, `is_valid_*` and `recover` never
raise on bytes. Nothing verifies its own signatures, and low R is made only where it is asked for: BOLT 2 wants low S.
"""

from collections.abc import Sequence
from typing import Any, Final

from leyden.crypto.binding import (
    BYTES_32,
    BYTES_64,
    BYTES_72,
    INT,
    NULL,
    PUBKEY,
    PUBKEY_ARRAY,
    RECOVERABLE,
    SIGNATURE,
    SIZE,
    context,
    ffi,
    lib,
    new,
    parsed_point,
    require_length,
    serialized_point,
)
from leyden.crypto.schnorr import sign_schnorr, verify_schnorr, xonly_tweak_add

__all__ = [
    "CURVE_ORDER",
    "ecdh",
    "is_valid_point",
    "is_valid_secret",
    "point_add",
    "point_add_scalar",
    "point_mul",
    "point_negate",
    "public_key",
    "recover",
    "secret_add",
    "secret_mul",
    "secret_negate",
    "sign_ecdsa",
    "sign_ecdsa_low_r",
    "sign_ecdsa_many",
    "sign_recoverable",
    "sign_schnorr",
    "signature_from_der",
    "signature_to_der",
    "verify_ecdsa",
    "verify_ecdsa_many",
    "verify_schnorr",
    "xonly_tweak_add",
]

CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_buffer: Final[Any] = ffi.buffer
_ecdh: Final[Any] = lib.secp256k1_ecdh
_pubkey_create: Final[Any] = lib.secp256k1_ec_pubkey_create
_pubkey_combine: Final[Any] = lib.secp256k1_ec_pubkey_combine
_pubkey_negate: Final[Any] = lib.secp256k1_ec_pubkey_negate
_pubkey_tweak_add: Final[Any] = lib.secp256k1_ec_pubkey_tweak_add
_pubkey_tweak_mul: Final[Any] = lib.secp256k1_ec_pubkey_tweak_mul
_seckey_verify: Final[Any] = lib.secp256k1_ec_seckey_verify
_seckey_tweak_add: Final[Any] = lib.secp256k1_ec_seckey_tweak_add
_seckey_tweak_mul: Final[Any] = lib.secp256k1_ec_seckey_tweak_mul
_seckey_negate: Final[Any] = lib.secp256k1_ec_seckey_negate
_sign: Final[Any] = lib.secp256k1_ecdsa_sign
_verify: Final[Any] = lib.secp256k1_ecdsa_verify
_signature_parse: Final[Any] = lib.secp256k1_ecdsa_signature_parse_compact
_signature_serialize: Final[Any] = lib.secp256k1_ecdsa_signature_serialize_compact
_signature_parse_der: Final[Any] = lib.secp256k1_ecdsa_signature_parse_der
_signature_serialize_der: Final[Any] = lib.secp256k1_ecdsa_signature_serialize_der
_sign_recoverable: Final[Any] = lib.secp256k1_ecdsa_sign_recoverable
_recoverable_parse: Final[Any] = lib.secp256k1_ecdsa_recoverable_signature_parse_compact
_recoverable_serialize: Final[Any] = lib.secp256k1_ecdsa_recoverable_signature_serialize_compact
_recover: Final[Any] = lib.secp256k1_ecdsa_recover


def is_valid_secret(secret: bytes) -> bool:
    """Say whether the bytes are a secret key: 32 bytes, neither zero nor the curve's order or above."""
    return len(secret) == 32 and bool(_seckey_verify(context, secret) == 1)


def is_valid_point(point: bytes) -> bool:
    """Say whether the bytes are a compressed point (33 bytes) of the curve; its parsed form is kept."""
    try:
        parsed_point(point)
    except ValueError:
        return False
    return True


def public_key(secret: bytes) -> bytes:
    """Return the point (33 bytes) of a secret (32 bytes). Raises ValueError for an invalid secret."""
    require_length(secret, 32, "secret")
    key = new(PUBKEY)
    if _pubkey_create(context, key, secret) != 1:
        raise ValueError("invalid secret key")
    return serialized_point(key)


def ecdh(secret: bytes, point: bytes) -> bytes:
    """Return SHA-256 of the compressed product (32 bytes) of `secret` (32 bytes) and `point` (33 bytes).

    Raises: ValueError for an invalid secret or point.
    Spec:   BOLT 8, "Handshake State"; BOLT 4, "Key Generation".
    """
    require_length(secret, 32, "secret")
    out = new(BYTES_32)
    if _ecdh(context, out, parsed_point(point), secret, NULL, NULL) != 1:
        raise ValueError("invalid secret key")
    return bytes(_buffer(out)[:])


def point_add(*points: bytes) -> bytes:
    """Return the sum (33 bytes) of one or more points (33 bytes). Raises ValueError for a bad point or infinity."""
    if not points:
        raise ValueError("no point to add")
    parsed = [parsed_point(point) for point in points]
    total = new(PUBKEY)
    if _pubkey_combine(context, total, new(PUBKEY_ARRAY, parsed), len(parsed)) != 1:
        raise ValueError("the sum is the point at infinity")
    return serialized_point(total)


def point_mul(point: bytes, scalar: bytes) -> bytes:
    """Return `point` (33 bytes) times `scalar` (32 bytes, valid as a secret). Raises ValueError otherwise."""
    require_length(scalar, 32, "scalar")
    product = new(PUBKEY)
    product[0] = parsed_point(point)[0]
    if _pubkey_tweak_mul(context, product, scalar) != 1:
        raise ValueError("invalid scalar")
    return serialized_point(product)


def point_add_scalar(point: bytes, scalar: bytes) -> bytes:
    """Return `point` (33 bytes) plus `scalar` (32 bytes, below the order) times G; ValueError otherwise."""
    require_length(scalar, 32, "scalar")
    total = new(PUBKEY)
    total[0] = parsed_point(point)[0]
    if _pubkey_tweak_add(context, total, scalar) != 1:
        raise ValueError("invalid scalar, or the sum is the point at infinity")
    return serialized_point(total)


def point_negate(point: bytes) -> bytes:
    """Return the negative (33 bytes) of `point` (33 bytes). Raises ValueError for an invalid point."""
    negative = new(PUBKEY)
    negative[0] = parsed_point(point)[0]
    _pubkey_negate(context, negative)
    return serialized_point(negative)


def _changed_secret(change: Any, secret: bytes, scalar: bytes) -> bytes:
    require_length(secret, 32, "secret")
    require_length(scalar, 32, "scalar")
    out = new(BYTES_32, secret)
    if change(context, out, scalar) != 1:
        raise ValueError("invalid secret or scalar")
    return bytes(_buffer(out)[:])


def secret_add(secret: bytes, scalar: bytes) -> bytes:
    """Return the sum (32 bytes) modulo the curve's order; ValueError for an invalid secret, scalar or zero sum."""
    return _changed_secret(_seckey_tweak_add, secret, scalar)


def secret_mul(secret: bytes, scalar: bytes) -> bytes:
    """Return the product (32 bytes) modulo the curve's order; ValueError for an invalid secret or zero scalar."""
    return _changed_secret(_seckey_tweak_mul, secret, scalar)


def secret_negate(secret: bytes) -> bytes:
    """Return the negative (32 bytes) of a secret (32 bytes). Raises ValueError for an invalid secret."""
    require_length(secret, 32, "secret")
    out = new(BYTES_32, secret)
    if _seckey_negate(context, out) != 1:
        raise ValueError("invalid secret key")
    return bytes(_buffer(out)[:])


def sign_ecdsa(secret: bytes, digest: bytes) -> bytes:
    """Return a signature (64 bytes, low S, RFC 6979 nonce) of `digest` (32 bytes) by `secret` (32 bytes).

    Raises: ValueError for an invalid secret or a digest of another length.
    """
    require_length(secret, 32, "secret")
    require_length(digest, 32, "digest")
    signature = new(SIGNATURE)
    if _sign(context, signature, digest, secret, NULL, NULL) != 1:
        raise ValueError("invalid secret key")
    out = new(BYTES_64)
    _signature_serialize(context, out, signature)
    return bytes(_buffer(out)[:])


def sign_ecdsa_low_r(secret: bytes, digest: bytes) -> bytes:
    """Like `sign_ecdsa`, and the R value is below 2^255: one byte less in DER, about twice the work.

    The extra entropy counts up in 32 little-endian bytes, as Bitcoin Core does, so that signatures are the same.
    """
    signature = sign_ecdsa(secret, digest)
    raw = new(SIGNATURE)
    out = new(BYTES_64)
    counter = 0
    while signature[0] >= 0x80:
        counter += 1
        extra = new(BYTES_32, counter.to_bytes(32, "little"))
        _sign(context, raw, digest, secret, NULL, extra)
        _signature_serialize(context, out, raw)
        signature = bytes(_buffer(out)[:])
    return signature


def sign_ecdsa_many(secret: bytes, digests: Sequence[bytes]) -> list[bytes]:
    """Return the signatures (64 bytes each) of many digests (32 bytes each) by one secret, in order.

    Raises: ValueError for an invalid secret or a digest of another length; nothing is returned then.
    """
    require_length(secret, 32, "secret")
    sign, serialize, ctx = _sign, _signature_serialize, context
    signature = new(SIGNATURE)
    out = new(BYTES_64)
    view = _buffer(out)
    signatures: list[bytes] = []
    for digest in digests:
        if len(digest) != 32:
            raise ValueError("digest must have 32 bytes")
        if sign(ctx, signature, digest, secret, NULL, NULL) != 1:
            raise ValueError("invalid secret key")
        serialize(ctx, out, signature)
        signatures.append(view[:])
    return signatures


def verify_ecdsa(point: bytes, digest: bytes, signature: bytes) -> bool:
    """Say whether `signature` (64 bytes) of `digest` (32 bytes) is by `point` (33 bytes).

    False, never an error, for a high S, a bad point or a wrong length.
    Spec: BOLT 2, "Committing Updates So Far" (signatures with a high S are refused).
    """
    if len(digest) != 32 or len(signature) != 64:
        return False
    try:
        key = parsed_point(point)
    except ValueError:
        return False
    raw = new(SIGNATURE)
    if _signature_parse(context, raw, signature) != 1:
        return False
    return bool(_verify(context, raw, digest, key) == 1)


def verify_ecdsa_many(point: bytes, digests: Sequence[bytes], signatures: Sequence[bytes]) -> int | None:
    """Verify many signatures by one point; return None if all are good, else the index of the first bad one.

    Args:   point: 33 bytes; digests: 32 bytes each; signatures: 64 bytes each, one per digest.
    Raises: ValueError if the two sequences differ in length.
    """
    if len(digests) != len(signatures):
        raise ValueError("one signature per digest is needed")
    if not digests:
        return None
    try:
        key = parsed_point(point)
    except ValueError:
        return 0
    parse, verify, ctx = _signature_parse, _verify, context
    raw = new(SIGNATURE)
    for index, (digest, signature) in enumerate(zip(digests, signatures, strict=True)):
        if (
            len(digest) != 32
            or len(signature) != 64
            or parse(ctx, raw, signature) != 1
            or verify(ctx, raw, digest, key) != 1
        ):
            return index
    return None


def signature_to_der(signature: bytes) -> bytes:
    """Return the DER form (at most 72 bytes) of a compact signature (64 bytes); ValueError if R or S overflows."""
    require_length(signature, 64, "signature")
    raw = new(SIGNATURE)
    if _signature_parse(context, raw, signature) != 1:
        raise ValueError("R or S is not below the order of the curve")
    out = new(BYTES_72)
    size = new(SIZE, 72)
    _signature_serialize_der(context, out, size, raw)
    return bytes(_buffer(out, size[0])[:])


def signature_from_der(der: bytes) -> bytes:
    """Return the compact form (64 bytes, S as it is) of a strict DER signature; ValueError for anything else."""
    raw = new(SIGNATURE)
    if not der or _signature_parse_der(context, raw, der, len(der)) != 1:
        raise ValueError("not a DER signature")
    out = new(BYTES_64)
    _signature_serialize(context, out, raw)
    return bytes(_buffer(out)[:])


def sign_recoverable(secret: bytes, digest: bytes) -> bytes:
    """Return a signature of `digest` (32 bytes) with its recovery id: 65 bytes, 64 compact then 0..3.

    Raises: ValueError for an invalid secret or a digest of another length.
    Spec:   BOLT 11, "Data Part".
    """
    require_length(secret, 32, "secret")
    require_length(digest, 32, "digest")
    raw = new(RECOVERABLE)
    if _sign_recoverable(context, raw, digest, secret, NULL, NULL) != 1:
        raise ValueError("invalid secret key")
    out = new(BYTES_64)
    recovery_id = new(INT)
    _recoverable_serialize(context, out, recovery_id, raw)
    return bytes(_buffer(out)[:]) + bytes((int(recovery_id[0]),))


def recover(signature: bytes, digest: bytes) -> bytes | None:
    """Return the point (33 bytes) that made a recoverable signature (65 bytes), or None when there is none.

    A high S is accepted and the recovery id is taken as it is. Spec: BOLT 11, "Data Part".
    """
    if len(signature) != 65 or len(digest) != 32 or signature[64] > 3:
        return None
    raw = new(RECOVERABLE)
    if _recoverable_parse(context, raw, signature[:64], signature[64]) != 1:
        return None
    key = new(PUBKEY)
    if _recover(context, key, raw, digest) != 1:
        return None
    return serialized_point(key)
