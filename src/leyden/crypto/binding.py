"""The raw cffi binding of libsecp256k1 that coincurve ships, and the cache of parsed keys.

coincurve's own classes verify after signing and parse keys again on each call; on the paths of a channel that costs a
fifth of the throughput, hence the raw calls. The binding is loaded by name because it has no type stubs. Every buffer
belongs to one call: two threads may be inside the library at the same time, as cffi releases the interpreter lock.
"""

from functools import lru_cache
from importlib import import_module
from typing import Any, Final

_module: Final[Any] = import_module("coincurve._libsecp256k1")

ffi: Final[Any] = _module.ffi
lib: Final[Any] = _module.lib
context: Final[Any] = import_module("coincurve.context").GLOBAL_CONTEXT.ctx
"""Randomised once against side channels, then only read."""

NULL: Final[Any] = ffi.NULL

new: Final[Any] = ffi.new_allocator(should_clear_after_alloc=False)
"""Allocate without clearing: the library fills every buffer that it accepts."""

BYTES_32: Final[Any] = ffi.typeof("unsigned char[32]")
BYTES_33: Final[Any] = ffi.typeof("unsigned char[33]")
BYTES_64: Final[Any] = ffi.typeof("unsigned char[64]")
BYTES_72: Final[Any] = ffi.typeof("unsigned char[72]")
SIZE: Final[Any] = ffi.typeof("size_t *")
INT: Final[Any] = ffi.typeof("int *")
PUBKEY: Final[Any] = ffi.typeof("secp256k1_pubkey *")
PUBKEY_ARRAY: Final[Any] = ffi.typeof("secp256k1_pubkey *[]")
XONLY: Final[Any] = ffi.typeof("secp256k1_xonly_pubkey *")
KEYPAIR: Final[Any] = ffi.typeof("secp256k1_keypair *")
SIGNATURE: Final[Any] = ffi.typeof("secp256k1_ecdsa_signature *")
RECOVERABLE: Final[Any] = ffi.typeof("secp256k1_ecdsa_recoverable_signature *")

_COMPRESSED: Final[int] = int(lib.SECP256K1_EC_COMPRESSED)
_PARSED_KEYS_MAX: Final = 8192

_buffer: Final[Any] = ffi.buffer
_pubkey_parse: Final[Any] = lib.secp256k1_ec_pubkey_parse
_pubkey_serialize: Final[Any] = lib.secp256k1_ec_pubkey_serialize
_xonly_parse: Final[Any] = lib.secp256k1_xonly_pubkey_parse


@lru_cache(maxsize=_PARSED_KEYS_MAX)
def parsed_point(point: bytes) -> Any:
    """Return the library's form of a compressed point (33 bytes), shared by all callers: never change it.

    Raises: ValueError if the bytes are no point of the curve.
    """
    key = new(PUBKEY)
    if len(point) != 33 or _pubkey_parse(context, key, point, 33) != 1:
        raise ValueError("not a compressed point of secp256k1")
    return key


@lru_cache(maxsize=_PARSED_KEYS_MAX)
def parsed_xonly(xonly: bytes) -> Any:
    """Return the library's form of an x-only key (32 bytes), shared by all callers: never change it.

    Raises: ValueError if the bytes are no x coordinate of the curve.
    """
    key = new(XONLY)
    if len(xonly) != 32 or _xonly_parse(context, key, xonly) != 1:
        raise ValueError("not an x-only key of secp256k1")
    return key


def serialized_point(key: Any) -> bytes:
    """Return the 33 compressed bytes of a point in the library's form."""
    out = new(BYTES_33)
    size = new(SIZE, 33)
    _pubkey_serialize(context, out, size, key, _COMPRESSED)
    return bytes(_buffer(out)[:])


def require_length(data: bytes, length: int, what: str) -> None:
    """Raise ValueError unless `data` has `length` bytes: the library reads that many without looking."""
    if len(data) != length:
        raise ValueError(f"{what} must have {length} bytes, not {len(data)}")
