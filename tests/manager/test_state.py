"""What the manager keeps, record by record."""

from leyden.journal.node_records import EventsAcknowledged, PaymentFailed, PaymentSent, PaymentSummary
from leyden.manager.state import ClaimableSet, NodeState, fold_node
from tests.manager.test_node_snapshot import RECORDS, fold, started


def test_finished_payments_wait_for_their_acknowledgement() -> None:
    """An event is owed from the record on, until the acknowledgement is one."""
    state = fold([started(b"a"), PaymentSent(b"a" * 32, b"i" * 32, 0, 1), started(b"b")])
    fold_node(state, PaymentFailed(b"b" * 32, "deadline", 0, -1, 1))
    assert sorted(state.unacknowledged) == [f"failed/{(b'b' * 32).hex()}", f"sent/{(b'a' * 32).hex()}"]
    fold_node(state, EventsAcknowledged([f"sent/{(b'a' * 32).hex()}", "unknown"]))
    assert list(state.unacknowledged) == [f"failed/{(b'b' * 32).hex()}"]


def test_summary_owes_its_event_when_it_was_not_acknowledged() -> None:
    """A snapshot must not swallow an event."""
    for acknowledged in (True, False):
        for preimage, name in ((b"i" * 32, "sent"), (b"", "failed")):
            state = NodeState()
            fold_node(
                state,
                PaymentSummary(b"a" * 32, b"h" * 32, 1, 2, bytes(33), preimage, 0, "deadline", 0, -1, 9, acknowledged),
            )
            owed = [] if acknowledged else [f"{name}/{(b'a' * 32).hex()}"]
            assert list(state.unacknowledged) == owed


def test_fold_is_a_function_of_the_records() -> None:
    """Two folds of the same records are equal (invariant P3)."""
    assert fold(RECORDS) == fold(RECORDS)


def test_set_counts_what_its_parts_bring() -> None:
    """Parts may bring more than was asked for."""
    parts = {(b"c" * 32, 0): 600, (b"c" * 32, 1): 500}
    assert ClaimableSet(b"s", b"h", b"p", "invoice", 1000, b"", [], parts, 9, 0).received_msat() == 1100
