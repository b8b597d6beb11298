"""Mutants of own payments: idempotent, never more than their amount, one end."""

from typing import Any

from leyden.journal.node_records import PaymentsForgotten
from leyden.manager import rebuild, sending
from tests.mutants.mutant import Hit, early, mutant, nothing

SENDING = "promise 6; DESIGN 2 Payments"


def _takes_known_id(original: Any, hit: Hit) -> Any:
    def start_payment(m: Any, started: Any, terms: Any) -> None:
        known = m.node.ledger.payments.pop(started.payment_id, None)
        if known is not None:
            hit()
            m.node.ledger.hashes[started.payment_hash].remove(started.payment_id)
        original(m, started, terms)

    return start_payment


def _takes_paid_hash(original: Any, hit: Hit) -> Any:
    def start_payment(m: Any, started: Any, terms: Any) -> None:
        known = m.node.ledger.hashes.pop(started.payment_hash, None)
        if known:
            hit()
        original(m, started, terms)

    return start_payment


def _only_what_the_channel_has(original: Any, hit: Hit) -> Any:
    def restore_part(m: Any, slot: Any, payment_id: bytes, number: int, amount_msat: int, fee_msat: int) -> None:
        sources = [htlc.add.source for htlc in slot.state.core.outbound.values()]
        if any(one.origin == payment_id and one.index == number for one in sources):
            original(m, slot, payment_id, number, amount_msat, fee_msat)
        else:
            hit()

    return restore_part


def _any_part(original: Any, hit: Hit) -> Any:
    """The outcome ends some part of the payment."""

    def on_outcome(m: Any, slot: Any, outcome: Any) -> None:
        payment = m.node.ledger.payments.get(outcome.source.origin)
        if payment is not None and payment.parts and next(iter(payment.parts)) != outcome.source.index:
            hit()
            number = next(iter(payment.parts))
            source = type(outcome.source)(outcome.source.origin, number, False)
            values = [getattr(outcome, name) for name in outcome.__struct_fields__]
            values[outcome.__struct_fields__.index("source")] = source
            outcome = type(outcome)(*values)
        original(m, slot, outcome)

    return on_outcome


def _forgets_the_rest(original: Any, hit: Hit) -> Any:
    """A payment that gives up is told as failed with parts in flight."""

    def advance(m: Any, payment: Any) -> None:
        original(m, payment)
        if payment.is_live and payment.give_up and payment.parts:
            hit()
            payment.parts.clear()
            sending._fail(m, payment, payment.give_up)

    return advance


def _fulfilled_not_counted(_original: Any, hit: Hit) -> Any:
    def in_flight_msat(self: Any) -> int:
        if self.parts:
            hit()
        return 0

    return in_flight_msat


def _forgets_at_once(original: Any, hit: Hit) -> Any:
    def may_be_forgotten(m: Any, payment: Any, before_seconds: int) -> bool:
        if not payment.is_live and not original(m, payment, before_seconds):
            hit()
        return not payment.is_live

    return may_be_forgotten


def _forgets_before_channels(original: Any, hit: Hit) -> Any:
    """Whoever has ended is forgotten, whatever a channel may still tell of it."""

    def forget_old(m: Any) -> None:
        before = m.now_seconds - m.config.payment_retention_seconds
        claims = [one for one, received in m.node.received.items() if received.seconds < before]
        if any(claim_id in slot.state.core.claims for claim_id in claims for slot in m.channels.values()):
            hit()
            m.record(PaymentsForgotten([], claims))
        original(m)

    return forget_old


def _fails_unread(original: Any, hit: Hit) -> Any:
    """Nodes of a part are known in the life that sent it alone."""

    def restore_part(m: Any, slot: Any, payment_id: bytes, number: int, amount_msat: int, fee_msat: int) -> None:
        payment = m.node.ledger.payments.get(payment_id)
        if payment is not None and payment.hops.pop(number, None) is not None:
            hit()
        original(m, slot, payment_id, number, amount_msat, fee_msat)

    return restore_part


