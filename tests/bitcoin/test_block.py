"""Blocks, headers and merkle trees: what the chain service hands us must prove itself."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import block as blocks_module
from leyden.bitcoin.block import (
    Block,
    BlockHeader,
    check_merkle_branch,
    check_merkle_root,
    find_witness_commitment,
    merkle_branch,
    merkle_root,
    witness_commitment,
    witness_commitment_script,
)
from leyden.bitcoin.networks import MAINNET
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.hashes import sha256d
from tests.bitcoin.strategies import blocks, headers

GENESIS_COINBASE = (
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
    "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420"
    "666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61"
    "deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
GENESIS = MAINNET.genesis_header + b"\x01" + bytes.fromhex(GENESIS_COINBASE)
HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20, unique=True)


def test_genesis_block_round_trips_and_proves_itself() -> None:
    """The one block that everybody knows by heart."""
    block = Block.parse(GENESIS)
    assert block.serialize() == GENESIS
    assert block.hash() == MAINNET.chain_hash
    assert check_merkle_root(block)
    assert block.header.work() == 0x100010001


@given(blocks())
def test_any_block_round_trips(block: Block) -> None:
    """Encoding and strict decoding are inverses."""
    assert Block.parse(block.serialize()) == block


@given(headers())
def test_any_header_round_trips(header: BlockHeader) -> None:
    """The hash covers exactly these 80 bytes."""
    assert BlockHeader.parse(header.serialize()) == header
    assert header.work() >= 0


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=90).map(lambda tail: MAINNET.genesis_header + tail)))
def test_garbage_raises_nothing_but_decode_error(raw: bytes) -> None:
    """Blocks come from a service over the network."""
    with contextlib.suppress(DecodeError):
        Block.parse(raw)


def test_every_truncation_and_trailing_bytes_are_refused() -> None:
    """A block cut short on the way must not pass for a smaller block."""
    for cut in range(len(GENESIS)):
        with pytest.raises(DecodeError):
            Block.parse(GENESIS[:cut])
    with pytest.raises(DecodeError, match="bytes follow"):
        Block.parse(GENESIS + b"\x00")
    with pytest.raises(DecodeError, match="80 bytes"):
        BlockHeader.parse(GENESIS[:81])


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
        (0x01123456, 0x12),
        (0x02008000, 0x80),
        (0x04923456, 0),
        (0xFF123456, 0),
        (0x00000000, 0),
    ],
)
def test_compact_target_is_read_like_bitcoin_core(bits: int, target: int) -> None:
    """Negative and overflowing targets count as impossible, never as easy."""
    header = BlockHeader(1, bytes(32), bytes(32), 0, bits, 0)
    assert header.target() == target
    assert target or (header.work() == 0 and not header.meets_target())


@given(HASHES, st.data())
def test_merkle_branch_proves_its_leaf_and_no_other(hashes: list[bytes], data: st.DataObject) -> None:
    """A confirmation proof is worth nothing if it also proves something else."""
    index = data.draw(st.integers(0, len(hashes) - 1))
    root, branch = merkle_root(hashes), merkle_branch(hashes, index)
    assert check_merkle_branch(hashes[index], index, branch, root)
    assert not check_merkle_branch(sha256d(hashes[index]), index, branch, root)
    assert not check_merkle_branch(hashes[index], index + (1 << len(branch)), branch, root)
    assert not check_merkle_branch(hashes[index], -1, branch, root)
    assert not check_merkle_branch(hashes[index], index, (*branch, bytes(32)), root)


def test_merkle_tree_of_none_and_branch_of_a_missing_leaf() -> None:
    """Edges of the tree functions."""
    assert merkle_root([]) == bytes(32)
    with pytest.raises(IndexError):
        merkle_branch([bytes(32)], 1)


def coinbase(*scripts: bytes) -> Transaction:
    spends = TxIn(OutPoint(bytes(32), 0xFFFFFFFF), b"\x01\x00", 0xFFFFFFFF, (bytes(32),))
    return Transaction(2, (spends,), tuple(TxOut(0, script) for script in scripts), 0)


def test_witness_commitment_of_a_lone_coinbase_is_the_well_known_one() -> None:
    """Every empty block on every network carries this commitment."""
    commitment = witness_commitment([coinbase()], bytes(32))
    assert commitment.hex() == "e2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9"
    script = witness_commitment_script(commitment)
    assert script.hex().startswith("6a24aa21a9ede2f61c3f")
    assert find_witness_commitment(coinbase(script)) == commitment
    assert find_witness_commitment(coinbase(b"\x51", script[:37])) is None
    # BIP 141: the last matching output counts, and bytes may follow the commitment.
    assert find_witness_commitment(coinbase(script, witness_commitment_script(bytes(32)) + b"x")) == bytes(32)


def test_block_with_a_repeated_tail_is_refused() -> None:
    """The repeated transactions give the honest root (CVE-2012-2459); such a block is forged."""
    txs = tuple(coinbase(bytes((n,))) for n in range(3))
    header = BlockHeader(1, bytes(32), merkle_root([tx.txid() for tx in txs]), 0, 0x207FFFFF, 0)
    assert check_merkle_root(Block(header, txs))
    forged = Block(header, (*txs, txs[2]))
    assert blocks_module.merkle_root([tx.txid() for tx in forged.transactions]) == header.merkle_root
    assert not check_merkle_root(forged)
    assert not check_merkle_root(Block(header, txs[:2]))
