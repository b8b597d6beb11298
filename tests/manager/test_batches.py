"""Channels that one transaction funds: published when all are durable, else none is, for good (invariant P19)."""

from collections.abc import Iterator

import pytest

from leyden.base.errors import CommandRejected, StorageUnavailable
from leyden.channel.inputs import ForceClose
from leyden.channel.states import AwaitingReady, Closed, Normal
from leyden.journal.records import ChannelOpened
from leyden.manager import batches, chain, opening
from leyden.manager import events as ev
from leyden.sim import user
from leyden.sim.scenario import (
    AT_REST,
    Crash,
    Cut,
    Deviation,
    Hold,
    Scenario,
    combinations,
    crashes,
    cuts,
    deviate,
    outline,
    replay,
)
from leyden.sim.schedules import Fair, Last, Newest, run_to_rest
from leyden.sim.world import World
from leyden.wire.messages import ErrorMessage, encode
from tests.manager.batch import COIN_SAT, SATOSHIS, ZERO_CONF, all_or_none, ask, strangers
from tests.manager.stage import Stage

SCHEDULES = [Fair(), Last("commit"), Newest()]


def scenario() -> Scenario:
    """The opening of both, to be disturbed."""
    return Scenario("batch", strangers(), ask, all_or_none)


def births(stage: Stage) -> list[ChannelOpened]:
    """What the journals of alice begin with."""
    return [slot.state.core.opened for slot in stage.m("alice").channels.values()]


def until_born(stage: Stage) -> list[str]:
    """Let it go on until alice's channels are born and none is durable; return their journals."""
    while not stage.m("alice").channels:
        stage.world.perform(stage.world.enabled()[0])
    slots = stage.m("alice").channels.values()
    assert all(slot.tail.durable == 0 for slot in slots)
    return [slot.tail.journal for slot in slots]


# --- as it should be -------------------------------------------------------------------------------------------------


def test_one_transaction_funds_all_members_and_each_names_the_others() -> None:
    """H56: in the journals of the opener; those who accept need not know."""
    stage = Stage(strangers())
    ask(stage.world)
    stage.rest()
    one, other = births(stage)
    assert one.funding_transaction == other.funding_transaction
    assert {one.funding_output_index, other.funding_output_index} != {one.funding_output_index}
    assert (one.batch, other.batch) == ([other.channel_id], [one.channel_id])
    assert all(slot.state.core.opened.batch == [] for peer in SATOSHIS for slot in stage.slots(peer, "alice"))
    assert [what for _txid, what in stage.world.broadcasts] == ["funding"]
    all_or_none(stage.world)


def test_two_channels_with_the_same_peer() -> None:
    """Both ends find two outputs of one transaction."""
    stage = Stage(strangers())
    bob = stage["bob"]
    user.open_batch(stage["alice"], [(bob, 200_000), (bob, 250_000), (stage["carol"], 200_000)])
    stage.rest()
    stage.mine(6)
    stage.rest()
    for name in ("alice", "bob", "carol"):
        assert all(type(slot.state) is Normal for slot in stage.m(name).channels.values())
    assert len(stage.m("bob").channels) == 2
    scids = [
        slot.state.core.funding.short_channel_id for slot in stage.slots("bob", "alice") if slot.state.core.funding
    ]
    assert len(dict.fromkeys(scids)) == 2


def test_more_than_fit_in_a_batch_or_none_are_refused() -> None:
    """Before anything is said to a peer."""
    stage = Stage(strangers())
    for count in (0, batches.MEMBERS_MAX + 1):
        with pytest.raises(CommandRejected, match="1 to 20 channels"):
            user.open_batch(stage["alice"], [(stage["bob"], 20_000)] * count)


def test_member_that_cannot_be_asked_for_keeps_the_others_from_being_asked() -> None:
    """The call says which one it was."""
    stage = Stage(strangers())
    stage.world.links[("alice", "carol")] = False
    stage.world.cut("alice", "carol")
    with pytest.raises(CommandRejected, match=stage["carol"].node_id.hex()[:16]):
        ask(stage.world)
    stage.rest()
    assert not stage.m("alice").peers[stage["bob"].node_id].openings


