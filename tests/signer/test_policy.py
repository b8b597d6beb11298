"""What the signer refuses whoever asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.signer.policy import RevocationPolicy, SignerRefused


def test_revoked_commitment_is_never_signed() -> None:
    """Publishing it would give the whole channel to the peer."""
    policy = RevocationPolicy()
    policy.secret_released(4)
    policy.secret_released(5)
    for number in (0, 4, 5):
        with pytest.raises(SignerRefused, match="is revoked"):
            policy.holder_commitment_signed(number)
    policy.holder_commitment_signed(6)


def test_secret_of_a_commitment_that_may_be_published_is_never_released() -> None:
    """A broadcast signed before a crash may be mined after it."""
    policy = RevocationPolicy()
    policy.holder_commitment_signed(6)
    policy.holder_commitment_signed(7)
    for number in (6, 7, 8):
        with pytest.raises(SignerRefused, match="may be published"):
            policy.secret_released(number)
    policy.secret_released(5)


def test_last_secret_is_released_again_and_no_older_or_later_one() -> None:
    """A reconnection repeats the last revocation; anything else is a bug of the caller."""
    policy = RevocationPolicy()
    for number in (10, 10, 11, 11, 12):
        policy.secret_released(number)
    for number in (0, 11, 14):
        with pytest.raises(SignerRefused, match="out of order"):
            policy.secret_released(number)
    assert policy.highest_revoked == 12


def test_refusal_is_an_assertion() -> None:
    """It halts the channel like any other broken invariant of ours; nobody catches it as an answer."""
    assert issubclass(SignerRefused, AssertionError)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=30))
def test_no_sequence_of_requests_gets_both_signature_and_secret(requests: list[tuple[bool, int]]) -> None:
    """The one thing that must never happen, whatever is asked in whatever order."""
    policy = RevocationPolicy()
    signed: list[int] = []
    released: list[int] = []
    for sign, number in requests:
        try:
            (policy.holder_commitment_signed if sign else policy.secret_released)(number)
        except SignerRefused:
            continue
        (signed if sign else released).append(number)
    if signed and released:
        assert min(signed) > max(released)
