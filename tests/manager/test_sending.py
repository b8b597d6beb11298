"""Own payments: once per payment_id, split, retried, failed with values a program can read."""

import msgspec
import pytest

from leyden.base.errors import CommandRejected
from leyden.channel import limits
from leyden.channel.core import Outcome
from leyden.channel.effects import AddRefused
from leyden.channel.inputs import PendingAdd, SetPolicy
from leyden.invoices import bolt11
from leyden.journal.records import ForwardingPolicy, HtlcSource, RemovedHtlc
from leyden.manager import events as ev
from leyden.manager import handoff, sending
from leyden.payments import outcome as why
from leyden.payments.outbound import terms_of
from leyden.sim import user
from leyden.sim.user import Order
from leyden.sphinx.failures import FailureCode
from tests.manager.stage import AMOUNT_MSAT, DELTA, Stage, payment_id
from tests.sim import topologies

TWO_PARTS_MSAT = 700_000_000
REJECTED = (why.RECIPIENT_REJECTED, FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS, 0)


def test_payment_is_recorded_before_anything_leaves() -> None:
    """A payment whose record was lost left nothing on the wire (invariant P13)."""
    stage = Stage(topologies.direct())
    stage["alice"].disk.held["node"] = None
    order = stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    assert not order.accepted
    assert not stage.slot("alice", "bob").state.core.outbound
    assert not stage.slot("alice", "bob").state.session.queued_adds
    stage.world.restart("alice")
    stage.act()
    assert payment_id("one") not in stage.m("alice").node.ledger.payments
    order.ask(stage["alice"])
    stage.check()
    assert stage.payment("alice").sent is not None


def test_same_payment_id_cannot_pay_twice() -> None:
    """The caller's own key makes a repetition harmless, also after the payment has ended and after a restart."""
    stage = Stage(topologies.direct())
    order = stage.pay("alice", "bob", stage.invoice("bob"))
    stage.check()
    for _ in range(2):
        with pytest.raises(CommandRejected) as refused:
            sending.start_payment(stage.m("alice"), order.started, None)
        assert refused.value.code == "duplicate_payment_id"
        stage.world.restart("alice")
        stage.rest()
    stage.check()


def test_paid_invoice_is_not_paid_again() -> None:
    """Another payment_id does not make an invoice new; while it is being paid neither."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    text = stage.invoice("bob")
    stage.pay("alice", "bob", text, deadline_seconds=1000)
    again = user.invoice_payment(stage["alice"], text, payment_id("again"))
    with pytest.raises(CommandRejected) as refused:
        sending.start_payment(stage.m("alice"), again, None)
    assert refused.value.code == "payment_in_progress"
    stage.seconds(3)
    stage.prompt("bob", "claim").on_event(stage.m("bob"), stage.question("bob"))
    stage["bob"].run(lambda _m: None)
    stage.check()
    with pytest.raises(CommandRejected) as refused:
        sending.start_payment(stage.m("alice"), again, None)
    assert refused.value.code == "already_paid"


def test_failed_payment_may_be_tried_again_under_another_id() -> None:
    """A failure is final for its payment_id alone."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "fail")
    text = stage.invoice("bob")
    stage.pay("alice", "bob", text)
    stage.rest()
    assert stage.failure("alice") == REJECTED
    stage.prompt("bob", "claim")
    stage.pay("alice", "bob", text, "again")
    stage.rest()
    assert stage.payment("alice", "again").sent is not None


def test_payment_is_split_over_own_channels() -> None:
    """No single channel carries it, two together do."""
    stage = Stage(topologies.double())
    stage.pay("alice", "bob", stage.invoice("bob", TWO_PARTS_MSAT))
    stage.check()
    [claimed] = stage.told("bob", ev.PaymentClaimed)
    assert (claimed.parts, claimed.amount_msat) == (2, TWO_PARTS_MSAT)


