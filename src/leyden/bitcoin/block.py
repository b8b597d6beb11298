"""Blocks, headers, merkle trees and the witness commitment (BIP 141)."""

import struct
from collections.abc import Sequence

import msgspec

from leyden.base.errors import DecodeError
from leyden.bitcoin.tx import Transaction, compact_size, read_compact_size
from leyden.crypto.hashes import sha256d

HEADER_LENGTH = 80
WITNESS_COMMITMENT_PREFIX = bytes.fromhex("6a24aa21a9ed")

_HEADER = struct.Struct("<I32s32sIII")


class BlockHeader(msgspec.Struct, frozen=True, gc=False):
    """A header: hashes are 32 bytes in internal order; `time` is in seconds since 1970; `bits` the compact target."""

    version: int
    previous_hash: bytes
    merkle_root: bytes
    time: int
    bits: int
    nonce: int

    @staticmethod
    def parse(raw: bytes) -> "BlockHeader":
        """Decode exactly 80 bytes.

        Raises:
            DecodeError: any other length.
        """
        if len(raw) != HEADER_LENGTH:
            raise DecodeError(f"a header has 80 bytes, not {len(raw)}", field="header")
        return BlockHeader(*_HEADER.unpack(raw))

    def serialize(self) -> bytes:
        """Return the 80 bytes that the hash covers."""
        return _HEADER.pack(self.version, self.previous_hash, self.merkle_root, self.time, self.bits, self.nonce)

    def hash(self) -> bytes:
        """Return the block hash: 32 bytes in internal order."""
        return sha256d(self.serialize())

    def target(self) -> int:
        """Return the 256-bit target that `bits` stands for; 0 when it is negative, zero or too large."""
        exponent, mantissa = self.bits >> 24, self.bits & 0x007FFFFF
        if self.bits & 0x00800000:
            return 0
        target = mantissa << 8 * (exponent - 3) if exponent >= 3 else mantissa >> 8 * (3 - exponent)
        return target if target < 1 << 256 else 0

    def meets_target(self) -> bool:
        """Tell whether the hash, read as a little-endian number, is at most the target."""
        return int.from_bytes(self.hash(), "little") <= self.target()

    def work(self) -> int:
        """Return the expected number of hashes behind this header; 0 for an impossible target."""
        target = self.target()
        return (1 << 256) // (target + 1) if target else 0


class Block(msgspec.Struct, frozen=True, gc=False):
    """A header and its transactions, coinbase first."""

    header: BlockHeader
    transactions: tuple[Transaction, ...]

    @staticmethod
    def parse(raw: bytes) -> "Block":
        """Decode one whole block. Does not check the merkle root or any other consensus rule.

        Raises:
            DecodeError: truncated, trailing bytes, or a malformed transaction.
        """
        try:
            header = BlockHeader(*_HEADER.unpack_from(raw, 0))
        except struct.error:
            raise DecodeError("input ends inside the header", offset=len(raw), field="header") from None
        count, offset = read_compact_size(raw, HEADER_LENGTH)
        transactions: list[Transaction] = []
        for _ in range(count):
            tx, offset = Transaction.parse_from(raw, offset)
            transactions.append(tx)
        if offset != len(raw):
            raise DecodeError("bytes follow the block", offset=offset)
        return Block(header, tuple(transactions))

    def serialize(self) -> bytes:
        """Return the encoding of the whole block, witnesses included."""
        parts = [self.header.serialize(), compact_size(len(self.transactions))]
        parts.extend(tx.serialize() for tx in self.transactions)
        return b"".join(parts)

    def hash(self) -> bytes:
        """Return the block hash: 32 bytes in internal order."""
        return self.header.hash()


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Return the merkle root of 32-byte hashes (txids or wtxids), in block order; 32 zero bytes for none."""
    if not hashes:
        return bytes(32)
    level = list(hashes)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def _next_level(level: list[bytes]) -> list[bytes]:
    if len(level) & 1:
        level = [*level, level[-1]]
    return [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]


def merkle_branch(hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the sibling hashes from leaf `index` (0 <= index < len(hashes)) up to the root.

    Raises:
        IndexError: no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise IndexError("no such leaf")
    branch: list[bytes] = []
    level = list(hashes)
    while len(level) > 1:
        sibling = index ^ 1
        branch.append(level[sibling] if sibling < len(level) else level[index])
        level = _next_level(level)
        index >>= 1
    return tuple(branch)


def check_merkle_branch(leaf: bytes, index: int, branch: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `branch` proves that the 32-byte `leaf` is leaf `index` of the tree with this root.

    The index must fit the depth of the branch. A caller that takes proofs from strangers compares the depth with that
    of the coinbase as well: an inner node can pose as a 64-byte transaction.
    """
    if index < 0 or index >> len(branch):
        return False
    current = leaf
    for sibling in branch:
        current = sha256d(sibling + current if index & 1 else current + sibling)
        index >>= 1
    return current == root


def witness_commitment(transactions: Sequence[Transaction], reserved: bytes) -> bytes:
    """Return the 32-byte witness commitment of a block (BIP 141, "Commitment structure").

    Args:
        transactions: all of them; the coinbase (first) counts as 32 zero bytes.
        reserved: the 32-byte witness reserved value in the coinbase's witness.
    """
    hashes = [bytes(32), *(tx.wtxid() for tx in transactions[1:])]
    return sha256d(merkle_root(hashes) + reserved)


def witness_commitment_script(commitment: bytes) -> bytes:
    """Return the coinbase output script that carries a 32-byte witness commitment (BIP 141)."""
    return WITNESS_COMMITMENT_PREFIX + commitment


def find_witness_commitment(coinbase: Transaction) -> bytes | None:
    """Return the 32-byte commitment of the last matching coinbase output, or None (BIP 141)."""
    for tx_out in reversed(coinbase.outputs):
        script = tx_out.script_pubkey
        if len(script) >= 38 and script[:6] == WITNESS_COMMITMENT_PREFIX:
            return script[6:38]
    return None


def check_merkle_root(block: Block) -> bool:
    """Tell whether the header's merkle root is that of the transactions, and no trailing pair repeats.

    A repeated tail gives the same root as the honest block (CVE-2012-2459), so it never passes.
    """
    level = [tx.txid() for tx in block.transactions]
    if merkle_root(level) != block.header.merkle_root:
        return False
    while len(level) > 1:
        if any(level[i] == level[i + 1] for i in range(0, len(level) - 1, 2)):
            return False
        level = _next_level(level)
    return True
