"""Opening, funding, closing: H51 to H62, H65, H92."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import pytest

from leyden.base.errors import StorageUnavailable
from leyden.channel.states import AwaitingReady, Closed, Normal
from leyden.journal.node_records import PeerRemembered
from leyden.manager import events as ev
from leyden.sim import user
from leyden.sim.books import Books
from leyden.sim.handler import Prompt
from leyden.sim.oracles import check_rest
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.user import Order
from leyden.sim.world import World
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.hazards import stories
from tests.hazards.forms import Form, Hazard, every_form, run_in
from tests.hazards.stories import channel, slot_of
from tests.hazards.witness import durable_cores
from tests.manager import batch
from tests.manager.stage import Stage
from tests.sim import acts, topologies

FUNDING_SAT = 1_000_000
ZERO_CONF = ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=True)


@cache
def strangers() -> World:
    """alice has coins, bob is connected to her and trusts her, they have no channel."""
    world = World(b"strangers")
    for name in ("alice", "bob"):
        world.add_node(name, topologies.CONFIG)
    world.link("alice", "bob")
    world.grant("alice", 3 * FUNDING_SAT)
    world.mine()
    run_to_rest(world, Fair())
    record = PeerRemembered(world.nodes["alice"].node_id, "", trusted=True)
    world.nodes["bob"].run(lambda m: m.record(record))
    run_to_rest(world, Fair())
    return world


@cache
def acquainted() -> World:
    """The same, and they have a channel already."""
    world = topologies.direct().copy()
    run_to_rest(world, Fair())
    record = PeerRemembered(world.nodes["alice"].node_id, "", trusted=True)
    world.nodes["bob"].run(lambda m: m.record(record))
    run_to_rest(world, Fair())
    return world


def ask(channel_type: ChannelType, world: World) -> list[Order]:
    """alice asks bob for a channel."""
    user.open_channel(world.nodes["alice"], world.nodes["bob"], FUNDING_SAT, FUNDING_SAT * 300, channel_type)
    return []


def ask_and_pay(channel_type: ChannelType, world: World) -> list[Order]:
    """The same while a payment is under way over the channel they have."""
    return [*ask(channel_type, world), *stories.pay("alice", "bob", world)]


def opened_or_never_was(world: World, _books: Books, orders: Sequence[Order]) -> None:
    """Either both have the new channel and it works; or alice's coins are free, and its funding was never published."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    known = len(orders)
    world.mine(6)
    run_to_rest(world, Fair())
    if len(alice.manager.channels) == known:
        balance = alice.runtime.wallet.balance()
        assert balance.confirmed_sat == balance.spendable_sat
        assert not world.broadcasts
        ask(user.ANCHORS, world)
        run_to_rest(world, Fair())
        world.mine(6)
        run_to_rest(world, Fair())
    channel_ids = list(alice.manager.channels)
    assert len(channel_ids) == known + 1
    [new] = [one for one in channel_ids if one not in topologies.direct().nodes["alice"].manager.channels]
    for node in (alice, bob):
        assert all(type(node.manager.channels[channel_id].state) is Normal for channel_id in channel_ids)
        ready = [one for one in stories.told(world, node.name, ev.ChannelReady) if isinstance(one, ev.ChannelReady)]
        assert len({one.event_id for one in ready if one.channel_id == new}) == 1
        closed = [one for one in stories.told(world, node.name, ev.ChannelClosed) if isinstance(one, ev.ChannelClosed)]
        assert not [one for one in closed if one.channel_id in channel_ids], "only what was never funded is dropped"
    text = user.make_invoice(bob, stories.SMALL_MSAT, hints=True, tag="afterwards")
    last = user.invoice_payment(alice, text, acts.payment_id("afterwards"))
    Order("alice", last, "bob").ask(alice)
    run_to_rest(world, Fair())
    for started in (last, *[order.started for order in orders]):
        assert alice.manager.node.ledger.payments[started.payment_id].sent is not None


def newest_channel(name: str) -> Callable[[World], str]:
    """The journal of the channel that is being opened; in the base nobody knows its name."""

    def journal(world: World) -> str:
        channels = list(world.nodes[name].manager.channels.values())
        return channels[1].tail.journal if len(channels) > 1 else "channel"

    return journal


