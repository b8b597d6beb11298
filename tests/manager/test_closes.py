"""A close that one side forces: published behind its record alone, seen for what it is at both ends."""

from collections.abc import Callable

import msgspec
import pytest

from leyden.base.errors import PeerViolation, Reaction
from leyden.bitcoin.tx import txid_to_hex
from leyden.channel.inputs import ForceClose
from leyden.channel.states import Closed, ForceClosing, Normal, Spent
from leyden.journal.records import FundingDisconnected, ProvenStale
from leyden.manager import chain, closes
from leyden.manager import events as ev
from leyden.manager.closes import spend_of
from leyden.manager.config import CloseCause, CloseRequest, allow_close, never_close
from leyden.manager.manager import Manager
from leyden.monitor.classify import SpendKind
from leyden.monitor.commitments import PossibleCommitment, local_possible
from leyden.monitor.reasons import is_alarming
from leyden.sim import user
from leyden.wire.messages import ErrorMessage, encode
from tests.manager.stage import Stage
from tests.sim import topologies

ASKED = ForceClose("closed by the user")


def with_htlc() -> Stage:
    """Alice and bob with a payment in flight that bob's user does not answer."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    assert stage.slot("alice", "bob").state.core.outbound
    return stage


def force_close(stage: Stage) -> None:
    """Alice's user asks for it; nothing is durable yet."""
    stage["alice"].run(lambda m: m.apply(stage.slot("alice", "bob"), ASKED))


def published(stage: Stage) -> int:
    """How often alice's commitment was published. Bob, who is told of the close, may publish his as well."""
    txid = commitment(stage).commitment.txid
    return len([one for one, what in stage.world.broadcasts if one == txid and what == "force-close"])


def commitment(stage: Stage) -> PossibleCommitment:
    """Alice's latest."""
    slot = stage.slot("alice", "bob")
    return local_possible(slot.state.core, slot.state.keys, stage.m("alice").signer.per_commitment_point)


def test_no_commitment_is_published_before_its_record_is_durable() -> None:
    """If the record were lost, the next life would reveal the secret of what is already published."""
    stage = with_htlc()
    force_close(stage)
    assert type(stage.slot("alice", "bob").state) is ForceClosing
    assert published(stage) == 0
    stage.world.restart("alice", {})
    stage.act()
    assert published(stage) == 0
    assert type(stage.slot("alice", "bob").state) is Normal


def test_a_commitment_is_published_in_every_life_until_it_is_in_a_block() -> None:
    """A mempool forgets; the record does not."""
    stage = with_htlc()
    force_close(stage)
    stage.world.restart("alice", stage["alice"].disk.under_way())
    stage.act()
    before = published(stage)
    assert before >= 1
    stage.world.chain.pool.clear()
    stage.world.restart("alice", {})
    stage.act()
    assert published(stage) > before
    stage.mine()
    before = published(stage)
    stage.world.restart("alice", {})
    stage.act()
    stage["alice"].run(chain.rebroadcast)
    assert published(stage) == before


def test_a_commitment_is_published_again_behind_the_records_that_wait() -> None:
    """A start appends records first, and a busy node always has some: that must not put the close off."""
    stage = with_htlc()
    force_close(stage)
    stage.act()
    stage.world.chain.pool.clear()
    before = published(stage)
    slot = stage.slot("alice", "bob")

    def start(m: Manager) -> None:
        m.learn(slot, FundingDisconnected(1))
        chain.rebroadcast(m)

    stage["alice"].run(start)
    assert published(stage) == before
    stage.act()
    assert published(stage) == before + 1


def test_a_copy_that_proves_old_meanwhile_publishes_nothing_again() -> None:
    """The close waits for its records, and one of them says that the peer is ahead of this store."""
    stage = with_htlc()
    force_close(stage)
    stage.act()
    stage.world.chain.pool.clear()
    before = published(stage)
    slot = stage.slot("alice", "bob")

    def start(m: Manager) -> None:
        m.learn(slot, FundingDisconnected(1))
        chain.rebroadcast(m)
        m.learn(slot, ProvenStale(0))

    stage["alice"].run(start)
    stage.act()
    assert published(stage) == before
    assert not stage.m("alice").faults


def test_both_ends_say_how_it_was_closed() -> None:
    """The one that closed knows why; the other sees whose commitment it was."""
    stage = with_htlc()
    force_close(stage)
    stage.act()
    stage.mine()
    spends = [spend_of(stage.m(name), stage.slot(name, peer)) for name, peer in (("alice", "bob"), ("bob", "alice"))]
    assert [None if spend is None else spend.kind for spend in spends] == [SpendKind.LOCAL, SpendKind.REMOTE]
    assert not any(spend is not None and is_alarming(spend) for spend in spends)
    stage.mine(6)
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is Closed
    assert [one.reason for one in stage.told("alice", ev.ChannelClosed)] == ["closed by the user"]
    assert [one.reason for one in stage.told("bob", ev.ChannelClosed)] == ["the peer published its commitment"]


