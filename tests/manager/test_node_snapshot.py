"""The encoded fold of the node journal: what it says, and that nothing else is lost with the records it replaces."""

import pytest

from leyden.base.errors import DecodeError
from leyden.journal.node_records import (
    BestBlock,
    CoreNodeRecord,
    EventsAcknowledged,
    FixedHop,
    FixedRoute,
    JournalArchived,
    NodeBorn,
    PartFailed,
    PartSent,
    PaymentFailed,
    PaymentReceived,
    PaymentSent,
    PaymentsForgotten,
    PaymentStarted,
    PeerRemembered,
)
from leyden.journal.wallet_records import WalletRecord
from leyden.manager.node_snapshot import decode_node_snapshot, encode_node_snapshot
from leyden.manager.state import NodeState, fold_node

PAYEE = b"\x02" + bytes(32)


def started(name: bytes, routes: tuple[FixedRoute, ...] = ()) -> PaymentStarted:
    """A payment that was accepted."""
    return PaymentStarted(name * 32, b"h" * 32, 1000, 10, 3, 5, 65, b"s" * 32, PAYEE, "", b"", [], list(routes))


RECORDS: list[CoreNodeRecord] = [
    NodeBorn(b"c" * 32, PAYEE, 100, b"b" * 32),
    BestBlock(120, b"t" * 32),
    PeerRemembered(PAYEE, "127.0.0.1:9735", trusted=True),
    started(b"a", (FixedRoute(b"x" * 32, [FixedHop(1, PAYEE, 1000, 50)], b"p" * 32, 9),)),
    PartSent(b"a" * 32, 0, [PAYEE, PAYEE]),
    PartSent(b"a" * 32, 1, [PAYEE]),
    PartFailed(b"a" * 32, 1, b"x" * 32, 7, 15, 0),
    started(b"b"),
    PaymentSent(b"b" * 32, b"i" * 32, 3, 44),
    started(b"c"),
    PaymentFailed(b"c" * 32, "no_route", 0, -1, 45),
    EventsAcknowledged(["failed/" + (b"c" * 32).hex()]),
    started(b"d"),
    PaymentFailed(b"d" * 32, "deadline", 8194, 2, 46),
    PaymentReceived(b"r" * 32, b"h" * 32, 500, 47),
    JournalArchived("channel/00"),
]


def fold(records: list[CoreNodeRecord]) -> NodeState:
    """Fold records into a new state."""
    state = NodeState()
    for record in records:
        fold_node(state, record)
    return state


def reread(state: NodeState) -> NodeState:
    """What a restart from the snapshot of a state begins with."""
    records, wallet = decode_node_snapshot(encode_node_snapshot(state, b"wallet"))
    assert wallet == b"wallet"
    return fold([record for record in records if not isinstance(record, WalletRecord)])


@pytest.mark.parametrize("count", range(1, len(RECORDS) + 1))
def test_snapshot_holds_what_the_records_said(count: int) -> None:
    """Compacting at any moment changes nothing that is asked later (invariant P4)."""
    state = fold(RECORDS[:count])
    again = reread(state)
    assert (again.born, again.best, again.peers) == (state.born, state.best, state.peers)
    assert (again.received, again.archived, again.unacknowledged) == (
        state.received,
        state.archived,
        state.unacknowledged,
    )
    assert again.ledger.hashes == state.ledger.hashes
    assert list(again.ledger.payments) == list(state.ledger.payments)
    assert list(again.ledger.live) == list(state.ledger.live)
    for payment_id, payment in state.ledger.payments.items():
        twin = again.ledger.payments[payment_id]
        assert (twin.sent, twin.failed) == (payment.sent, payment.failed)
        if payment.is_live:
            assert (twin.started, twin.hops, twin.failed_parts, twin.next_part) == (
                payment.started,
                payment.hops,
                payment.failed_parts,
                payment.next_part,
            )


def test_tail_behind_a_snapshot_goes_on() -> None:
    """Records that are younger than the snapshot find what they speak of."""
    state = reread(fold(RECORDS))
    for record in (PartFailed(b"a" * 32, 0, b"x" * 32, 8, 0, -1), PaymentFailed(b"a" * 32, "route_failed", 0, -1, 60)):
        fold_node(state, record)
    fold_node(state, PaymentsForgotten([b"b" * 32, b"c" * 32], [b"r" * 32]))
    assert list(state.ledger.payments) == [b"a" * 32, b"d" * 32]
    assert not state.received
    assert not state.ledger.live


@pytest.mark.parametrize("raw", [b"", b"\x02", b"\x01", b"\x01\xff", b"garbage"])
def test_damaged_or_newer_snapshot_is_refused(raw: bytes) -> None:
    """Never read as half of what it is."""
    with pytest.raises(DecodeError):
        decode_node_snapshot(raw)
