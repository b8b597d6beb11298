"""The index of unspent outputs follows blocks forward and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.block import Block, BlockHeader
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.regtest.coins import Coin, CoinIndex, is_unspendable
from tests.regtest.world import World, outputs_of, spend

HEADER = BlockHeader(4, bytes(32), bytes(32), 0, 0x207FFFFF, 0)


def block_of(number: int, spent: list[list[OutPoint]], outputs: int) -> tuple[Block, tuple[bytes, ...]]:
    """Return a block whose transactions spend what they are told to."""
    coinbase = Transaction(2, (TxIn(OutPoint(bytes(32), 0xFFFFFFFF), bytes((number,)), 0),), (TxOut(50, b"\x51"),), 0)
    transactions = [coinbase]
    for index, outpoints in enumerate(spent):
        inputs = tuple(TxIn(outpoint, b"", index) for outpoint in outpoints)
        made = (*(TxOut(number, bytes((0x51, k))) for k in range(outputs)), TxOut(0, b"\x6a"))
        transactions.append(Transaction(2, inputs, made, number))
    return Block(HEADER, tuple(transactions)), tuple(tx.txid() for tx in transactions)


@given(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=8))
def test_undoing_blocks_restores_every_earlier_state(plan: list[list[int]]) -> None:
    """A reorganisation must leave exactly what was there before, or the next verdict is wrong."""
    index = CoinIndex()
    history: list[tuple[dict[OutPoint, Coin], Block, tuple[bytes, ...], list[tuple[OutPoint, Coin]]]] = []
    for number, picks in enumerate(plan):
        before = dict(index.items())
        available = list(before)
        chosen = list(dict.fromkeys(available[pick % len(available)] for pick in picks)) if available else []
        block, txids = block_of(number + 1, [[outpoint] for outpoint in chosen], outputs=2)
        undo = index.connect(block, txids, number)
        history.append((before, block, txids, undo))
    for before, block, txids, undo in reversed(history):
        index.disconnect(block, txids, undo)
        assert dict(index.items()) == before


def test_index_agrees_with_what_blocks_say(world: World) -> None:
    """The index is kept beside the library, which cannot be asked: replay the chain naively and compare."""
    first = world.send(spend([world.coinbase(1)], [TxOut(4_000, b"\x51\x20" + bytes(32)), TxOut(90_000, b"\x6a")]))
    world.send(spend([world.coinbase(2)]))
    world.mine(2)
    chain = world.backend.chain
    expected: dict[OutPoint, int] = {}
    for height in range(1, chain.tree.height + 1):
        for tx in chain.parsed_block(chain.tree.at(height)).block.transactions:
            for tx_in in tx.inputs:
                expected.pop(tx_in.prevout, None)
            expected.update({m.outpoint: m.value_sat for m in outputs_of(tx) if not is_unspendable(m.script_pubkey)})
    assert {outpoint: coin.value_sat for outpoint, coin in chain.coins.items()} == expected
    assert len(chain.coins) == len(expected)
    assert chain.coins.get(OutPoint(first.txid(), 0)) is not None


def test_outputs_that_nobody_can_spend_are_no_coins() -> None:
    """bitcoind forgets them, so `gettxout` must say null."""
    assert is_unspendable(b"\x6a\x01\x02")
    assert is_unspendable(bytes(10_001))
    assert not is_unspendable(b"")


def test_undo_data_of_another_block_is_noticed() -> None:
    """Silent corruption here would surface as a wrong verdict much later."""
    index = CoinIndex()
    block, txids = block_of(1, [], outputs=1)
    undo = index.connect(block, txids, 1)
    with pytest.raises(AssertionError):
        index.disconnect(block, txids, [*undo, (OutPoint(bytes(32), 0), Coin(1, b"", 0, False))])
