"""The encrypted stream after the handshake: length header, body, a new key after every 500 messages.

Spec: BOLT 8, "Lightning Message Specification".
"""

from collections.abc import Iterable
from typing import Final, final

from cryptography.exceptions import InvalidTag

from leyden.crypto.chacha import TAG_LENGTH, Aead
from leyden.crypto.hashes import hkdf_sha256
from leyden.noise.failures import TransportFailed
from leyden.noise.handshake import TransportKeys

MESSAGE_LENGTH_MAX: Final = 65_535
_HEADER_LENGTH: Final = 2 + TAG_LENGTH
_ROTATE_AT: Final = 1000
_NO_HEADER: Final = -1

# A key serves 1000 nonces, two per message, so a rotation never falls between a header and its body.
_NONCES: Final = tuple(bytes(4) + count.to_bytes(8, "little") for count in range(_ROTATE_AT))


def _rotated(chaining_key: bytes, key: bytes) -> tuple[bytes, bytes]:
    """Return the next chaining key and key of a direction. Spec: BOLT 8, "Lightning Message Key Rotation"."""
    both = hkdf_sha256(chaining_key, key, b"", 64)
    return both[:32], both[32:]


@final
class Transport:
    """Both directions of one connection. A failed `feed` is final: the connection must be closed.

    Args: keys: the result of the handshake.
    """

    __slots__ = (
        "_body_length",
        "_failed",
        "_pending",
        "_recv_chaining_key",
        "_recv_cipher",
        "_recv_key",
        "_recv_nonce",
        "_send_chaining_key",
        "_send_cipher",
        "_send_key",
        "_send_nonce",
    )

    def __init__(self, keys: TransportKeys) -> None:
        self._send_key = keys.send_key
        self._recv_key = keys.recv_key
        self._send_chaining_key = keys.chaining_key
        self._recv_chaining_key = keys.chaining_key
        self._send_cipher = Aead(keys.send_key)
        self._recv_cipher = Aead(keys.recv_key)
        self._send_nonce = 0
        self._recv_nonce = 0
        self._pending = bytearray()
        self._body_length = _NO_HEADER
        self._failed = False

    def encrypt(self, message: bytes) -> bytes:
        """Return the frame of one message (at most 65,535 bytes): its length plus 34 bytes.

        Raises: ValueError if the message is too long.
        Spec:   BOLT 8, "Encrypting and Sending Messages".
        """
        length = len(message)
        if length > MESSAGE_LENGTH_MAX:
            raise ValueError("a message has at most 65535 bytes")
        nonce = self._send_nonce
        encrypt = self._send_cipher.encrypt_data
        header = encrypt(_NONCES[nonce], length.to_bytes(2, "big"), None)
        frame = header + encrypt(_NONCES[nonce + 1], message, None)
        nonce += 2
        if nonce == _ROTATE_AT:
            self._send_chaining_key, self._send_key = _rotated(self._send_chaining_key, self._send_key)
            self._send_cipher = Aead(self._send_key)
            nonce = 0
        self._send_nonce = nonce
        return frame

    def encrypt_many(self, messages: Iterable[bytes]) -> bytes:
        """Return the joined frames of several messages (at most 65,535 bytes each), for one write.

        Raises: ValueError if a message is too long; the frames before it are lost then and the connection with them.
        """
        return b"".join([self.encrypt(message) for message in messages])

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the peer, in any pieces; return every message that is complete, in order.

        At most one unfinished frame (65,569 bytes) is kept for the next call.

        Raises: TransportFailed if a header or body doesn't decrypt, then and on every later call.
        Spec:   BOLT 8, "Receiving and Decrypting Messages".
        """
        if self._failed:
            raise TransportFailed("the connection has already failed")
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < (_HEADER_LENGTH if self._body_length == _NO_HEADER else self._body_length):
                return []
            data = bytes(pending)
            pending.clear()
        messages: list[bytes] = []
        try:
            consumed = self._decrypt_all(data, messages)
        except InvalidTag:
            self._failed = True
            raise TransportFailed("a frame does not decrypt") from None
        if consumed < len(data):
            pending += data[consumed:]
        return messages

    def _decrypt_all(self, data: bytes, messages: list[bytes]) -> int:
        """Append each whole message of `data` to `messages`; return how many bytes are used up."""
        offset = 0
        end = len(data)
        body_length = self._body_length
        nonce = self._recv_nonce
        decrypt = self._recv_cipher.decrypt_or_raise
        while True:
            if body_length == _NO_HEADER:
                if end - offset < _HEADER_LENGTH:
                    break
                header = decrypt(_NONCES[nonce], data[offset : offset + _HEADER_LENGTH], None)
                offset += _HEADER_LENGTH
                body_length = int.from_bytes(header, "big") + TAG_LENGTH
            if end - offset < body_length:
                break
            messages.append(decrypt(_NONCES[nonce + 1], data[offset : offset + body_length], None))
            offset += body_length
            body_length = _NO_HEADER
            nonce += 2
            if nonce == _ROTATE_AT:
                self._recv_chaining_key, self._recv_key = _rotated(self._recv_chaining_key, self._recv_key)
                self._recv_cipher = Aead(self._recv_key)
                decrypt = self._recv_cipher.decrypt_or_raise
                nonce = 0
        self._body_length = body_length
        self._recv_nonce = nonce
        return offset
