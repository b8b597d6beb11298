"""An oracle that cannot fail is none: each is shown something that it must not pass."""

from collections.abc import Callable

import pytest

from leyden.channel.inputs import ForceClose
from leyden.manager import events as ev
from leyden.manager.actions import Report
from leyden.sim.books import Books, balance_msat, chain_msat
from leyden.sim.node import Shown
from leyden.sim.oracles import Violation, check_rest
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from tests.sim import topologies
from tests.sim.scenarios import pay

CLOSED = ForceClose("planted")


def steal(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].state.core.local.local_msat += 1


def close(world: World) -> None:
    bob = world.nodes["bob"]
    bob.run(lambda m: m.apply(m.channels[_channel(world)], CLOSED))
    run_to_rest(world, Fair())


def forget(world: World) -> None:
    world.nodes["alice"].shown.clear()


def tell_twice(world: World) -> None:
    alice = world.nodes["alice"]
    alice.shown.append(alice.shown[-1])


def tell_two_outcomes(world: World) -> None:
    alice = world.nodes["alice"]
    sent = next(shown.event for shown in alice.shown if isinstance(shown.event, ev.PaymentSent))
    failed = ev.PaymentFailed(f"failed/{sent.payment_id.hex()}", sent.payment_id, sent.payment_hash, "deadline", 0, -1)
    alice.shown.append(Shown(alice.lives, failed))


def change_memory(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].state.core.next_inbound_id += 1


def leave_records(world: World) -> None:
    bob = world.nodes["bob"]
    bob.disk.held["node"] = None
    bob.run(lambda m: m.record(m.node.born))  # type: ignore[arg-type]


def leave_blocker(world: World) -> None:
    world.nodes["bob"].manager.claim_blockers[b"x"] = {}


def report_error(world: World) -> None:
    world.nodes["bob"].reports.append(Report("node", "error", "planted"))


def disconnect(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].state.session.reestablished = False


def lose_payment(world: World) -> None:
    world.nodes["alice"].manager.node.ledger.payments.clear()


def halt(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].halted = "planted"


def queue_a_removal(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].state.session.queued_removals.append(0)


def queue_a_feerate(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].state.session.queued_feerate_per_kw = 2_000


def keep_a_release(world: World) -> None:
    world.nodes["bob"].manager.channels[_channel(world)].state.session.released.add(0)


def reveal(world: World) -> None:
    """The signer is one for all lives: in another one it has revealed secrets that are not due."""
    bob = world.nodes["bob"]
    core = bob.manager.channels[_channel(world)].state.core
    for number in (core.local.number, core.local.number + 1):
        bob.signer.release_commitment_secret(core.opened.channel_keys_id, number)
    pay(world, "alice", "bob", name="another")
    run_to_rest(world, Fair())


def _channel(world: World) -> bytes:
    return next(iter(world.nodes["bob"].manager.channels))


PLANTS: list[Callable[[World], None]] = [
    steal,
    close,
    forget,
    tell_twice,
    tell_two_outcomes,
    change_memory,
    leave_records,
    leave_blocker,
    report_error,
    disconnect,
    lose_payment,
    halt,
    queue_a_removal,
    queue_a_feerate,
    keep_a_release,
    reveal,
]


def paid() -> tuple[World, Books, list]:
    """A world at rest after a payment."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    books = Books(world)
    order = pay(world, "alice", "bob")
    run_to_rest(world, Fair())
    return world, books, [order]


def test_sound_world_passes() -> None:
    """Or the rest would prove nothing."""
    check_rest(*paid())


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_fault_is_found(plant: Callable[[World], None]) -> None:
    """Each names a thing that must hold."""
    world, books, orders = paid()
    plant(world)
    with pytest.raises(Violation):
        check_rest(world, books, orders)


def test_old_copy_may_tell_of_a_payment_again_but_it_must_end() -> None:
    """It knows nothing of what was told after the copy was made."""
    world, books, orders = paid()
    tell_two_outcomes(world)
    world.restored["alice"] = None
    check_rest(world, books, orders)
    world.nodes["alice"].shown[:] = [
        shown for shown in world.nodes["alice"].shown if not isinstance(shown.event, ev.PaymentSent)
    ]
    with pytest.raises(Violation, match=r"told \['PaymentFailed'\], not PaymentSent"):
        check_rest(world, books, orders)


def test_books_follow_payments_to_the_millisatoshi() -> None:
    """What somebody lost somebody else has."""
    world, books, orders = paid()
    expected = books.expected(world, orders)
    assert expected == {name: balance_msat(node) for name, node in world.nodes.items()}
    assert expected["bob"] - books.opened["bob"] == orders[0].started.amount_msat
    assert sum(expected.values()) == chain_msat(world)
