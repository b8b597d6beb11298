"""Requests and answers as values."""

from leyden.signer.requests import (
    CommitmentSecretReleased,
    ReleaseCommitmentSecret,
    Request,
    SignCounterpartyCommitment,
)
from tests.signer.two_signers import KEYS_ID, commitment


def test_equal_requests_are_equal_values() -> None:
    """A retransmission asks for the same content again, and whoever waits must see that it is the same."""
    one = SignCounterpartyCommitment(7, KEYS_ID, commitment(3, ours=False))
    same = SignCounterpartyCommitment(7, KEYS_ID, commitment(3, ours=False))
    assert one == same
    assert hash(one) == hash(same)
    assert one != SignCounterpartyCommitment(7, KEYS_ID, commitment(4, ours=False))
    other: Request = ReleaseCommitmentSecret(7, KEYS_ID, 3)
    assert one != other


def test_released_secret_is_not_shown() -> None:
    """It waits behind its record for the disk; until then it is a secret."""
    answer = CommitmentSecretReleased(1, KEYS_ID, 3, b"\x77" * 32, b"\x02" * 33)
    assert "77" * 32 not in repr(answer)
    assert "wwww" not in repr(answer)
    assert "commitment_number=3" in repr(answer)
