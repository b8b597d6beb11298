"""What LND tells of its payments, in the words that scenarios know."""

from typing import Any

import pytest

from interop.lnd_payments import payment_of

HASH = "11" * 32


def attempt(code: str, hop: int, resolved: int = 1) -> dict[str, Any]:
    """An HTLC that came back."""
    failure = {"code": code, "failure_source_index": hop}
    return {"status": "FAILED", "resolve_time_ns": str(resolved), "failure": failure}


def listed(status: str, htlcs: list[dict[str, Any]], reason: str = "FAILURE_REASON_NONE") -> dict[str, Any]:
    """A payment as LND lists it."""
    return {
        "payment_hash": HASH,
        "status": status,
        "payment_preimage": "22" * 32,
        "value_msat": "1234567",
        "fee_msat": "89",
        "failure_reason": reason,
        "htlcs": htlcs,
    }


@pytest.mark.parametrize("status", ["IN_FLIGHT", "INITIATED", "UNKNOWN"])
def test_payment_under_way_has_no_proof_and_no_failure(status: str) -> None:
    """Not even when one of its tries has failed."""
    payment = payment_of(listed(status, [attempt("TEMPORARY_CHANNEL_FAILURE", 1)]))
    assert (payment.status, payment.preimage, payment.failure, payment.failure_hop) == ("pending", "", "", None)


def test_payment_that_succeeded_has_its_proof_and_its_parts() -> None:
    """Parts that failed on the way are none of them."""
    done = {"status": "SUCCEEDED", "resolve_time_ns": "5", "failure": None}
    payment = payment_of(listed("SUCCEEDED", [done, attempt("TEMPORARY_CHANNEL_FAILURE", 1), done]))
    assert (payment.status, payment.preimage, payment.parts) == ("succeeded", "22" * 32, 2)
    assert (payment.amount_msat, payment.fee_msat, payment.failure) == (1_234_567, 89, "")


def test_failure_is_the_one_that_came_back_last() -> None:
    """In time, not in the list; its name is that of BOLT 4."""
    htlcs = [attempt("FEE_INSUFFICIENT", 2, 20), attempt("TEMPORARY_CHANNEL_FAILURE", 1, 10)]
    payment = payment_of(listed("FAILED", htlcs, "FAILURE_REASON_NO_ROUTE"))
    assert (payment.failure, payment.failure_hop) == ("fee_insufficient", 2)


def test_failure_without_a_try_is_lnds_own_word() -> None:
    """It has found no way, and nobody has said anything."""
    payment = payment_of(listed("FAILED", [], "FAILURE_REASON_INSUFFICIENT_BALANCE"))
    assert (payment.failure, payment.failure_hop) == ("insufficient_balance", None)


@pytest.mark.parametrize("code", ["UNREADABLE_FAILURE", "UNKNOWN_FAILURE"])
def test_failure_that_nobody_can_read_comes_from_nobody(code: str) -> None:
    """LND writes a 0 there, which would be LND itself."""
    payment = payment_of(listed("FAILED", [attempt(code, 0)], "FAILURE_REASON_ERROR"))
    assert (payment.failure, payment.failure_hop) == (code.lower(), None)
