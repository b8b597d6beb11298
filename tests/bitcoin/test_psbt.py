"""PSBT: the format in which the wallet funds channels and outside signers are asked."""

import contextlib
import json
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin import base58
from leyden.bitcoin.bip32 import ExtendedPrivateKey, parse_extended_key, parse_path
from leyden.bitcoin.networks import TESTNET
from leyden.bitcoin.psbt import PSBT_MAX_BYTES, InputUpdate, KeyOrigin, OutputUpdate, Psbt, combine
from leyden.bitcoin.script import p2tr
from leyden.bitcoin.taproot import output_key, tweak_secret
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, txid_from_hex
from leyden.crypto.ec import public_key, sign_ecdsa, sign_schnorr, signature_to_der

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
BIP174 = json.loads((VECTORS / "bip-0174" / "test-vectors.json").read_text())
WORKFLOW = BIP174["workflow"]
PSBTS = WORKFLOW["psbts"]


@pytest.mark.parametrize("case", BIP174["valid"], ids=lambda case: case["case"])
def test_valid_psbt_round_trips(case: dict[str, str]) -> None:
    """Unknown records included: they belong to somebody else."""
    psbt = Psbt.from_base64(case["base64"])
    assert psbt.to_base64() == case["base64"]
    assert isinstance(psbt.unsigned_tx(), Transaction)


@pytest.mark.parametrize("case", BIP174["invalid"], ids=lambda case: case["case"])
def test_invalid_psbt_is_refused(case: dict[str, str]) -> None:
    """A malformed PSBT must not reach a signer."""
    with pytest.raises(DecodeError):
        Psbt.from_base64(case["base64"])


class VectorSigner:
    """Signs with the keys of the vectors."""

    def __init__(self, secrets: list[bytes]) -> None:
        self.secrets = {public_key(secret): secret for secret in secrets}
        self.asked: list[KeyOrigin | None] = []

    def sign_ecdsa(self, public_key: bytes, origin: KeyOrigin | None, digest: bytes) -> bytes | None:
        self.asked.append(origin)
        secret = self.secrets.get(public_key)
        return None if secret is None else signature_to_der(sign_ecdsa(secret, digest))

    def sign_taproot(
        self, internal_key: bytes, origin: KeyOrigin | None, digest: bytes, merkle_root: bytes
    ) -> bytes | None:
        secret = next((s for key, s in self.secrets.items() if key[1:] == internal_key), None)
        return None if secret is None else sign_schnorr(tweak_secret(secret, merkle_root or None), digest, bytes(32))


MASTER = parse_extended_key(WORKFLOW["master_xprv"], TESTNET.bip32_private, TESTNET.bip32_public)
ORIGINS = {
    bytes.fromhex(key["pubkey"]): KeyOrigin(MASTER.fingerprint(), parse_path(key["path"])) for key in WORKFLOW["keys"]
}


def origins_in(script: str) -> dict[bytes, KeyOrigin]:
    return {key: origin for key, origin in ORIGINS.items() if key.hex() in script}


def created() -> Psbt:
    inputs = tuple(TxIn(OutPoint(txid_from_hex(i["txid"]), i["index"]), b"", 0xFFFFFFFF) for i in WORKFLOW["inputs"])
    outputs = tuple(
        TxOut(int(o["btc"].replace(".", "")), bytes.fromhex(o["script_pubkey"])) for o in WORKFLOW["outputs"]
    )
    return Psbt.create(Transaction(2, inputs, outputs, 0))


def updates() -> tuple[dict[int, InputUpdate], dict[int, OutputUpdate]]:
    previous = {tx.txid(): tx for tx in (Transaction.parse(bytes.fromhex(raw)) for raw in WORKFLOW["previous_txs"])}
    spent = [previous[txid_from_hex(i["txid"])] for i in WORKFLOW["inputs"]]
    multisig, wrapper = WORKFLOW["redeem_scripts"]
    witness_script = WORKFLOW["witness_scripts"][0]
    inputs = {
        0: InputUpdate(previous_tx=spent[0], redeem_script=bytes.fromhex(multisig), key_origins=origins_in(multisig)),
        1: InputUpdate(
            witness_utxo=spent[1].outputs[WORKFLOW["inputs"][1]["index"]],
            redeem_script=bytes.fromhex(wrapper),
            witness_script=bytes.fromhex(witness_script),
            key_origins=origins_in(witness_script),
        ),
    }
    keys = [bytes.fromhex(key["pubkey"]) for key in WORKFLOW["keys"]]
    outputs = {n: OutputUpdate(key_origins={keys[4 + n]: ORIGINS[keys[4 + n]]}) for n in range(2)}
    return inputs, outputs


def test_creator_and_updater_of_the_workflow() -> None:
    """From the bare transaction to everything a signer needs."""
    psbt = created()
    assert psbt.to_base64() == PSBTS["creator"]
    psbt = psbt.update(*updates())
    assert psbt.to_base64() == PSBTS["updater"]
    psbt = psbt.update({n: InputUpdate(sighash_type=1) for n in range(2)}, {})
    assert psbt.to_base64() == PSBTS["updater_sighash_all"]


