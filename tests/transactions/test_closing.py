"""Cooperative closing transactions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.script import p2pkh, p2wpkh, p2wsh
from leyden.bitcoin.tx import OutPoint, TxOut
from leyden.crypto.ec import sign_ecdsa, signature_from_der, verify_ecdsa
from leyden.transactions.closing import (
    ClosingParameters,
    ClosingParty,
    build_closing,
    closing_candidates,
    closing_weight,
    funder_output_sat,
)
from leyden.transactions.scripts import funding_script
from tests.transactions.bolt03_vectors import LOCAL, LOCAL_FUNDING_SECRET, REMOTE, REMOTE_FUNDING_SECRET

FUNDER, FUNDEE = p2wpkh(b"\x01" * 20), p2wpkh(b"\x02" * 20)
PARAMETERS = ClosingParameters(
    funding_outpoint=OutPoint(b"\x07" * 32, 1),
    funding_value_sat=1_000_000,
    funding_script=funding_script(LOCAL.funding_public_key, REMOTE.funding_public_key),
    funder_msat=600_000_999,
    fundee_msat=399_999_001,
    funder_script_pubkey=FUNDER,
    fundee_script_pubkey=FUNDEE,
    dust_limit_sat=354,
)


def with_balances(funder_msat: int, fundee_msat: int) -> ClosingParameters:
    """Return the parameters with other balances."""
    return msgspec.structs.replace(PARAMETERS, funder_msat=funder_msat, fundee_msat=fundee_msat)


def test_closing_pays_both_rounded_down_and_the_funder_pays_the_fee() -> None:
    """Both sides must build the same bytes from the same fee."""
    closing = build_closing(PARAMETERS, 1000)
    tx = closing.transaction
    assert (tx.version, tx.locktime, tx.inputs[0].sequence) == (2, 0, 0xFFFFFFFF)
    assert tx.inputs[0].prevout == PARAMETERS.funding_outpoint
    assert tx.outputs == (TxOut(399_999, FUNDEE), TxOut(599_000, FUNDER))
    assert closing.parties == (ClosingParty.FUNDEE, ClosingParty.FUNDER)
    assert funder_output_sat(PARAMETERS, 1000) == 599_000


def test_equal_amounts_are_sorted_by_script() -> None:
    """Two equal halves are common after a test payment."""
    closing = build_closing(with_balances(500_000_000, 499_000_000), 1000)
    assert closing.parties == (ClosingParty.FUNDER, ClosingParty.FUNDEE)
    swapped = msgspec.structs.replace(closing.parameters, funder_script_pubkey=FUNDEE, fundee_script_pubkey=FUNDER)
    assert build_closing(swapped, 1000).parties == (ClosingParty.FUNDEE, ClosingParty.FUNDER)


@pytest.mark.parametrize(
    ("fundee_msat", "script", "kept"),
    [
        (354_000, FUNDEE, True),
        (353_999, FUNDEE, False),
        (545_999, p2pkh(bytes(20)), False),
        (546_000, p2pkh(bytes(20)), True),
        (354_000, p2wsh(bytes(32)), True),
    ],
)
def test_output_below_the_dust_limit_or_below_what_its_script_needs_is_left_out(
    fundee_msat: int, script: bytes, kept: bool
) -> None:
    """A closing transaction with a dust output is not relayed, and the money stays locked."""
    parameters = msgspec.structs.replace(with_balances(900_000_000, fundee_msat), fundee_script_pubkey=script)
    assert (ClosingParty.FUNDEE in build_closing(parameters, 500).parties) == kept


def test_funder_that_cannot_pay_the_fee_has_no_output() -> None:
    """A negative amount must never reach the serialiser."""
    closing = build_closing(with_balances(400_000, 999_600_000), 500)
    assert closing.parties == (ClosingParty.FUNDEE,)
    assert funder_output_sat(closing.parameters, 500) == -100


def test_candidates_leave_out_the_senders_output_only() -> None:
    """A peer may give up its own output; a candidate without ours would let it take our money to the miners."""
    both, without = closing_candidates(PARAMETERS, 1000, ClosingParty.FUNDEE, PARAMETERS.dust_limit_sat)
    assert both == build_closing(PARAMETERS, 1000)
    assert without.parties == (ClosingParty.FUNDER,)
    assert without.transaction.outputs == (TxOut(599_000, FUNDER),)
    assert closing_candidates(PARAMETERS, 1000, ClosingParty.FUNDER, PARAMETERS.dust_limit_sat)[1].parties == (
        ClosingParty.FUNDEE,
    )
    assert (
        len(closing_candidates(with_balances(999_999_000, 1000), 1000, ClosingParty.FUNDEE, PARAMETERS.dust_limit_sat))
        == 1
    )


def test_candidates_go_by_the_dust_limit_of_their_sender() -> None:
    """It is the builder's own limit that counts, for both outputs."""
    limit = PARAMETERS.dust_limit_sat
    ours = with_balances(999_000_000, 1000 * (limit + 1))
    assert closing_candidates(ours, 1000, ClosingParty.FUNDER, limit + 2)[2].parties == (ClosingParty.FUNDER,)
    kept, _, lower = closing_candidates(ours, 1000, ClosingParty.FUNDER, limit - 1)
    assert kept.parties == lower.parties


def test_signed_closing_carries_both_signatures_and_weighs_what_was_expected() -> None:
    """The fee is negotiated for the expected weight."""
    closing = build_closing(PARAMETERS, 1000)
    local, remote = (sign_ecdsa(s, closing.digest()) for s in (LOCAL_FUNDING_SECRET, REMOTE_FUNDING_SECRET))
    signed = closing.signed_transaction((REMOTE.funding_public_key, remote), (LOCAL.funding_public_key, local))
    assert signed.txid() == closing.transaction.txid()
    witness = signed.inputs[0].witness
    keys = sorted((LOCAL.funding_public_key, REMOTE.funding_public_key))
    for key, item in zip(keys, witness[1:3], strict=True):
        assert verify_ecdsa(key, closing.digest(), signature_from_der(item[:-1]))
    assert closing_weight(FUNDER, FUNDEE) - 8 <= signed.weight() <= closing_weight(FUNDER, FUNDEE)


@given(st.integers(0, 1_000_000_000), st.integers(0, 5_000))
def test_outputs_never_exceed_the_funding(funder_msat: int, fee_sat: int) -> None:
    """What is not paid out is fee, and the fee is at least what was agreed while both outputs stand."""
    closing = build_closing(with_balances(funder_msat, 1_000_000_000 - funder_msat), fee_sat)
    total_sat = sum(o.value_sat for o in closing.transaction.outputs)
    assert 0 <= total_sat <= 1_000_000
    if len(closing.parties) == 2:
        assert fee_sat <= 1_000_000 - total_sat <= fee_sat + 1
