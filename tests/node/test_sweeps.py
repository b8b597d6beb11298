"""What closed channels leave to the wallet, as users see it; and how they ask for it at a feerate of their own."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.tx import Transaction, txid_to_hex
from leyden.manager import closes
from leyden.node import sweeps
from leyden.node.onchain_views import SweepOutputView, SweepsView
from leyden.sim import user
from tests.manager.onchain.ending import FORMATS, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ENDS = pytest.mark.parametrize("how", ["local", "remote"])


def told(stage: Ending) -> SweepsView:
    """What our node says."""
    return sweeps.sweeps(stage.m(stage.us))


def only(stage: Ending) -> SweepOutputView:
    """The one output of ours."""
    [found] = told(stage).outputs
    return found


def sweep(stage: Ending, feerate_per_kw: int | None) -> None:
    """The user asks for it."""
    stage[stage.us].run(lambda m: sweeps.sweep(m, feerate_per_kw))
    stage.act()


def closed(form: str, how: str) -> Ending:
    """A channel without HTLCs, its commitment in a block; nothing of it is swept before it is ready."""
    stage = Ending(form)
    assert told(stage).outputs == []
    stage.close(how)
    stage.mine()
    return stage


@FORMS
@ENDS
def test_output_waits_goes_and_is_there(form: str, how: str) -> None:
    """With the height, the transaction and its depth, as the chain has them."""
    stage = closed(form, how)
    waiting = only(stage)
    assert (waiting.state, waiting.txid, waiting.confirmations) == ("waiting", None, 0)
    assert waiting.kind == ("to_local" if how == "local" else "to_remote")
    assert waiting.ready_height is not None
    stage.mine_to(waiting.ready_height - 1)
    assert only(stage).state == "waiting"
    sweep(stage, 500)
    assert only(stage).state == "waiting", "a user cannot have it earlier"
    stage.mine()
    view, going = told(stage), only(stage)
    assert view.sweep is not None
    assert going.state == "sweeping"
    assert going.txid == view.sweep.txid
    assert (going.ready_height, going.spent_height) == (None, None)
    assert (view.sweep.outpoints, view.sweep.amount_sat) == ([going.outpoint], going.amount_sat)
    stage.mine(3)
    swept = only(stage)
    assert (swept.state, swept.txid, swept.confirmations) == ("swept", going.txid, 3)
    assert (swept.ready_height, swept.spent_height) == (None, stage.height - 2)
    assert told(stage).sweep is None


@ENDS
def test_user_pays_more_and_never_less(how: str) -> None:
    """One that is out is replaced; a feerate below its own would be refused by every mempool."""
    stage = closed("static_remotekey", how)
    stage.world.dislike(stage.us, dislikes=True)
    stage.mine_to(only(stage).ready_height or 0)
    first = told(stage).sweep
    assert first is not None
    sweep(stage, 10_000)
    second = told(stage).sweep
    assert second is not None
    assert (second.feerate_per_kw, second.txid != first.txid) == (10_000, True)
    [spent] = {one.input.outpoint for one in stage.m(stage.us).sweep.claims}  # type: ignore[union-attr]
    waiting = stage.waiting(spent)
    assert isinstance(waiting, Transaction)
    assert txid_to_hex(waiting.txid()) == second.txid
    assert second.bump_height == stage.height + 12
    sweep(stage, 300)
    third = told(stage).sweep
    assert third is not None
    assert (third.txid, third.fee_sat) == (second.txid, second.fee_sat)


def test_node_that_does_not_know_the_tip_sweeps_nothing() -> None:
    """It would sweep what is swept already."""
    stage = closed("anchors", "remote")
    stage.m(stage.us).is_started = False
    with pytest.raises(CommandRejected) as refused:
        sweeps.sweep(stage.m(stage.us), None)
    assert refused.value.code == "not_synced"
    stage.m(stage.us).is_started = True


def test_output_that_costs_more_than_it_brings_is_told() -> None:
    """With what it is worth, and the feerate at which that is so; when fees fall it goes."""
    stage = Ending("static_remotekey", "bob")
    user.open_channel(stage["alice"], stage["bob"], 100_000, 5_000_000)
    stage.rest()
    stage.mine(6)
    stage.rest()
    small = stage.slot("alice", "bob", 1)
    stage.world.closes_asked[small.channel_id] = True
    stage["alice"].run(lambda m: closes.force_by_user(m, small, without_peer=False))
    stage.act()
    stage.world.set_fees(20_000, 253)
    stage.mine(8)
    view = told(stage)
    assert [(one.state, one.channel_id) for one in view.outputs] == [("uneconomic", small.channel_id.hex())]
    assert (view.uneconomic_sat, view.feerate_per_kw, view.sweep) == (5_000, 20_000, None)
    stage.world.set_fees(500, 253)
    stage.mine()
    stage.mine()
    assert (only(stage).state, told(stage).uneconomic_sat) == ("swept", 0)
