"""What is ours alone goes to the wallet: together, at a price that is worth it, once, whatever happens meanwhile."""

import msgspec
import pytest

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, txid_to_hex
from leyden.manager import events as ev
from leyden.manager.onchain import sweeping
from leyden.manager.onchain.active import ActiveSweep
from leyden.sim import user
from leyden.sim.books import Books
from leyden.transactions.claim_inputs import ClaimKind
from tests.manager.onchain import scenes
from tests.manager.stage import Stage
from tests.sim import topologies


def sweep_of(stage: Stage, name: str = "alice") -> ActiveSweep:
    """The sweep of this life."""
    sweep = stage.m(name).sweep
    assert sweep is not None, "nothing is swept"
    return sweep


def waiting(stage: Stage, name: str = "alice") -> Transaction:
    """The sweep in the mempool."""
    return stage.world.chain.pool[sweep_of(stage, name).txid]


def closed_by_bob(channels: int = 1) -> Stage:
    """bob closed his channels with alice: her outputs can be swept, miners take nothing of hers."""
    stage = Stage(scenes.double() if channels == 2 else scenes.direct())
    for index in range(channels):
        scenes.close(stage, "bob", "alice", index)
    stage.world.disliked["alice"] = None
    stage.mine(6)
    return stage


def made(stage: Stage) -> list[bytes]:
    """The sweeps that anybody has published, each once, in order."""
    return list(dict.fromkeys([txid for txid, what in stage.world.broadcasts if what == sweeping.WHAT]))


def like(stage: Stage) -> None:
    """Miners take what alice publishes again."""
    stage.world.disliked.clear()
    stage.world.left_out.clear()


def test_outputs_of_several_channels_are_swept_together() -> None:
    """One transaction, one output, to a script of the wallet; the user was told of each before."""
    stage = closed_by_bob(2)
    sweep = waiting(stage)
    assert len(sweep.inputs) == 2
    assert [output.script_pubkey for output in sweep.outputs] == [stage.m("alice").signer.shutdown_script_pubkey()]
    told = [outpoint for event in stage.told("alice", ev.SpendableOutputs) for outpoint in event.outputs]
    assert sorted(told) == sorted(f"{txid_to_hex(one.prevout.txid)}:{one.prevout.vout}" for one in sweep.inputs)
    like(stage)
    scenes.finish(stage)
    assert made(stage).count(sweep.txid()) == 1


def test_output_waits_for_its_lock_and_for_its_depth() -> None:
    """to_local of our own commitment after `to_self_delay`; nothing before the close is deep."""
    stage = Stage(scenes.direct())
    slot = scenes.close(stage, "alice", "bob")
    stage.mine(5)
    assert not stage.m("bob").sweep
    stage.mine()
    assert sweep_of(stage, "bob").transaction
    spent = slot.state.core.spent
    assert spent is not None
    delay = slot.state.keys.local_parameters.to_self_delay
    scenes.mine_to(stage, spent.height + delay - 2)
    assert stage.m("alice").sweep is None
    assert not stage.told("alice", ev.SpendableOutputs)
    stage.mine()
    assert [one.input.kind for one in sweep_of(stage).claims] == [ClaimKind.TO_LOCAL]
    scenes.finish(stage)


def test_user_chooses_the_feerate() -> None:
    """More than what waits pays it replaces it; the wallet counts the new one alone, and less changes nothing back."""
    stage = closed_by_bob()
    first = waiting(stage)
    stage["alice"].run(lambda m: sweeping.update(m, 5_000))
    second = waiting(stage)
    assert second.txid() != first.txid()
    assert first.txid() not in stage.world.chain.pool
    assert sweep_of(stage).fee_sat * 1000 >= 5_000 * second.weight()
    stage.mine()
    assert waiting(stage).txid() == second.txid()
    like(stage)
    scenes.finish(stage)


def test_sweep_that_waits_long_pays_more_now_and_then() -> None:
    """Every twelve blocks, never more often; and never above what is asked of somebody in a hurry."""
    stage = closed_by_bob()
    for _ in range(sweeping.REPLACE_AFTER_BLOCKS - 1):
        stage.mine()
    assert len(made(stage)) == 1
    stage.mine()
    assert len(made(stage)) == 2
    for _ in range(40 * sweeping.REPLACE_AFTER_BLOCKS):
        stage.mine()
    sweep = sweep_of(stage)
    estimate = stage.m("alice").env.feerate_per_kw
    assert sweep.fee_sat * 1000 <= 2 * estimate * 4 * waiting(stage).vsize()
    assert sweep.feerate_per_kw > estimate
    like(stage)
    scenes.finish(stage)


