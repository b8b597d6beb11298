"""Channels that open and close, stores that refuse and break, journals that are compacted."""

from collections.abc import Callable, Sequence
from functools import cache, partial

from leyden.base.errors import StorageBroken, StorageUnavailable
from leyden.channel.states import Normal
from leyden.sim import user
from leyden.sim.commands import AT_REST, IN_TURN, WHEN_IDLE
from leyden.sim.handler import Prompt
from leyden.sim.scenario import Check
from leyden.sim.user import Order
from leyden.sim.world import Action, World
from tests.sim import topologies
from tests.sim.acts import ordered, then
from tests.sim.scenarios_claims import begin_invoice, begin_slow, every_event_is_handled, who_is_asked_is_paid
from tests.sim.scenarios_payments import begin_refused
from tests.sim.topologies import CAPACITY_SAT, rest

Begin = Callable[[World], list[Order]]
SMALL_MSAT = 50_000_000
TWO_PARTS_MSAT = 700_000_000
STORE_TROUBLE = ("the store does not take", "the store is lost")


@cache
def strangers() -> World:
    """alice and bob are connected, and alice has coins."""
    world = World(b"strangers")
    for name in ("alice", "bob"):
        world.add_node(name, topologies.CONFIG)
    world.link("alice", "bob")
    rest(world)
    world.grant("alice", 3 * CAPACITY_SAT)
    world.mine()
    return rest(world)


@cache
def unconfirmed() -> World:
    """alice - bob, whose funding waits for a block."""
    world = strangers().copy()
    world.mine()
    rest(world)
    user.open_channel(world.nodes["alice"], world.nodes["bob"], CAPACITY_SAT, CAPACITY_SAT * 500)
    return rest(world)


def late(base: Callable[[], World]) -> World:
    """A base whose signers answer when the world says so."""
    world = base().copy()
    for node in world.nodes.values():
        node.signs_late = True
    return world


class Miner:
    """Mines whatever waits for a block."""

    def __init__(self, world: World) -> None:
        self._world = world

    def before(self, action: Action) -> None:
        """See `Observer`."""

    def after(self, action: Action) -> None:
        """See `Observer`."""
        del action
        if self._world.chain.pool:
            self._world.mine(6)


def close_by_alice(world: World, channel_id: bytes) -> None:
    """Ask for a close; whoever heard no answer asks again."""
    alice = world.nodes["alice"]
    slot = alice.manager.channels[channel_id]
    if not slot.state.core.local_shutdown_script:
        world.closes_asked.setdefault(channel_id, False)
        user.close_channel(alice, slot)
    alice.run(lambda m: m.outbox.when_durable(slot.tail, lambda: world.closes_asked.update({channel_id: True})))


def begin_open(world: World) -> list[Order]:
    """alice opens a channel; it confirms."""
    world.observer = Miner(world)
    user.open_channel(world.nodes["alice"], world.nodes["bob"], CAPACITY_SAT, 0)
    return []


def open_or_nothing(world: World, _orders: Sequence[Order]) -> None:
    """Both have the channel and use it, or nobody has spent anything."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    spent = sum(coin.value_sat for coin in world.chain.coins() if coin.value_sat == CAPACITY_SAT)
    usable = [slot for slot in alice.manager.channels.values() if type(slot.state) is Normal]
    twins = [slot for slot in bob.manager.channels.values() if type(slot.state) is Normal]
    assert len(usable) == len(twins), "one side alone has a channel"
    assert spent == len(usable) * CAPACITY_SAT, "a funding output without a channel"


def begin_confirm(world: World) -> list[Order]:
    """The funding confirms, block by block."""
    for number in range(6):
        then(world, f"block {number}", world.mine, IN_TURN if number % 2 else AT_REST)
    return []


def begin_moving_funding(world: World) -> list[Order]:
    """The funding confirms, leaves the chain with its block, and comes back in an earlier one."""
    then(world, "a block", world.mine, AT_REST)
    then(world, "other blocks", lambda: world.reorganise(2), AT_REST)
    then(world, "six blocks", lambda: world.mine(6), AT_REST)
    return []


def all_are_usable(world: World, _orders: Sequence[Order]) -> None:
    """What was funded can be used."""
    for node in world.nodes.values():
        for slot in node.manager.channels.values():
            assert type(slot.state) is Normal, f"{node.name}: {type(slot.state).__name__}"


def begin_close(world: World) -> list[Order]:
    """alice pays, and closes the channel while the payment is under way."""
    world.observer = Miner(world)
    alice = world.nodes["alice"]
    text = user.make_invoice(world.nodes["bob"], SMALL_MSAT, hints=True)
    order = ordered(world, "alice", text, "bob")
    channel_id = next(iter(alice.manager.channels))
    for number in range(3):
        then(world, f"close {number}", partial(close_by_alice, world, channel_id), IN_TURN if number < 2 else WHEN_IDLE)
    return [order]


def begin_close_while_others_sign(world: World) -> list[Order]:
    """Payments both ways, then a close, with signers that take their time."""
    world.observer = Miner(world)
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    orders = [ordered(world, "alice", user.make_invoice(bob, SMALL_MSAT, hints=True), "bob")]
    back = user.make_invoice(alice, SMALL_MSAT, hints=True)
    then(world, "back", lambda: orders.append(ordered(world, "bob", back, "alice", "two")), IN_TURN)
    channel_id = next(iter(alice.manager.channels))
    for when in (IN_TURN, WHEN_IDLE):
        then(world, "close", partial(close_by_alice, world, channel_id), when)
    return orders


def begin_refusing_store(world: World) -> list[Order]:
    """bob's store refuses what it is given, again and again, and works in the end."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    orders = [ordered(world, "alice", user.make_invoice(bob, SMALL_MSAT, hints=True), "bob")]
    back = user.make_invoice(alice, SMALL_MSAT, hints=True)
    then(world, "back", lambda: orders.append(ordered(world, "bob", back, "alice", "two")), IN_TURN)
    for number in range(3):
        then(world, f"refuse {number}", partial(bob.disk.refuse, StorageUnavailable("no space left")), IN_TURN)
    then(world, "forget reports", lambda: _forget_reports(world), AT_REST)
    return orders


