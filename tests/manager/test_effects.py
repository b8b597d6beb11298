"""What the manager does with what channels want: everything waits for its record, signatures name what they sign."""

from typing import get_args

import msgspec
import pytest

from leyden.channel import effects as fx
from leyden.channel.states import MutualClose, Normal
from leyden.manager import effects
from leyden.signer.later import LateSigner
from leyden.signer.requests import Answer, CounterpartyCommitmentSigned, Request
from tests.manager.stage import Stage
from tests.manager.test_chain import close, states
from tests.sim import topologies


def test_every_effect_of_a_channel_has_its_handler() -> None:
    """A new effect without one would be found by its first user."""
    assert set(get_args(fx.Effect)) == set(effects.HANDLERS)


class LateNodeSigner:
    """A node's signer whose channel signatures come when they are asked for."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.late = LateSigner(inner)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        owner = self.late if name in ("answer", "on_answer") else self._inner
        return getattr(owner, name)


def slow(stage: Stage, name: str) -> LateNodeSigner:
    """From now on the signer of a node answers late."""
    signer = LateNodeSigner(stage.m(name).signer)
    stage.m(name).signer = signer  # type: ignore[assignment]
    signer.late.on_answer(stage[name].runtime._on_late_answer)
    return signer


def deliver(stage: Stage, signer: LateNodeSigner) -> None:
    """Let everything happen, the signer being the last."""
    stage.act()
    while signer.late.deliver_next():
        stage.world.settle()
        stage.act()


def test_payment_with_a_signer_that_answers_late() -> None:
    """The core goes on meanwhile, and the messages keep their order."""
    stage = Stage(topologies.direct())
    signer = slow(stage, "alice")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    assert signer.late.waiting
    deliver(stage, signer)
    stage.check()
    assert stage.payment("alice").sent is not None


def test_answer_of_the_signer_for_a_connection_that_is_gone() -> None:
    """It is dropped; the next connection signs again."""
    stage = Stage(topologies.direct())
    signer = slow(stage, "alice")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    stage.world.cut("alice", "bob")
    while signer.late.deliver_next():
        pass
    for _ in range(10):
        deliver(stage, signer)
    stage.check()
    assert stage.payment("alice").sent is not None


def test_close_with_a_signer_that_answers_late() -> None:
    """A closing signature is an input like any other."""
    stage = Stage(topologies.direct())
    signer = slow(stage, "alice")
    close(stage)
    for _ in range(10):
        deliver(stage, signer)
    assert states(stage) == (MutualClose, MutualClose)


def test_signer_that_refuses_halts_the_channel_and_not_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have lost money: a bug of ours, so this channel stops, and the others do not (invariant S10)."""
    stage = Stage(topologies.line())
    broken = stage.slot("bob", "alice")
    signer = stage.m("bob").signer
    inner = signer.answer

    def answer(request: object) -> object:
        if getattr(request, "keys_id", b"") == broken.state.core.opened.channel_keys_id:
            raise AssertionError("refused")
        return inner(request)  # type: ignore[call-overload]

    class Refusing:
        def __getattr__(self, name: str) -> object:
            return answer if name == "answer" else getattr(signer, name)

    monkeypatch.setattr(stage.m("bob"), "signer", Refusing())
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
    for _ in range(30):
        if enabled := stage.world.enabled():
            stage.world.perform(enabled[0])
    assert "refused" in broken.halted
    stage.pay("bob", "carol", stage.invoice("carol"), "other")
    for _ in range(60):
        if enabled := stage.world.enabled():
            stage.world.perform(enabled[0])
    assert stage.payment("bob", "other").sent is not None
    assert type(stage.slot("bob", "carol").state) is Normal
    stage["bob"].reports.clear()
    stage.world.restart("bob")
    stage.check()
    assert stage.payment("alice").sent is not None


def test_signature_over_another_commitment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signer answers must fit what it was asked: the peer would fail the channel over anything else."""
    stage = Stage(topologies.direct())
    signer = stage.m("alice").signer

    def answer(request: Request) -> Answer | None:
        answered = signer.answer(request)
        if isinstance(answered, CounterpartyCommitmentSigned):
            return msgspec.structs.replace(answered, commitment_txid=bytes(32))
        return answered

    class Confused:
        def __getattr__(self, name: str) -> object:
            return answer if name == "answer" else getattr(signer, name)

    monkeypatch.setattr(stage.m("alice"), "signer", Confused())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    assert stage.slot("alice", "bob").state.core.own_signed.adds
    assert stage.slot("bob", "alice").state.core.local.number == 0
    monkeypatch.undo()
    stage.world.cut("alice", "bob")
    stage.check()
    assert stage.payment("alice").sent is not None
