"""Spends of closed channels become records, once each, whatever the chain does meanwhile and whoever is down."""

import msgspec
import pytest

from leyden.bitcoin.tx import Transaction
from leyden.channel.states import Closed, MutualClose, Normal
from leyden.journal.records import OutputSpent
from leyden.manager import archive, chain
from leyden.manager import events as ev
from leyden.manager.onchain import blocks
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind
from leyden.sim import user
from leyden.sim.play import Play
from leyden.sim.scenario import combinations
from leyden.sim.script import parse_script
from leyden.sim.world import MINER_SCRIPT
from tests.hazards.witness import durable_cores
from tests.manager.onchain import scenes
from tests.manager.stage import Stage
from tests.sim import topologies

NAMES = ("alice", "bob", "carol")


def nothing(_transaction: Transaction) -> bool:
    """What miners take no transaction of."""
    return True


def claimed_on_chain() -> Stage:
    """bob closed with carol, who takes the payment with its preimage; nothing of that is in a block yet."""
    stage = scenes.forwarded()
    scenes.close(stage, "bob", "carol")
    stage.mine()
    scenes.claim(stage)
    return stage


def timed_out() -> Stage:
    """bob closed with carol, who says nothing; bob takes the payment back, which is in no block yet."""
    stage = scenes.forwarded()
    scenes.close(stage, "bob", "carol")
    return scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol"))


# --- every stage is undone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [claimed_on_chain, timed_out])
@pytest.mark.parametrize(
    ("blocks_on", "depth"),
    [(0, 1), (1, 1), (1, 2), (6, 3), (8, 7), (70, 66), (98, 97), (105, 99), (104, 100), (245, 100)],
)
@pytest.mark.parametrize("without", [False, True])
@pytest.mark.parametrize("is_down", [False, True])
def test_reorganisation_at_any_stage_ends_like_none(
    begin: object, blocks_on: int, depth: int, without: bool, is_down: bool
) -> None:
    """Commitment, claim, second stage, sweep, just before the archive: undone, mined again or made again; whoever was
    down meanwhile finds the fork by itself.
    """
    assert callable(begin)
    stage: Stage = begin()
    for _ in range(blocks_on):
        stage.mine()
    if is_down:
        stage.world.crash("bob", stage["bob"].disk.under_way())
    stage.world.reorganise(depth, without=without)
    if is_down:
        stage["bob"].start()
    stage.act()
    scenes.finish(stage)
    assert (stage.payment("alice").sent is not None) == (begin is claimed_on_chain)


def test_what_a_reorganisation_undid_is_undone_in_the_journal() -> None:
    """Only what the undone blocks held: the spend of the funding output stays when it is older."""
    stage = claimed_on_chain()
    stage.mine(2)
    core = scenes.core(stage, "bob", "carol")
    assert len(core.output_spends) == 1
    scenes.replace(stage, 2)
    stage.act()
    assert not core.output_spends
    assert core.spent is not None
    durable = durable_cores(stage["bob"])[stage.slot("bob", "carol").channel_id]
    assert not durable.output_spends
    assert durable.spent == core.spent
    view = stage.slot("bob", "carol").closed_view
    assert view is not None
    assert not view.spenders
    scenes.replace(stage, 4)
    stage.act()
    assert core.spent is None
    assert core.undone_spend


# --- a chain that was seen differently -------------------------------------------------------------------------------


def test_close_that_another_branch_has_in_an_earlier_block_is_not_forgotten() -> None:
    """`node` was behind, so no block is undone at the start; the later block, which never was, takes nothing along."""
    stage = scenes.held(scenes.direct(), "bob")
    stage["alice"].disk.held["node"] = None
    slot = scenes.close(stage, "alice", "bob")
    stage.world.chain.mine(1, MINER_SCRIPT, drop=nothing)
    stage.mine()
    first = slot.state.core.spent
    assert first is not None
    stage.world.crash("alice", stage["alice"].disk.under_way() | {"node": 0})
    scenes.replace(stage, 2, [Transaction.parse(first.transaction)])
    stage["alice"].start()
    stage.act()
    spent = scenes.core(stage, "alice", "bob").spent
    assert spent is not None
    assert spent.height == first.height - 1
    scenes.finish(stage)