def begin_breaking_store(world: World) -> list[Order]:
    """bob's store refuses for good; he is started again over what it has."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    orders = [ordered(world, "alice", user.make_invoice(bob, SMALL_MSAT, hints=True), "bob")]
    back = user.make_invoice(alice, SMALL_MSAT, hints=True)
    then(world, "back", lambda: orders.append(ordered(world, "bob", back, "alice", "two")), IN_TURN)
    then(world, "break", partial(bob.disk.refuse, StorageBroken("the disk is gone")), IN_TURN)

    def again() -> None:
        world.restart("bob")
        for order in orders:
            if order.payer == "bob":
                order.ask(bob)
        _forget_reports(world)

    then(world, "start again", again)
    return orders


def _forget_reports(world: World) -> None:
    for node in world.nodes.values():
        node.reports[:] = [one for one in node.reports if not any(text in one.text for text in STORE_TROUBLE)]


class Compacting:
    """Writes a snapshot of every journal of a node after whatever happens to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._compacted: dict[tuple[str, str], int] = {}

    def before(self, action: Action) -> None:
        """See `Observer`."""

    def after(self, action: Action) -> None:
        """See `Observer`."""
        node = self._world.nodes.get(action.node)
        if node is None or not node.is_up or node.runtime.broken is not None:
            return
        for journal, tail in node.runtime.outbox.tails.items():
            if tail.position != self._compacted.get((node.name, journal), 0):
                self._compacted[(node.name, journal)] = tail.position
                node.runtime.snapshot(journal)


def begin_compacted(begin: Begin, world: World) -> list[Order]:
    """The same with journals that are compacted all the time."""
    world.observer = Compacting(world)
    return begin(world)


def begin_held(world: World) -> list[Order]:
    """Two parts; the user is asked, and claims when all is quiet."""
    bob = world.nodes["bob"]
    prompt = bob.application = Prompt("")
    text = user.make_invoice(bob, TWO_PARTS_MSAT, hints=True, expiry_seconds=1)
    order = ordered(world, "alice", text, "bob", deadline_seconds=100_000)

    def claim() -> None:
        prompt.answer = "claim"
        for event in list(bob.manager.events.values()):
            bob.run(partial(prompt.on_event, event=event))

    then(world, "time", lambda: world.tick(3))
    then(world, "claim", claim)
    return [order]


SCENARIOS: dict[str, tuple[Callable[[], World], Begin]] = {
    "open": (strangers, begin_open),
    "funding confirms": (unconfirmed, begin_confirm),
    "funding moves to an earlier block": (unconfirmed, begin_moving_funding),
    "close": (topologies.direct, begin_close),
    "close with late signers": (partial(late, topologies.direct), begin_close_while_others_sign),
    "store refuses": (topologies.direct, begin_refusing_store),
    "store breaks": (topologies.direct, begin_breaking_store),
    "forward with snapshots": (
        topologies.line,
        partial(begin_compacted, partial(begin_invoice, "alice", "carol", SMALL_MSAT)),
    ),
    "slow handler with snapshots": (
        topologies.line,
        partial(begin_compacted, partial(begin_slow, partial(begin_invoice, "alice", "carol", SMALL_MSAT))),
    ),
    "failure with snapshots": (topologies.line, partial(begin_compacted, begin_refused)),
    "claim of two parts with snapshots": (
        partial(topologies.double, "bob"),
        partial(begin_compacted, begin_held),
    ),
}
CHECKS: dict[str, Check] = {
    "open": open_or_nothing,
    "funding confirms": all_are_usable,
    "funding moves to an earlier block": all_are_usable,
    "slow handler with snapshots": every_event_is_handled,
    "claim of two parts with snapshots": who_is_asked_is_paid,
}
