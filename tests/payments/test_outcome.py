"""Failures as values."""

import pytest

from leyden.payments import outcome
from leyden.sphinx.failures import FailureCode, IncorrectOrUnknownPaymentDetails, MppTimeout, TemporaryNodeFailure


@pytest.mark.parametrize("code", list(FailureCode))
def test_codes_have_their_names_of_bolt_4(code: FailureCode) -> None:
    """A program reads the name, a person finds it in the specification."""
    assert outcome.code_name(code.value) == code.name.lower()


def test_unknown_codes_keep_their_number() -> None:
    """New ones will come; none at all has no name."""
    assert outcome.code_name(0x1234) == "unknown_0x1234"
    assert outcome.code_name(0) == ""


def test_what_the_recipient_may_change_its_mind_about() -> None:
    """The rest is final: trying again would only ask the same question."""
    assert outcome.is_final_rejection(IncorrectOrUnknownPaymentDetails(htlc_msat=1, height=1))
    assert not outcome.is_final_rejection(MppTimeout())
    assert not outcome.is_final_rejection(TemporaryNodeFailure())


def test_every_reason_comes_with_advice() -> None:
    """A failure without advice is half an error message."""
    reasons = [value for name, value in vars(outcome).items() if name.isupper() and isinstance(value, str)]
    assert sorted(reasons) == sorted(outcome.ADVICE)
