"""Payment secrets that carry their own terms, so that an invoice needs no storage.

The 15 bytes of metadata (amount, expiry: the caller's layout) are encrypted into the payment secret and come back
with the payment. Two kinds, told apart by a byte inside:

- *own*: `nonce 16 | encrypted(kind, metadata)`; the preimage is an HMAC of nonce and metadata, and that it hashes to
  the payment hash proves that the secret is ours;
- *foreign hash*: `tag 16 | encrypted(kind, metadata)`; the tag is an HMAC of payment hash and metadata.

Whoever has not seen the invoice cannot guess the secret, which is what payment_secret is for (BOLT 4).
"""

import hmac
from typing import Final, final

import msgspec

from leyden.crypto.hashes import hkdf_sha256, hmac_sha256, sha256

METADATA_LENGTH: Final = 15
NONCE_LENGTH: Final = 16

_OWN = b"\x00"
_FOREIGN = b"\x01"


@final
class InboundPayment(msgspec.Struct, frozen=True, gc=False):
    """What an invoice needs: `payment_hash` and `payment_secret`, 32 bytes each."""

    payment_hash: bytes
    payment_secret: bytes


@final
class OpenedPayment(msgspec.Struct, frozen=True, gc=False):
    """What a payment secret of ours says: its metadata, and the preimage (32 bytes) when the hash is ours too."""

    metadata: bytes
    preimage: bytes | None

    def __repr__(self) -> str:
        """Show the metadata only."""
        return f"OpenedPayment(metadata={self.metadata.hex()}, preimage={'known' if self.preimage else 'unknown'})"


def _xor16(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b[:16], "big")).to_bytes(16, "big")


@final
class InboundKeys:
    """The three keys behind payment secrets, derived from one 32-byte key."""

    __slots__ = ("_encryption_key", "_preimage_key", "_tag_key")

    def __init__(self, key: bytes) -> None:
        self._preimage_key = hkdf_sha256(b"leyden inbound payment", key, b"preimage", 32)
        self._tag_key = hkdf_sha256(b"leyden inbound payment", key, b"tag", 32)
        self._encryption_key = hkdf_sha256(b"leyden inbound payment", key, b"encryption", 32)

    def __repr__(self) -> str:
        """Show nothing."""
        return "InboundKeys()"

    def _preimage(self, nonce: bytes, plain: bytes) -> bytes:
        return hmac_sha256(self._preimage_key, nonce + plain)

    def _tag(self, payment_hash: bytes, plain: bytes) -> bytes:
        return hmac_sha256(self._tag_key, payment_hash + plain)[:16]

    def _sealed(self, head: bytes, plain: bytes) -> bytes:
        return head + _xor16(plain, hmac_sha256(self._encryption_key, head))

    def new_payment(self, nonce: bytes, metadata: bytes) -> InboundPayment:
        """Make a payment whose preimage is derived.

        Args:   nonce: 16 random bytes, never used twice; metadata: 15 bytes.
        Raises: ValueError for other lengths.
        """
        if len(nonce) != NONCE_LENGTH or len(metadata) != METADATA_LENGTH:
            raise ValueError("needs a nonce of 16 and metadata of 15 bytes")
        plain = _OWN + metadata
        return InboundPayment(sha256(self._preimage(nonce, plain)), self._sealed(nonce, plain))

    def secret_for(self, payment_hash: bytes, metadata: bytes) -> bytes:
        """Make the payment secret (32 bytes) for a hash (32 bytes) whose preimage somebody else knows.

        Raises: ValueError for other lengths than 32 and 15 bytes.
        """
        if len(payment_hash) != 32 or len(metadata) != METADATA_LENGTH:
            raise ValueError("needs a hash of 32 and metadata of 15 bytes")
        plain = _FOREIGN + metadata
        return self._sealed(self._tag(payment_hash, plain), plain)

    def open(self, payment_hash: bytes, payment_secret: bytes) -> OpenedPayment | None:
        """Return what a secret (32 bytes) says, or None when it is not ours or belongs to another hash (32 bytes)."""
        if len(payment_hash) != 32 or len(payment_secret) != 32:
            return None
        head = payment_secret[:16]
        plain = _xor16(payment_secret[16:], hmac_sha256(self._encryption_key, head))
        if plain[:1] == _OWN:
            preimage = self._preimage(head, plain)
            if hmac.compare_digest(sha256(preimage), payment_hash):
                return OpenedPayment(plain[1:], preimage)
        elif plain[:1] == _FOREIGN and hmac.compare_digest(self._tag(payment_hash, plain), head):
            return OpenedPayment(plain[1:], None)
        return None
