"""What users are told will happen is what happens, at that height, when nothing else comes between."""

import pytest

from leyden.manager.onchain import forecast
from leyden.monitor.claimable import swept_now
from leyden.monitor.resolution import str_of
from leyden.monitor.watched import WatchedKind
from tests.manager.onchain.ending import FORMATS, SIDES, Ending

FORMS = pytest.mark.parametrize("form", FORMATS)
ROLES = pytest.mark.parametrize("us", [us for us, _them in SIDES], ids=["opener", "accepter"])
BLOCKS = 30


def no_block_takes_ours(stage: Ending) -> None:
    """Miners leave out what we publish from now on."""
    stage.world.dislike(stage.us, dislikes=True)


@pytest.mark.parametrize("how", ["remote", "revoked"])
def test_claim_pays_more_at_the_height_that_was_told(how: str) -> None:
    """Block by block until its deadline: never before, and never without."""
    stage = Ending("static_remotekey").held(1, 1)
    stage.close(how, claims=1 if how == "remote" else 0)
    no_block_takes_ours(stage)
    stage.mine()
    m = stage.m(stage.us)
    told: list[bool] = []
    paid: list[bool] = []
    for _ in range(BLOCKS):
        claim = stage.claims[0]
        height, feerate = forecast.bump_height(m, claim), claim.feerate_per_kw
        stage.mine()
        if stage.claims[0].claim_id != claim.claim_id:
            break
        told.append(height == stage.height)
        paid.append(stage.claims[0].feerate_per_kw > feerate)
    assert told == paid
    assert any(paid)


def test_claim_that_was_refused_pays_more_at_once() -> None:
    """And one that was not made yet, or cannot be changed, at no height that is known."""
    stage = Ending("static_remotekey").held(1, 0)
    stage.close("remote")
    stage.mine_to(stage.expiry(stage.us))
    m, [claim] = stage.m(stage.us), stage.claims
    claim.refused = True
    assert forecast.bump_height(m, claim) == stage.height + 1
    claim.fixed = True
    assert forecast.bump_height(m, claim) is None
    claim.fixed, claim.transaction = False, b""
    assert forecast.bump_height(m, claim) is None


def test_child_of_our_commitment_pays_more_at_the_height_that_was_told() -> None:
    """Seldom first, then in each block, and not behind the deadline; in no block once the commitment is in one."""
    stage = Ending("anchors").held(1, 1)
    no_block_takes_ours(stage)
    stage.close("local", 1)
    m = stage.m(stage.us)
    assert forecast.child_bump_height(m, stage.ours) is None, "there is no child"
    told: list[bool] = []
    paid: list[bool] = []
    while stage.height < stage.expiry(stage.them) + 3:
        child = stage.ours.anchor_claim
        assert child is not None
        height, feerate, is_out = forecast.child_bump_height(m, stage.ours), child.feerate_per_kw, child.transaction
        stage.mine()
        if is_out:
            told.append(height == stage.height)
            paid.append(child.feerate_per_kw > feerate)
    assert told == paid
    assert sum(paid) > 5
    assert forecast.child_bump_height(m, stage.ours) is None
    stage.world.set_fees(60_000, 253)
    stage.world.dislike(stage.us, dislikes=False)
    stage.mine()
    assert forecast.child_bump_height(m, stage.ours) is None


@FORMS
@ROLES
@pytest.mark.parametrize("how", ["local", "remote"])
def test_outputs_of_ours_are_swept_at_the_height_that_was_told(form: str, us: str, how: str) -> None:
    """Its lock and its depth, whichever is later; one block more and it is in the wallet."""
    stage = Ending(form, us)
    stage.close(how)
    stage.mine()
    m, slot = stage.m(us), stage.ours
    [claim, *_] = [
        one
        for one in swept_now(slot.state.core, slot.state.keys, stage.view, m.signer.per_commitment_point)
        if stage.view.outputs[one.input.outpoint].kind in forecast.OWN_KINDS
    ]
    output = stage.view.outputs[claim.input.outpoint]
    height = forecast.ready_height(m, output, claim)
    stage.mine_to(height - 1)
    assert m.sweep is None
    assert stage.waiting(output.outpoint) is None
    stage.mine()
    assert stage.waiting(output.outpoint) is not None
    assert not forecast.is_unswept(m, slot, claim)


def test_output_that_is_not_worth_its_fee_is_known() -> None:
    """At this feerate; when fees fall it goes."""
    stage = Ending("anchors")
    stage.world.set_fees(240_000, 253)
    stage.close("remote")
    m, slot = stage.m(stage.us), stage.ours
    stage.mine(3)
    own = [one for one in stage.view.outputs.values() if one.kind is WatchedKind.TO_REMOTE]
    [claim] = [
        one
        for one in swept_now(slot.state.core, slot.state.keys, stage.view, m.signer.per_commitment_point)
        if one.input.outpoint == own[0].outpoint
    ]
    assert not forecast.is_unswept(m, slot, claim), "it is not deep yet"
    stage.mine(5)
    assert str_of(claim.input.outpoint) in slot.state.core.spendable
    assert forecast.is_unswept(m, slot, claim) == (m.sweep is None)


@FORMS
@pytest.mark.parametrize("how", ["local", "remote", "revoked"])
def test_journal_goes_at_the_height_that_was_told(form: str, how: str) -> None:
    """Told when the commitment confirms; nothing is published late here, and all that was told is acknowledged."""
    stage = Ending(form)
    if how == "revoked":
        stage.held(1, 1)
    stage.close(how)
    stage.mine()
    m, journal = stage.m(stage.us), stage.ours.tail.journal
    for name in (stage.us, stage.them):
        stage[name].application.acknowledges = True  # type: ignore[attr-defined]
    while True:
        height = forecast.archive_height(m, stage.ours)
        assert height is not None
        if stage.height >= height - 1:
            break
        stage.mine()
        stage.seconds(1)
    assert journal in [one.journal for one in stage[stage.us].disk.journals()]
    stage.mine()
    stage.seconds(1)
    assert journal not in [one.journal for one in stage[stage.us].disk.journals()]


def test_open_channel_has_no_end_in_sight() -> None:
    """Nor has one whose commitment is in no block."""
    stage = Ending("anchors")
    assert forecast.archive_height(stage.m(stage.us), stage.ours) is None
    stage.close("local")
    assert forecast.archive_height(stage.m(stage.us), stage.ours) is None
