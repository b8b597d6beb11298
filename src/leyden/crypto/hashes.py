"""Hash functions: bytes in, bytes out.

`hashlib` may come with an OpenSSL that has dropped RIPEMD-160; Bitcoin cannot drop it, so `ripemd160` falls back to
`ripemd.py`.
"""

import hashlib
from functools import lru_cache
from hmac import digest as _hmac_digest
from typing import Any

from leyden.crypto.ripemd import ripemd160_pure

_sha256 = hashlib.sha256


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 (32 bytes) of `data`."""
    return _sha256(data).digest()


def sha256d(data: bytes) -> bytes:
    """Return SHA-256 of SHA-256 (32 bytes) of `data`: txids, block hashes and segwit sighashes."""
    return _sha256(_sha256(data).digest()).digest()


def _openssl_has_ripemd160() -> bool:
    try:
        hashlib.new("ripemd160", b"")
    except ValueError:
        return False
    return True


_OPENSSL_HAS_RIPEMD160 = _openssl_has_ripemd160()


def ripemd160(data: bytes) -> bytes:
    """Return the RIPEMD-160 (20 bytes) of `data`."""
    if _OPENSSL_HAS_RIPEMD160:
        return hashlib.new("ripemd160", data).digest()
    return ripemd160_pure(data)


def hash160(data: bytes) -> bytes:
    """Return RIPEMD-160 of SHA-256 (20 bytes) of `data`."""
    return ripemd160(_sha256(data).digest())


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) of `data` under `key` (any length)."""
    return _hmac_digest(key, data, "sha256")


def hkdf_sha256(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    """Return `length` bytes (at most 8160) of HKDF-SHA-256.

    Raises: ValueError if too many bytes are asked for.
    Spec:   RFC 5869, sections 2.2 and 2.3; used by BOLT 8, "Handshake State".
    """
    if length > 255 * 32:
        raise ValueError("HKDF gives at most 8160 bytes")
    key = _hmac_digest(salt, ikm, "sha256")
    block = b""
    out = b""
    counter = 1
    while len(out) < length:
        block = _hmac_digest(key, block + info + bytes((counter,)), "sha256")
        out += block
        counter += 1
    return out[:length]


@lru_cache(maxsize=64)
def _tag_midstate(tag: str) -> Any:
    name = _sha256(tag.encode()).digest()
    return _sha256(name + name)


def tagged_hash(tag: str, data: bytes) -> bytes:
    """Return the tagged hash (32 bytes) of `data`. Spec: BIP 340, "Design"."""
    state = _tag_midstate(tag).copy()
    state.update(data)
    return bytes(state.digest())
