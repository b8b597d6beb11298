"""The three acts of BOLT 8: Noise_XK over secp256k1, ChaCha20-Poly1305 and SHA-256.

Each side is an object for one connection and one use; a method called out of turn is our bug and fails an assertion.
The ephemeral secret comes from the caller, who owns randomness. The static secret may stay with a signer: give a
`StaticKey` instead of the secret.
"""

from collections.abc import Callable
from typing import Final, final

import msgspec

from leyden.crypto.chacha import aead_decrypt, aead_encrypt
from leyden.crypto.ec import ecdh, is_valid_point, public_key
from leyden.crypto.hashes import hkdf_sha256, sha256
from leyden.noise.failures import HandshakeFailed, HandshakeProblem

ACT_ONE_LENGTH: Final = 50
ACT_TWO_LENGTH: Final = 50
ACT_THREE_LENGTH: Final = 66

_VERSION: Final = b"\x00"
_NONCE_0: Final = bytes(12)
_NONCE_1: Final = bytes(4) + (1).to_bytes(8, "little")
_NAME_HASH: Final = sha256(b"Noise_XK_secp256k1_ChaChaPoly_SHA256")
_PROLOGUE_HASH: Final = sha256(_NAME_HASH + b"lightning")


@final
class StaticKey(msgspec.Struct, frozen=True):
    """A node's identity whose secret stays elsewhere.

    `point`: 33 bytes; `ecdh`: from a point (33 bytes) to SHA-256 of the compressed shared point (32 bytes).
    """

    point: bytes
    ecdh: Callable[[bytes], bytes]

    @classmethod
    def from_secret(cls, secret: bytes) -> "StaticKey":
        """Return the identity of a secret (32 bytes) held here. Raises ValueError for an invalid secret."""
        return cls(public_key(secret), lambda point: ecdh(secret, point))

    def __repr__(self) -> str:
        """Show the public part only."""
        return f"StaticKey({self.point.hex()})"


@final
class TransportKeys(msgspec.Struct, frozen=True):
    """What the handshake leaves: three keys of 32 bytes, and who the peer is (33 bytes, proven)."""

    send_key: bytes
    recv_key: bytes
    chaining_key: bytes
    remote_static: bytes

    def __repr__(self) -> str:
        """Show the peer only."""
        return f"TransportKeys(remote_static={self.remote_static.hex()})"


def _static_key(secret_or_key: bytes | StaticKey) -> StaticKey:
    return secret_or_key if isinstance(secret_or_key, StaticKey) else StaticKey.from_secret(secret_or_key)