# --- only when all are durable ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0, 1])
def test_nothing_is_published_while_one_member_is_not_durable(late: int) -> None:
    """Whichever it is, however long it takes, and whatever asks for it meanwhile."""
    stage = Stage(strangers())
    ask(stage.world)
    stage["alice"].disk.held[until_born(stage)[late]] = None
    stage.act()
    stage.seconds(20)
    stage["alice"].run(chain.rebroadcast)
    stage.act()
    assert not stage.world.broadcasts
    stage["alice"].disk.held.clear()
    stage.rest()
    all_or_none(stage.world)


@pytest.mark.parametrize("late", [0, 1])
def test_zero_conf_member_is_not_used_before_the_batch_is_published(late: int) -> None:
    """A crash may still end it; a block that comes meanwhile changes nothing."""
    stage = Stage(strangers())
    ask(stage.world, ZERO_CONF)
    stage["alice"].disk.held[until_born(stage)[late]] = None
    stage.act()
    stage.world.mine()
    stage.act()
    assert [type(slot.state) for slot in stage.m("alice").channels.values()] == [AwaitingReady] * 2
    assert not any(slot.state.core.local_ready for slot in stage.m("alice").channels.values())
    stage["alice"].disk.held.clear()
    stage.rest()
    assert [type(slot.state) for slot in stage.m("alice").channels.values()] == [Normal] * 2


def test_store_that_refuses_one_birth_for_a_while_holds_the_batch_up() -> None:
    """It is written again; nothing is abandoned for it."""
    stage = Stage(strangers())
    ask(stage.world)
    stage["alice"].disk.refuse(StorageUnavailable("no space left"), until_born(stage)[0])
    stage.act()
    assert not stage.world.broadcasts
    stage.seconds(5)
    all_or_none(stage.world)


# --- all or none -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["fair", "slow store", "newest first"])
def test_crash_at_any_step_leaves_all_or_none(schedule: Fair | Last | Newest) -> None:
    """Of any of the three, keeping any prefixes."""
    batch = scenario()
    for crash in crashes(outline(batch, schedule), ["alice", "bob", "carol"]):
        replay(batch, schedule, [crash])


def test_lost_connection_at_any_step_leaves_all_or_none() -> None:
    """The other peer goes on without noticing."""
    batch = scenario()
    for cut in cuts(outline(batch, Fair()), [("alice", "carol")]):
        replay(batch, Fair(), [cut])


def partial_crashes(batch: Scenario) -> list[Crash]:
    """Crashes of alice that keep one birth and lose the other."""
    found: dict[str, Crash] = {}
    for crash in crashes(outline(batch, Last("deliver")), ["alice"]):
        journals = [name for name, _count in crash.kept if name != "node"]
        if len(journals) == 2 and sorted(count for name, count in crash.kept if name != "node") == [0, 1]:
            found.setdefault(str(sorted(crash.kept)), crash)
    return list(found.values())


def second_crashes(batch: Scenario, first: Crash) -> Iterator[Crash]:
    """Yield every crash of alice in the recovery from another one."""
    world = batch.base.copy()
    for node in world.nodes.values():
        node.compact()
    run_to_rest(world, Fair())
    begun = world.steps
    batch.begin(world)
    schedule = Last("deliver")
    run_to_rest(world, schedule, lambda at: at.steps - begun >= first.step)
    deviate(world, first, [])
    seen: dict[int, dict[str, int]] = {}

    def note(at: World) -> bool:
        seen.setdefault(at.steps - begun, at.nodes["alice"].disk.under_way())
        return False

    run_to_rest(world, schedule, note)
    for step, under_way in seen.items():
        for kept in combinations(under_way):
            yield Crash(step, "alice", kept)


def test_second_crash_at_any_step_of_the_recovery_finds_the_same_end() -> None:
    """A member abandoned, another one not yet: no later life publishes, and no coin is used twice."""
    batch = scenario()
    firsts = partial_crashes(batch)
    assert len(firsts) == 2, "either birth alone"
    for first in firsts:
        for second in second_crashes(batch, first):
            world = replay(batch, Last("deliver"), [first, second])
            assert {what for _txid, what in world.broadcasts} <= {"funding"}


