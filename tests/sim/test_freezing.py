"""Worlds as bytes: what comes back goes on like the original, and apart from it."""

from collections.abc import Callable

import msgspec
import pytest

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.journal.batch import Snapshot
from leyden.journal.node_records import PaymentStarted
from leyden.manager.state import Slot
from leyden.ports.chain import BlockData
from leyden.sim.freezing import Freezer, _is_value
from leyden.sim.scenario import begin
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from leyden.wallet.wallet import AddressKind
from tests.sim.scenarios import scenario


class _Holder(msgspec.Struct, frozen=True):
    """Is shared when it is found in the root, and copied else: what it holds may change."""

    held: list[int]


ELSEWHERE = _Holder([])


def test_thawed_worlds_go_on_like_the_one_that_was_frozen() -> None:
    """What waits in queues, timers and callbacks is all there, whenever it was frozen."""
    world, orders, books, _ = begin(scenario("forward"))
    freezer = Freezer((world, orders, books))
    frozen: list[bytes] = []

    def keep(at: World) -> bool:
        frozen.append(freezer.freeze((at, orders)))
        return False

    run_to_rest(world, Fair(), keep)
    for one in frozen[::5]:
        other, others = freezer.thaw(one)
        run_to_rest(other, Fair())
        assert other.trace == world.trace
        assert others[0].accepted


def test_thawed_worlds_do_not_touch_each_other() -> None:
    """One of them goes on, the next one begins where the first began."""
    world, orders, _, _ = begin(scenario("direct"))
    freezer = Freezer(world)
    frozen = freezer.freeze((world, orders))
    run_to_rest(freezer.thaw(frozen)[0], Fair())
    other = freezer.thaw(frozen)[0]
    assert other.steps == world.steps
    assert not other.nodes["bob"].manager.channels[next(iter(other.nodes["bob"].manager.channels))].state.core.inbound


def test_callbacks_that_share_a_variable_share_it_afterwards() -> None:
    """A count of what is left belongs to all callbacks that count it down, and is not that of the original."""

    def counting() -> tuple[Callable[[], int], Callable[[], int]]:
        left = 3

        def down() -> int:
            nonlocal left
            left -= 1
            return left

        return down, lambda: left

    callbacks = counting()
    freezer = Freezer(callbacks)
    down, left = freezer.thaw(freezer.freeze(callbacks))
    assert down() == 2
    assert left() == 2
    assert callbacks[1]() == 3


def test_values_are_shared_and_keyrings_are_not() -> None:
    """A configuration is the same object everywhere; what one wallet begins to watch, no other one watches."""
    world = begin(scenario("direct")).world
    freezer = Freezer(world)
    frozen = freezer.freeze(world)
    one, other = freezer.thaw(frozen), freezer.thaw(frozen)
    assert one.nodes["alice"].config is other.nodes["alice"].config
    for _ in range(3):
        issued = one.nodes["alice"].runtime.wallet.new_address(AddressKind.P2WPKH)
        one.nodes["alice"].runtime.record_wallet(issued.record)
    watched = [set(vars_of(at.nodes["alice"].runtime.wallet)) for at in (one, other)]
    assert watched[1] < watched[0]


def test_values_that_are_made_later_are_shared_too() -> None:
    """A block that two worlds have mined is one object, and so is what thaws; what may change is copied."""
    world = begin(scenario("direct")).world
    freezer = Freezer(world)
    frozen = freezer.freeze(world)
    one, other = freezer.thaw(frozen), freezer.thaw(frozen)
    for at in (one, other):
        at.mine()
    assert one.chain.block(one.chain.tip.hash) is not other.chain.block(other.chain.tip.hash)
    thawed = [freezer.thaw(freezer.freeze(at)) for at in (one, other)]
    blocks = [at.chain.block(at.chain.tip.hash) for at in thawed]
    assert blocks[0] is blocks[1] is not None
    assert thawed[0].nodes["alice"].disk is not thawed[1].nodes["alice"].disk


def test_two_freezers_do_not_mix_what_they_share() -> None:
    """The number of a value is that of the freezer that made the bytes."""
    freezers, values = [Freezer(()), Freezer(())], [OutPoint(bytes(32), 1), OutPoint(bytes(32), 2)]
    frozen = [freezer.freeze([value]) for freezer, value in zip(freezers, values, strict=True)]
    assert [freezer.thaw(one)[0] for freezer, one in zip(freezers, frozen, strict=True)] == values


@pytest.mark.parametrize(
    ("kind", "is_value"),
    [(BlockData, True), (Transaction, True), (Snapshot, True), (Slot, False), (PaymentStarted, False)],
)
def test_only_what_holds_nothing_that_may_change_is_a_value(kind: type, is_value: bool) -> None:
    """A frozen struct with a list in it could be changed through it."""
    assert _is_value(kind) is is_value


def test_what_functions_see_of_their_modules_is_not_looked_at() -> None:
    """From there one reaches the whole process, which takes seconds, and shares what no world holds."""
    freezer = Freezer([lambda: ELSEWHERE])
    [other] = freezer.thaw(freezer.freeze([ELSEWHERE]))
    assert other == ELSEWHERE
    assert other is not ELSEWHERE


def vars_of(wallet: object) -> dict[bytes, object]:
    """The scripts that a wallet watches."""
    return getattr(vars(wallet)["_keyring"], "_scripts")  # noqa: B009
