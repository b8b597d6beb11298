"""The funding output against BOLT 3, Appendix B, every figure of it."""

from leyden.bitcoin.base58 import decode_check
from leyden.bitcoin.block import Block
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wpkh, p2wsh_of_script, push_data
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, txid_from_hex, txid_to_hex
from leyden.crypto.ec import public_key, signature_from_der, verify_ecdsa
from leyden.crypto.hashes import hash160, sha256d
from leyden.transactions.funding import channel_id_of, funding_output, funding_witness
from leyden.transactions.scripts import funding_script
from tests.transactions.bolt03_vectors import load

B = load("appendix-b-funding")
LOCAL_KEY, REMOTE_KEY = bytes.fromhex(B["local_funding_pubkey"]), bytes.fromhex(B["remote_funding_pubkey"])
FUNDING_TX = Transaction.parse(bytes.fromhex(B["funding_tx"]))


def test_funding_transaction_of_appendix_b_has_our_funding_output() -> None:
    """The peer signs for exactly this outpoint, value and script."""
    output = funding_output(int(B["funding_satoshis"]), LOCAL_KEY, REMOTE_KEY)
    assert funding_script(LOCAL_KEY, REMOTE_KEY).hex() == B["funding_witness_script"]
    assert output.script_pubkey == p2wsh_of_script(bytes.fromhex(B["funding_witness_script"]))
    assert FUNDING_TX.txid() == txid_from_hex(B["txid"])
    assert FUNDING_TX.outputs[int(B["funding_output"])] == output


def test_funding_transaction_of_appendix_b_is_whole() -> None:
    """Every figure printed beside it must fit, else the file is not what it says."""
    assert txid_to_hex(FUNDING_TX.txid()) == B["txid"]
    assert FUNDING_TX.inputs[0].prevout == OutPoint(txid_from_hex(B["input_txid"]), int(B["input_index"]))
    change = FUNDING_TX.outputs[1]
    assert change.value_sat == int(B["change_satoshis"])
    fee_sat = int(B["input_satoshis"]) - sum(o.value_sat for o in FUNDING_TX.outputs)
    # One P2PKH input of 148 bytes, outputs of 43 and 31 bytes, 10 bytes around them.
    assert fee_sat == int(B["feerate_per_kw"]) * 4 * (148 + 43 + 31 + 10) // 1000

    secret = bytes.fromhex(B["block_1_coinbase_privkey"])[:32]
    key = public_key(secret)
    wif, address = decode_check(B["privkey_in_base58"]), decode_check(B["pubkey_in_base68"])
    assert wif == bytes((REGTEST.wif_version,)) + secret + b"\x01"
    assert address == bytes((REGTEST.p2pkh_version,)) + hash160(key)
    assert change.script_pubkey == p2wpkh(hash160(key))


def test_input_of_appendix_b_is_signed_by_the_coinbase_key() -> None:
    """The chain of the appendix holds together from the first block to the funding output."""
    genesis, block_1 = (Block.parse(bytes.fromhex(B[name])) for name in ("block_0_genesis", "block_1"))
    assert genesis.hash() == REGTEST.chain_hash
    assert block_1.header.previous_hash == REGTEST.chain_hash
    coinbase = block_1.transactions[0]
    assert coinbase == Transaction.parse(bytes.fromhex(B["block_1_coinbase_transaction"]))
    assert coinbase.txid() == txid_from_hex(B["input_txid"])
    assert coinbase.outputs[0].value_sat == int(B["input_satoshis"])

    key = public_key(bytes.fromhex(B["block_1_coinbase_privkey"])[:32])
    script_sig = FUNDING_TX.inputs[0].script_sig
    der_and_type = script_sig[1 : 1 + script_sig[0]]
    assert script_sig == push_data(der_and_type) + push_data(key)
    spent = TxIn(FUNDING_TX.inputs[0].prevout, coinbase.outputs[0].script_pubkey, FUNDING_TX.inputs[0].sequence)
    signed = Transaction(FUNDING_TX.version, (spent,), FUNDING_TX.outputs, FUNDING_TX.locktime)
    digest = sha256d(signed.serialize_no_witness() + (1).to_bytes(4, "little"))
    assert verify_ecdsa(key, digest, signature_from_der(der_and_type[:-1]))


def test_channel_id_is_the_txid_with_the_index_mixed_in() -> None:
    """Both sides name the channel by it from funding_signed on."""
    assert channel_id_of(OutPoint(bytes(32), 0)) == bytes(32)
    assert channel_id_of(OutPoint(b"\xff" * 32, 0x0102)) == b"\xff" * 30 + b"\xfe\xfd"


def test_signatures_stand_in_the_order_of_the_keys() -> None:
    """CHECKMULTISIG walks keys and signatures once, in one direction."""
    low, high = sorted((LOCAL_KEY, REMOTE_KEY))
    one, two = bytes(31) + b"\x01" + bytes(31) + b"\x01", bytes(31) + b"\x02" + bytes(31) + b"\x02"
    witness = funding_witness(b"script", (high, two), (low, one))
    assert witness == funding_witness(b"script", (low, one), (high, two))
    assert [signature_from_der(w[:-1]) for w in witness[1:3]] == [one, two]
    assert witness[0] == b""
    assert witness[3] == b"script"
