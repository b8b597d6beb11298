"""Sighashes: a signature over the wrong digest is refused by everybody, or worse, signs something else."""

import json
from pathlib import Path
from struct import unpack

import pytest

from leyden.bitcoin.script import operations
from leyden.bitcoin.sighash import (
    SIGHASH_ALL,
    SIGHASH_SINGLE,
    Bip143Midstate,
    Bip341Midstate,
    preimage_v0,
    preimage_v1,
    sighash_v0,
    sighash_v1,
)
from leyden.bitcoin.taproot import TapLeaf, tap_tweak, tweak_secret
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, read_compact_size
from leyden.crypto.ec import public_key, sign_schnorr, signature_from_der, verify_ecdsa, verify_schnorr
from leyden.crypto.hashes import sha256d

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BIP143 = json.loads((VECTORS / "bip-0143" / "test-vectors.json").read_text())
BIP341 = json.loads((VECTORS / "bip-0341" / "wallet-test-vectors.json").read_text())["keyPathSpending"]


def bip143_cases() -> list[tuple[str, dict[str, list[str]], bytes, str]]:
    return [
        (case["case"], case, bytes.fromhex(entry["preimage"]), entry["sighash"])
        for case in BIP143
        for entry in case["sighashes"]
    ]


def test_every_bip143_sighash_is_run() -> None:
    """PROTOCOL counts 13 sighashes in five cases."""
    assert len(bip143_cases()) == 13


@pytest.mark.parametrize(("name", "case", "preimage", "digest"), bip143_cases())
def test_bip143_preimage_and_digest(name: str, case: dict[str, list[str]], preimage: bytes, digest: str) -> None:
    """The vectors give preimages; input, script code, amount and type are read back out of each."""
    outpoint = OutPoint(preimage[68:100], unpack("<I", preimage[100:104])[0])
    length, start = read_compact_size(preimage, 104)
    script_code = preimage[start : start + length]
    value_sat = unpack("<Q", preimage[start + length : start + length + 8])[0]
    sighash_type = unpack("<I", preimage[-4:])[0]
    found = 0
    for raw in case["unsigned_txs"]:
        tx = Transaction.parse(bytes.fromhex(raw))
        for index, tx_in in enumerate(tx.inputs):
            if tx_in.prevout == outpoint:
                found += 1
                midstate = Bip143Midstate(tx)
                assert preimage_v0(tx, index, script_code, value_sat, sighash_type, midstate) == preimage
                assert sighash_v0(tx, index, script_code, value_sat, sighash_type, midstate).hex() == digest
    assert found == 1, name


def low_s(signature: bytes) -> bytes:
    """One signature of the vectors has a high S, which our verification refuses on purpose."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + min(s, CURVE_ORDER - s).to_bytes(32, "big")


def witness_keys(witness: tuple[bytes, ...]) -> list[bytes]:
    keys = [item for item in witness if len(item) == 33]
    if len(witness[-1]) != 33:
        keys += [data for _, data in operations(witness[-1]) if data and len(data) == 33]
    return keys


def verifies(item: bytes, witness: tuple[bytes, ...], digests: list[bytes]) -> bool:
    signature = low_s(signature_from_der(item[:-1]))
    return any(verify_ecdsa(key, digest, signature) for key in witness_keys(witness) for digest in digests)


@pytest.mark.parametrize("case", BIP143, ids=lambda case: case["case"])
def test_bip143_signatures_verify(case: dict[str, list[str]]) -> None:
    """Every listed signature in a witness is by one of its keys over a listed digest; the others are legacy inputs'."""
    digests = [bytes.fromhex(entry["sighash"]) for entry in case["sighashes"]]  # type: ignore[index]
    inputs = [tx_in for raw in case["signed_txs"] for tx_in in Transaction.parse(bytes.fromhex(raw)).inputs]
    for signature in case["signatures"]:
        in_witness = [(item, i.witness) for i in inputs for item in i.witness if item.hex().startswith(signature)]
        assert in_witness or any(signature in i.script_sig.hex() for i in inputs)
        assert all(verifies(item, witness, digests) for item, witness in in_witness)


def test_bip341_common_hashes_digests_and_signatures() -> None:
    """All key-path spends of the vectors, with every sighash type, down to the witness."""
    for case in BIP341:
        tx = Transaction.parse(bytes.fromhex(case["given"]["rawUnsignedTx"]))
        spent = [TxOut(o["amountSats"], bytes.fromhex(o["scriptPubKey"])) for o in case["given"]["utxosSpent"]]
        midstate = Bip341Midstate(tx, spent)
        common = case["intermediary"]
        assert midstate.hash_amounts.hex() == common["hashAmounts"]
        assert midstate.hash_outputs.hex() == common["hashOutputs"]
        assert midstate.hash_prevouts.hex() == common["hashPrevouts"]
        assert midstate.hash_script_pubkeys.hex() == common["hashScriptPubkeys"]
        assert midstate.hash_sequences.hex() == common["hashSequences"]
        signed = Transaction.parse(bytes.fromhex(case["auxiliary"]["fullySignedTx"]))
        assert len(case["inputSpending"]) == 7
        for spend in case["inputSpending"]:
            check_key_path_spend(tx, midstate, spend, signed)


