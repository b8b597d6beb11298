"""The view of a closed channel: made once for a spend, watched as long as it holds, with the penalty log if need be."""

import pytest

from leyden.base.errors import StorageBroken
from leyden.bitcoin.tx import OutPoint
from leyden.manager.onchain.blocks import mempool_watch_list
from leyden.manager.onchain.views import forget_view, upstream_deadline, view_of
from leyden.monitor.classify import SpendKind
from leyden.monitor.watched import WatchedKind
from leyden.sim.consensus import Consensus
from tests.manager.onchain import scenes
from tests.manager.onchain.ending import Ending
from tests.manager.stage import Stage


def watched(stage: Stage, name: str, peer: str) -> set[OutPoint]:
    """Outputs that a node looks for because of a channel, its funding output apart."""
    slot = stage.slot(name, peer)
    funding = slot.state.keys.local_parameters.funding_outpoint
    return {outpoint for outpoint, known in stage.m(name).watched.items() if known is slot} - {funding}


def read(stage: Ending) -> list[str]:
    """Journals whose penalty log is read from now on, as they come."""
    m = stage.m(stage.us)
    log, journals = m.penalty_log, list[str]()

    def penalty_log(journal: str) -> bytes:
        journals.append(journal)
        return log(journal)

    m.penalty_log = penalty_log
    return journals


def test_open_channel_has_no_view() -> None:
    """A close that waits for its block is none yet."""
    stage = Ending("anchors").held()
    assert view_of(stage.m("alice"), stage.ours) is None
    stage.close("remote")
    assert view_of(stage.m("alice"), stage.ours) is None
    assert not watched(stage, "alice", "bob")


def test_view_is_made_once_for_a_spend() -> None:
    """Blocks, claims and second stages are taken in by the one that is there."""
    stage = Ending("static_remotekey").held(1, 1)
    stage.close("local", 1)
    stage.mine()
    first = stage.view
    assert first.record is stage.ours.state.core.spent
    stage.mine_to(stage.expiry("alice") + 3)
    assert stage.view is first
    assert len(first.spenders) >= 2
    assert view_of(stage.m("alice"), stage.ours) is first


def test_all_outputs_are_watched_second_stages_too() -> None:
    """Each of them by the channel that it is of."""
    stage = Ending("static_remotekey").held(2, 2)
    stage.close("local", 1)
    stage.mine()
    before = watched(stage, "alice", "bob")
    assert before == set(stage.view.outputs)
    assert len(before) == 5, "HTLCs and to_local"
    stage.mine()
    stages = [one.outpoint for one in stage.view.outputs.values() if one.kind is WatchedKind.SECOND_STAGE]
    assert len(stages) == 1
    assert watched(stage, "alice", "bob") == before | set(stages)


def test_reorganisation_that_undoes_the_close_ends_the_watch() -> None:
    """Of what another commitment leaves, the outputs are watched instead."""
    stage = Ending("static_remotekey").held(1, 1)
    stage.close("remote")
    ours = scenes.commitment_of(stage, "alice", "bob")
    stage.mine()
    first, old = stage.view, watched(stage, "alice", "bob")
    assert old == set(first.outputs)
    scenes.replace(stage, 1)
    stage.act()
    assert stage.ours.closed_view is None
    assert not watched(stage, "alice", "bob")
    funding = stage.ours.state.keys.local_parameters.funding_outpoint
    assert stage.m("alice").watched[funding] is stage.ours
    scenes.confirm(stage, ours)
    assert stage.view is not first
    assert (first.spend.kind, stage.view.spend.kind) == (SpendKind.REMOTE, SpendKind.LOCAL)
    assert watched(stage, "alice", "bob") == set(stage.view.outputs)
    assert not old & set(stage.view.outputs)


def test_reorganisation_of_a_second_stage_ends_its_watch_alone() -> None:
    """What the commitment left is still there."""
    stage = Ending("static_remotekey").held(0, 1)
    stage.close("local", 1)
    stage.mine()
    before = watched(stage, "alice", "bob")
    stage.mine()
    assert len(watched(stage, "alice", "bob")) == len(before) + 1
    stage.world.dislike("alice", dislikes=True)
    scenes.replace(stage, 1)
    stage.act()
    assert watched(stage, "alice", "bob") == before == set(stage.view.outputs)
    assert not stage.view.spenders


def test_archive_ends_the_watch() -> None:
    """Nothing is left of a channel that is gone."""
    stage = Ending("static_remotekey").held(1, 0)
    stage.close("remote")
    stage.mine()
    outputs = set(stage.view.outputs)
    assert outputs <= set(stage.m("alice").watched)
    scenes.finish(stage)
    assert not stage.slots("alice", "bob")
    assert not outputs & set(stage.m("alice").watched)


