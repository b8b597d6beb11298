"""A node whose store was put back from a copy: it never publishes, says so, and its peer closes (DESIGN section 6,
"Restored stores"; invariant S9).
"""

from collections.abc import Callable
from functools import cache

import pytest

from leyden.base.errors import CommandRejected
from leyden.channel.inputs import Learn, StartShutdown
from leyden.channel.states import Closed, ForceClosing, Normal, Stale
from leyden.journal.records import PolicyChanged
from leyden.manager import closes
from leyden.manager import events as ev
from leyden.monitor.classify import SpendKind
from leyden.sim.node import Backup
from leyden.sim.scenario import combinations
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from tests.manager.stage import Stage
from tests.monitor.balances import onchain_balance
from tests.sim import topologies

MARKS = pytest.mark.parametrize("with_mark", [False, True], ids=["mark kept", "mark restored"])


def restored(stage: Stage, backup: Backup, *, with_mark: bool, name: str = "alice") -> None:
    """Kill a node and start it from its old copy."""
    stage.world.crash(name)
    stage[name].restore(backup, with_mark=with_mark)
    stage[name].start()
    stage.world.settle()


def aged(*, with_mark: bool) -> Stage:
    """alice has paid bob since the copy that she starts from; nobody has met yet."""
    stage = Stage(topologies.direct())
    backup = stage["alice"].backup()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    restored(stage, backup, with_mark=with_mark)
    return stage


def published(world: World) -> list[str]:
    """What was broadcast, by its name."""
    return [what for _txid, what in world.broadcasts]


def check_recovered(stage: Stage, balance_msat: int, *, proof_may_be_lost: bool = False) -> None:
    """alice has published nothing, was told, and bob's newest commitment brings her what is hers.

    proof_may_be_lost: bob, who closes by now, says no more where he stands.
    """
    slot, theirs = stage.slot("alice", "bob"), stage.slot("bob", "alice")
    if proof_may_be_lost and type(slot.state) is Normal:
        assert _refusal(lambda: stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=False))) == (
            "peer_not_heard"
        )
    else:
        assert type(slot.state) is Stale
    assert slot.state.core.closing is None
    assert type(theirs.state) is ForceClosing
    spends = {txid for txid, what in stage.world.broadcasts if what == "force-close"}
    assert len(spends) == 1, "only bob has published"
    stage.mine(6)
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is Closed
    spend = closes.spend_of(stage.m("alice"), stage.slot("alice", "bob"))
    assert spend is not None
    assert spend.kind is SpendKind.REMOTE_UNKNOWN
    here = stage.slot("alice", "bob").state
    ours = onchain_balance(here.core, here.keys, spend, stage.m("alice").env.block_height)
    fee_sat = here.core.opened.funding_satoshis - sum([output.value_sat for output in spend.transaction.outputs])
    assert ours.certain_sat * 1000 >= balance_msat - (fee_sat + 660) * 1000 - 999, "the opener pays fee and anchors"
    assert stage.told("alice", ev.ChannelDataLoss) or proof_may_be_lost
    assert any("old copy" in one.reason or "newer" in one.reason for one in stage.told("alice", ev.ChannelClosed))
    assert not slot.halted
    assert not [one.text for one in stage["alice"].reports if "refuse" in one.text]


@MARKS
def test_old_copy_never_publishes_and_the_peer_closes(with_mark: bool) -> None:
    """The mark tells at the start, or the peer with a secret of ours as soon as it is met."""
    stage = Stage(topologies.direct())
    backup = stage["alice"].backup()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    balance_msat = stage.balance_msat("alice", "bob")
    restored(stage, backup, with_mark=with_mark)
    assert type(stage.slot("alice", "bob").state) is (Normal if with_mark else Stale)
    stage.rest()
    check_recovered(stage, balance_msat)


@MARKS
def test_old_copy_refuses_to_close_whatever_the_user_asks(with_mark: bool) -> None:
    """With and without the peer's consent, before and after it was met: publishing would cost everything."""
    stage = aged(with_mark=with_mark)
    alice, slot = stage["alice"], stage.slot("alice", "bob")
    wanted = "peer_not_heard" if with_mark else "data_loss"
    assert _refusal(lambda: alice.run(lambda m: closes.force_by_user(m, slot, without_peer=False))) == wanted
    stage.rest()
    for without_peer in (False, True):
        with pytest.raises(CommandRejected, match="only the peer can close it"):
            alice.run(lambda m, sure=without_peer: closes.force_by_user(m, slot, without_peer=sure))  # type: ignore[misc]
    with pytest.raises(CommandRejected, match="only the peer can close it"):
        alice.run(lambda m: m.apply(slot, StartShutdown(b"\x00\x14" + bytes(20), 1000)))
    assert slot.state.core.closing is None


def _refusal(run: Callable[[], None]) -> str:
    with pytest.raises(CommandRejected) as refused:
        run()
    return refused.value.code


