"""The signer that answers later."""

import pytest

from leyden.signer.later import LateSigner
from leyden.signer.policy import SignerRefused
from leyden.signer.requests import Answer, ReleaseCommitmentSecret, SignCounterpartyCommitment, SignHolderCommitment
from tests.signer.two_signers import KEYS_ID, commitment, signer


class Inbox:
    """Receives answers as the core's driver does."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Answer]] = []

    def __call__(self, request_id: int, answer: Answer) -> None:
        self.answers.append((request_id, answer))


def test_answers_come_when_delivered_in_order_and_equal_those_given_at_once() -> None:
    """The core must reach the same state whether its signer is quick or slow."""
    late, inbox = LateSigner(signer()), Inbox()
    late.on_answer(inbox)
    sign = SignCounterpartyCommitment(1, KEYS_ID, commitment(3, ours=False))
    release = ReleaseCommitmentSecret(2, KEYS_ID, 9)
    assert late.answer(sign) is None
    assert late.answer(release) is None
    assert late.waiting == (sign, release)
    assert inbox.answers == []
    assert late.deliver_next()
    assert late.deliver_all() == 1
    assert not late.deliver_next()
    quick = signer()
    assert inbox.answers == [(1, quick.answer(sign)), (2, quick.answer(release))]


def test_waiting_request_has_released_nothing() -> None:
    """A request lost with the connection to the signer must leave no trace in its policy."""
    inner = signer()
    late = LateSigner(inner)
    late.on_answer(Inbox())
    late.answer(ReleaseCommitmentSecret(1, KEYS_ID, 5))
    late.forget_all()
    assert late.deliver_all() == 0
    assert inner.sign_holder_commitment(KEYS_ID, commitment(5, ours=True))


def test_refusal_surfaces_at_delivery_and_the_queue_goes_on() -> None:
    """One refused request must not block the others for ever."""
    late, inbox = LateSigner(signer()), Inbox()
    late.on_answer(inbox)
    late.answer(ReleaseCommitmentSecret(1, KEYS_ID, 5))
    late.answer(SignHolderCommitment(2, KEYS_ID, commitment(5, ours=True)))
    late.answer(ReleaseCommitmentSecret(3, KEYS_ID, 6))
    assert late.deliver_next()
    with pytest.raises(SignerRefused):
        late.deliver_next()
    assert late.deliver_all() == 1
    assert [request_id for request_id, _ in inbox.answers] == [1, 3]


def test_requests_made_while_delivering_wait_for_the_next_time() -> None:
    """An answer makes the core ask again; delivering those too would never end."""
    late = LateSigner(signer())
    seen: list[int] = []

    def ask_again(request_id: int, answer: Answer) -> None:
        seen.append(request_id)
        late.answer(ReleaseCommitmentSecret(request_id + 1, KEYS_ID, request_id + 1))

    late.on_answer(ask_again)
    late.answer(ReleaseCommitmentSecret(0, KEYS_ID, 0))
    assert late.deliver_all() == 1
    assert seen == [0]
    assert late.deliver_all() == 1
    assert seen == [0, 1]


def test_late_signers_stack() -> None:
    """The queue may stand in front of a signer that is itself late."""
    inner, inbox = LateSigner(signer()), Inbox()
    outer = LateSigner(inner)
    outer.on_answer(inbox)
    outer.answer(ReleaseCommitmentSecret(1, KEYS_ID, 0))
    outer.deliver_all()
    assert inbox.answers == []
    inner.deliver_all()
    assert [request_id for request_id, _ in inbox.answers] == [1]


def test_public_keys_come_at_once() -> None:
    """Nothing secret is needed for them, and open_channel cannot wait in the middle."""
    late, inner = LateSigner(signer()), signer()
    assert late.channel_basepoints(KEYS_ID) == inner.channel_basepoints(KEYS_ID)
    assert late.per_commitment_point(KEYS_ID, 7) == inner.per_commitment_point(KEYS_ID, 7)
    assert "waiting=0" in repr(late)


def test_delivering_to_nobody_is_a_bug() -> None:
    """An answer that is dropped silently is a channel that hangs."""
    late = LateSigner(signer())
    late.answer(ReleaseCommitmentSecret(1, KEYS_ID, 0))
    with pytest.raises(AssertionError, match="on_answer"):
        late.deliver_next()