def test_output_that_is_watched_for_another_channel_stays() -> None:
    """Two channels with the peer, of which one view goes."""
    stage = scenes.held(scenes.double(), "bob")
    first, second = scenes.close(stage, "alice", "bob", 0), scenes.close(stage, "alice", "bob", 1)
    stage.mine()
    m = stage.m("alice")
    one, two = set(scenes.view(first).outputs), set(scenes.view(second).outputs)
    taken = next(iter(one))
    m.watched[taken] = second
    forget_view(m, first)
    assert {outpoint for outpoint, slot in m.watched.items() if slot is second} >= two | {taken}
    assert not (one - {taken}) & set(m.watched)
    forget_view(m, first)


# --- the penalty log -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "times"), [("local", 0), ("remote", 0), ("prior", 0), ("revoked", 1)])
def test_penalty_log_is_read_once_and_only_for_a_revoked_commitment(how: str, times: int) -> None:
    """It is long, and everything else is in the state."""
    stage = Ending("anchors").held(1, 1)
    journals = read(stage)
    stage.close(how)
    assert not journals
    stage.mine()
    stage.mine_to(stage.height + 3)
    assert journals == [stage.journal()] * times


def test_store_that_cannot_read_it_costs_no_more_than_what_only_it_knows(consensus: Consensus) -> None:
    """to_local is taken at once, and it is said why there may be more; the next life, which can read it, takes that."""
    stage = Ending("anchors").held(1, 1)
    stage.world.validate = consensus
    number = stage.slot("bob", "alice").state.core.local.number
    stage.go_on()
    stage.claim("alice")
    stage.claim("bob", 2)
    stage.seconds(3)
    assert not stage.ours.state.core.outbound
    stage["alice"].compact()
    stage.act()
    stage.part()
    stage.publish_old(number)

    def broken(_journal: object) -> bytes:
        raise StorageBroken("a bad page")

    stage["alice"].runtime.store.penalty_rows = broken  # type: ignore[method-assign, assignment]
    stage.mine()
    assert stage.view.spend.kind is SpendKind.REMOTE_REVOKED
    said = [one.text for one in stage["alice"].reports if "a bad page" in one.text]
    assert said == [f"the penalty log of {stage.journal()} cannot be read: a bad page"]
    stage.mine(2)
    assert [one for one in stage.view.outputs.values() if one.kind is WatchedKind.REVOKED_TO_LOCAL]
    assert all(stage.took(one) for one in stage.view.outputs.values() if one.kind is WatchedKind.REVOKED_TO_LOCAL)
    left = [one.outpoint for one in stage.left() if one.kind is not WatchedKind.TO_REMOTE]
    assert len(left) == 2, "both HTLCs"
    stage.world.restart("alice")
    stage.act()
    stage.mine()
    assert all(one in stage.view.spenders for one in left)
    assert all(stage.took(stage.view.outputs[one]) for one in left)


def test_outputs_that_only_the_log_could_name_are_looked_at_in_the_mempool_without_it() -> None:
    """An old commitment waits for its block: whatever spends what is not known may show the preimage of a live one."""
    stage = Ending("static_remotekey").held(1, 1)
    number = stage.slot("bob", "alice").state.core.local.number
    stage.go_on()
    stage.claim("alice")
    stage.claim("bob", 2)
    stage.seconds(3)
    stage["alice"].compact()
    stage.pay("alice", "bob", stage.invoice("bob", tag="open"), "open", deadline_seconds=1_000)
    stage.seconds(3)
    stage.part()
    journals = read(stage)
    stage.publish_old(number)
    stage.act()
    outputs = stage.ours.unconfirmed_outputs.values()
    unknown = [one.outpoint for one in outputs if one.kind is WatchedKind.UNKNOWN]
    assert len(unknown) == 2, "both HTLCs"
    assert WatchedKind.REVOKED_TO_LOCAL in [one.kind for one in outputs]
    funding = stage.ours.state.keys.local_parameters.funding_outpoint
    assert mempool_watch_list(stage.m("alice")) == [funding, *unknown]
    assert not watched(stage, "alice", "bob")
    assert not journals
    stage.mine()
    assert journals == [stage.journal()]


# --- deadlines from upstream -----------------------------------------------------------------------------------------


def test_refund_is_due_before_upstream_is_failed_back_anyhow() -> None:
    """That of a forward; our own payments have nobody upstream, and nobody waits once the preimage is known."""
    stage = scenes.forwarded()
    m, config = stage.m("bob"), stage.m("bob").config
    core = scenes.core(stage, "bob", "carol")
    [htlc_id] = core.outbound
    upstream = scenes.core(stage, "bob", "alice").inbound
    [inbound] = upstream.values()
    due = inbound.add.cltv_expiry - config.fail_back_grace_blocks - config.onchain_failure_depth
    assert upstream_deadline(m, core, htlc_id) == due > 0
    assert upstream_deadline(m, core, htlc_id + 1) is None
    payer = scenes.core(stage, "alice", "bob")
    [own_id] = payer.outbound
    assert upstream_deadline(stage.m("alice"), payer, own_id) is None
    inbound.preimage = bytes(32)
    assert upstream_deadline(m, core, htlc_id) is None