@pytest.mark.parametrize("late", [0, 1])
def test_member_whose_journal_hangs_until_a_crash_ends_the_batch(late: int) -> None:
    """The user of the other one, which is durable, is told why it is closed; its peer drops it."""
    stage = Stage(strangers())
    ask(stage.world)
    journals = until_born(stage)
    deviations: list[Deviation] = [Hold(0, "alice", journals[late]), Crash(AT_REST, "alice")]
    for deviation in deviations:
        deviate(stage.world, deviation, [])
        stage.rest()
    [slot] = stage.m("alice").channels.values()
    assert slot.tail.journal == journals[1 - late]
    assert slot.state.core.abandoned == batches.LOST
    assert [one.reason for one in stage.told("alice", ev.ChannelClosed)] == [batches.LOST]
    for peer in SATOSHIS:
        assert [type(one.state) for one in stage.m(peer).channels.values()] == [Closed]
    all_or_none(stage.world)


def test_coins_of_a_batch_that_lost_a_member_are_free_at_once() -> None:
    """The journals say in every life that it was never published, also before its end is a record."""
    stage = Stage(strangers())
    ask(stage.world)
    journals = until_born(stage)
    stage["alice"].disk.held[journals[1]] = None
    stage.act()
    stage.world.crash("alice")
    stage["alice"].start(sync=False)
    assert stage["alice"].runtime.wallet.balance().spendable_sat == COIN_SAT
    stage["alice"].disk.held[journals[0]] = None
    stage.act()
    assert not stage.told("alice", ev.ChannelClosed)
    user.open_channel(stage["alice"], stage["carol"], COIN_SAT * 4 // 5, 0)
    stage.act()
    assert len(stage.world.broadcasts) == 1
    stage.world.restart("alice")
    stage.rest()
    stage.mine(6)
    stage.rest()
    assert sorted(type(slot.state).__name__ for slot in stage.m("alice").channels.values()) == ["Closed", "Normal"]
    assert len(dict.fromkeys(txid for txid, _what in stage.world.broadcasts)) == 1


# --- peers that do not want or vanish --------------------------------------------------------------------------------


def test_refusal_of_one_peer_ends_the_batch() -> None:
    """Every member's opening is told as refused; the other peer hears of it and forgets."""
    stage = Stage(strangers(unacknowledged_events_max=0))
    before = stage["alice"].runtime.wallet.balance()
    ids = user.open_batch(stage["alice"], [(stage[peer], satoshis) for peer, satoshis in SATOSHIS.items()])
    stage.rest()
    refused = stage.told("alice", ev.OpenRefused)
    assert sorted(one.user_channel_id for one in refused) == sorted(ids)
    assert all("takes no new channels" in one.reason for one in refused)
    assert all(stage["carol"].node_id.hex()[:16] in one.reason for one in refused)
    assert not stage.m("bob").peers[stage["alice"].node_id].openings
    assert stage["alice"].runtime.wallet.balance() == before
    all_or_none(stage.world)


def test_wallet_that_has_too_little_ends_the_batch() -> None:
    """For its own reason, which is no peer's fault."""
    stage = Stage(strangers())
    user.open_batch(stage["alice"], [(stage["bob"], 600_000), (stage["carol"], 600_000)])
    stage.rest()
    refused = stage.told("alice", ev.OpenRefused)
    assert len(refused) == 2
    assert all(one.reason.startswith("1200000 sat and the fee") for one in refused)
    for peer in SATOSHIS:
        assert not stage.m(peer).peers[stage["alice"].node_id].openings
    all_or_none(stage.world)


def test_user_who_waits_no_longer_ends_the_batch() -> None:
    """With any of its members."""
    stage = Stage(strangers())
    ids = user.open_batch(stage["alice"], [(stage[peer], satoshis) for peer, satoshis in SATOSHIS.items()])
    stage["alice"].run(lambda m: opening.give_up(m, stage["carol"].node_id, ids[1], "the opening took too long"))
    stage.rest()
    assert len(stage.told("alice", ev.OpenRefused)) == 2
    all_or_none(stage.world)


@pytest.mark.parametrize("kept", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_error_of_a_peer_before_the_publication_ends_the_batch(kept: tuple[int, int]) -> None:
    """Its record is durable before anything rests on it; a crash finds it, or a whole batch that is published."""
    stage = Stage(strangers())
    ask(stage.world)
    journals = until_born(stage)
    for journal in journals:
        stage["alice"].disk.held[journal] = None
    slot = stage.slot("alice", "carol")
    line = encode(ErrorMessage(slot.channel_id, b"on second thoughts"))
    stage["carol"].runtime.outbox.send_free(stage["alice"].node_id, line)
    stage["carol"].runtime.turn()
    stage.act()
    assert all(one.state.core.abandoned for one in stage.m("alice").channels.values())
    assert not stage.told("alice", ev.OpenRefused)
    assert stage["alice"].runtime.wallet.balance().spendable_sat == 0
    if kept == (1, 1):
        stage["alice"].disk.held.clear()
        stage.rest()
        assert len(stage.told("alice", ev.OpenRefused)) == len(stage.told("alice", ev.ChannelClosed)) == 2
        assert not stage.world.broadcasts
    else:
        # Each journal keeps its birth, and this one its abandonment too.
        stage.world.restart("alice", {journal: 1 + count for journal, count in zip(journals, kept, strict=True)})
        stage.rest()
        assert bool(stage.world.broadcasts) is (kept == (0, 0))
    if kept != (0, 0):
        all_or_none(stage.world)


def test_member_that_a_bug_has_halted_is_not_published_when_the_others_are_abandoned() -> None:
    """It writes nothing more in this life; what the others say binds it, now and after a restart."""
    stage = Stage(strangers())
    ask(stage.world)
    journals = until_born(stage)
    for journal in journals:
        stage["alice"].disk.held[journal] = None
    halted, other = stage.slot("alice", "bob"), stage.slot("alice", "carol")
    stage.m("alice").halt(halted, ForceClose("never"), AssertionError("a bug"))
    stage["alice"].run(lambda m: batches.abandon_unpublished(m, halted.state.core.opened.funding_txid, "a test"))
    stage["alice"].disk.held.clear()
    stage.act()
    stage["alice"].run(chain.rebroadcast)
    stage.act()
    assert not halted.state.core.abandoned
    assert other.state.core.abandoned
    assert not stage.world.broadcasts
    stage.world.restart("alice")
    stage.rest()
    all_or_none(stage.world)


def test_error_of_a_peer_after_the_publication_closes_its_channel_alone() -> None:
    """What was handed to the miners is never abandoned: its coins are spent."""
    stage = Stage(strangers())
    ask(stage.world)
    stage.rest()
    slot = stage.slot("alice", "carol")
    stage["carol"].runtime.outbox.send_free(
        stage["alice"].node_id, encode(ErrorMessage(slot.channel_id, b"on second thoughts"))
    )
    stage["carol"].runtime.turn()
    stage.rest()
    assert [what for _txid, what in stage.world.broadcasts] == ["funding", "force-close"]
    assert not any(one.state.core.abandoned for one in stage.m("alice").channels.values())
    assert type(stage.slot("alice", "bob").state) is AwaitingReady


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_what_the_chain_has_shown_was_published(is_confirmed: bool) -> None:
    """A store that gives back less than it had must not cost a channel that is funded."""
    stage = Stage(strangers())
    ask(stage.world)
    stage.rest()
    if is_confirmed:
        stage.mine()
        stage.rest()
    stage.world.crash("alice")
    lost, kept = stage.slots("bob", "alice")[0], stage.slots("carol", "alice")[0]
    del vars(stage["alice"].disk)["_kept"][lost.tail.journal]
    stage["alice"].start()
    stage.act()
    assert bool(stage.m("alice").channels[kept.channel_id].state.core.abandoned) is not is_confirmed


def test_member_whose_journal_cannot_be_read_leaves_the_batch_in_doubt() -> None:
    """It may say that all were abandoned, or be the proof that none was: nothing is published, the coins stay."""
    stage = Stage(strangers())
    ask(stage.world)
    stage.rest()
    stage.world.crash("alice")
    lost, kept = stage.slots("bob", "alice")[0], stage.slots("carol", "alice")[0]
    vars(stage["alice"].disk)["_kept"][lost.tail.journal].records[0] = b"damaged"
    stage.world.chain.pool.clear()
    stage["alice"].start()
    stage.act()
    stage["alice"].run(chain.rebroadcast)
    stage.act()
    assert lost.channel_id in stage.m("alice").unreadable
    assert not stage.m("alice").channels[kept.channel_id].state.core.abandoned
    assert not stage.world.chain.pool
    assert stage["alice"].runtime.wallet.balance().confirmed_sat == 0


def test_cut_is_no_reason_once_all_are_born() -> None:
    """The peers have signed: whether they are there is nobody's business any more."""
    stage = Stage(strangers())
    ask(stage.world)
    until_born(stage)
    deviate(stage.world, Cut(0, "alice", "carol"), [])
    stage.rest()
    assert stage.world.broadcasts
    all_or_none(stage.world)