def test_payment_is_split_over_route_hints() -> None:
    """The payee's hints lead over two peers; the fees of both parts are told."""
    stage = Stage(topologies.diamond())
    stage.pay("alice", "dave", stage.invoice("dave", TWO_PARTS_MSAT))
    stage.check()
    [sent] = stage.told("alice", ev.PaymentSent)
    fees = [one.fee_msat for name in ("bob", "carol") for one in stage.told(name, ev.PaymentForwarded)]
    assert len(fees) == 2
    assert sent.fee_msat == sum(fees)


def test_payment_that_may_not_be_split_fails() -> None:
    """The caller's bound on parts, or an invoice without basic_mpp, forbids it."""
    stage = Stage(topologies.double())
    stage.pay("alice", "bob", stage.invoice("bob", TWO_PARTS_MSAT), parts_max=1)
    stage.check()
    assert stage.failure("alice") == (why.INSUFFICIENT_BALANCE, None, -1)


@pytest.mark.parametrize(
    ("payee", "amount_msat", "terms", "reason"),
    [
        ("bob", 600_000_000, {}, why.INSUFFICIENT_BALANCE),
        ("carol", AMOUNT_MSAT, {"fee_limit_msat": 5999}, why.FEE_LIMIT),
        ("carol", AMOUNT_MSAT, {"fee_limit_msat": 6000}, ""),
    ],
)
def test_reasons_that_need_no_attempt(payee: str, amount_msat: int, terms: dict[str, int], reason: str) -> None:
    """What cannot work is said at once, with a name and advice."""
    stage = Stage(topologies.line())
    stage.pay("alice", payee, stage.invoice(payee, amount_msat), **terms)  # type: ignore[arg-type]
    stage.check()
    if not reason:
        assert stage.payment("alice").sent is not None
        return
    assert stage.failure("alice") == (reason, None, -1)
    assert why.ADVICE[reason]


def test_payee_that_nothing_leads_to() -> None:
    """Without hints only peers can be paid, for now."""
    stage = Stage(topologies.line())
    text = user.make_invoice(stage["carol"], AMOUNT_MSAT)
    stage.pay("alice", "carol", text)
    stage.check()
    assert stage.failure("alice") == (why.NO_ROUTE, None, -1)


def test_payment_waits_for_channels_that_are_not_back_yet() -> None:
    """After a restart peers take a while to connect; a payment does not fail for that before its deadline."""
    stage = Stage(topologies.direct())
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.seconds(20)
    assert stage.payment("alice").is_live
    stage.world.links[("alice", "bob")] = True
    stage.check()
    assert stage.payment("alice").sent is not None


def test_payment_fails_at_its_deadline() -> None:
    """Nothing came of it in time, and nothing is in flight."""
    stage = Stage(topologies.direct())
    text = stage.invoice("bob")
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    stage.pay("alice", "bob", text, deadline_seconds=20)
    stage.seconds(19)
    assert stage.payment("alice").is_live
    stage.seconds(2)
    assert stage.failure("alice") == (why.DEADLINE, None, -1)
    assert len(stage.told("alice", ev.PaymentFailed)) == 1


def test_failure_on_one_way_is_retried_over_the_other() -> None:
    """A forwarder that cannot carry it costs a try, not the payment; what the failure ruled out is not tried again."""
    stage = Stage(topologies.diamond())
    left = stage.slot("bob", "dave").state.core.local.local_msat
    stage.pay("bob", "dave", stage.invoice("dave", left - 30_000_000, tag="fill"), "fill")
    stage.rest()
    cheap = ForwardingPolicy(1, 1, DELTA, 1)
    stage["bob"].run(lambda m: m.apply(stage.slot("bob", "dave"), SetPolicy(cheap, m.now_seconds + 1)))
    stage.rest()
    text = stage.invoice("dave")
    stage.pay("alice", "dave", text)
    stage.check()
    assert stage.payment("alice").sent is not None
    assert not stage.told("bob", ev.PaymentForwarded)
    assert stage.told("carol", ev.PaymentForwarded)
    assert stage.payment("alice").last_failure is not None, "the cheap way was tried first"