def check_key_path_spend(
    tx: Transaction, midstate: Bip341Midstate, spend: dict[str, dict[str, object]], signed: Transaction
) -> None:
    given, between = spend["given"], spend["intermediary"]
    index, kind = int(given["txinIndex"]), int(given["hashType"])  # type: ignore[call-overload]
    secret = bytes.fromhex(str(given["internalPrivkey"]))
    root = None if given["merkleRoot"] is None else bytes.fromhex(str(given["merkleRoot"]))
    internal_key = public_key(secret)[1:]
    assert internal_key.hex() == between["internalPubkey"]
    assert tap_tweak(internal_key, root).hex() == between["tweak"]
    tweaked = tweak_secret(secret, root)
    assert tweaked.hex() == between["tweakedPrivkey"]
    assert preimage_v1(tx, index, kind, midstate).hex() == between["sigMsg"]
    digest = sighash_v1(tx, index, kind, midstate)
    assert digest.hex() == between["sigHash"]
    signature = sign_schnorr(tweaked, digest, bytes(32))
    assert verify_schnorr(public_key(tweaked)[1:], digest, signature)
    witness = signature + (bytes((kind,)) if kind else b"")
    assert [witness.hex()] == spend["expected"]["witness"]
    assert signed.inputs[index].witness == (witness,)


TX = Transaction(2, tuple(TxIn(OutPoint(bytes(32), n), b"", n) for n in range(2)), (TxOut(5, b"\x51"),), 0)
SPENT = (TxOut(1, b"\x51"), TxOut(2, b"\x52"))


def test_single_without_matching_output_signs_no_outputs_in_v0() -> None:
    """BIP 143 defines it as a zero hash; it must not silently sign another output."""
    message = preimage_v0(TX, 1, b"\x51", 2, SIGHASH_SINGLE, Bip143Midstate(TX))
    assert message[-40:-8] == bytes(32)


def test_taproot_refuses_unknown_type_missing_output_and_wrong_number_of_spent_outputs() -> None:
    """BIP 341 makes such signatures invalid, so they must not be produced."""
    midstate = Bip341Midstate(TX, SPENT)
    with pytest.raises(ValueError, match="sighash type"):
        sighash_v1(TX, 0, 0x84, midstate)
    with pytest.raises(ValueError, match="SINGLE"):
        sighash_v1(TX, 1, SIGHASH_SINGLE, midstate)
    with pytest.raises(ValueError, match="spent output"):
        Bip341Midstate(TX, SPENT[:1])


def test_leaf_and_annex_change_what_is_signed() -> None:
    """A script-path signature must not be usable on the key path, nor without its annex."""
    midstate = Bip341Midstate(TX, SPENT)
    leaf_hash = TapLeaf(b"\x51").hash()
    messages = [
        preimage_v1(TX, 0, SIGHASH_ALL, midstate),
        preimage_v1(TX, 0, SIGHASH_ALL, midstate, leaf_hash=leaf_hash),
        preimage_v1(TX, 0, SIGHASH_ALL, midstate, annex=b"\x50"),
        preimage_v1(TX, 0, SIGHASH_ALL, midstate, leaf_hash=leaf_hash, annex=b"\x50"),
    ]
    # BIP 341: the message has 175 bytes at most without epoch and extension; the extension of BIP 342 has 37.
    assert [len(message) for message in messages] == [175, 175 + 37, 175 + 32, 175 + 37 + 32]
    assert messages[1].endswith(leaf_hash + b"\x00\xff\xff\xff\xff")


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 0x81, 0x82, 0x83])
def test_script_path_digest_agrees_with_another_implementation(kind: int) -> None:
    """The vectors cover only the key path; btclib computes the script path of BIP 342 as well."""
    from btclib.script import sig_hash
    from btclib.tx import Tx
    from btclib.tx import TxOut as OtherTxOut

    leaf_hash = TapLeaf(b"\x51").hash()
    other = Tx.parse(TX.serialize(), check_validity=False)
    spent = [OtherTxOut.parse(out.serialize()) for out in SPENT]
    extension = leaf_hash + b"\x00\xff\xff\xff\xff"
    expected = sig_hash.taproot(other, 0, spent, kind, 1, b"", extension)
    assert sighash_v1(TX, 0, kind, Bip341Midstate(TX, SPENT), leaf_hash=leaf_hash) == expected


def test_v0_digest_is_the_double_hash_of_its_preimage() -> None:
    """Ties the two public functions together."""
    midstate = Bip143Midstate(TX)
    assert sighash_v0(TX, 0, b"\x51", 1, 1, midstate) == sha256d(preimage_v0(TX, 0, b"\x51", 1, 1, midstate))
