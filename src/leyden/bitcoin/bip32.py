"""Hierarchical deterministic keys (BIP 32) and the account paths of BIP 84 and BIP 86."""

import hmac
from typing import TypeAlias

import msgspec

from leyden.base.errors import DecodeError
from leyden.bitcoin import base58
from leyden.bitcoin.networks import Network
from leyden.crypto.ec import is_valid_point, is_valid_secret, point_add_scalar, public_key, secret_add
from leyden.crypto.hashes import hash160

HARDENED = 0x80000000
BIP84_PURPOSE = 84
"""Accounts of P2WPKH outputs."""
BIP86_PURPOSE = 86
"""Accounts of P2TR outputs with a key path only."""

_NO_PARENT = bytes(4)
_SERIALIZED_LENGTH = 78


def _hmac_sha512(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    digest = hmac.digest(key, data, "sha512")
    return digest[:32], digest[32:]


class ExtendedPublicKey(msgspec.Struct, frozen=True, gc=False):
    """A public key (33 bytes compressed) that derives children.

    Attributes:
        parent_fingerprint: 4 bytes, zero for a master key.
        child_number: index with `HARDENED` included.
    """

    public_key: bytes
    chain_code: bytes
    depth: int
    parent_fingerprint: bytes
    child_number: int

    def fingerprint(self) -> bytes:
        """Return the first 4 bytes of the key's hash160, by which children name their parent."""
        return hash160(self.public_key)[:4]

    def derive(self, index: int) -> "ExtendedPublicKey":
        """Return child `index` (0 <= index < HARDENED).

        Raises:
            ValueError: hardened index, depth above 255, or one of the 2**-127 keys that do not exist.
        """
        if not 0 <= index < HARDENED:
            raise ValueError("a public key derives no hardened child")
        if self.depth == 255:
            raise ValueError("a key at depth 255 has no children")
        tweak, chain_code = _hmac_sha512(self.chain_code, self.public_key + index.to_bytes(4, "big"))
        point = point_add_scalar(self.public_key, tweak)
        return ExtendedPublicKey(point, chain_code, self.depth + 1, self.fingerprint(), index)

    def serialize(self, version: bytes) -> str:
        """Return the base58 text under a 4-byte version, e.g. `network.bip32_public`."""
        return _serialize(self, version, self.public_key)


class ExtendedPrivateKey(msgspec.Struct, frozen=True, gc=False):
    """A secret key (32 bytes) that derives children; attributes as in `ExtendedPublicKey`. Never shown by `repr`."""

    secret: bytes
    chain_code: bytes
    depth: int
    parent_fingerprint: bytes
    child_number: int

    def __repr__(self) -> str:
        """Say where the key stands, not what it is."""
        return f"ExtendedPrivateKey(depth={self.depth}, child_number={self.child_number})"

    @staticmethod
    def from_seed(seed: bytes) -> "ExtendedPrivateKey":
        """Return the master key of a seed of 16 to 64 bytes.

        Raises:
            ValueError: another length, or one of the 2**-127 seeds that have no key.
        """
        if not 16 <= len(seed) <= 64:
            raise ValueError("a seed has 16 to 64 bytes")
        secret, chain_code = _hmac_sha512(b"Bitcoin seed", seed)
        if not is_valid_secret(secret):
            raise ValueError("this seed has no master key")
        return ExtendedPrivateKey(secret, chain_code, 0, _NO_PARENT, 0)

    def public_key(self) -> bytes:
        """Return the 33-byte public key."""
        return public_key(self.secret)

    def fingerprint(self) -> bytes:
        """Return the first 4 bytes of the public key's hash160."""
        return hash160(self.public_key())[:4]

    def neuter(self) -> ExtendedPublicKey:
        """Return the extended public key."""
        return ExtendedPublicKey(
            self.public_key(), self.chain_code, self.depth, self.parent_fingerprint, self.child_number
        )

    def derive(self, index: int) -> "ExtendedPrivateKey":
        """Return child `index`; add `HARDENED` for a hardened one.

        Raises:
            ValueError: index out of 32 bits, depth above 255, or one of the 2**-127 keys that do not exist.
        """
        if not 0 <= index < 2 * HARDENED:
            raise ValueError("child index out of range")
        if self.depth == 255:
            raise ValueError("a key at depth 255 has no children")
        point = self.public_key()
        data = b"\x00" + self.secret if index >= HARDENED else point
        tweak, chain_code = _hmac_sha512(self.chain_code, data + index.to_bytes(4, "big"))
        secret = secret_add(self.secret, tweak)
        return ExtendedPrivateKey(secret, chain_code, self.depth + 1, hash160(point)[:4], index)

    def derive_path(self, path: tuple[int, ...]) -> "ExtendedPrivateKey":
        """Return the descendant along a path of `parse_path`. Raises as `derive`."""
        key = self
        for index in path:
            key = key.derive(index)
        return key

    def serialize(self, version: bytes) -> str:
        """Return the base58 text (a secret!) under a 4-byte version, e.g. `network.bip32_private`."""
        return _serialize(self, version, b"\x00" + self.secret)


ExtendedKey: TypeAlias = "ExtendedPrivateKey | ExtendedPublicKey"


def _serialize(key: ExtendedKey, version: bytes, data: bytes) -> str:
    head = version + bytes((key.depth,)) + key.parent_fingerprint + key.child_number.to_bytes(4, "big")
    return base58.encode_check(head + key.chain_code + data)


def parse_extended_key(text: str, private_version: bytes, public_version: bytes) -> ExtendedKey:
    """Decode an extended key of either kind.

    Args:
        private_version, public_version: the 4-byte versions accepted, e.g. those of a `Network`.

    Raises:
        DecodeError: malformed, unknown version, a key that does not exist, a key of the other kind than the version
            says, or a master key with a parent (BIP 32, "Test vector 5"). The text is never in the error.
    """
    raw = base58.decode_check(text)
    if len(raw) != _SERIALIZED_LENGTH:
        raise DecodeError(f"an extended key has 78 bytes, not {len(raw)}", field="extended_key")
    version, depth, parent_fingerprint = raw[:4], raw[4], raw[5:9]
    child_number, chain_code, data = int.from_bytes(raw[9:13], "big"), raw[13:45], raw[45:]
    if depth == 0 and (parent_fingerprint != _NO_PARENT or child_number):
        raise DecodeError("a master key has neither parent nor index", offset=4, field="depth")
    if version == private_version:
        if data[0] != 0 or not is_valid_secret(data[1:]):
            raise DecodeError("not a secret key", offset=45, field="key")
        return ExtendedPrivateKey(data[1:], chain_code, depth, parent_fingerprint, child_number)
    if version != public_version:
        raise DecodeError("unknown version of extended key", offset=0, field="version")
    if not is_valid_point(data):
        raise DecodeError("not a public key", offset=45, field="key")
    return ExtendedPublicKey(data, chain_code, depth, parent_fingerprint, child_number)


def parse_path(text: str) -> tuple[int, ...]:
    """Decode a path like `m/84'/0'/0'/1/5` (`'` or `h` marks a hardened step).

    Raises:
        DecodeError: does not start with `m`, or a step is not a number below 2**31.
    """
    head, *steps = text.split("/")
    if head != "m":
        raise DecodeError("a path starts with m", offset=0, field="path")
    path: list[int] = []
    for step in steps:
        number = step[:-1] if step[-1:] in ("'", "h") else step
        if not (number.isascii() and number.isdigit()) or len(number) > 10 or int(number) >= HARDENED:
            raise DecodeError("a step of a path is a number below 2**31", field="path")
        path.append(int(number) + (0 if number == step else HARDENED))
    return tuple(path)


def account_path(purpose: int, network: Network, account: int) -> tuple[int, ...]:
    """Return the path of an account: `m/purpose'/coin'/account'` (BIP 44; `BIP84_PURPOSE`, `BIP86_PURPOSE`)."""
    return (purpose + HARDENED, network.bip44_coin_type + HARDENED, account + HARDENED)
