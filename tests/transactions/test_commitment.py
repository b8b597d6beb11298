"""Commitment transactions against BOLT 3, Appendices C and F, and against their own rules."""

from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.sighash import SIGHASH_ALL, Bip143Midstate, sighash_v0
from leyden.crypto.ec import sign_ecdsa, verify_ecdsa_many
from leyden.crypto.hashes import sha256
from leyden.transactions.commitment import SIGHASH_SINGLE_ANYONECANPAY, Commitment, OutputKind, build_commitment
from leyden.transactions.fees import commitment_fee_sat
from leyden.transactions.obscured import reveal
from leyden.transactions.types import CommitmentHtlc, make_commitment_htlc
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

    digests = commitment.htlc_digests(commitment.htlc_sighash_type)
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


# ------------------------------------------------------------------------------------------------- rules, properties

RATES = st.integers(min_value=0, max_value=200_000)
DUST = st.integers(min_value=354, max_value=10_000)


@st.composite
def htlc_sets(draw: st.DrawFn) -> list[CommitmentHtlc]:
    """HTLCs with many equal amounts, hashes and expiries: what sorts badly must turn up."""
    hashes = [sha256(bytes((n,))) for n in range(3)]
    amounts = st.one_of(st.integers(1, 20_000_000), st.sampled_from([5_000_000, 5_000_001, 5_000_999, 330_000]))
    count = draw(st.integers(0, 12))
    return [
        make_commitment_htlc(
            htlc_id,
            draw(st.booleans()),
            draw(amounts),
            draw(st.sampled_from(hashes)),
            draw(st.sampled_from([1, 16, 17, 500, 800_000, 499_999_999])),
        )
        for htlc_id in range(count)
    ]


def build(
    htlcs: list[CommitmentHtlc], feerate: int, dust: int, *, anchors: bool, opener_is_broadcaster: bool, mine_msat: int
) -> Commitment:
    """Build a commitment that spends the whole funding: what the HTLCs leave is shared out."""
    base = parameters(anchors=anchors, dust_limit_sat=dust)
    chosen = msgspec.structs.replace(base, opener_is_broadcaster=opener_is_broadcaster)
    rest_msat = base.funding_value_sat * 1000 - sum(h.amount_msat for h in htlcs)
    mine_msat = min(mine_msat, rest_msat)
    return build_commitment(chosen, KEYS, NUMBER, feerate, mine_msat, rest_msat - mine_msat, htlcs)


@given(htlc_sets(), RATES, DUST, st.booleans(), st.booleans(), st.integers(0, 10_000_000_000))
def test_outputs_and_fee_are_the_funding_value_in_canonical_order(
    htlcs: list[CommitmentHtlc], feerate: int, dust: int, anchors: bool, opener: bool, mine_msat: int
) -> None:
    """Money must neither appear nor vanish, and both sides must number the outputs alike."""
    commitment = build(htlcs, feerate, dust, anchors=anchors, opener_is_broadcaster=opener, mine_msat=mine_msat)
    outputs = commitment.transaction().outputs
    assert sum(o.value_sat for o in outputs) + commitment.fee_sat == commitment.parameters.funding_value_sat
    assert [(o.value_sat, o.script_pubkey) for o in outputs] == sorted((o.value_sat, o.script_pubkey) for o in outputs)
    for (left, a), (right, b) in pairwise(commitment.htlcs):
        assert left < right
        if outputs[left] == outputs[right]:
            assert a.cltv_expiry <= b.cltv_expiry
    assert all(o.value_sat >= (330 if o.value_sat == 330 and anchors else dust) for o in outputs)
    assert commitment.unsigned == commitment.transaction().serialize_no_witness()
    assert commitment.txid == commitment.transaction().txid()
    assert (
        reveal(
            commitment.transaction().locktime,
            commitment.transaction().inputs[0].sequence,
            commitment.parameters.obscuring_factor,
        )
        == NUMBER
    )