@pytest.mark.parametrize("channel_type", [user.ANCHORS, ZERO_CONF], ids=["confirmed", "zero conf"])
@pytest.mark.parametrize("who", ["alice", "bob"])
@every_form
def test_channel_is_opened_or_never_was(form: Form, who: str, channel_type: ChannelType) -> None:
    """H51, H52, H53: no signature, broadcast or `channel_ready` leaves before the birth is durable at its sender."""
    begin = partial(ask_and_pay, channel_type)
    run_in(form, Hazard(acquainted, begin, who, newest_channel(who), oracles=opened_or_never_was))


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_news_of_a_channel_comes_again_until_acknowledged(name: str) -> None:
    """H54: the application's table of channels can be made from the events of any life, and from the state."""
    stage = Stage(strangers())
    stage.world.nodes[name].application = Prompt("", acknowledges=False)
    ask(user.ANCHORS, stage.world)
    stage.rest()
    stage.mine(6)
    stage.rest()
    for _ in range(2):
        stage.world.restart(name)
        stage.seconds(2)
    told = stage.told(name, ev.ChannelReady)
    assert len(told) == 3
    assert len({one.event_id for one in told}) == 1
    assert told[0].channel_id in stage.m(name).channels
    stories.answer(stage.world, name, "")
    stage.seconds(2)
    stage.world.restart(name)
    stage.seconds(2)
    assert len(stage.told(name, ev.ChannelReady)) == 3


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_birth_that_never_becomes_durable_leaves_no_channel(who: str) -> None:
    """H55: a store that takes the birth and forgets it: whoever waits for it has signed and published nothing."""
    stage = Stage(strangers())
    ask(user.ANCHORS, stage.world)
    while not stage.m(who).channels:
        stage.world.perform(stage.world.enabled()[0])
    journal = next(iter(stage.m(who).channels.values())).tail.journal
    stage[who].disk.held[journal] = None
    stage.seconds(20)
    assert not stage.world.broadcasts
    stage.world.restart(who)
    stage.seconds(5)
    opened_or_never_was(stage.world, stage.books, [])


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("restarts", [False, True])
def test_birth_that_is_refused_is_given_again(who: str, restarts: bool) -> None:
    """H127: the first write of a journal is like any other: the opening waits, and goes on or never was."""
    stage = Stage(strangers())
    ask(user.ANCHORS, stage.world)
    while not stage.m(who).channels:
        stage.world.perform(stage.world.enabled()[0])
    stage[who].disk.refuse(StorageUnavailable("no space left"))
    stage.act()
    assert not stage.world.broadcasts
    if restarts:
        stage.world.restart(who)
    stage.seconds(5)
    assert bool(stage.world.broadcasts) is not restarts
    opened_or_never_was(stage.world, stage.books, [])


def member(index: int) -> Callable[[World], str]:
    """The journal of a member of the batch that alice opens; in the base nobody knows its name."""

    def journal(world: World) -> str:
        channels = list(world.nodes["alice"].manager.channels.values())
        return channels[index].tail.journal if len(channels) > index else "channel"

    return journal


def published_or_never_was(world: World, books: Books, orders: Sequence[Order]) -> None:
    """The oracles, and then: both channels work, or another one takes the coin."""
    check_rest(world, books, orders)
    batch.all_or_none(world)


@pytest.mark.parametrize("index", [0, 1])
@every_form
def test_batch_is_published_when_every_channel_is_durable(form: Form, index: int) -> None:
    """H56: whichever journal is behind, however long."""
    run_in(form, Hazard(batch.strangers, batch.ask, "alice", member(index), oracles=published_or_never_was))


# --- closes ------------------------------------------------------------------------------------------------------


def close_with_traffic(who: str, peer: str, world: World) -> list[Order]:
    """A close is asked for while payments are under way in both directions."""
    orders = [*stories.pay("alice", "bob", world), *stories.pay("bob", "alice", world, name="back")]
    for _ in range(6):
        world.perform(world.enabled()[0])
    user.close_channel(world.nodes[who], slot_of(world, who, peer))
    return orders