def test_output_that_another_branch_spends_in_an_earlier_block_is_not_forgotten() -> None:
    """The same of what spends the outputs of the commitment; others of the same block stay as they are."""
    stage = scenes.held(scenes.direct(), "bob")
    slot = scenes.close(stage, "alice", "bob")
    stage.mine(2)
    stage["alice"].disk.held["node"] = None
    stage.world.cut("alice", "bob")
    scenes.claim(stage, "bob")
    stage.world.chain.mine(1, MINER_SCRIPT, drop=nothing)
    stage.mine()
    [spend] = slot.state.core.output_spends
    stage.world.crash("alice", stage["alice"].disk.under_way() | {"node": 0})
    scenes.replace(stage, 2, [Transaction.parse(spend.transaction)])
    stage["alice"].start()
    stage.act()
    [again] = scenes.core(stage, "alice", "bob").output_spends
    assert again.height == spend.height - 1
    scenes.finish(stage)


def test_funding_that_another_branch_has_in_an_earlier_block_is_not_forgotten() -> None:
    """The same of the transaction that funds a channel."""
    stage = Stage(topologies.direct())
    user.open_channel(stage["alice"], stage["bob"], 100_000, 0)
    stage.act()
    stage["alice"].disk.held["node"] = None
    stage.world.chain.mine(1, MINER_SCRIPT, drop=nothing)
    stage.mine()
    slot = stage.slot("alice", "bob", 1)
    first = slot.state.core.funding
    assert first is not None
    funding = Transaction.parse(slot.state.core.opened.funding_transaction)
    stage.world.crash("alice", stage["alice"].disk.under_way() | {"node": 0})
    scenes.replace(stage, 2, [funding])
    stage["alice"].start()
    stage.act()
    slot = stage.m("alice").channels[slot.channel_id]
    confirmed = slot.state.core.funding
    assert confirmed is not None
    assert confirmed.height == first.height - 1
    stage.mine(6)
    assert type(slot.state) is Normal


@pytest.mark.parametrize("deep", [1, 8])
def test_another_commitment_confirms_instead(deep: int) -> None:
    """What the first had decided is forgotten with it; the second is resolved as if it had been the only one."""
    stage = scenes.forwarded()
    first, second = scenes.commitment_of(stage, "carol", "bob"), scenes.commitment_of(stage, "bob", "carol")
    slot = stage.slot("bob", "carol")
    stage.world.closes_asked[slot.channel_id] = True
    scenes.confirm(stage, first)
    stage.mine(deep - 1)
    view = slot.closed_view
    assert view is not None
    assert view.spend.kind is SpendKind.REMOTE
    scenes.replace(stage, deep, [second])
    stage.act()
    view = slot.closed_view
    assert view is not None
    assert view.spend.kind is SpendKind.LOCAL
    assert all(outpoint.txid == second.txid() for outpoint in view.outputs)
    assert not any(watched.txid == first.txid() for watched in stage.m("bob").watched)
    scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol") + 8)
    assert not scenes.is_in_chain(stage, first.txid())
    scenes.finish(stage)


def test_cooperative_close_confirms_instead_of_a_forced_one() -> None:
    """Both had signed it, then the peer's commitment was first, and a reorganisation changed that."""
    stage = Stage(scenes.direct())
    slot = stage.slot("alice", "bob")
    stage.world.closes_asked[slot.channel_id] = True
    forced = scenes.commitment_of(stage, "bob", "alice")
    user.close_channel(stage["alice"], slot)
    stage.act()
    assert type(slot.state) is MutualClose
    agreed = slot.state.core.close_agreed
    assert agreed is not None
    scenes.confirm(stage, forced)
    stage.mine(8)
    assert slot.state.core.closed_height
    scenes.replace(stage, 9, [Transaction.parse(agreed.transaction)])
    stage.act()
    assert slot.closed_view is not None
    assert slot.closed_view.spend.kind is SpendKind.MUTUAL_CLOSE
    assert not slot.closed_view.outputs
    scenes.finish(stage)


def test_channel_that_was_not_closed_for_good_lives_on() -> None:
    """The spend was not deep enough to be the end, and it is gone: both ends talk again, and pay."""
    stage = Stage(scenes.direct(""))
    slot = stage.slot("alice", "bob")
    forced = scenes.commitment_of(stage, "bob", "alice")
    scenes.confirm(stage, forced)
    stage.mine(4)
    assert slot.state.core.spent is not None
    scenes.replace(stage, 5)
    stage.act()
    assert type(slot.state) is Normal
    stage.rest()
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    assert stage.payment("alice").sent is not None
    stage.check()


def test_htlc_under_way_when_the_spend_is_undone_goes_on() -> None:
    """What the chain had been left to is decided off chain again."""
    stage = scenes.held(scenes.direct(), "bob")
    scenes.confirm(stage, scenes.commitment_of(stage, "alice", "bob"))
    stage.mine(3)
    scenes.claim(stage, "bob")
    scenes.replace(stage, 5)
    stage.act()
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is Normal
    assert stage.payment("alice").sent is not None
    stage.check()