def test_payment_of_which_every_way_failed() -> None:
    """The last failure is told: which hop, which code."""
    stage = Stage(topologies.line())
    left = stage.slot("bob", "carol").state.core.local.local_msat
    stage.pay("bob", "carol", stage.invoice("carol", left - 30_000_000, tag="fill"), "fill")
    stage.rest()
    stage.pay("alice", "carol", stage.invoice("carol"))
    stage.check()
    assert stage.failure("alice") == (why.ROUTE_FAILED, FailureCode.TEMPORARY_CHANNEL_FAILURE, 0)


def test_payment_that_did_not_become_whole_in_time_locks_no_more_money() -> None:
    """Its recipient waited a minute for the rest; parts offered anew would wait there for another minute."""
    ways = [("alice", "bob"), ("alice", "carol"), ("alice", "bob"), ("bob", "dave"), ("carol", "dave")]
    stage = Stage(topologies.make(ways))
    stage["carol"].disk.held[stage.slot("carol", "alice").tail.journal] = None
    stage.pay("alice", "dave", stage.invoice("dave", TWO_PARTS_MSAT), deadline_seconds=600)
    stage.seconds(58)
    assert stage.payment("alice").next_part == 2
    stage.seconds(5)
    payment = stage.payment("alice")
    assert payment.is_live
    assert len(payment.parts) == 1, "the part that waits at carol"
    assert payment.next_part == 2
    stage["carol"].disk.held.clear()
    stage.check()
    assert stage.failure("alice") == (why.ROUTE_FAILED, FailureCode.MPP_TIMEOUT, 1)


def test_abandoned_payment_fails_once_nothing_is_in_flight() -> None:
    """What has left may still arrive: the payment ends by its parts, not by the wish of its owner."""
    for answer, sent in (("claim", True), ("fail", False)):
        stage = Stage(topologies.direct("bob"))
        stage.prompt("bob", "")
        stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=10_000)
        stage.seconds(3)
        stage["alice"].run(lambda m: sending.abandon_payment(m, payment_id("one")))
        stage.seconds(3)
        assert stage.payment("alice").is_live
        stage.prompt("bob", answer).on_event(stage.m("bob"), stage.question("bob"))
        stage["bob"].run(lambda _m: None)
        stage.check()
        assert (stage.payment("alice").sent is not None) is sent
    with pytest.raises(CommandRejected):
        sending.abandon_payment(stage.m("alice"), bytes(32))


def test_abandoned_payment_that_waits_fails_at_once() -> None:
    """Nothing is in flight, nothing will be."""
    stage = Stage(topologies.direct())
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.act()
    stage["alice"].run(lambda m: sending.abandon_payment(m, payment_id("one")))
    stage.act()
    assert stage.failure("alice") == (why.ABANDONED, None, -1)


