"""The harness itself: a check that cannot fail is no check."""

import pytest

from leyden.channel import effects as fx
from leyden.channel.errors import InvalidHtlc, InvalidRemoval
from leyden.channel.inputs import Commit, QueueAdd
from leyden.journal.records import SentCommitment
from leyden.wire.messages import UpdateAddHtlc
from tests.channel.pair import pending_add, ready_pair
from tests.channel.play import a, check_view, play
from tests.channel.test_receive import add


def test_a_transcript_is_compared_whole() -> None:
    """Too few, too many, in another order, or with another field: each is a failure that shows the transcript."""
    for expected in (
        (),
        (SentCommitment, UpdateAddHtlc),
        (SentCommitment, UpdateAddHtlc, fx.SendCommitmentSigned, fx.SendCommitmentSigned),
        (UpdateAddHtlc, SentCommitment, fx.SendCommitmentSigned),
        (SentCommitment, a(UpdateAddHtlc, id=1), fx.SendCommitmentSigned),
        (SentCommitment, a(UpdateAddHtlc, id=0), fx.SendRevokeAndAck(0)),
    ):
        dialogue = play(ready_pair().a).on(QueueAdd(pending_add(1))).on(Commit())
        with pytest.raises(AssertionError, match="expected"):
            dialogue.expect(*expected)
    dialogue = play(ready_pair().a).on(QueueAdd(pending_add(1))).on(Commit())
    dialogue.expect(SentCommitment, a(UpdateAddHtlc, id=0), fx.SendCommitmentSigned()).expect_nothing()


def test_a_refusal_must_be_the_one_expected() -> None:
    """The class itself, and the words."""
    pair = ready_pair()
    play(pair.a).refuses(add(pair.a, 5), InvalidHtlc, "id is 5")
    with pytest.raises(InvalidHtlc):
        play(pair.a).refuses(add(pair.a, 5), InvalidRemoval)
    with pytest.raises(AssertionError):
        play(pair.a).refuses(add(pair.a, 5), InvalidHtlc, "something else")
    with pytest.raises(pytest.fail.Exception):
        play(pair.a).refuses(add(pair.a, 0), InvalidHtlc)


def test_lost_money_is_noticed() -> None:
    """One millisatoshi, a negative balance, or a counter that drifted."""
    pair = ready_pair()
    pair.offered(0, pending_add(1))
    for name, by in (
        ("local_msat", 1),
        ("offered_msat", 1),
        ("untrimmed", -1),
        ("dust_msat", 5),
        ("received_count", 1),
    ):
        view = pair.a.core.local.copy()
        setattr(view, name, getattr(view, name) + by)
        with pytest.raises(AssertionError):
            check_view(view, 10_000_000_000)
    view = pair.a.core.local.copy()
    view.local_msat, view.remote_msat = -1, view.local_msat + view.remote_msat + 1
    with pytest.raises(AssertionError):
        check_view(view, 10_000_000_000)


def test_a_state_that_is_not_the_fold_is_noticed() -> None:
    """Whatever changes beside the records (P4)."""
    pair = ready_pair()
    pair.a.core.local_alias = 5
    with pytest.raises(AssertionError, match="folds to the state"):
        pair.offer(0, pending_add(1))


def test_wires_hold_drop_and_reorder() -> None:
    """Messages wait until a test says what becomes of them."""
    pair = ready_pair()
    pair.offer(0, pending_add(1), pending_add(2))
    assert pair.sent_kinds(0) == ["UpdateAddHtlc", "UpdateAddHtlc", "CommitmentSigned"]
    assert not pair.b.session.received_adds
    pair.reorder(0, 1, 0, 2)
    with pytest.raises(InvalidHtlc):
        pair.deliver(0)
    pair = ready_pair()
    pair.offer(0, pending_add(1), pending_add(2))
    pair.drop(0, 1)
    assert pair.deliver(0) == 2
    assert len(pair.b.session.received_adds) == 2
