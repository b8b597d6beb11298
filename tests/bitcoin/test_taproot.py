"""Taproot outputs of BIP 341 and the single-key accounts of BIP 86."""

import json
from pathlib import Path
from typing import Any

import pytest

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import MAINNET
from leyden.bitcoin.script import p2tr
from leyden.bitcoin.taproot import TapLeaf, TapTree, control_block, output_key, tap_tweak, tree_hashes, tweak_secret
from leyden.crypto.ec import public_key

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
BIP341 = json.loads((VECTORS / "bip-0341" / "wallet-test-vectors.json").read_text())["scriptPubKey"]


def tree_of(node: Any) -> TapTree:
    if isinstance(node, list):
        return tree_of(node[0]), tree_of(node[1])
    return TapLeaf(bytes.fromhex(node["script"]), node["leafVersion"])


@pytest.mark.parametrize("case", BIP341)
def test_bip341_tree_output_and_control_blocks(case: dict[str, dict[str, Any]]) -> None:
    """The output key commits to every script; the control block is what a spender shows."""
    internal_key = bytes.fromhex(case["given"]["internalPubkey"])
    tree, between, expected = case["given"]["scriptTree"], case["intermediary"], case["expected"]
    root: bytes | None = None
    leaves: tuple[tuple[TapLeaf, tuple[bytes, ...]], ...] = ()
    if tree is not None:
        root, leaves = tree_hashes(tree_of(tree))
        assert [leaf.hash().hex() for leaf, _ in leaves] == between["leafHashes"]
    assert (root.hex() if root else None) == between["merkleRoot"]
    assert tap_tweak(internal_key, root).hex() == between["tweak"]
    key, parity = output_key(internal_key, root)
    assert key.hex() == between["tweakedPubkey"]
    assert p2tr(key).hex() == expected["scriptPubKey"]
    assert encode_address(p2tr(key), MAINNET) == expected["bip350Address"]
    blocks = [control_block(internal_key, parity, leaf, path).hex() for leaf, path in leaves]
    assert blocks == expected.get("scriptPathControlBlocks", [])


@pytest.mark.parametrize("number", range(1, 9))
def test_tweaked_secret_signs_for_the_output_key(number: int) -> None:
    """Half of all internal keys have an odd Y and must be negated first; both kinds occur here."""
    secret = number.to_bytes(32, "big")
    key, _ = output_key(public_key(secret)[1:], b"\x07" * 32)
    assert public_key(tweak_secret(secret, b"\x07" * 32))[1:] == key


def test_internal_key_off_the_curve_is_refused() -> None:
    """An output to such a key could never be spent."""
    with pytest.raises(ValueError, match=r".+"):
        output_key(b"\xff" * 32, None)
