"""Keys from a hop's shared secret: HMAC-SHA-256 with the name of the key as HMAC key.

The two hash states that depend on the name are kept, which halves the cost of each key.

Spec: BOLT 4, "Key Generation".
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final, final

_sha256 = hashlib.sha256

_TO_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_TO_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


@final
class HmacState:
    """HMAC-SHA-256 under one key of at most 64 bytes, for data that share a beginning.

    Spec: RFC 2104, section 2.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes, beginning: bytes) -> None:
        assert len(key) <= 64, "longer keys would have to be hashed first"
        block = key.ljust(64, b"\x00")
        self._inner: Any = _sha256(block.translate(_TO_INNER))
        self._inner.update(beginning)
        self._outer: Any = _sha256(block.translate(_TO_OUTER))

    def digest(self, rest: bytes) -> bytes:
        """Return the HMAC (32 bytes) of the beginning followed by `rest`."""
        inner = self._inner.copy()
        inner.update(rest)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return bytes(outer.digest())


def key_generator(key_type: bytes) -> Callable[[bytes], bytes]:
    """Return the function from a shared secret (32 bytes) to its key (32 bytes) of one type, such as `b"rho"`."""
    return HmacState(key_type, b"").digest


rho_key: Final = key_generator(b"rho")
"""Hides the payloads of an onion."""
mu_key: Final = key_generator(b"mu")
"""Authenticates an onion."""
pad_key: Final = key_generator(b"pad")
"""Fills the onion behind the last payload; made from the session key."""
um_key: Final = key_generator(b"um")
"""Authenticates what comes back."""
ammag_key: Final = key_generator(b"ammag")
"""Hides a return packet."""
ammagext_key: Final = key_generator(b"ammagext")
"""Hides attribution data."""
fulfillment_key: Final = key_generator(b"fulfillment")
"""Encrypts a fulfillment payload from the final node to the sender."""
