"""Hypothesis strategies for Bitcoin values."""

from hypothesis import strategies as st

from leyden.bitcoin.block import Block, BlockHeader
from leyden.bitcoin.tx import MAX_MONEY_SAT, OutPoint, Transaction, TxIn, TxOut

_u32 = st.integers(0, 0xFFFFFFFF)
_hashes = st.binary(min_size=32, max_size=32)
# Lengths around 253, where the length prefix grows.
_scripts = st.one_of(st.binary(max_size=40), st.integers(250, 260).map(bytes))

_outputs = st.builds(TxOut, st.integers(0, MAX_MONEY_SAT), _scripts)
_inputs = st.builds(TxIn, st.builds(OutPoint, _hashes, _u32), _scripts, _u32, st.lists(_scripts, max_size=3).map(tuple))


def transactions() -> st.SearchStrategy[Transaction]:
    """Transactions with at least one input, with and without witness."""
    return st.builds(
        Transaction,
        _u32,
        st.lists(_inputs, min_size=1, max_size=4).map(tuple),
        st.lists(_outputs, max_size=4).map(tuple),
        _u32,
    )


def headers() -> st.SearchStrategy[BlockHeader]:
    """Block headers, valid or not."""
    return st.builds(BlockHeader, _u32, _hashes, _hashes, _u32, _u32, _u32)


def blocks() -> st.SearchStrategy[Block]:
    """Blocks of a few transactions."""
    return st.builds(Block, headers(), st.lists(transactions(), max_size=3).map(tuple))
