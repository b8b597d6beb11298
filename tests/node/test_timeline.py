"""The on-chain life of a channel as users see it, block by block, against what the chain did."""

import pytest

from leyden.bitcoin.tx import txid_to_hex
from leyden.monitor.watched import WatchedKind
from leyden.node.onchain_views import OnchainOutputView, TimelineView
from leyden.node.timeline import timeline
from leyden.sim import user
from tests.manager.onchain.ending import FORMATS, SIDES, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
BLOCKS = 170


def told(stage: Ending) -> TimelineView:
    """What our node says of the channel now."""
    return timeline(stage.m(stage.us), stage.ours)


def htlc(view: TimelineView, direction: str) -> OnchainOutputView:
    """The output of the one HTLC that goes this way."""
    [found] = [one for one in view.outputs if one.kind == "htlc" and one.htlc and one.htlc.direction == direction]
    return found


def own(view: TimelineView) -> OnchainOutputView:
    """The output with our balance."""
    [found] = [one for one in view.outputs if one.kind in ("to_local", "to_remote")]
    return found


def test_open_channel_has_a_deadline_and_nothing_else() -> None:
    """The deadline is that of the HTLC which we offered; at it the channel is closed."""
    stage = Ending("anchors")
    assert told(stage).deadline_height is None
    stage.held(1, 1)
    view = told(stage)
    assert (view.state, view.reason, view.commitment, view.outputs, view.claims) == ("normal", None, None, [], [])
    assert view.deadline_height is not None
    stage.part()
    stage.mine_to(view.deadline_height - 1)
    assert told(stage).state == "normal"
    stage.mine()
    assert told(stage).state == "force_closing"
    assert told(stage).deadline_height is None


@FORMS
@ROLES
def test_commitment_of_ours_is_shown_before_it_is_in_a_block(form: str, us: str) -> None:
    """With the heights that it has if it is in the next; then those are the real ones."""
    stage = Ending(form, us).held(1, 1)
    stage.close("local")
    before = told(stage)
    assert before.commitment is not None
    assert (before.commitment.kind, before.commitment.height, before.commitment.confirmations) == ("local", None, 0)
    assert {one.state for one in before.outputs} - {"left"} == {"expected"}
    stage.mine()
    after = told(stage)
    assert after.commitment is not None
    assert (after.commitment.height, after.commitment.confirmations) == (stage.height, 1)
    assert after.commitment.txid == before.commitment.txid == txid_to_hex(stage.view.spend.txid)
    assert after.commitment.number == stage.view.spend.number
    assert after.commitment.fee_sat == before.commitment.fee_sat > 0
    assert 250 <= after.commitment.feerate_per_kw <= 5_000
    heights = [(one.outpoint, one.unlock_height, one.deadline_height) for one in before.outputs]
    assert heights == [(one.outpoint, one.unlock_height, one.deadline_height) for one in after.outputs]
    assert (own(after).state, own(after).height) == ("locked", stage.height)


@FORMS
@ROLES
@pytest.mark.parametrize("how", ["local", "remote", "prior"])
def test_htlcs_stand_as_the_chain_has_them(form: str, us: str, how: str) -> None:
    """Locked until the expiry, then claimed, then ours with txid and height; the peer's without a preimage is open."""
    stage = Ending(form, us)
    stage.world.grant(us, 1_000_000)  # for HTLC transactions that pay no fee of their own
    stage.mine()
    stage.held(1, 1)
    expiry = stage.expiry(us)
    stage.close(how)
    stage.mine()
    view = told(stage)
    refund = htlc(view, "outbound")
    assert (refund.state, refund.unlock_height) == ("locked", expiry + 1)
    assert refund.htlc is not None
    assert (refund.htlc.amount_msat, refund.htlc.cltv_expiry, refund.htlc.has_preimage) == (20_000_000, expiry, False)
    assert htlc(view, "inbound").state == "undecided"
    stage.mine_to(expiry)
    refund = htlc(told(stage), "outbound")
    [output] = stage.htlcs(offered=True)
    waiting = stage.waiting(output.outpoint)
    assert waiting is not None
    assert (refund.state, refund.txid) == ("claiming", txid_to_hex(waiting.txid()))
    [claim] = [one for one in told(stage).claims if refund.outpoint in one.outpoints]
    assert (claim.txid, claim.state) == (refund.txid, "published")
    stage.mine()
    view = told(stage)
    refund = htlc(view, "outbound")
    assert (refund.state, refund.txid, refund.spent_height) == ("ours", txid_to_hex(waiting.txid()), stage.height)
    stages = [one for one in view.outputs if one.kind == "second_stage"]
    assert [one.htlc == refund.htlc for one in stages] == ([True] if how == "local" else [])
    assert all(one.state == "locked" and one.height == stage.height for one in stages)
    stage.mine_to(stage.height + BLOCKS)
    left = {one.kind: one.state for one in told(stage).outputs if one.kind in ("to_local", "to_remote", "second_stage")}
    assert set(left.values()) == {"ours"}