@pytest.mark.parametrize("is_agreed", [False, True])
def test_a_theft_is_told_whatever_was_agreed_before(is_agreed: bool) -> None:
    """A revoked commitment after an agreed close, or without one: the user is told, and it is an alarm."""
    stage = Stage(topologies.direct())
    stolen = commitment(stage).commitment.transaction()  # the chain here asks for no signatures
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    if is_agreed:
        user.close_channel(stage["alice"], stage.slot("alice", "bob"))
        stage.rest()
        stage.world.chain.pool.clear()
    stage.world.broadcast(stolen, "theft")
    stage.mine()
    for name, peer, kind in (("bob", "alice", SpendKind.REMOTE_REVOKED), ("alice", "bob", SpendKind.LOCAL_REVOKED)):
        assert type(stage.slot(name, peer).state) is Spent
        spend = spend_of(stage.m(name), stage.slot(name, peer))
        assert spend is not None
        assert spend.kind is kind
        assert is_alarming(spend)
        said = [one.level for one in stage[name].reports if txid_to_hex(spend.txid) in one.text]
        assert said == ["error"]
    stage.mine(6)
    stage.rest()
    assert [one.reason for one in stage.told("bob", ev.ChannelClosed)] == ["the peer published a revoked commitment"]


class Broke(PeerViolation):
    """A violation after which a channel cannot go on."""

    reaction = Reaction.FAIL_CHANNEL


def judged(stage: Stage, answer: Callable[[CloseRequest], bool]) -> list[CloseRequest]:
    """Let alice's user judge closes; what was asked."""
    asked: list[CloseRequest] = []

    def hook(request: CloseRequest, /) -> bool:
        asked.append(request)
        return answer(request)

    m = stage.m("alice")
    m.config = msgspec.structs.replace(m.config, close_hook=hook)
    return asked


def fail_by_error(stage: Stage) -> None:
    """Bob gives the channel up."""
    slot = stage.slot("alice", "bob")
    stage["alice"].runtime.on_messages(
        stage.world.end_of("alice", "bob"), [encode(ErrorMessage(slot.channel_id, b"go away"))]
    )


def fail_by_violation(stage: Stage) -> None:
    """Bob breaks the protocol."""
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: m.on_violation(slot, slot.peer, Broke("it broke the protocol")))


FAILURES: dict[str, tuple[Callable[[Stage], None], CloseCause, str]] = {
    "error": (fail_by_error, CloseCause.PEER, "the peer failed the channel: go away"),
    "violation": (fail_by_violation, CloseCause.VIOLATION, "it broke the protocol"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_hook_is_asked_before_a_failed_channel_is_closed(name: str) -> None:
    """It is told what for, and its yes closes."""
    fail, cause, says = FAILURES[name]
    stage = Stage(topologies.direct())
    asked = judged(stage, allow_close)
    slot = stage.slot("alice", "bob")
    fail(stage)
    assert asked == [CloseRequest(slot.channel_id, slot.peer, cause, says)]
    assert type(slot.state) is ForceClosing


@pytest.mark.parametrize("name", FAILURES)
def test_a_channel_that_the_hook_keeps_loses_its_connection_and_nothing_else(name: str) -> None:
    """An alarm says so; the peer is warned, and may come back."""
    fail, _cause, says = FAILURES[name]
    stage = Stage(topologies.direct())
    judged(stage, never_close)
    slot = stage.slot("alice", "bob")
    fail(stage)
    assert type(slot.state) is Normal
    stage.world.settle()
    assert slot.peer not in stage.m("alice").peers
    [alarm] = [one for one in stage["alice"].reports if one.level == "error"]
    assert "is kept" in alarm.text
    assert says in alarm.text
    stage["alice"].reports.clear()
    stage.check()
    assert type(slot.state) is Normal


def test_a_hook_that_fails_keeps_the_channel() -> None:
    """A close cannot be taken back; a bug of the user's own halts nothing."""
    stage = Stage(topologies.direct())
    judged(stage, lambda _request: bool(1 // 0))
    fail_by_violation(stage)
    slot = stage.slot("alice", "bob")
    assert type(slot.state) is Normal
    assert not slot.halted
    assert "ZeroDivisionError" in stage.m("alice").faults[0]


def test_the_hook_is_not_asked_about_the_users_own_wish_nor_about_what_is_closing() -> None:
    """It is the user who says what the hook says; what is on its way cannot be kept."""
    stage = Stage(topologies.direct())
    asked = judged(stage, never_close)
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=False))
    assert type(slot.state) is ForceClosing
    fail_by_violation(stage)
    assert not asked