def test_sweep_that_is_refused_pays_more_up_to_a_bound_and_is_offered_again() -> None:
    """The mempool is full of better ones; when it is empty again it is taken."""
    stage = Stage(scenes.direct())
    scenes.close(stage, "bob", "alice")
    stage.mine(5)
    stage.world.chain.set_mempool_feerate(100_000)
    stage.mine()
    first = sweep_of(stage)
    assert first.refused
    stage.mine()
    assert sweep_of(stage).fee_sat > first.fee_sat
    for _ in range(30):
        stage.mine()
    last = sweep_of(stage)
    assert last.fee_sat > first.fee_sat
    assert last.feerate_per_kw <= 2 * stage.m("alice").env.feerate_per_kw
    assert last.refused
    assert not stage.world.chain.pool.get(last.txid)
    stage.world.chain.set_mempool_feerate(0)
    stage.mine(1)
    scenes.finish(stage)


def test_output_that_costs_more_than_it_brings_waits_and_is_said() -> None:
    """Once, with what it holds; when fees fall it is swept."""
    stage = Stage(scenes.direct())
    user.open_channel(stage["alice"], stage["bob"], 100_000, 2_000_000, scenes.PLAIN)
    stage.rest()
    stage.mine(6)
    stage.rest()
    slot = next(one for one in stage.slots("alice", "bob") if one.state.core.opened.funding_satoshis == 100_000)
    m = stage.m("bob")
    m.feerates = {144: 40_000}
    stage.books = Books(stage.world)
    scenes.close(stage, "alice", "bob", stage.slots("alice", "bob").index(slot))
    for _ in range(10):
        stage.mine()
    assert m.sweep is None
    assert m.unswept_sat == 2_000
    said = [report.text for report in stage["bob"].reports if "of 2000 sat waits" in report.text]
    assert len(said) == 1
    m.feerates = {144: 500}
    stage.mine()
    assert sweep_of(stage, "bob").transaction
    assert m.unswept_sat == 0
    scenes.finish(stage)


def test_older_sweep_stays_when_a_dearer_one_would_bring_nothing() -> None:
    """It is published on: fees have risen so far that nothing is worth them."""
    stage = closed_by_bob()
    first = waiting(stage)
    stage.m("alice").feerates = {144: 3_000_000}
    stage.mine(1)
    for _ in range(20):
        stage.mine()
    stage.world.chain.evict(first.txid())
    stage.mine()
    assert waiting(stage).txid() == first.txid()
    assert made(stage) == [first.txid()]
    like(stage)
    scenes.finish(stage)


@pytest.mark.parametrize("crashes", [1, 3])
def test_sweep_is_neither_lost_nor_doubled_over_restarts(crashes: int) -> None:
    """The next life makes it of the same state and chain."""
    stage = closed_by_bob(2)
    first = waiting(stage)
    for _ in range(crashes):
        stage.world.restart("alice")
        stage.act()
        stage.mine()
        [spender] = {stage.world.chain.pool_spends(one.prevout) for one in first.inputs}
        assert spender is not None
        assert len(spender.inputs) == 2
    like(stage)
    scenes.finish(stage)


def test_sweep_that_a_reorganisation_undoes_is_published_again() -> None:
    """Confirmed, and gone: nobody else can take the outputs, and they are not forgotten."""
    stage = closed_by_bob()
    sweep = waiting(stage)
    like(stage)
    stage.mine(3)
    assert stage.m("alice").sweep is None
    scenes.replace(stage, 3)
    stage.act()
    assert [one.prevout for one in waiting(stage).inputs] == [one.prevout for one in sweep.inputs]
    scenes.finish(stage)


def test_what_is_left_is_swept_when_somebody_else_takes_an_output() -> None:
    """As the peer takes to_local of our own revoked state: the rest does not wait for it."""
    stage = closed_by_bob(2)
    first = waiting(stage)
    taken, left = [claim.input.outpoint for claim in sweep_of(stage).claims]
    output = scenes.view(stage.m("alice").watched[taken]).outputs[taken]
    before = stage["alice"].runtime.wallet.balance().unconfirmed_sat
    scenes.confirm(stage, scenes.spend(output))
    second = waiting(stage)
    assert [one.prevout for one in second.inputs] == [left]
    assert first.txid() not in stage.world.chain.pool
    assert stage["alice"].runtime.wallet.balance().unconfirmed_sat < before
    assert stage["alice"].runtime.wallet.balance().unconfirmed_sat == second.outputs[0].value_sat
    scenes.confirm(stage, scenes.spend(scenes.view(stage.m("alice").watched[left]).outputs[left]))
    assert stage.m("alice").sweep is None
    assert stage["alice"].runtime.wallet.balance().unconfirmed_sat == 0