def _decides_before_the_tip(original: Any, hit: Hit) -> Any:
    def make_manager(*values: Any) -> Any:
        m = original(*values)
        if m.channels:
            hit()
            rebuild.start(m)
        return m

    return make_manager


MUTANTS = (
    mutant(
        "payment signed before its record is durable",
        "manager.sending:start_payment",
        early,
        why="a payment that was paid is unknown after a crash, and is paid again",
        guards=f"P13; {SENDING}",
        scenarios=("direct", "two parts"),
    ),
    mutant(
        "known payment_id is taken again",
        "manager.sending:start_payment",
        _takes_known_id,
        why="whoever repeats a call pays twice",
        guards=f"P13; {SENDING}",
        scenarios=("asked again and again",),
    ),
    mutant(
        "hash that is being paid is paid again",
        "manager.sending:start_payment",
        _takes_paid_hash,
        why="one invoice is paid twice under two names",
        guards=SENDING,
        scenarios=("invoice paid under two ids",),
    ),
    mutant(
        "part not in flight once the HTLC has left",
        "manager.rebuild:_restore_part",
        _only_what_the_channel_has,
        why="the payment is offered again while the first outcome is still to be handled",
        guards=f"P14; {SENDING}; DESIGN 7.10",
        scenarios=("refused routes",),
    ),
    mutant(
        "parts in flight forgotten at start",
        "manager.rebuild:_restore_part",
        nothing,
        why="what was in flight before a crash is offered again",
        guards=f"P14; P15; {SENDING}; DESIGN 3 step 4",
        scenarios=("direct", "two parts"),
    ),
    mutant(
        "outcomes matched by payment alone",
        "manager.sending:on_outcome",
        _any_part,
        why="a failure ends the part that is still open",
        guards=f"P14; S4; {SENDING}; DESIGN 7.10",
        scenarios=("retry of one part", "two parts"),
    ),
    mutant(
        "failed with parts in flight",
        "manager.sending:advance",
        _forgets_the_rest,
        why="told as failed, and then a part is paid",
        guards=f"P14; {SENDING}",
        scenarios=("given up and taken", "retry of one part"),
    ),
    mutant(
        "parts in flight do not count",
        "payments.outbound:OutboundPayment.in_flight_msat",
        _fulfilled_not_counted,
        why="more is offered than the payment has",
        guards=f"P14; {SENDING}",
        scenarios=("direct", "hold"),
    ),
    mutant(
        "payment_id forgotten at once",
        "manager.sending:_may_be_forgotten",
        _forgets_at_once,
        why="whoever repeats a call pays twice",
        guards=f"P13; {SENDING}",
        scenarios=("ten minutes later",),
    ),
    mutant(
        "received payment forgotten while a channel tells of it",
        "manager.sending:forget_old",
        _forgets_before_channels,
        why="a crash that keeps one acknowledgement of two makes the other part look unclaimed",
        guards="P11; P13; promise 2",
        scenarios=(
            "tests.manager.test_whole_claims"
            ":test_node_remembers_a_received_payment_until_every_part_has_forgotten_its_claim",
        ),
    ),
    mutant(
        "failure of an earlier life cannot be read",
        "manager.rebuild:_restore_part",
        _fails_unread,
        why="the payer does not learn who refused",
        guards="P15; promise 6; DESIGN 3",
        scenarios=("refused after the payer's restart",),
    ),
    mutant(
        "decided on a stale height",
        "node.boot:make_manager",
        _decides_before_the_tip,
        why="HTLCs are offered that expire before the node knows where the chain is",
        guards="P16; promise 11; DESIGN 3 step 3; DESIGN 7.5",
        scenarios=("tests.mutants.stories:nothing_is_taken_on_a_stale_height",),
    ),
)
