"""Commitment transactions against BOLT 3, Appendices C and F, and against their own rules."""

from typing import Any

import pytest
from tests.transactions.bolt03_vectors import (
    APPENDIX_C,
    APPENDIX_F,
    KEYS,
    LOCAL_FUNDING_SECRET,
    LOCAL_HTLC_SECRET,
    PARAMS,
    REMOTE_FUNDING_SECRET,
    REMOTE_HTLC_SECRET,
    htlc,
    parameters,
    preimage,
    signature,
)

from leyden.bitcoin.sighash import SIGHASH_ALL
from leyden.crypto.ec import sign_ecdsa, sign_ecdsa_low_r, verify_ecdsa, verify_ecdsa_many
from leyden.transactions.commitment import SIGHASH_SINGLE_ANYONECANPAY, Commitment, OutputKind, build_commitment
from leyden.transactions.fees import commitment_fee_sat, trim_thresholds

NUMBER = PARAMS["commitment_number"]


def names(tests: list[dict[str, Any]], key: str) -> list[str]:
    """Return readable test ids."""
    return [test[key] for test in tests]


def committed_htlcs(name: str, empty: bool) -> list[int]:
    """Return which of the seven HTLCs a vector commits to."""
    if empty:
        return []
    return [1, 5, 6] if "same amount and preimage" in name else [0, 1, 2, 3, 4]


def commitment_of_c(test: dict[str, Any]) -> Commitment:
    """Build the commitment of one case of Appendix C."""
    ids = committed_htlcs(test["name"], test["name"].startswith("simple"))
    return build_commitment(
        parameters(anchors=False, dust_limit_sat=PARAMS["local_dust_limit_satoshi"]),
        KEYS,
        NUMBER,
        test["local_feerate_per_kw"],
        test["to_local_msat"],
        test["to_remote_msat"],
        [htlc(i) for i in ids],
    )


@pytest.mark.parametrize("test", APPENDIX_C["tests"], ids=names(APPENDIX_C["tests"], "name"))
def test_static_remotekey_commitment_and_htlc_transactions_equal_appendix_c(test: dict[str, Any]) -> None:
    """A byte of difference to what the peer builds makes every signature wrong."""
    commitment = commitment_of_c(test)
    digest = commitment.digest()
    local, remote = signature(test["local_signature"]), signature(test["remote_signature"])
    assert sign_ecdsa(LOCAL_FUNDING_SECRET, digest) == local
    assert sign_ecdsa(REMOTE_FUNDING_SECRET, digest) == remote
    assert commitment.signed_transaction(local, remote).serialize().hex() == test["commit_tx"]

    assert len(commitment.htlcs) == test["num_htlcs"] == len(test["htlc_outputs"])
    found = {h.htlc_id: (index, h) for index, h in commitment.htlcs}
    for output in test["htlc_outputs"]:
        index, committed = found[output["htlc"]]
        assert committed.offered == (output["direction"] == "offered")
        assert commitment.output_value_sat(index) == output["amount_satoshi"]
        assert commitment.witness_script(index).hex() == output["witness_script"]

    digests = commitment.htlc_digests(commitment.htlc_sighash_type)
    assert len(test["htlc_txs"]) == len(digests)
    for position, expected in enumerate(test["htlc_txs"]):
        index, committed = commitment.htlcs[position]
        assert index == expected["output_index"]
        assert committed.htlc_id == expected["htlc"]
        assert committed.offered == (expected["kind"] == "timeout")
        htlc_tx = commitment.htlc_transaction(position)
        assert htlc_tx.digest(SIGHASH_ALL) == digests[position]
        local, remote = signature(expected["local_htlc_signature"]), signature(expected["remote_htlc_signature"])
        assert sign_ecdsa(LOCAL_HTLC_SECRET, digests[position]) == local
        assert sign_ecdsa(REMOTE_HTLC_SECRET, digests[position]) == remote
        known = None if committed.offered else preimage(committed.htlc_id)
        assert htlc_tx.signed_transaction(local, remote, known).serialize().hex() == expected["tx"]


@pytest.mark.parametrize("test", APPENDIX_C["tests"], ids=names(APPENDIX_C["tests"], "name"))
def test_fees_and_main_outputs_equal_appendix_c(test: dict[str, Any]) -> None:
    """The figures printed beside the transactions pin down which amount pays the fee."""
    commitment = commitment_of_c(test)
    if "base_fee_satoshi" in test:
        assert commitment.fee_sat == test["actual_fee_satoshi"]
        assert commitment_fee_sat(test["local_feerate_per_kw"], test["num_htlcs"], False) == test["base_fee_satoshi"]
    for kind, amount, script in (
        (OutputKind.TO_BROADCASTER, "to_local_amount_satoshi", "to_local_witness_script"),
        (OutputKind.TO_COUNTERSIGNATORY, "to_remote_amount_satoshi", ""),
    ):
        index = commitment.output_index(kind)
        if amount in test:
            assert index is not None
            assert commitment.output_value_sat(index) == test[amount]
            assert commitment.witness_script(index).hex() == test.get(script, "")
        elif "base_fee_satoshi" in test:
            assert index is None
    if "to_remote_p2wpkh_pubkey" in test:
        assert KEYS.countersignatory_payment_point.hex() == test["to_remote_p2wpkh_pubkey"]


@pytest.mark.parametrize("test", APPENDIX_F["tests"], ids=names(APPENDIX_F["tests"], "Name"))
def test_anchors_commitment_and_htlc_transactions_equal_appendix_f(test: dict[str, Any]) -> None:
    """Anchors change scripts, sequence, sighash type, fee and trimming: all of it shows in these transactions."""
    ids = committed_htlcs(test["Name"], not test["UseTestHtlcs"])
    commitment = build_commitment(
        parameters(anchors=True, dust_limit_sat=test["DustLimitSatoshis"]),
        KEYS,
        NUMBER,
        test["FeePerKw"],
        test["LocalBalance"],
        test["RemoteBalance"],
        [htlc(i) for i in ids],
    )
    digest = commitment.digest()
    remote = signature(test["RemoteSigHex"])
    assert sign_ecdsa(REMOTE_FUNDING_SECRET, digest) == remote
    signed = commitment.signed_transaction(sign_ecdsa(LOCAL_FUNDING_SECRET, digest), remote)
    assert signed.serialize().hex() == test["ExpectedCommitmentTxHex"]

    digests = commitment.htlc_digests(SIGHASH_SINGLE_ANYONECANPAY)
    assert len(digests) == len(test["HtlcDescs"])
    remotes = [signature(desc["RemoteSigHex"]) for desc in test["HtlcDescs"]]
    assert verify_ecdsa_many(KEYS.countersignatory_htlc_public_key, digests, remotes) is None
    for position, desc in enumerate(test["HtlcDescs"]):
        committed = commitment.htlcs[position][1]
        htlc_tx = commitment.htlc_transaction(position)
        assert htlc_tx.digest(SIGHASH_SINGLE_ANYONECANPAY) == digests[position]
        local = sign_ecdsa(LOCAL_HTLC_SECRET, htlc_tx.digest(SIGHASH_ALL))
        known = None if committed.offered else preimage(committed.htlc_id)
        assert htlc_tx.signed_transaction(local, remotes[position], known).serialize().hex() == desc["ResolutionTxHex"]
