"""Taproot outputs: script leaves, the tree over them, and tweaked keys (BIP 341)."""

from typing import TypeAlias

import msgspec

from leyden.bitcoin.tx import compact_size
from leyden.crypto.ec import public_key, secret_add, secret_negate
from leyden.crypto.hashes import tagged_hash
from leyden.crypto.schnorr import xonly_tweak_add

TAPSCRIPT_LEAF_VERSION = 0xC0


class TapLeaf(msgspec.Struct, frozen=True, gc=False):
    """A script that may spend the output, and its leaf version (even, one byte)."""

    script: bytes
    leaf_version: int = TAPSCRIPT_LEAF_VERSION

    def hash(self) -> bytes:
        """Return the 32-byte leaf hash (BIP 341, "Script validation rules")."""
        script = self.script
        return tagged_hash("TapLeaf", bytes((self.leaf_version,)) + compact_size(len(script)) + script)


TapTree: TypeAlias = "TapLeaf | tuple[TapTree, TapTree]"
"""A leaf, or a pair of subtrees."""


def branch_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of a branch; the two 32-byte hashes are sorted first."""
    return tagged_hash("TapBranch", left + right if left <= right else right + left)


def tree_hashes(tree: TapTree) -> tuple[bytes, tuple[tuple[TapLeaf, tuple[bytes, ...]], ...]]:
    """Return the 32-byte merkle root and, for each leaf from left to right, its merkle path from the bottom up."""
    if isinstance(tree, TapLeaf):
        return tree.hash(), ((tree, ()),)
    left_root, left_leaves = tree_hashes(tree[0])
    right_root, right_leaves = tree_hashes(tree[1])
    leaves = (
        *((leaf, (*path, right_root)) for leaf, path in left_leaves),
        *((leaf, (*path, left_root)) for leaf, path in right_leaves),
    )
    return branch_hash(left_root, right_root), leaves


def tap_tweak(internal_key: bytes, merkle_root: bytes | None) -> bytes:
    """Return the 32-byte tweak of an x-only internal key; `merkle_root` is None for key-path-only outputs (BIP 86)."""
    return tagged_hash("TapTweak", internal_key + (merkle_root or b""))


def output_key(internal_key: bytes, merkle_root: bytes | None) -> tuple[bytes, int]:
    """Return the 32-byte x-only output key and its parity bit.

    Raises:
        ValueError: `internal_key` is not the x coordinate of a point.
    """
    return xonly_tweak_add(internal_key, tap_tweak(internal_key, merkle_root))


def tweak_secret(secret: bytes, merkle_root: bytes | None) -> bytes:
    """Return the 32-byte secret key that signs for the key path of the output of a 32-byte internal secret.

    Raises:
        ValueError: not a valid secret key.
    """
    point = public_key(secret)
    even = secret if point[0] == 2 else secret_negate(secret)
    return secret_add(even, tap_tweak(point[1:], merkle_root))


def control_block(internal_key: bytes, parity: int, leaf: TapLeaf, path: tuple[bytes, ...]) -> bytes:
    """Return the control block that proves `leaf` in the witness of a script-path spend."""
    return bytes((leaf.leaf_version | parity,)) + internal_key + b"".join(path)
