"""BIP 340 signatures and the x-only key tweak of BIP 341. Import these names from `leyden.crypto.ec`."""

from typing import Any, Final

from leyden.crypto.binding import (
    BYTES_32,
    BYTES_64,
    INT,
    KEYPAIR,
    NULL,
    PUBKEY,
    XONLY,
    context,
    ffi,
    lib,
    new,
    parsed_xonly,
    require_length,
)

# BIP 340 says nothing of this number: it marks the layout of the library's argument struct.
_EXTRA_MAGIC: Final = b"\xda\x6f\xb3\x8c"
_EXTRA: Final[Any] = ffi.typeof("secp256k1_schnorrsig_extraparams *")

_buffer: Final[Any] = ffi.buffer
_keypair_create: Final[Any] = lib.secp256k1_keypair_create
_sign32: Final[Any] = lib.secp256k1_schnorrsig_sign32
_sign_custom: Final[Any] = lib.secp256k1_schnorrsig_sign_custom
_verify: Final[Any] = lib.secp256k1_schnorrsig_verify
_tweak_add: Final[Any] = lib.secp256k1_xonly_pubkey_tweak_add
_xonly_from_pubkey: Final[Any] = lib.secp256k1_xonly_pubkey_from_pubkey
_xonly_serialize: Final[Any] = lib.secp256k1_xonly_pubkey_serialize


def sign_schnorr(secret: bytes, message: bytes, aux_rand: bytes) -> bytes:
    """Return the BIP 340 signature (64 bytes) of `message` (any length) by `secret` (32 bytes).

    Args:   aux_rand: 32 bytes of fresh entropy, or zeros for a deterministic signature.
    Raises: ValueError for an invalid secret or a wrong length.
    """
    require_length(secret, 32, "secret")
    require_length(aux_rand, 32, "aux_rand")
    pair = new(KEYPAIR)
    if _keypair_create(context, pair, secret) != 1:
        raise ValueError("invalid secret key")
    out = new(BYTES_64)
    if len(message) == 32:
        done = _sign32(context, out, message, pair, aux_rand)
    else:
        entropy = new(BYTES_32, aux_rand)
        extra = new(_EXTRA)
        extra.magic = _EXTRA_MAGIC
        extra.noncefp = NULL
        extra.ndata = entropy
        done = _sign_custom(context, out, message, len(message), pair, extra)
    if done != 1:
        raise ValueError("no nonce for this secret and message")
    return bytes(_buffer(out)[:])


def verify_schnorr(xonly: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether `signature` (64 bytes) of `message` (any length) is by the key `xonly` (32 bytes).

    False, never an error, for a bad key or a wrong length. Spec: BIP 340, "Verification".
    """
    if len(signature) != 64:
        return False
    try:
        key = parsed_xonly(xonly)
    except ValueError:
        return False
    return bool(_verify(context, signature, message, len(message), key) == 1)


def xonly_tweak_add(xonly: bytes, tweak: bytes) -> tuple[bytes, int]:
    """Add `tweak` (32 bytes) times G to the even point of `xonly` (32 bytes).

    Returns: the x-only sum (32 bytes) and its parity, 1 if its Y is odd.
    Raises:  ValueError for a bad key, an overflowing tweak or a sum at infinity.
    Spec:    BIP 341, "Constructing and spending Taproot outputs".
    """
    require_length(tweak, 32, "tweak")
    total = new(PUBKEY)
    if _tweak_add(context, total, parsed_xonly(xonly), tweak) != 1:
        raise ValueError("invalid tweak, or the sum is the point at infinity")
    key = new(XONLY)
    parity = new(INT)
    _xonly_from_pubkey(context, key, parity, total)
    out = new(BYTES_32)
    _xonly_serialize(context, out, key)
    return bytes(_buffer(out)[:]), int(parity[0])