@given(htlc_sets(), RATES, DUST, st.booleans(), st.booleans(), st.integers(0, 10_000_000_000))
def test_trimming_follows_the_htlc_fee_and_the_opener_pays(
    htlcs: list[CommitmentHtlc], feerate: int, dust: int, anchors: bool, opener: bool, mine_msat: int
) -> None:
    """One HTLC trimmed on one side only makes every signature of the commitment wrong."""
    commitment = build(htlcs, feerate, dust, anchors=anchors, opener_is_broadcaster=opener, mine_msat=mine_msat)
    kept = {(h.offered, h.htlc_id) for _, h in commitment.htlcs}
    for h in htlcs:
        weight = 0 if anchors else 663 if h.offered else 703
        assert ((h.offered, h.htlc_id) in kept) == (h.amount_msat // 1000 - feerate * weight // 1000 >= dust)
    assert all(
        (index, h.amount_msat // 1000) == (index, commitment.output_value_sat(index)) for index, h in commitment.htlcs
    )
    rest_msat = commitment.parameters.funding_value_sat * 1000 - sum(h.amount_msat for h in htlcs)
    mine_msat = min(mine_msat, rest_msat)
    cost_sat = feerate * ((1124 if anchors else 724) + 172 * len(kept)) // 1000 + (660 if anchors else 0)
    paid = {True: mine_msat // 1000, False: (rest_msat - mine_msat) // 1000}
    paid[opener] = max(0, paid[opener] - cost_sat)
    for is_broadcaster, kind, anchor in (
        (True, OutputKind.TO_BROADCASTER, OutputKind.BROADCASTER_ANCHOR),
        (False, OutputKind.TO_COUNTERSIGNATORY, OutputKind.COUNTERSIGNATORY_ANCHOR),
    ):
        index = commitment.output_index(kind)
        assert (index is not None) == (paid[is_broadcaster] >= dust)
        if index is not None:
            assert commitment.output_value_sat(index) == paid[is_broadcaster]
        has_anchor = commitment.output_index(anchor) is not None
        assert has_anchor == (anchors and (index is not None or bool(kept)))


@given(htlc_sets(), st.integers(0, 2000), DUST, st.booleans())
def test_htlc_digests_of_the_loop_are_those_of_the_transactions(
    htlcs: list[CommitmentHtlc], feerate: int, dust: int, anchors: bool
) -> None:
    """The loop joins bytes; the plain sighash of each whole transaction is what Bitcoin checks."""
    commitment = build(htlcs, feerate, dust, anchors=anchors, opener_is_broadcaster=True, mine_msat=4_000_000_000)
    for sighash_type in (SIGHASH_ALL, SIGHASH_SINGLE_ANYONECANPAY):
        plain = [commitment.htlc_transaction(i).digest(sighash_type) for i in range(len(commitment.htlcs))]
        assert commitment.htlc_digests(sighash_type) == plain
    for index, _ in commitment.htlcs:
        script = commitment.witness_script(index)
        assert commitment.transaction().outputs[index].script_pubkey == p2wsh_of_script(script)


@given(htlc_sets(), st.randoms(use_true_random=False))
def test_the_order_in_which_htlcs_are_given_does_not_matter(htlcs: list[CommitmentHtlc], random: Random) -> None:
    """The two sides keep their HTLCs in different orders."""
    shuffled = list(htlcs)
    random.shuffle(shuffled)
    first, second = (
        build(given_, 253, 354, anchors=True, opener_is_broadcaster=True, mine_msat=4_000_000_000)
        for given_ in (htlcs, shuffled)
    )
    assert first == second
    assert first.htlcs == second.htlcs
    assert len({first, second}) == 1


def test_funding_digest_is_the_plain_sighash() -> None:
    """The digest is joined from slices of the transaction; 300 outputs need a longer count than three."""
    for count in (0, 3, 300):
        htlcs = [
            make_commitment_htlc(n, n % 2 == 0, 10_000_000 + n * 1000, sha256(n.to_bytes(2, "big")), 700)
            for n in range(count)
        ]
        commitment = build(htlcs, 253, 354, anchors=True, opener_is_broadcaster=True, mine_msat=3_000_000_000)
        tx, params = commitment.transaction(), commitment.parameters
        assert len(tx.outputs) == count + 4
        assert commitment.digest() == sighash_v0(
            tx, 0, params.funding_script, params.funding_value_sat, SIGHASH_ALL, Bip143Midstate(tx)
        )


def test_opener_without_money_pays_with_all_it_has() -> None:
    """A fee above the opener's balance takes the balance and not the peer's money."""
    base = parameters(anchors=False, dust_limit_sat=546)
    commitment = build_commitment(base, KEYS, 0, 15_000, 700_000, 9_999_300_000, [])
    assert commitment.output_index(OutputKind.TO_BROADCASTER) is None
    assert commitment.fee_sat == 700
    assert [o.value_sat for o in commitment.transaction().outputs] == [9_999_300]


@pytest.mark.parametrize("opener", [True, False])
def test_main_output_of_exactly_the_dust_limit_stays(opener: bool) -> None:
    """The rule says below, not at: one satoshi decides whether both sides build the same transaction."""
    base = msgspec.structs.replace(parameters(anchors=False, dust_limit_sat=546), opener_is_broadcaster=opener)
    for kind, broadcaster_msat in (
        (OutputKind.TO_BROADCASTER, 546_000),
        (OutputKind.TO_COUNTERSIGNATORY, 10_000_000_000 - 546_000),
    ):
        for missing_msat in (0, 1):
            balances = [broadcaster_msat, 10_000_000_000 - broadcaster_msat]
            balances[0 if kind is OutputKind.TO_BROADCASTER else 1] -= missing_msat
            commitment = build_commitment(base, KEYS, 0, 0, balances[0], balances[1], [])
            assert (commitment.output_index(kind) is None) == bool(missing_msat)


def test_commitment_number_beyond_48_bits_is_refused() -> None:
    """It would not fit into locktime and sequence, and would come back as another number."""
    base = parameters(anchors=True, dust_limit_sat=546)
    for number in (-1, 1 << 48):
        with pytest.raises(ValueError, match="48 bits"):
            build_commitment(base, KEYS, number, 253, 5_000_000_000, 5_000_000_000, [])
    highest = build_commitment(base, KEYS, (1 << 48) - 1, 253, 5_000_000_000, 5_000_000_000, [])
    assert highest.commitment_number == (1 << 48) - 1


def test_htlcs_are_signed_with_two_sighash_types_only() -> None:
    """The loop knows the layout of these two preimages; any other would be a wrong digest without an error."""
    commitment = build([htlc(4)], 253, 546, anchors=True, opener_is_broadcaster=True, mine_msat=4_000_000_000)
    with pytest.raises(ValueError, match="SINGLE"):
        commitment.htlc_digests(0x03)


def test_commitments_that_differ_are_not_equal() -> None:
    """Answers of a signer are matched with what they were asked for."""
    base = parameters(anchors=True, dust_limit_sat=546)
    one = build_commitment(base, KEYS, 1, 253, 5_000_000_000, 5_000_000_000, [])
    two = build_commitment(base, KEYS, 2, 253, 5_000_000_000, 5_000_000_000, [])
    assert one != two
    assert one != "commitment"
    assert repr(one).startswith("Commitment(number=1, txid=")