def closed_together(who: str, peer: str) -> Callable[[World, Books, Sequence[Order]], None]:
    """Both ends closed it by the same transaction and for the same reason; payments ended the same way."""

    def oracles(world: World, _books: Books, orders: Sequence[Order]) -> None:
        if type(slot_of(world, who, peer).state) is Normal:  # the wish itself was lost: the call had not returned
            user.close_channel(world.nodes[who], slot_of(world, who, peer))
            run_to_rest(world, Fair())
        world.mine(6)
        run_to_rest(world, Fair())
        assert {what for _txid, what in world.broadcasts} == {"cooperative close"}
        for name in (who, peer):
            told = stories.told(world, name, ev.ChannelClosed)
            assert {one.reason for one in told if isinstance(one, ev.ChannelClosed)} == {"cooperative close"}
        spends = [slot.state.core.spent for slot in (slot_of(world, who, peer), slot_of(world, peer, who))]
        assert spends[0] == spends[1]
        for order in orders:
            payment = world.nodes[order.payer].manager.node.ledger.payments[order.started.payment_id]
            assert not payment.is_live

    return oracles


@pytest.mark.parametrize(("who", "peer"), [("alice", "bob"), ("bob", "alice")])
@every_form
def test_close_comes_behind_everything_else(form: Form, who: str, peer: str) -> None:
    """H57, H65: no closing signature before the last change is durable; the script is the same in every life."""
    hazard = Hazard(
        topologies.direct,
        partial(close_with_traffic, who, peer),
        "alice",
        channel("alice", "bob"),
        oracles=closed_together(who, peer),
    )
    run_in(form, hazard)


def force_with_traffic(world: World) -> list[Order]:
    """alice closes one of two channels by force while payments are under way in both directions and over both."""
    orders = [*stories.pay_two_parts("alice", "bob", world), *stories.pay("bob", "alice", world, name="back")]
    for _ in range(8):
        world.perform(world.enabled()[0])
    stories.close_by_force(world, "alice", "bob")
    return orders


def published_or_forgotten(world: World, _books: Books, _orders: Sequence[Order]) -> None:
    """Either the close is durable and its commitment in the mempool, or it never was and the channel goes on."""
    slot = slot_of(world, "alice", "bob")
    durable = durable_cores(world.nodes["alice"])[slot.channel_id]
    published = [txid for txid, what in world.broadcasts if what == "force-close"]
    if durable.closing is None:
        assert not published
        assert type(slot.state) is Normal
        return
    assert durable.closing.number == durable.local.number
    assert published
    world.mine(6)
    run_to_rest(world, Fair())
    assert type(slot.state) is type(slot_of(world, "bob", "alice").state) is Closed


@every_form
def test_commitment_that_is_published_is_known_to_every_later_life(form: Form) -> None:
    """H58, H59, H148: the close is the next record, whatever is under way before it, and nothing overtakes it."""
    hazard = Hazard(
        topologies.double, force_with_traffic, "alice", channel("alice", "bob"), oracles=published_or_forgotten
    )
    run_in(form, hazard)


def test_close_is_written_once_in_all_lives() -> None:
    """H60: each start publishes again what the journal says, and adds nothing to it."""
    stage = Stage(topologies.direct())
    slot = stories.close_by_force(stage.world, "alice", "bob")
    stage.act()
    ends: list[int] = []
    for _ in range(3):
        stage.world.restart("alice")
        stage.act()
        ends.append(durable_cores(stage["alice"])[slot.channel_id].position)
    assert len(set(ends)) == 1
    assert len([what for _txid, what in stage.world.broadcasts if what == "force-close"]) >= 4


def test_channel_that_never_confirms_is_forgotten_by_rule() -> None:
    """H92: the accepter after a stated time, the funder never; each in any life."""
    stage = Stage(strangers())
    ask(user.ANCHORS, stage.world)
    stage.act()
    stage.world.chain.pool.clear()
    for _ in range(4):
        stage.mine(topologies.CONFIG.funding_timeout_blocks // 4)
        stage.world.chain.pool.clear()
        stage.world.restart("bob")
        stage.act()
    stage.mine(1)
    assert type(stage.slot("bob", "alice").state) is Closed
    assert type(stage.slot("alice", "bob").state) is AwaitingReady