def test_given_routes_are_each_offered_once_in_all_lives() -> None:
    """A restart must not send a route again whose part is still in flight or has failed: the payee could take both."""
    stage = Stage(topologies.double("bob"))
    stage.prompt("bob", "")
    text = stage.invoice("bob", AMOUNT_MSAT)
    height = stage.m("alice").env.block_height
    secret = bolt11.decode(text).payment_secret
    good = stage.fixed_route("alice", [(0, "bob", AMOUNT_MSAT // 2, height + 60)], secret)
    bad = stage.fixed_route("alice", [(0, "bob", AMOUNT_MSAT // 2, height + 10)], secret)
    started = user.route_payment(stage["alice"], text, AMOUNT_MSAT, payment_id("one"), [good, bad])
    stage.order(Order("alice", started, "bob"))
    stage.seconds(3)
    first = stage.slot("alice", "bob").state.core.next_outbound_id
    for _ in range(2):
        stage.world.restart("alice")
        stage.seconds(3)
        assert stage.slot("alice", "bob").state.core.next_outbound_id == first
        assert stage.payment("alice").in_flight_msat() <= AMOUNT_MSAT
    assert first == 2
    assert list(stage.payment("alice").failed_parts) == [1]
    stage.check()
    assert stage.failure("alice")[1] is FailureCode.MPP_TIMEOUT


def test_events_of_finished_payments_come_again_until_acknowledged() -> None:
    """A crash between the outcome and the handler must not lose it; the id says that it is the same (P20)."""
    stage = Stage(topologies.direct())
    stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.pay("alice", "bob", stage.invoice("bob", 900_000_000, tag="two"), "two")
    stage.seconds(3)
    for _ in range(2):
        stage.world.restart("alice")
        stage.seconds(3)
    for kind in (ev.PaymentSent, ev.PaymentFailed):
        told = stage.told("alice", kind)
        assert len(told) == 3
        assert len({one.event_id for one in told}) == 1
        stage["alice"].run(lambda m, event_id=told[0].event_id: handoff.acknowledge_event(m, event_id))  # type: ignore[misc]
    stage.seconds(3)
    stage.world.restart("alice")
    stage.check()
    assert len(stage.told("alice", ev.PaymentSent)) == 3


def test_lost_acknowledgement_repeats_the_event() -> None:
    """At least once: an acknowledgement counts when it is durable."""
    stage = Stage(topologies.direct())
    prompt = stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.seconds(3)
    stage["alice"].disk.held["node"] = None
    [sent] = stage.told("alice", ev.PaymentSent)
    stage["alice"].run(lambda m: handoff.acknowledge_event(m, sent.event_id))
    stage.seconds(3)
    prompt.acknowledges = True
    stage.world.restart("alice")
    stage.check()
    assert len(stage.told("alice", ev.PaymentSent)) == 2


def test_full_queue_of_events_takes_no_new_payments() -> None:
    """An application that acknowledges nothing must not make the node's memory grow without bound."""
    stage = Stage(topologies.direct())
    stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.seconds(3)
    stage.m("alice").config = msgspec.structs.replace(stage.m("alice").config, unacknowledged_events_max=1)
    again = user.invoice_payment(stage["alice"], stage.invoice("bob", tag="two"), payment_id("two"))
    with pytest.raises(CommandRejected) as refused:
        sending.start_payment(stage.m("alice"), again, None)
    assert refused.value.code == "too_many_events"


def test_old_payments_are_forgotten_once_their_events_are_acknowledged() -> None:
    """The ids of finished payments are kept a stated time for callers that repeat themselves, not for ever."""
    stage = Stage(topologies.direct())
    prompt = stage.prompt("alice", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.seconds(3)
    stage.world.clock.now_seconds += 8 * 86_400
    stage["alice"].run(sending.forget_old)
    stage.seconds(3)
    assert stage.payment("alice").sent is not None, "its event waits"
    [sent] = stage.told("alice", ev.PaymentSent)
    prompt.acknowledges = True
    stage["alice"].run(lambda m: handoff.acknowledge_event(m, sent.event_id))
    stage.seconds(3)
    stage["alice"].run(sending.forget_old)
    stage.seconds(3)
    stage.world.restart("alice")
    assert payment_id("one") not in stage.m("alice").node.ledger.payments
    assert not stage.m("alice").node.ledger.hashes


def test_fee_and_failure_are_known_after_a_restart() -> None:
    """What a part pays to others is stored with it; whose failure it is follows from the stored path."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=10_000)
    stage.seconds(3)
    stage.world.restart("alice")
    stage.seconds(3)
    stage.prompt("carol", "claim").on_event(stage.m("carol"), stage.question("carol"))
    stage["carol"].run(lambda _m: None)
    stage.check()
    [sent] = stage.told("alice", ev.PaymentSent)
    assert sent.fee_msat == 6000


def test_route_over_a_channel_that_cannot_carry_it_is_not_offered() -> None:
    """A halted channel takes nothing; the payment fails instead of hanging."""
    stage = Stage(topologies.direct())
    stage.m("alice").halt(stage.slot("alice", "bob"), object(), ValueError("halts it"))
    stage.route("alice", stage.invoice("bob"), [(0, "bob", AMOUNT_MSAT, stage.m("alice").env.block_height + 60)])
    stage.act()
    assert stage.failure("alice") == (why.ROUTE_FAILED, None, -1)


def test_payee_that_takes_no_parts_gets_none() -> None:
    """Without `basic_mpp` in the invoice the amount goes whole or not at all (BOLT 4, "Basic Multi-Part Payments")."""
    stage = Stage(topologies.double())
    text = stage.invoice("bob", TWO_PARTS_MSAT)
    started = user.invoice_payment(stage["alice"], text, payment_id("one"))
    terms = msgspec.structs.replace(terms_of(started), supports_mpp=False)
    stage["alice"].run(lambda m: sending.start_payment(m, started, terms))
    stage.act()
    assert stage.failure("alice") == (why.INSUFFICIENT_BALANCE, None, -1)
    assert not stage.m("bob").claimables


def test_given_route_waits_for_a_peer_that_is_away() -> None:
    """Until its deadline; the same route is taken when the peer is back."""
    stage = Stage(topologies.direct())
    stage.world.links["alice", "bob"] = False
    stage.world.cut("alice", "bob")
    stage.route("alice", stage.invoice("bob"), [(0, "bob", AMOUNT_MSAT, stage.m("alice").env.block_height + 60)])
    stage.act()
    assert stage.payment("alice").is_live
    assert not stage.payment("alice").parts
    stage.world.links["alice", "bob"] = True
    stage.check()
    assert stage.payment("alice").sent is not None


def test_refused_part_is_followed_up_in_the_same_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was queued while the peer owed a revocation, and fits no more: the way is ruled out, and the payment fails
    without waiting for a timer.
    """
    stage = Stage(topologies.direct())
    slot = stage.slot("bob", "alice")
    stage["bob"].disk.held[slot.tail.journal] = None
    stage.pay("alice", "bob", stage.invoice("bob", 1_000_000), "one")
    stage.act()
    stage.pay("alice", "bob", stage.invoice("bob", 1_000_000, tag="two"), "two")
    stage.act()
    session, m = stage.slot("alice", "bob").state.session, stage.m("alice")
    assert session.queued_adds
    flush = m.flush

    def whole() -> None:
        flush()
        assert [len(m.after_verdicts), len(m.verdicts), len(m.dirty)] == [0, 0, 0]

    monkeypatch.setattr(m, "flush", whole)
    monkeypatch.setattr(limits, "refusal", lambda *_: limits.INSUFFICIENT_BALANCE)
    stage["bob"].disk.held.clear()
    while session.queued_adds:
        stage.world.perform(stage.world.enabled()[0])
    assert stage.payment("alice", "two").failed is not None
    monkeypatch.undo()
    stage.check()


def test_refused_part_of_an_unknown_payment_changes_nothing() -> None:
    """Unknown means done."""
    stage = Stage(topologies.direct())
    add = PendingAdd(1_000, bytes(32), 500, bytes(1366), HtlcSource(bytes(32), 0, False), 0)
    stage["alice"].run(lambda m: sending.on_refused(m, stage.slot("alice", "bob"), AddRefused(add, limits.CLOSING)))
    stage.check()


def test_payment_that_a_channel_may_still_tell_of_is_not_forgotten() -> None:
    """Its outcome would be taken for that of a later payment with the same id."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    outcomes = stage.slot("alice", "bob").state.core.outcomes
    removal = RemovedHtlc(9, b"", b"", 0, b"")
    outcomes[9] = Outcome(9, HtlcSource(payment_id("one"), 9, False), AMOUNT_MSAT, 0, bytes(32), removal)
    stage.world.clock.now_seconds += 8 * 86_400
    stage["alice"].run(sending.forget_old)
    stage.act()
    assert payment_id("one") in stage.m("alice").node.ledger.payments
    del outcomes[9]
    stage["alice"].run(sending.forget_old)
    stage.act()
    assert payment_id("one") not in stage.m("alice").node.ledger.payments


def test_payment_that_still_waits_is_not_forgotten() -> None:
    """However old it is: no part of it is out, and its deadline is the caller's choice."""
    stage = Stage(topologies.direct())
    stage.world.links["alice", "bob"] = False
    stage.world.cut("alice", "bob")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=30 * 86_400)
    stage.act()
    stage.world.clock.now_seconds += 8 * 86_400
    stage["alice"].run(sending.forget_old)
    stage.act()
    assert stage.payment("alice").is_live
