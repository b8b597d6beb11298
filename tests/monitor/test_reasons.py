"""Sentences for users: one for each way a channel can end."""

import msgspec

from leyden.channel.inputs import ForceClose
from leyden.monitor.classify import Spend, SpendKind
from leyden.monitor.reasons import close_reason, is_alarming
from tests.channel.pair import ready_pair
from tests.monitor.history import Witness


def spend(kind: SpendKind) -> Spend:
    """A spend of that kind, whatever it is made of."""
    witness = Witness(ready_pair().a)
    return msgspec.structs.replace(witness.classify(witness.local[0].transaction()), kind=kind)


def test_every_kind_has_a_sentence() -> None:
    """And only whose commitment of two equals it was does not matter to a user."""
    core = ready_pair().a.core
    sentences = {kind: close_reason(core, spend(kind)) for kind in SpendKind}
    assert len(set(sentences.values())) == len(SpendKind) - 1
    assert sentences[SpendKind.REMOTE] == sentences[SpendKind.REMOTE_PRIOR]


def test_a_forced_close_keeps_its_reason_unless_another_transaction_was_first() -> None:
    """The peer may be quicker, or a thief."""
    pair = ready_pair()
    pair.give(0, ForceClose("the peer sent nonsense"))
    assert close_reason(pair.a.core, spend(SpendKind.LOCAL)) == "the peer sent nonsense"
    assert close_reason(pair.a.core, spend(SpendKind.REMOTE)) == "the peer published its commitment"
    assert close_reason(pair.a.core, spend(SpendKind.REMOTE_REVOKED)) == "the peer published a revoked commitment"


def test_alarms_are_for_what_puts_money_at_stake() -> None:
    """An alarm at every close would be heard by nobody."""
    calm = [SpendKind.MUTUAL_CLOSE, SpendKind.LOCAL, SpendKind.REMOTE, SpendKind.REMOTE_PRIOR]
    assert [kind for kind in SpendKind if not is_alarming(spend(kind))] == calm