@pytest.mark.parametrize("asked", ["with its peer", "by force"])
def test_close_waits_for_the_peer_or_the_operators_word(asked: str) -> None:
    """Nobody can tell an old copy by itself: each life hears the peer once before it closes alone."""
    stage = Stage(topologies.direct())
    stage.world.links[("alice", "bob")] = False
    stage.world.restart("alice")
    slot = stage.slot("alice", "bob")
    assert _refusal(lambda: stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=False))) == (
        "peer_not_heard"
    )
    if asked == "by force":
        stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=True))
    else:
        stage.world.links[("alice", "bob")] = True
        stage.rest()
        stage.world.cut("alice", "bob")
        stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=False))
    stage.act()
    assert type(stage.slot("alice", "bob").state) is ForceClosing
    assert published(stage.world) == ["force-close"]


def with_two_payments(*, with_mark: bool) -> Stage:
    """alice starts from a copy that was made between two payments that bob holds; nobody can meet."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.act()
    backup = stage["alice"].backup()
    stage.pay("alice", "bob", stage.invoice("bob", 1_000_000, tag="two"), "two", deadline_seconds=100_000)
    stage.seconds(3)
    stage.world.links[("alice", "bob")] = False
    restored(stage, backup, with_mark=with_mark)
    return stage


def test_copy_that_is_known_to_be_old_lets_deadlines_pass() -> None:
    """No deadline makes an old commitment a safe one."""
    stage = with_two_payments(with_mark=False)
    for _ in range(30):
        stage.mine(6)
        stage.world.tick(2)
    assert not [what for what in published(stage.world) if what == "force-close"]
    slot = stage.slot("alice", "bob")
    assert (slot.state.core.closing, slot.halted) == (None, "")


def test_copy_that_nothing_gives_away_asks_its_peer_before_a_deadline_closes() -> None:
    """Only the peer can tell: it is waited for two blocks, and what it says ends all thought of a close."""
    stage = with_two_payments(with_mark=True)
    [htlc] = stage.slot("alice", "bob").state.core.outbound.values()
    stage.mine(htlc.add.cltv_expiry + 3 - stage.m("alice").env.block_height)
    assert type(stage.slot("alice", "bob").state) is Normal
    stage.world.links[("alice", "bob")] = True
    stage.act()
    assert type(stage.slot("alice", "bob").state) is Stale
    stage.mine(10)
    assert stage.slot("alice", "bob").state.core.closing is None


def test_store_put_back_unchanged_goes_on() -> None:
    """A copy as new as what was lost is no loss: nothing closes, payments flow (item 13)."""
    stage = Stage(topologies.direct())
    stage.world.crash("alice")
    backup = stage["alice"].backup()
    stage["alice"].restore(backup, with_mark=False)
    stage["alice"].start()
    stage.rest()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.check()


def test_copy_of_an_earlier_life_alarms_and_spares_channels_that_have_not_moved() -> None:
    """The mark knows of a later life; the channels are where they were, so they go on."""
    stage = Stage(topologies.direct())
    backup = stage["alice"].backup()
    stage.world.restart("alice")
    stage.world.restart("alice")
    stage.rest()
    restored(stage, backup, with_mark=False)
    assert any("old copy" in one.text for one in stage["alice"].reports)
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is Normal


def test_payment_that_may_be_made_already_is_given_up() -> None:
    """The copy knows of a payment under way without a part: it was paid since, and must not be paid again."""
    stage = Stage(topologies.line())
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    order = stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=1_000)
    stage.act()
    assert order.accepted
    backup = stage["alice"].backup()
    stage.world.links[("alice", "bob")] = True
    stage.rest()
    assert stage.told("alice", ev.PaymentSent)
    restored(stage, backup, with_mark=False)
    stage.rest()
    assert stage.failure("alice") == ("data_lost", None, -1)
    assert len(stage.told("carol", ev.PaymentClaimed)) == 1


def test_htlc_that_may_be_carried_on_already_is_left_to_the_chain() -> None:
    """bob's copy is of the moment between alice's HTLC and its forward: to forward it again would be to pay it twice.
    alice's channel has not moved since, but it must not decide by guess: it goes into recovery as well.
    """
    stage = Stage(topologies.line("carol"))
    carol = stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    inbound = stage.slot("bob", "alice")
    while not any(htlc.committed for htlc in inbound.state.core.inbound.values()):
        stage.world.perform(stage.world.enabled()[0])
    while inbound.tail.journal in stage["bob"].disk.ready():
        stage["bob"].disk.commit(inbound.tail.journal)
    backup = stage["bob"].backup()
    stage.world.settle()
    stage.act()
    question = stage.question("carol")
    stage["bob"].write_mark()
    restored(stage, backup, with_mark=False, name="bob")
    assert [type(slot.state) for slot in stage.m("bob").channels.values()] == [Stale, Stale]
    stage.seconds(20)
    carol.answer = "claim"
    stage["carol"].run(lambda m: carol.on_event(m, question))
    stage.act()
    bob = stage.m("bob")
    assert not any(slot.state.core.outbound for slot in bob.channels.values()), "nothing is forwarded again"
    assert not any(htlc.decided() for slot in bob.channels.values() for htlc in slot.state.core.inbound.values())
    assert not bob.held_forwards


def _committed(stage: Stage, payee: str) -> Backup:
    """Let alice's payment become irrevocable at bob; return bob's copy of that moment, and let it go on."""
    stage.pay("alice", payee, stage.invoice(payee))
    inbound = stage.slot("bob", "alice")
    while not any(htlc.committed for htlc in inbound.state.core.inbound.values()):
        stage.world.perform(stage.world.enabled()[0])
    stage.world.crash("bob", {inbound.tail.journal: 1})
    backup = stage["bob"].backup()
    stage["bob"].start()
    stage.rest()
    return backup


def test_payment_in_an_old_copy_is_not_judged_again() -> None:
    """It was claimed since; the copy must not tell of it as of a new one, nor fail it."""
    stage = Stage(topologies.direct())
    backup = _committed(stage, "bob")
    told = len(stage.told("bob", ev.PaymentClaimed))
    restored(stage, backup, with_mark=False, name="bob")
    stage.rest()
    core = stage.slot("bob", "alice").state.core
    assert [(htlc.decided(), htlc.committed) for htlc in core.inbound.values()] == [(False, True)]
    assert not core.claims
    assert len(stage.told("bob", ev.PaymentClaimed)) == told == 1


def test_forward_that_waits_ends_with_the_proof_that_its_channel_is_old() -> None:
    """Only the peer can tell: until it is met the HTLC waits for the next peer, afterwards for the chain."""
    stage = Stage(topologies.line())
    backup = _committed(stage, "carol")
    stage.world.links[("alice", "bob")] = stage.world.links[("bob", "carol")] = False
    restored(stage, backup, with_mark=True, name="bob")
    stage.act()
    assert stage.m("bob").held_forwards
    stage.world.links[("alice", "bob")] = True
    stage.act()
    assert type(stage.slot("bob", "alice").state) is Stale
    stage.seconds(15)
    assert not stage.m("bob").held_forwards
    assert [htlc.decided() for htlc in stage.slot("bob", "alice").state.core.inbound.values()] == [False]


def test_old_copy_that_closes_already_publishes_the_same_again() -> None:
    """After `Closing` no secret was revealed, so the copy holds the newest commitment as well (S1)."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=False))
    stage.act()
    backup = stage["alice"].backup()
    stage["alice"].run(lambda m: m.apply(slot, Learn(PolicyChanged(slot.state.core.policy, 9))))
    stage.seconds(2)
    restored(stage, backup, with_mark=False)
    assert type(stage.slot("alice", "bob").state) is ForceClosing
    stage.act()
    assert len(set(stage.world.broadcasts)) == 1
    assert published(stage.world) == ["force-close"] * 2
    assert not stage.told("alice", ev.ChannelDataLoss)