def test_user_may_sweep_where_nothing_is_swept_by_itself() -> None:
    """`sweeps` is off: the outputs wait until they are asked for, and then it is seen through."""
    stage = Stage(scenes.direct())
    m = stage.m("alice")
    m.config = msgspec.structs.replace(m.config, sweeps=False)
    scenes.close(stage, "bob", "alice")
    stage.world.disliked["alice"] = None
    stage.mine(20)
    assert m.sweep is None
    stage["alice"].run(lambda manager: sweeping.update(manager, 1_000))
    stage.world.chain.evict(sweep_of(stage).txid)
    stage.mine()
    assert waiting(stage).txid() == sweep_of(stage).txid
    like(stage)
    scenes.finish(stage)


def test_anchors_of_anyone_are_taken_beside_others_alone() -> None:
    """After sixteen blocks anybody may have them; alone they cost more than they bring."""
    stage = Stage(topologies.double())
    m = stage.m("alice")
    m.feerates = {144: 500}
    slot = scenes.close(stage, "bob", "alice")
    for _ in range(30):
        stage.mine()
    anchors = [one for one in scenes.view(m.channels[slot.channel_id]).unspent() if one.value_sat == 330]
    assert len(anchors) == 2
    assert m.sweep is None
    scenes.close(stage, "bob", "alice", 1)
    stage.world.disliked["alice"] = None
    stage.mine(6)
    kinds = [one.input.kind for one in sweep_of(stage).claims]
    assert kinds.count(ClaimKind.TO_REMOTE) == 1
    assert kinds.count(ClaimKind.ANCHOR_OF_ANYONE) == len(anchors)
    like(stage)
    stage.mine()
    assert not [one for one in scenes.view(m.channels[slot.channel_id]).unspent() if one.value_sat == 330]
    m.feerates = {144: 5_000}


def beside_anchors() -> Stage:
    """bob closed both channels with alice; she sweeps an output of the second one, and the anchors of the first."""
    stage = Stage(topologies.double())
    stage.m("alice").feerates = {144: 500}
    scenes.close(stage, "bob", "alice")
    for _ in range(20):
        stage.mine()
    scenes.close(stage, "bob", "alice", 1)
    stage.world.disliked["alice"] = None
    stage.mine(6)
    kinds = [one.input.kind for one in sweep_of(stage).claims]
    assert kinds.count(ClaimKind.ANCHOR_OF_ANYONE) == 2
    return stage


def dear_spend(stage: Stage, anchor: OutPoint) -> Transaction:
    """A transaction of somebody that takes an anchor, and pays more than a sweep of some hundred thousand satoshi may
    cost.
    """
    coin = Transaction(2, (TxIn(OutPoint(bytes(31) + b"\x01", 0), b"", 0),), (TxOut(60_000, scenes.ANYBODY),), 0)
    stage.world.chain.grant(coin)
    inputs = tuple([TxIn(one, b"", 0xFFFFFFFD) for one in (anchor, OutPoint(coin.txid(), 0))])
    return Transaction(2, inputs, (TxOut(10_000, scenes.ANYBODY),), 0)


@pytest.mark.parametrize("rises", [0, 1])
def test_anchor_that_somebody_takes_holds_nothing_up(rises: int) -> None:
    """A spend of it may wait in mempools for ever, and cost more to replace than all that is swept: the rest goes
    without anchors, also when the sweep pays as much already as it may by itself.
    """
    stage = beside_anchors()
    first = sweep_of(stage)
    if rises:
        stage["alice"].run(lambda m: sweeping.update(m, 1_000))
        first = sweep_of(stage)
    taken, *_ = [one.input for one in first.claims if one.input.kind is ClaimKind.ANCHOR_OF_ANYONE]
    stage.world.chain.evict(first.txid)
    rival = dear_spend(stage, taken.outpoint)
    assert stage.world.chain.offer(rival).accepted
    stage.world.left_out[rival.txid()] = "somebody"
    stage.mine()
    assert sweep_of(stage).refused
    stage.mine()
    second = waiting(stage)
    assert [one.input.kind for one in sweep_of(stage).claims] == [ClaimKind.TO_REMOTE]
    assert taken.outpoint not in [one.prevout for one in second.inputs]
    stage.mine(sweeping.REPLACE_AFTER_BLOCKS)
    assert len(sweep_of(stage).claims) == 1, "and stays without"
    stage.world.disliked.clear()
    stage.world.left_out.pop(waiting(stage).txid())
    stage.mine()
    assert rival.txid() in stage.world.chain.pool
    assert stage.m("alice").sweep is None
