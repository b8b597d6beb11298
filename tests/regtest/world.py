"""A chain with money in it, and transactions that spend it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leyden.bitcoin.script import P2A_SCRIPT, p2wpkh_of_key, p2wpkh_script_code, p2wsh_of_script
from leyden.bitcoin.sighash import Bip143Midstate, sighash_v0
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.ec import public_key, sign_ecdsa, signature_to_der
from leyden.crypto.hashes import hash160
from leyden.regtest.backend import Backend
from leyden.regtest.policy import PolicySettings

SECRET = bytes(31) + b"\x07"
KEY = public_key(SECRET)
SCRIPT = p2wpkh_of_key(KEY)
ANYONE = b"\x51"
ANYONE_P2WSH = p2wsh_of_script(ANYONE)
ANCHOR = TxOut(0, P2A_SCRIPT)
NOW = 1_700_000_000
FEE = 1_000


@dataclass
class Clock:
    """A clock that only a test moves."""

    now: int = NOW

    def __call__(self) -> int:
        """Return the seconds since 1970."""
        return self.now


@dataclass(frozen=True)
class Money:
    """An output that the key of this module can spend (or anybody, for the scripts above)."""

    outpoint: OutPoint
    value_sat: int
    script_pubkey: bytes = SCRIPT


def outputs_of(tx: Transaction) -> list[Money]:
    """Return the outputs of a transaction as money."""
    txid = tx.txid()
    return [Money(OutPoint(txid, vout), o.value_sat, o.script_pubkey) for vout, o in enumerate(tx.outputs)]


def sign(tx: Transaction, spent: Sequence[Money]) -> Transaction:
    """Return the transaction with the witness of every input."""
    midstate = Bip143Midstate(tx)
    inputs: list[TxIn] = []
    for index, (tx_in, money) in enumerate(zip(tx.inputs, spent, strict=True)):
        witness: tuple[bytes, ...] = ()
        if money.script_pubkey == SCRIPT:
            digest = sighash_v0(tx, index, p2wpkh_script_code(hash160(KEY)), money.value_sat, 1, midstate)
            witness = (signature_to_der(sign_ecdsa(SECRET, digest)) + b"\x01", KEY)
        elif money.script_pubkey == ANYONE_P2WSH:
            witness = (ANYONE,)
        inputs.append(TxIn(tx_in.prevout, tx_in.script_sig, tx_in.sequence, witness))
    return Transaction(tx.version, tuple(inputs), tx.outputs, tx.locktime)


def spend(
    spent: Sequence[Money],
    outputs: Sequence[TxOut] | None = None,
    *,
    fee_sat: int = FEE,
    version: int = 2,
    sequence: int = 0xFFFFFFFD,
    locktime: int = 0,
) -> Transaction:
    """Return a signed transaction; without `outputs` everything but the fee goes back to the key."""
    if outputs is None:
        outputs = [TxOut(sum(money.value_sat for money in spent) - fee_sat, SCRIPT)]
    inputs = tuple(TxIn(money.outpoint, b"", sequence) for money in spent)
    return sign(Transaction(version, inputs, tuple(outputs), locktime), spent)


@dataclass
class World:
    """A backend whose coinbases from height 1 on belong to the key."""

    directory: Path
    settings: PolicySettings = field(default_factory=PolicySettings)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        """Open the backend."""
        self.backend = Backend(self.directory, self.settings, self.clock)

    def mine(self, count: int = 1) -> None:
        """Mine blocks that pay to the key."""
        self.backend.mine(SCRIPT, count)

    def coinbase(self, height: int) -> Money:
        """Return the coinbase output of a block."""
        parsed = self.backend.chain.parsed_block(self.backend.chain.tree.at(height))
        return outputs_of(parsed.block.transactions[0])[0]

    def send(self, tx: Transaction) -> Transaction:
        """Put a transaction into the pool."""
        self.backend.send(tx, 0)
        return tx

    def pool_ids(self) -> list[bytes]:
        """Return the txids in the pool."""
        return [entry.txid for entry in self.backend.pool]

    def restart(self) -> None:
        """Close and open again."""
        self.backend.close()
        self.backend = Backend(self.directory, self.settings, self.clock)