def test_channel_of_this_life_needs_no_other_proof() -> None:
    """There is no older copy of it than itself."""
    world = topologies.make([("alice", "bob")])
    world.cut("alice", "bob")
    alice = world.nodes["alice"]
    [slot] = alice.manager.channels.values()
    alice.run(lambda m: closes.force_by_user(m, slot, without_peer=False))
    assert type(slot.state) is ForceClosing


# --- crashes while it recovers ---------------------------------------------------------------------------------------


@cache
def _base() -> tuple[World, Backup, int]:
    stage = Stage(topologies.direct())
    backup = stage["alice"].backup()
    for index in range(2):
        stage.pay("alice", "bob", stage.invoice("bob", tag=f"{index}"), f"{index}")
        stage.rest()
    return stage.world, backup, stage.balance_msat("alice", "bob")


def _recovering(with_mark: bool) -> Stage:
    world, backup, _ = _base()
    stage = Stage(world)
    restored(stage, backup, with_mark=with_mark)
    return stage


@MARKS
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_recovery_survives_a_crash_at_every_step(name: str, with_mark: bool) -> None:
    """What proved it may be lost with the crash, and is proven again; the mark is not overwritten before."""
    stage = _recovering(with_mark)
    seen = [dict(stage[name].disk.under_way())]
    while enabled := stage.world.enabled():
        stage.world.perform(enabled[0])
        seen.append(dict(stage[name].disk.under_way()))
    assert any(seen) or name == "bob"
    for step, under_way in enumerate(seen):
        for kept in combinations(under_way):
            stage = _recovering(with_mark)
            for _ in range(step):
                stage.world.perform(stage.world.enabled()[0])
            stage.world.restart(name, dict(kept))
            run_to_rest(stage.world, Fair())
            check_recovered(stage, _base()[2], proof_may_be_lost=with_mark and name == "alice")


def test_mark_is_kept_until_what_it_proved_is_durable() -> None:
    """A crash before that would leave an old copy which nobody knows to be one, not even after many starts."""
    stage = _recovering(with_mark=False)
    stage["alice"].disk.held[stage.slot("alice", "bob").tail.journal] = None
    stage.world.links[("alice", "bob")] = False
    stage.world.cut("alice", "bob")
    stage.act()
    stage.world.tick(30)
    for _ in range(3):
        stage.world.restart("alice")
        assert type(stage.slot("alice", "bob").state) is Stale