@pytest.mark.parametrize("restarts", [False, True])
def test_close_that_was_final_is_published_again(restarts: bool) -> None:
    """Nothing off chain is left to go back to: whoever has the transaction brings it to the chain."""
    stage = Stage(scenes.direct())
    slot = stage.slot("alice", "bob")
    stage.world.closes_asked[slot.channel_id] = True
    forced = scenes.commitment_of(stage, "bob", "alice")
    scenes.confirm(stage, forced)
    stage.mine(6)
    assert type(slot.state) is Closed
    scenes.replace(stage, 7)
    stage.act()
    assert slot.state.core.undone_spend == forced.serialize()
    if restarts:
        stage.world.restart("alice")
        stage.act()
    else:
        stage["alice"].run(chain.rebroadcast)
    assert forced.txid() in stage.world.chain.pool
    stage.mine(6)
    core = scenes.core(stage, "alice", "bob")
    assert core.spent is not None
    assert not core.undone_spend
    scenes.finish(stage)
    assert len({one.event_id for one in stage.told("alice", ev.ChannelClosed)}) == 1


# --- start -----------------------------------------------------------------------------------------------------------


def records_of(stage: Stage, name: str, peer: str) -> int:
    """How many records a journal has."""
    return scenes.core(stage, name, peer).position


def test_blocks_missed_while_down_are_taken_in_in_order() -> None:
    """Commitment, preimage and all that follows came meanwhile: the start sees what a node that was up saw."""
    stage = claimed_on_chain()
    twin = claimed_on_chain()
    stage.world.crash("bob")
    for one in (stage, twin):
        one.mine(12)
    stage["bob"].start()
    for one in (stage, twin):
        one.seconds(2)
    spends = [
        [(spend.height, spend.transaction) for spend in scenes.core(one, "bob", "carol").output_spends]
        for one in (stage, twin)
    ]
    assert spends[0] == spends[1]
    assert len(spends[0]) == 1
    assert stage.payment("alice").sent is not None
    for one in (stage, twin):
        scenes.finish(one)


def test_payment_that_missed_blocks_have_ended_is_told_with_its_fee() -> None:
    """Its parts are known before the first block is taken in."""
    stage = scenes.forwarded()
    stage.world.crash("alice")
    scenes.close(stage, "bob", "alice")
    scenes.claim(stage)
    stage.mine().mine().mine()
    stage["alice"].start()
    stage.act()
    (sent,) = stage.told("alice", ev.PaymentSent)
    (earned,) = stage.told("bob", ev.PaymentForwarded)
    assert sent.fee_msat == earned.fee_msat > 0
    scenes.finish(stage)


def test_journal_ahead_of_the_best_block_skips_what_it_knows() -> None:
    """`node` did not keep its best block: the same blocks again write nothing."""
    stage = claimed_on_chain()
    stage["bob"].disk.held["node"] = None
    stage.mine(3)
    stage.seconds(2)
    before = records_of(stage, "bob", "carol")
    assert scenes.core(stage, "bob", "carol").output_spends
    stage.world.crash("bob", stage["bob"].disk.under_way() | {"node": 0})
    stage["bob"].start()
    stage.seconds(2)
    assert records_of(stage, "bob", "carol") == before
    scenes.finish(stage)


@pytest.mark.parametrize("begin", [claimed_on_chain, timed_out])
def test_crash_in_the_middle_of_the_replay_loses_and_doubles_nothing(begin: object) -> None:
    """After each block that a start takes in, with every prefix of what was under way; then from the beginning."""
    assert callable(begin)
    base: Stage = begin()
    base.world.crash("bob")
    base.mine(9)
    steps = 0
    while True:
        stage = Stage.__new__(Stage)
        stage.__dict__.update(base.__dict__)
        bob = stage["bob"]
        saved = bob.disk.copy()
        bob.start(sync=False)
        for _ in range(steps):
            bob.see_block()
        done = bob.synced
        kept_each = list(combinations(bob.disk.under_way()))
        stage.world.crash("bob")
        for kept in kept_each:
            bob.disk = saved.copy()
            bob.start(sync=False)
            for _ in range(steps):
                bob.see_block()
            stage.world.crash("bob", dict(kept))
            bob.start()
            bob.disk.under_way()
            core = scenes.core(stage, "bob", "carol")
            spends = [spend.transaction for spend in core.output_spends]
            assert len(spends) == len(set(spends)) == 1
            stage.world.crash("bob")
        bob.disk = saved
        if done:
            break
        steps += 1
    base["bob"].start()
    base.seconds(2)
    scenes.finish(base)


