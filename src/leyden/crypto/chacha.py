"""ChaCha20 and ChaCha20-Poly1305, over the `cryptography` package.

A ChaCha20 key here is never used twice, hence the zero nonce of the stream functions.
"""

from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

TAG_LENGTH: Final = 16

# Counter (4 bytes) and nonce (12 bytes) in the layout of the cipher object.
_COUNTER_AND_NONCE: Final = bytes(16)


@final
class Aead:
    """ChaCha20-Poly1305 with one key (32 bytes): making this object costs as much as two short messages, so keep it.

    Raises: ValueError if the key has another length.
    Spec:   RFC 8439, section 2.8.
    """

    __slots__ = ("_cipher", "decrypt_or_raise", "encrypt_data")

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        # The bound methods in call order (nonce, data, associated data) spare the transport one call per frame.
        self.encrypt_data = self._cipher.encrypt
        self.decrypt_or_raise = self._cipher.decrypt

    def encrypt(self, nonce: bytes, associated_data: bytes, plaintext: bytes) -> bytes:
        """Return ciphertext and tag: `len(plaintext) + 16` bytes. `nonce`: 12 bytes, never used twice with this key."""
        return self.encrypt_data(nonce, plaintext, associated_data)

    def decrypt(self, nonce: bytes, associated_data: bytes, ciphertext: bytes) -> bytes | None:
        """Return the plaintext, or None if the tag is wrong or missing. `nonce`: 12 bytes."""
        try:
            return self.decrypt_or_raise(nonce, ciphertext, associated_data)
        except InvalidTag:
            return None


def aead_encrypt(key: bytes, nonce: bytes, associated_data: bytes, plaintext: bytes) -> bytes:
    """Return ciphertext and tag (`len(plaintext) + 16` bytes) for one use of `key` (32 bytes), `nonce` (12 bytes)."""
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated_data)


def aead_decrypt(key: bytes, nonce: bytes, associated_data: bytes, ciphertext: bytes) -> bytes | None:
    """Return the plaintext, or None if the tag is wrong or missing. `key`: 32 bytes; `nonce`: 12 bytes."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated_data)
    except InvalidTag:
        return None


def chacha20(key: bytes) -> CipherContext:
    """Return a fresh ChaCha20 (key 32 bytes, zero nonce, counter 0): its `update(data)` XORs the next bytes of stream.

    Feeding the data itself instead of zeros spares a separate XOR. Spec: BOLT 4, "Pseudo Random Byte Stream".
    """
    return Cipher(ChaCha20(key, _COUNTER_AND_NONCE), None).encryptor()


def chacha20_xor(key: bytes, data: bytes) -> bytes:
    """Return `data` XORed with the stream of `key` (32 bytes, zero nonce, counter 0)."""
    return Cipher(ChaCha20(key, _COUNTER_AND_NONCE), None).encryptor().update(data)


def chacha20_stream(key: bytes, length: int) -> bytes:
    """Return the first `length` bytes of the stream of `key` (32 bytes, zero nonce, counter 0).

    Spec: BOLT 4, "Pseudo Random Byte Stream".
    """
    return Cipher(ChaCha20(key, _COUNTER_AND_NONCE), None).encryptor().update(bytes(length))


def xor_bytes(left: bytes, right: bytes) -> bytes:
    """Return the XOR of two byte strings of the same length. Raises ValueError if the lengths differ."""
    length = len(left)
    if length != len(right):
        raise ValueError("both byte strings must have the same length")
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(length, "big")
