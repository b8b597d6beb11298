"""The index of unspent outputs, with what is needed to undo a block.

The consensus library keeps its own and cannot be asked; this one is moved block by block after it.
"""

from collections.abc import Iterator
from typing import Final, final

from msgspec import Struct

from leyden.bitcoin.block import Block
from leyden.bitcoin.script import OP_RETURN
from leyden.bitcoin.tx import OutPoint, Transaction

COINBASE_MATURITY: Final = 100
_SCRIPT_LENGTH_MAX: Final = 10_000


class Coin(Struct, frozen=True, gc=False):
    """An unspent output: `height` is that of its block."""

    value_sat: int
    script_pubkey: bytes
    height: int
    is_coinbase: bool


Undo = list[tuple[OutPoint, Coin]]
"""The coins that a block spent, in the order of its inputs."""


def is_unspendable(script_pubkey: bytes) -> bool:
    """Tell whether an output can provably never be spent, so that it is no coin: OP_RETURN, or too long a script."""
    return script_pubkey[:1] == bytes((OP_RETURN,)) or len(script_pubkey) > _SCRIPT_LENGTH_MAX


@final
class CoinIndex:
    """Every unspent output of the active branch."""

    def __init__(self) -> None:
        self._coins: dict[OutPoint, Coin] = {}

    def __len__(self) -> int:
        """Return the number of unspent outputs."""
        return len(self._coins)

    def get(self, outpoint: OutPoint) -> Coin | None:
        """Return the coin, or None when it never existed or is spent."""
        return self._coins.get(outpoint)

    def items(self) -> Iterator[tuple[OutPoint, Coin]]:
        """Yield every coin, oldest first."""
        yield from self._coins.items()

    def connect(self, block: Block, txids: tuple[bytes, ...], height: int) -> Undo:
        """Apply a valid block (`txids`: 32 bytes each, in block order); return what undoes it."""
        undo: Undo = []
        coins = self._coins
        for position, (tx, txid) in enumerate(zip(block.transactions, txids, strict=True)):
            if position:
                undo.extend((tx_in.prevout, coins.pop(tx_in.prevout)) for tx_in in tx.inputs)
            for vout, output in enumerate(tx.outputs):
                script = output.script_pubkey
                if not is_unspendable(script):
                    coins[OutPoint(txid, vout)] = Coin(output.value_sat, script, height, position == 0)
        return undo

    def disconnect(self, block: Block, txids: tuple[bytes, ...], undo: Undo) -> None:
        """Take the last applied block back."""
        coins = self._coins
        remaining = list(undo)
        for position in range(len(block.transactions) - 1, -1, -1):
            tx = block.transactions[position]
            self._remove_outputs(tx, txids[position])
            if position:
                for _ in tx.inputs:
                    outpoint, coin = remaining.pop()
                    coins[outpoint] = coin
        assert not remaining, "undo data belongs to another block"

    def _remove_outputs(self, tx: Transaction, txid: bytes) -> None:
        for vout, output in enumerate(tx.outputs):
            if not is_unspendable(output.script_pubkey):
                del self._coins[OutPoint(txid, vout)]
