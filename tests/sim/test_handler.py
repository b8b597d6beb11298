"""What the application of a simulated node does."""

import pytest

from leyden.crypto.hashes import sha256
from leyden.manager import events as ev
from tests.manager.stage import Stage
from tests.sim import topologies


@pytest.mark.parametrize(("answer", "sent"), [("claim", True), ("fail", False)])
def test_questions_are_answered(answer: str, sent: bool) -> None:
    """Every one the same way, at once."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", answer)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.check()
    assert (stage.payment("alice").sent is not None) is sent


def test_preimage_that_nobody_knows_is_an_answer_too() -> None:
    """Claiming is impossible, so the payment goes back."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "claim")
    stage.pay("alice", "bob", stage.invoice("bob", payment_hash=sha256(b"?")))
    stage.check()
    assert stage.payment("alice").failed is not None


def test_silent_application_acknowledges_nothing() -> None:
    """Events wait for it."""
    stage = Stage(topologies.direct())
    stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    assert [type(event) for event in stage.m("alice").events.values()] == [ev.PaymentSent]