@pytest.mark.parametrize(("feerate", "needed"), [(1_000, False), (5_000, True)])
def test_child_is_shown_when_the_commitment_needs_one(feerate: int, needed: bool) -> None:
    """A line about a child that nobody makes would only worry."""
    stage = Ending("anchors")
    stage.world.grant("alice", 1_000_000)
    stage.mine()
    stage.world.set_fees(feerate, 253)
    stage.close("local")
    view = told(stage)
    assert view.commitment is not None
    assert (view.commitment.child is not None) == needed
    if view.commitment.child is not None:
        assert view.commitment.child.state == "published"
        assert view.commitment.child.feerate_per_kw > view.commitment.feerate_per_kw
        assert view.commitment.child.deadline_height is None, "without HTLCs it is only late"


def test_child_has_the_deadline_of_what_its_commitment_holds() -> None:
    """An anchor has none: what is lost when the commitment comes too late are the HTLCs that we can take."""
    stage = Ending("anchors").held(0, 1)
    stage.world.set_fees(5_000, 253)
    stage.close("local", 1)
    expiry = next(iter(stage.ours.state.core.inbound.values())).add.cltv_expiry
    commitment = told(stage).commitment
    assert commitment is not None
    assert commitment.child is not None
    assert commitment.child.deadline_height == expiry - 6, "the HTLC transaction needs a block of its own"
    stage.world.dislike("alice", dislikes=False)
    stage.mine()
    after = told(stage).commitment
    assert after is not None
    assert after.height == stage.height
    assert after.child is None or after.child.deadline_height is None


def test_preimage_and_who_takes_what_are_told() -> None:
    """One HTLC that we can take, one that the peer takes from us; what it shows is known from then on."""
    stage = Ending("static_remotekey").held(1, 1)
    stage.close("remote", claims=1)
    stage.mine()
    taken = htlc(told(stage), "inbound")
    assert taken.htlc is not None
    assert taken.htlc.has_preimage
    assert taken.deadline_height == taken.htlc.cltv_expiry + 1
    stage.claim(stage.them)
    stage.mine(2)
    assert htlc(told(stage), "inbound").state == "ours"
    lost = htlc(told(stage), "outbound")
    assert lost.state == "theirs"
    assert lost.htlc is not None
    assert lost.htlc.has_preimage


def test_revoked_commitment_is_told_as_forfeited() -> None:
    """Each of its outputs is ours one block later."""
    stage = Ending("anchors").held(1, 1)
    stage.close("revoked")
    stage.mine()
    view = told(stage)
    assert view.commitment is not None
    assert view.commitment.kind == "remote_revoked"
    forfeited = [one for one in view.outputs if one.kind.startswith("revoked_")]
    assert len(forfeited) == 3
    assert {one.state for one in forfeited} == {"claiming"}
    assert all(one.deadline_height is not None for one in forfeited)
    assert sum(claim.amount_sat for claim in view.claims) == sum(one.amount_sat for one in forfeited)
    stage.mine()
    after = [one for one in told(stage).outputs if one.kind.startswith("revoked_")]
    assert {one.state for one in after} == {"ours"}
    assert all(one.feerate_per_kw is not None and one.feerate_per_kw >= 250 for one in after)


def test_htlc_without_an_output_is_told() -> None:
    """It went to the fee: nobody will find it on the chain."""
    stage = Ending("anchors").held(1, 0, amount_msat=200_000)
    stage.close("local")
    stage.mine()
    [trimmed] = [one for one in told(stage).outputs if one.kind == "htlc"]
    assert (trimmed.outpoint, trimmed.state, trimmed.amount_sat) == (None, "trimmed", 200)


def test_claim_that_is_not_worth_its_fee_is_told() -> None:
    """It waits for lower fees, and is no fault."""
    stage = Ending("anchors").held(1, 0, amount_msat=400_000)
    stage.close("remote")
    stage.mine_to(stage.expiry(stage.us) + 2)
    refund = htlc(told(stage), "outbound")
    [claim] = told(stage).claims
    assert (refund.state, refund.txid) == ("uneconomic", None)
    assert (claim.state, claim.txid, claim.amount_sat) == ("uneconomic", None, 400)


def test_cooperative_close_has_no_outputs_to_look_at() -> None:
    """What it pays is the wallet's."""
    stage = Ending("anchors")
    stage.world.closes_asked[stage.channel_id] = True
    user.close_channel(stage["alice"], stage.ours)
    stage.act()
    assert told(stage).commitment is not None
    stage.mine()
    view = told(stage)
    assert view.commitment is not None
    assert (view.commitment.kind, view.outputs, view.claims) == ("mutual_close", [], [])
    assert view.archive_height == stage.height + 99
    assert WatchedKind.TO_LOCAL not in [one.kind for one in stage.view.outputs.values()]