@pytest.mark.parametrize("begin", [claimed_on_chain, timed_out])
def test_snapshot_of_a_closed_channel_changes_nothing(begin: object) -> None:
    """Compacted after each block: what the chain has said is in the snapshot (invariant P4)."""
    assert callable(begin)
    stage: Stage = begin()
    for number in range(12):
        stage.mine()
        stage["bob"].compact()
        stage.act()
        if number % 3 == 0:
            stage.world.restart("bob")
            stage.act()
    scenes.finish(stage)
    assert (stage.payment("alice").sent is not None) == (begin is claimed_on_chain)


def test_reorganisation_while_the_archive_waits_for_the_store_is_taken_in() -> None:
    """The channel was about to go, and what it rested on is undone: it stays, and learns of it."""
    stage = Stage(scenes.direct())
    slot = stage.slot("alice", "bob")
    user.close_channel(stage["alice"], slot)
    stage.world.closes_asked[slot.channel_id] = True
    stage.act()
    stage.mine(10)
    stage.seconds(2)
    stage.mine(88)
    # Something else of alice's waits for its disk.
    stage["alice"].disk.held["node"] = None
    stage.mine()
    stage.mine()
    assert slot.archived
    assert slot.tail.journal not in stage.m("alice").node.archived
    assert archive.may_go(stage.m("alice"), slot)
    scenes.replace(stage, 100)
    stage.act()
    assert slot.state.core.spent is None
    stage["alice"].disk.held.clear()
    stage.act()
    assert not slot.archived
    assert stage.slot("alice", "bob") is slot


# --- the mempool -----------------------------------------------------------------------------------------------------


def test_only_outputs_that_may_show_a_preimage_are_watched_in_the_mempool() -> None:
    """HTLCs that we offered, until their preimage is known."""
    stage = claimed_on_chain()
    m, slot = stage.m("bob"), stage.slot("bob", "carol")
    view = slot.closed_view
    assert view is not None
    slot.state.core.onchain_preimages.clear()
    [htlc] = view.by_htlc[0]
    assert blocks.mempool_watch_list(m) == [htlc.outpoint]
    assert not blocks.mempool_watch_list(stage.m("carol"))
    slot.state.core.onchain_preimages[0] = b"p" * 32
    assert not blocks.mempool_watch_list(m)


def test_spend_is_recorded_once() -> None:
    """Told again of the same block, as a driver may: nothing is written."""
    stage = claimed_on_chain()
    stage.mine()
    slot, m = stage.slot("bob", "carol"), stage.m("bob")
    [spend] = slot.state.core.output_spends
    assert isinstance(spend, OutputSpent)
    before = slot.tail.position
    blocks.on_spend(m, slot, Transaction.parse(spend.transaction), spend.height, spend.block_hash)
    assert slot.tail.position == before


def test_of_what_is_not_known_every_spend_is_looked_at() -> None:
    """After data loss, or for HTLCs that only the penalty log names, any of them may show a preimage that we need."""
    stage = scenes.forwarded()
    slot = scenes.close(stage, "bob", "carol")
    stage.mine()
    view = scenes.view(slot)
    (htlc,) = [one for one in view.unspent() if one.htlc is not None]
    assert htlc.htlc is not None
    nameless = msgspec.structs.replace(htlc.htlc, htlc_id=None)
    for changed in (
        msgspec.structs.replace(htlc, kind=WatchedKind.UNKNOWN, htlc=None),
        msgspec.structs.replace(htlc, kind=WatchedKind.REVOKED_HTLC, htlc=nameless),
    ):
        view.outputs[htlc.outpoint] = changed
        assert blocks.mempool_watch_list(stage.m("bob")) == [htlc.outpoint]


ANOTHER_COMMITMENT = """# Both ends publish; a claim on one commitment is mined and undone, and the other confirms.

proves 9
explore fixed
schedule fair
node alice to_self_delay=6 coins=100000
node bob to_self_delay=6 coins=100000
channel alice bob 1000000 500000000

app bob wait
pay alice bob 50000000 one deadline=5 hash=known
@rest unlink alice bob
@rest force-close alice alice-bob
force-close bob alice-bob
@rest mine 1
@rest claim bob
@rest mine 1
@rest reorg 2 without=true
@rest mine 1
@rest resolve
"""


def test_claims_of_a_commitment_that_is_undone_are_no_money_of_the_wallet() -> None:
    """Another commitment confirmed in its place: what was claimed of the first can never confirm."""
    Play(parse_script(ANOTHER_COMMITMENT)).run()