def test_keys_of_the_workflow_come_from_its_master_key() -> None:
    """The six public keys, the four private ones, and the master key from its seed."""
    assert isinstance(MASTER, ExtendedPrivateKey)
    assert base58.decode_check(WORKFLOW["seed_wif"])[0] == TESTNET.wif_version
    for key, origin in ORIGINS.items():
        assert MASTER.derive_path(origin.path).public_key() == key
    for signer in WORKFLOW["signer_keys"]:
        secret = MASTER.derive_path(parse_path(signer["path"])).secret
        assert base58.decode_check(signer["wif"]) == bytes((TESTNET.wif_version,)) + secret + b"\x01"


@pytest.mark.parametrize(("half", "expected"), [(0, "signer_1"), (2, "signer_2")])
def test_signers_of_the_workflow(half: int, expected: str) -> None:
    """Each holds two of the four keys and signs both inputs."""
    secrets = [base58.decode_check(entry["wif"])[1:33] for entry in WORKFLOW["signer_keys"][half : half + 2]]
    signer = VectorSigner(secrets)
    psbt = Psbt.from_base64(PSBTS["updater_sighash_all"]).sign(signer, require_previous_txs=False)
    assert psbt.to_base64() == PSBTS[expected]
    assert all(origin in ORIGINS.values() for origin in signer.asked)


def test_combiner_finalizer_and_extractor_of_the_workflow() -> None:
    """From two half-signed copies to the network transaction."""
    psbt = combine([Psbt.from_base64(PSBTS["signer_1"]), Psbt.from_base64(PSBTS["signer_2"])])
    # BIP 174 leaves the order of records open; the library sorts signatures by key, the vector lists them by signer.
    assert psbt == Psbt.from_base64(PSBTS["combiner"])
    assert sorted(psbt.raw) == sorted(b64decode(PSBTS["combiner"]))
    psbt = psbt.finalize()
    assert psbt.to_base64() == PSBTS["input_finalizer"]
    assert psbt.extract().serialize().hex() == WORKFLOW["extracted_tx"]


def test_combiner_keeps_unknown_records_of_both() -> None:
    """Extensions of other wallets must survive our combining."""
    copies = [Psbt.from_base64(PSBTS["unknown_kv_1"]), Psbt.from_base64(PSBTS["unknown_kv_2"])]
    assert combine(copies).to_base64() == PSBTS["combiner_lexicographic"]


def test_amount_must_be_vouched_for_when_the_signer_insists() -> None:
    """Without the previous transaction a stranger could lie about an amount, and the lie would go into the fee."""
    psbt = Psbt.from_base64(PSBTS["updater_sighash_all"])
    with pytest.raises(CommandRejected, match="PSBT does not allow") as error:
        psbt.sign(VectorSigner([]), require_previous_txs=True)
    assert error.value.code == "psbt_refused"


def test_roles_refuse_what_they_cannot_do() -> None:
    """Each refusal is a typed reply to the caller, never a stray library error."""
    updated = Psbt.from_base64(PSBTS["updater"])
    unrelated = Psbt.create(Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (), 0))
    for refused in (
        updated.finalize,
        updated.extract,
        lambda: combine([updated, unrelated]),
        lambda: combine([]),
        lambda: updated.update({7: InputUpdate(redeem_script=b"\x51")}, {}),
        lambda: updated.update({0: InputUpdate(sighash_type=77)}, {}),
        unrelated.spent_outputs,
    ):
        with pytest.raises(CommandRejected):
            refused()


def test_taproot_input_is_signed_on_the_key_path() -> None:
    """The BIP 86 half of the wallet."""
    secret = bytes(31) + b"\x05"
    internal_key = public_key(secret)[1:]
    script_pubkey = p2tr(output_key(internal_key, None)[0])
    tx = Transaction(2, (TxIn(OutPoint(b"\x01" * 32, 0), b"", 0xFFFFFFFD),), (TxOut(900, script_pubkey),), 0)
    utxo = TxOut(1000, script_pubkey)
    update = InputUpdate(
        witness_utxo=utxo, taproot_internal_key=internal_key, taproot_key_origin=KeyOrigin(b"abcd", (1, 2))
    )
    psbt = Psbt.create(tx).update({0: update}, {})
    assert psbt.spent_outputs() == (utxo,)
    assert psbt.unsigned_tx() == tx
    signed = psbt.sign(VectorSigner([secret]), require_previous_txs=True).finalize().extract()
    assert [len(item) for item in signed.inputs[0].witness] == [64]
    assert signed.txid() == tx.txid()


def test_version_2_and_oversized_input_are_refused() -> None:
    """Version 2 is later in scope; reading a PSBT must not take unbounded memory."""
    with pytest.raises(DecodeError, match="version 2"):
        Psbt.parse(bytes.fromhex("70736274ff01fb040200000001020402000000010401000105010000"))
    with pytest.raises(DecodeError, match="longer than"):
        Psbt.parse(bytes(PSBT_MAX_BYTES + 1))


@settings(max_examples=300)
@given(st.sampled_from([b64decode(case["base64"]) for case in BIP174["valid"]]), st.data())
def test_damaged_psbt_is_read_or_refused(raw: bytes, data: st.DataObject) -> None:
    """The library is not ours: whatever it raises on bad bytes must come out as DecodeError."""
    mutable = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        mutable[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        Psbt.parse(bytes(mutable))


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda tail: (b"psbt\xff" + tail).decode("latin-1"))))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """PSBTs are pasted by people."""
    with contextlib.suppress(DecodeError):
        Psbt.from_base64(text)
