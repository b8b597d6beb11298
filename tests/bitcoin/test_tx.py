"""Transactions: the encoding every signature, id and weight rests on."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin.tx import (
    MAX_MONEY_SAT,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
    compact_size,
    read_compact_size,
    txid_from_hex,
    txid_to_hex,
)
from tests.bitcoin.strategies import transactions

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
BIP143 = json.loads((VECTORS / "bip-0143" / "test-vectors.json").read_text())
BIP174 = json.loads((VECTORS / "bip-0174" / "test-vectors.json").read_text())["workflow"]
BIP341 = json.loads((VECTORS / "bip-0341" / "wallet-test-vectors.json").read_text())["keyPathSpending"][0]

REAL_TRANSACTIONS = [
    *(raw for case in BIP143 for raw in case["unsigned_txs"] + case["signed_txs"]),
    *BIP174["previous_txs"],
    BIP174["extracted_tx"],
    BIP341["auxiliary"]["fullySignedTx"],
]


@pytest.mark.parametrize("raw", REAL_TRANSACTIONS)
def test_real_transaction_survives_a_round_trip(raw: str) -> None:
    """A transaction that changes by being read would be signed or relayed with another id."""
    assert Transaction.parse(bytes.fromhex(raw)).serialize().hex() == raw


@pytest.mark.parametrize("raw", REAL_TRANSACTIONS)
def test_ids_and_weight_agree_with_another_implementation(raw: str) -> None:
    """Txid, wtxid, weight and vsize decide what is spent and what is paid."""
    from btclib.tx import Tx

    other = Tx.parse(bytes.fromhex(raw))
    ours = Transaction.parse(bytes.fromhex(raw))
    assert txid_to_hex(ours.txid()) == other.id.hex()
    assert txid_to_hex(ours.wtxid()) == other.hash.hex()
    assert (ours.weight(), ours.vsize()) == (other.weight, other.vsize)


def test_txid_is_the_one_that_spenders_name() -> None:
    """BIP 174 names previous transactions by id and gives them whole, so byte order can be checked."""
    named = {entry["txid"] for entry in BIP174["inputs"]}
    assert {txid_to_hex(Transaction.parse(bytes.fromhex(raw)).txid()) for raw in BIP174["previous_txs"]} == named


@given(transactions())
def test_any_transaction_survives_a_round_trip(tx: Transaction) -> None:
    """Encoding and strict decoding are inverses, witness or not."""
    assert Transaction.parse(tx.serialize()) == tx
    assert Transaction.parse_no_witness(tx.serialize_no_witness()).serialize_no_witness() == tx.serialize_no_witness()


@given(transactions(), st.data())
def test_truncated_transaction_is_refused(tx: Transaction, data: st.DataObject) -> None:
    """Slices past the end are silent in Python; the decoder must notice every one of them."""
    raw = tx.serialize()
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(DecodeError):
        Transaction.parse(raw[:cut])


def test_every_truncation_of_a_real_transaction_is_refused() -> None:
    """The same at every offset of a transaction with witnesses and long scripts."""
    raw = bytes.fromhex(BIP174["extracted_tx"])
    for cut in range(len(raw)):
        with pytest.raises(DecodeError):
            Transaction.parse(raw[:cut])
        with pytest.raises(DecodeError):
            Transaction.parse_no_witness(raw[:cut])


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_decode_error(raw: bytes) -> None:
    """Peers send transactions in interactive-tx; a stray exception would stop the node instead of the peer."""
    for parse in (Transaction.parse, Transaction.parse_no_witness):
        try:
            parse(raw)
        except DecodeError:
            continue


@given(st.sampled_from(REAL_TRANSACTIONS), st.data())
def test_flipped_byte_is_read_or_refused(raw: str, data: st.DataObject) -> None:
    """What is accepted after a change must still be its own encoding: no two texts for one transaction."""
    mutable = bytearray.fromhex(raw)
    mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    try:
        tx = Transaction.parse(bytes(mutable))
    except DecodeError:
        return
    assert tx.serialize() == bytes(mutable)


P2WPKH = b"\x00\x14" + bytes(20)
ONE_IN = Transaction(2, (TxIn(OutPoint(bytes(32), 1), b"", 0xFFFFFFFD, (b"a",)),), (TxOut(7, P2WPKH),), 9)


def test_trailing_bytes_are_refused() -> None:
    """Two encodings of one transaction would give two ids in a log or a store."""
    with pytest.raises(DecodeError, match="bytes follow"):
        Transaction.parse(ONE_IN.serialize() + b"\x00")
    with pytest.raises(DecodeError, match="bytes follow"):
        Transaction.parse_no_witness(ONE_IN.serialize_no_witness() + b"\x00")


def test_unknown_flag_is_refused() -> None:
    """BIP 144 leaves other flags to later extensions, which we could not read."""
    raw = ONE_IN.serialize()
    with pytest.raises(DecodeError, match="flag"):
        Transaction.parse(raw[:5] + b"\x02" + raw[6:])


def test_witness_section_without_witness_is_refused() -> None:
    """Bitcoin Core refuses it as superfluous, so a transaction must not be taken for valid in this form."""
    bare = ONE_IN.serialize_no_witness()
    with pytest.raises(DecodeError, match="without a witness"):
        Transaction.parse(bare[:4] + b"\x00\x01" + bare[4:-4] + b"\x00" + bare[-4:])


def test_amount_above_all_money_is_refused() -> None:
    """An unconfirmed transaction of a stranger may claim any amount; sums must not be poisoned."""
    most = Transaction(2, ONE_IN.inputs, (TxOut(MAX_MONEY_SAT, P2WPKH),), 0)
    assert Transaction.parse(most.serialize()) == most
    with pytest.raises(DecodeError) as error:
        Transaction.parse(Transaction(2, ONE_IN.inputs, (TxOut(MAX_MONEY_SAT + 1, P2WPKH),), 0).serialize())
    assert error.value.field == "value"


@given(st.integers(0, 0x02000000))
def test_compact_size_round_trips(n: int) -> None:
    """Every length in a transaction is one of these."""
    assert read_compact_size(compact_size(n), 0) == (n, len(compact_size(n)))


@pytest.mark.parametrize(
    "raw", ["fdfc00", "fe0000ffff"[:10], "fefeff0000", "ff" + "ff" * 4 + "00" * 4, "fd", "fe0102", ""]
)
def test_compact_size_refuses_long_forms_and_ends(raw: str) -> None:
    """A second encoding of the same length would make transactions malleable; an end inside must not raise else."""
    with pytest.raises(DecodeError):
        read_compact_size(bytes.fromhex(raw), 0)


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "00 " * 21 + "00", "0" * 63, "é" * 64])
def test_malformed_txid_text_is_refused(text: str) -> None:
    """Txids enter at the command line and from the chain service."""
    with pytest.raises(DecodeError):
        txid_from_hex(text)


def test_txid_text_is_reversed() -> None:
    """Display order is the reverse of the order inside transactions."""
    assert txid_from_hex("ab" + "00" * 31)[31] == 0xAB
    assert txid_to_hex(txid_from_hex("ab" + "00" * 31)) == "ab" + "00" * 31
    assert str(OutPoint(txid_from_hex("ab" + "00" * 31), 3)) == "ab" + "00" * 31 + ":3"