@final
class _Symmetric:
    """Hash and chaining key, which both sides carry through the acts."""

    __slots__ = ("chaining_key", "hash")

    def __init__(self, responder_static: bytes) -> None:
        self.chaining_key = _NAME_HASH
        self.hash = sha256(_PROLOGUE_HASH + responder_static)

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data)

    def mix_key(self, shared_secret: bytes) -> bytes:
        """Move the chaining key on and return the temporary key."""
        both = hkdf_sha256(self.chaining_key, shared_secret, b"", 64)
        self.chaining_key = both[:32]
        return both[32:]

    def encrypt(self, key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
        ciphertext = aead_encrypt(key, nonce, self.hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes) -> bytes | None:
        plaintext = aead_decrypt(key, nonce, self.hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the initiator's sending key and its receiving key."""
        both = hkdf_sha256(self.chaining_key, b"", b"", 64)
        return both[:32], both[32:]


def _checked_ephemeral(act: int, data: bytes, length: int) -> bytes:
    """Check what acts 1 and 2 have in common and return the ephemeral point (33 bytes)."""
    if len(data) != length:
        raise HandshakeFailed(act, HandshakeProblem.LENGTH)
    if data[:1] != _VERSION:
        raise HandshakeFailed(act, HandshakeProblem.VERSION)
    point = data[1:34]
    if not is_valid_point(point):
        raise HandshakeFailed(act, HandshakeProblem.PUBKEY)
    return point


@final
class Initiator:
    """The side that connects and knows whom it wants to reach.

    Args:   local_static_secret: our node's secret (32 bytes) or a `StaticKey`; remote_static_point: 33 bytes;
            ephemeral_secret: 32 fresh random bytes.
    Raises: ValueError for invalid keys.
    Spec:   BOLT 8, "Handshake Exchange".
    """

    __slots__ = ("_ephemeral_secret", "_next_act", "_remote_static", "_static", "_symmetric")

    def __init__(
        self, local_static_secret: bytes | StaticKey, remote_static_point: bytes, ephemeral_secret: bytes
    ) -> None:
        if not is_valid_point(remote_static_point):
            raise ValueError("the remote static point is not on the curve")
        self._static = _static_key(local_static_secret)
        self._remote_static = remote_static_point
        self._ephemeral_secret = ephemeral_secret
        self._symmetric = _Symmetric(remote_static_point)
        self._next_act = 1

    def act_one(self) -> bytes:
        """Return the 50 bytes to send first. Spec: BOLT 8, "Act One"."""
        assert self._next_act == 1, "act one is made once"
        self._next_act = 2
        symmetric = self._symmetric
        ephemeral = public_key(self._ephemeral_secret)
        symmetric.mix_hash(ephemeral)
        key = symmetric.mix_key(ecdh(self._ephemeral_secret, self._remote_static))
        return _VERSION + ephemeral + symmetric.encrypt(key, _NONCE_0, b"")

    def receive_act_two(self, act_two: bytes) -> tuple[bytes, TransportKeys]:
        """Take the 50 bytes of the answer; return the 66 bytes to send last, and the keys.

        Raises: HandshakeFailed if the answer is invalid; the connection is then closed.
        Spec:   BOLT 8, "Act Two" and "Act Three".
        """
        assert self._next_act == 2, "act two follows act one, once"
        self._next_act = 4
        symmetric = self._symmetric
        remote_ephemeral = _checked_ephemeral(2, act_two, ACT_TWO_LENGTH)
        symmetric.mix_hash(remote_ephemeral)
        key_two = symmetric.mix_key(ecdh(self._ephemeral_secret, remote_ephemeral))
        if symmetric.decrypt(key_two, _NONCE_0, act_two[34:]) is None:
            raise HandshakeFailed(2, HandshakeProblem.TAG)
        static_ciphertext = symmetric.encrypt(key_two, _NONCE_1, self._static.point)
        key_three = symmetric.mix_key(self._static.ecdh(remote_ephemeral))
        tag = symmetric.encrypt(key_three, _NONCE_0, b"")
        send_key, recv_key = symmetric.split()
        keys = TransportKeys(send_key, recv_key, symmetric.chaining_key, self._remote_static)
        return _VERSION + static_ciphertext + tag, keys


@final
class Responder:
    """The side that accepts a connection and learns in act three who connects.

    Args:   local_static_secret: our node's secret (32 bytes) or a `StaticKey`; ephemeral_secret: 32 fresh random bytes.
    Raises: ValueError for invalid keys.
    Spec:   BOLT 8, "Handshake Exchange".
    """

    __slots__ = ("_ephemeral_secret", "_key_two", "_next_act", "_static", "_symmetric")

    def __init__(self, local_static_secret: bytes | StaticKey, ephemeral_secret: bytes) -> None:
        self._static = _static_key(local_static_secret)
        self._ephemeral_secret = ephemeral_secret
        self._symmetric = _Symmetric(self._static.point)
        self._key_two = b""
        self._next_act = 1

    def receive_act_one(self, act_one: bytes) -> bytes:
        """Take the 50 bytes that came first; return the 50 bytes of the answer.

        Raises: HandshakeFailed if they are invalid; the connection is then closed without an answer.
        Spec:   BOLT 8, "Act One" and "Act Two".
        """
        assert self._next_act == 1, "act one is received once"
        self._next_act = 4
        symmetric = self._symmetric
        remote_ephemeral = _checked_ephemeral(1, act_one, ACT_ONE_LENGTH)
        symmetric.mix_hash(remote_ephemeral)
        key_one = symmetric.mix_key(self._static.ecdh(remote_ephemeral))
        if symmetric.decrypt(key_one, _NONCE_0, act_one[34:]) is None:
            raise HandshakeFailed(1, HandshakeProblem.TAG)
        ephemeral = public_key(self._ephemeral_secret)
        symmetric.mix_hash(ephemeral)
        self._key_two = symmetric.mix_key(ecdh(self._ephemeral_secret, remote_ephemeral))
        self._next_act = 3
        return _VERSION + ephemeral + symmetric.encrypt(self._key_two, _NONCE_0, b"")

    def receive_act_three(self, act_three: bytes) -> TransportKeys:
        """Take the 66 bytes that end the handshake; return the keys with the peer's proven identity.

        Raises: HandshakeFailed if they are invalid; the connection is then closed.
        Spec:   BOLT 8, "Act Three".
        """
        assert self._next_act == 3, "act three follows act one, once"
        self._next_act = 4
        if len(act_three) != ACT_THREE_LENGTH:
            raise HandshakeFailed(3, HandshakeProblem.LENGTH)
        if act_three[:1] != _VERSION:
            raise HandshakeFailed(3, HandshakeProblem.VERSION)
        symmetric = self._symmetric
        remote_static = symmetric.decrypt(self._key_two, _NONCE_1, act_three[1:50])
        if remote_static is None:
            raise HandshakeFailed(3, HandshakeProblem.CIPHERTEXT)
        if not is_valid_point(remote_static):
            raise HandshakeFailed(3, HandshakeProblem.PUBKEY)
        key_three = symmetric.mix_key(ecdh(self._ephemeral_secret, remote_static))
        if symmetric.decrypt(key_three, _NONCE_0, act_three[50:]) is None:
            raise HandshakeFailed(3, HandshakeProblem.TAG)
        recv_key, send_key = symmetric.split()
        return TransportKeys(send_key, recv_key, symmetric.chaining_key, remote_static)
