"""Per-commitment secrets: made from a seed, and stored in at most 49 entries by the one who receives them.

Indices count down from 2^48 - 1. Spec: BOLT 3, "Per-commitment Secret Requirements".
"""

import hashlib
from collections.abc import Sequence
from typing import Final, final

import msgspec

_sha256 = hashlib.sha256

INDEX_BITS: Final = 48
FIRST_INDEX: Final = (1 << INDEX_BITS) - 1
"""Index of the secret of commitment 0."""


def _derive(secret: bytes, from_bits: int, index: int) -> bytes:
    """Walk down from a secret whose index ends in `from_bits` zeros to the secret of `index`."""
    value = int.from_bytes(secret, "little")
    for bit in range(from_bits - 1, -1, -1):
        if index >> bit & 1:
            # Bit `bit` of the spec is bit `bit % 8` of byte `bit // 8`: bit number `bit` of the little-endian number.
            digest = _sha256((value ^ (1 << bit)).to_bytes(32, "little")).digest()
            value = int.from_bytes(digest, "little")
    return value.to_bytes(32, "little")


def per_commitment_secret(seed: bytes, index: int) -> bytes:
    """Return the secret (32 bytes) of `index` (0 to 2^48 - 1) from a seed (32 bytes).

    Raises: ValueError for a seed of another length or an index out of range.
    Spec:   BOLT 3, "Per-commitment Secret Requirements".
    """
    if len(seed) != 32:
        raise ValueError("the seed must have 32 bytes")
    _check_index(index)
    return _derive(seed, INDEX_BITS, index)


def _check_index(index: int) -> None:
    if not 0 <= index <= FIRST_INDEX:
        raise ValueError("the index must be within 48 bits")


def _trailing_zeros(index: int) -> int:
    return (index & -index).bit_length() - 1 if index else INDEX_BITS


@final
class Shachain(msgspec.Struct, frozen=True):
    """All the secrets that a peer has revealed so far, from 2^48 - 1 downward, in at most 49 entries.

    Immutable: `insert` returns a new value that shares the entries. `entries[n]` is the last secret whose index ends
    in exactly n zero bits.

    Spec: BOLT 3, "Efficient Per-commitment Secret Storage".
    """

    entries: tuple[tuple[int, bytes], ...] = ()

    def __repr__(self) -> str:
        """Show how many entries there are, not the secrets."""
        return f"Shachain(<{len(self.entries)} entries>)"

    @property
    def next_index(self) -> int:
        """The index that the next secret must have; -1 when all 2^48 are known."""
        return min((index for index, _ in self.entries), default=FIRST_INDEX + 1) - 1

    def insert(self, index: int, secret: bytes) -> "Shachain":
        """Return the store with one more secret.

        Args:   index: must be `next_index`; secret: 32 bytes.
        Raises: ValueError if the index is another one, or if the secret doesn't derive those that came before it.
        Spec:   BOLT 3, "Efficient Per-commitment Secret Storage".
        """
        if index != self.next_index or len(secret) != 32 or index < 0:
            raise ValueError("not the next secret of this chain")
        bucket = _trailing_zeros(index)
        for known_index, known_secret in self.entries[:bucket]:
            if _derive(secret, bucket, known_index) != known_secret:
                raise ValueError("the secret does not derive the earlier ones")
        return Shachain((*self.entries[:bucket], (index, secret), *self.entries[bucket + 1 :]))

    def get(self, index: int) -> bytes:
        """Return the secret (32 bytes) of `index`.

        Raises: ValueError if the index is out of range, KeyError if that secret has not been revealed.
        """
        _check_index(index)
        for bucket, (known_index, secret) in enumerate(self.entries):
            if index >> bucket == known_index >> bucket:
                return _derive(secret, bucket, index)
        raise KeyError(index)

    def to_list(self) -> list[tuple[int, bytes]]:
        """Return the entries for a snapshot."""
        return list(self.entries)

    @classmethod
    def from_list(cls, entries: Sequence[tuple[int, bytes]]) -> "Shachain":
        """Return the store of a snapshot. Raises ValueError for entries that no sequence of inserts leaves behind."""
        for bucket, (index, secret) in enumerate(entries):
            _check_index(index)
            if _trailing_zeros(index) != bucket or len(secret) != 32:
                raise ValueError("not the entries of a secret store")
        return cls(tuple((index, secret) for index, secret in entries))


def index_of_commitment(commitment_number: int) -> int:
    """Return the index of the secret of a commitment: numbers count up from 0, indexes down from 2^48 - 1.

    Spec: BOLT 3, "Per-commitment Secret Requirements".
    """
    return FIRST_INDEX - commitment_number
