"""The end of a journal: when it may go, and that it goes whole, at any crash (invariant P26; H82, H83, H91, H98)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from leyden.base.errors import StorageUnavailable
from leyden.bitcoin.tx import Transaction
from leyden.channel.core import ForwardEvent, Outcome
from leyden.channel.htlc import inbound_htlc, outbound_htlc
from leyden.channel.states import Closed
from leyden.crypto.hashes import sha256
from leyden.drivers.chain.memory import InvalidBlock
from leyden.journal.node_records import PeerStorageKept
from leyden.journal.records import (
    AddedHtlc,
    Claim,
    ClaimPart,
    FundingSpent,
    HtlcSource,
    HtlcsShown,
    RemovedHtlc,
)
from leyden.manager import archive, closes
from leyden.manager import events as ev
from leyden.manager.state import Slot
from leyden.monitor.resolution import IRREVOCABLE_BLOCKS
from leyden.payments.outbound import Part
from leyden.sim import user
from leyden.sim.oracles import check_rest
from leyden.sim.scenario import combinations
from leyden.sim.world import World
from tests.manager.onchain import scenes
from tests.manager.stage import Stage
from tests.sim import topologies

DEPTH = IRREVOCABLE_BLOCKS
NEVER_BLOCKS = 150


def journals(stage: Stage, name: str) -> list[str]:
    """The channels' journals on a node's disk."""
    return [one.journal for one in stage[name].disk.journals() if one.journal != "node"]


def closed(base: World, *, depth: int, name: str = "alice", peer: str = "bob") -> tuple[Stage, Slot]:
    """A channel that both closed, its closing transaction that deep; all that was told is acknowledged."""
    stage = Stage(base)
    slot = stage.slot(name, peer)
    stage.world.closes_asked[slot.channel_id] = True
    user.close_channel(stage[name], slot)
    stage.act()
    stage.mine(10)
    assert type(slot.state) is Closed
    stage.seconds(2)
    stage.mine(depth - 10)
    return stage, slot


def test_journal_goes_when_the_close_is_irrevocable() -> None:
    """At both ends, at the hundredth block and not before; what it paid is the wallet's."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    name = slot.tail.journal
    assert journals(stage, "alice") == journals(stage, "bob") == [name]
    assert name in stage.m("alice").outbox.tails
    stage.mine()
    for node in ("alice", "bob"):
        assert journals(stage, node) == []
        assert not stage.m(node).channels
        assert list(stage.m(node).node.archived) == [name]
        assert not stage.m(node).watched
        assert name not in stage.m(node).outbox.tails
    stage.check()
    for node in ("alice", "bob"):
        stage.world.restart(node)
        assert not stage.m(node).channels
    stage.check()


def test_peer_that_still_has_it_is_told_that_it_is_unknown() -> None:
    """One end may be later than the other; nothing comes of it."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    stage.prompt("bob", "", acknowledges=False)
    stage.world.restart("bob")
    stage.m("bob").halt(stage.slot("bob", "alice"), object(), ValueError("keeps it"))
    stage.mine()
    assert journals(stage, "alice") == []
    assert journals(stage, "bob") == [slot.tail.journal]
    stage.world.restart("bob")
    stage.rest()
    assert journals(stage, "bob") == [slot.tail.journal], "it waits for the next block"
    stage.mine()
    assert journals(stage, "bob") == []
    stage["bob"].reports.clear()
    stage.check()


def test_event_that_nobody_acknowledged_keeps_it() -> None:
    """In every life, until it is (H98)."""
    stage = Stage(topologies.direct())
    prompt = stage.prompt("alice", "", acknowledges=False)
    slot = stage.slot("alice", "bob")
    user.close_channel(stage["alice"], slot)
    stage.act()
    stage.mine(DEPTH + 5)
    stage.world.restart("alice")
    stage.mine(5)
    assert journals(stage, "alice") == [slot.tail.journal]
    [event] = stage.m("alice").events.values()
    assert isinstance(event, ev.ChannelClosed)
    prompt.acknowledges = True
    stage["alice"].run(lambda m: prompt.on_event(m, event))
    stage.seconds(2)
    stage.mine()
    assert journals(stage, "alice") == []


@pytest.mark.parametrize("forced_by", ["alice", "bob"])
def test_output_that_is_ours_keeps_it_until_it_is_swept_for_good(forced_by: str) -> None:
    """Our own commitment and the peer's both leave us something that only this journal can claim."""
    stage = Stage(topologies.direct())
    peer = {"alice": "bob", "bob": "alice"}[forced_by]
    slot = stage.slot(forced_by, peer)
    stage[forced_by].run(lambda m: closes.force_by_user(m, slot, without_peer=False))
    stage.act()
    stage.mine(10)
    stage.seconds(2)
    stage.mine(DEPTH)
    assert len(journals(stage, forced_by)) == 1, "to_local waits for its delay"
    stage.mine(60)
    stage.seconds(2)
    stage.mine(NEVER_BLOCKS)
    for name in ("alice", "bob"):
        assert not journals(stage, name)


def test_forced_close_that_leaves_us_nothing_is_resolved() -> None:
    """The accepter never had a satoshi in it: nothing is left to do here, while the opener keeps its journal."""
    stage = Stage(topologies.direct())
    user.open_channel(stage["alice"], stage["bob"], 100_000, 0)
    stage.rest()
    stage.mine(6)
    stage.rest()
    slot = stage.slot("alice", "bob", 1)
    stage["alice"].run(lambda m: closes.force_by_user(m, slot, without_peer=False))
    stage.act()
    stage.mine(10)
    stage.seconds(2)
    stage.mine(DEPTH)
    assert slot.tail.journal in journals(stage, "alice")
    assert slot.tail.journal not in journals(stage, "bob")
    assert len(journals(stage, "bob")) == 1


def test_spend_that_is_not_understood_keeps_it() -> None:
    """Something of it may be ours."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    core = slot.state.core
    assert core.spent is not None
    spent = Transaction.parse(core.spent.transaction)
    outputs = tuple([msgspec.structs.replace(one, script_pubkey=b"\x00\x14" + bytes(20)) for one in spent.outputs])
    other = msgspec.structs.replace(spent, outputs=outputs)
    core.spent = FundingSpent(other.serialize(), core.spent.height, core.spent.block_hash)
    core.close_agreed = None
    stage.mine(20)
    assert not archive.may_go(stage.m("alice"), slot)
    assert journals(stage, "alice") == [slot.tail.journal]


def test_journal_stays_while_it_holds_a_blob_of_the_peer() -> None:
    """The blob lives as long as a channel counts for it; another channel with the peer is enough."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    bob = stage["bob"].node_id
    stage["alice"].run(lambda m: m.record(PeerStorageKept(bob, b"blob")))
    stage.mine(3)
    assert journals(stage, "alice") == [slot.tail.journal]
    assert stage.m("alice").node.storage == {bob: b"blob"}
    stage["alice"].run(lambda m: m.record(PeerStorageKept(bob, b"")))
    stage.m("alice").storage_waiting[bob] = b"another"
    stage.mine()
    assert journals(stage, "alice") == [slot.tail.journal]
    stage.m("alice").storage_waiting.clear()
    stage.mine()
    assert journals(stage, "alice") == []
    stage, slot = closed(topologies.double(), depth=DEPTH - 1)
    stage["alice"].run(lambda m: m.record(PeerStorageKept(bob, b"blob")))
    stage.mine()
    assert slot.tail.journal not in journals(stage, "alice")
    assert stage.m("alice").node.storage == {bob: b"blob"}


# --- who may ask for it ----------------------------------------------------------------------------------------------

REMOVED = RemovedHtlc(9, b"p" * 32, b"", 0, b"")


def _add(channel_id: bytes) -> AddedHtlc:
    return AddedHtlc(9, 1_000, b"h" * 32, 500, bytes(1366), HtlcSource(channel_id, 1, forwarded=True), 0)


def _outcome(channel_id: bytes) -> Outcome:
    return Outcome(9, HtlcSource(channel_id, 1, forwarded=True), 1_000, 0, b"h" * 32, REMOVED)


def _claim(channel_id: bytes) -> Claim:
    return Claim(b"c" * 32, b"h" * 32, b"p" * 32, b"", "keysend", 1_000, [ClaimPart(channel_id, 1, 1_000)], [])


ELSEWHERE: dict[str, Callable[[Any, Any, bytes], None]] = {
    "an HTLC that was forwarded from it": lambda _m, other, x: other.outbound.update({9: outbound_htlc(_add(x), 1)}),
    "an outcome for it": lambda _m, other, x: other.outcomes.update({9: _outcome(x)}),
    "a claim with a part in it": lambda _m, other, x: other.claims.update({b"c" * 32: _claim(x)}),
    "a payment's part in it": lambda m, _other, x: m.node.ledger.payments.update({b"i" * 32: _payment(x)}),
    "a forward into it": lambda m, _other, x: m.forwards.update({(b"z" * 32, 1): x}),
    "a forward out of it": lambda m, _other, x: m.forwards.update({(x, 1): b"z" * 32}),
    "a claim that waits for it": lambda m, _other, x: m.claim_blockers.update({b"c" * 32: {x: None}}),
    "a claim that was told": lambda m, _other, x: m.claim_channels.update({b"c" * 32: [x]}),
}


def _payment(channel_id: bytes) -> Any:
    class Payment(msgspec.Struct):
        parts: dict[int, Part]

    return Payment({0: Part(channel_id, (channel_id, -1), 1, 0, ())})


@pytest.mark.parametrize("what", ELSEWHERE)
def test_nothing_elsewhere_may_name_it(what: str) -> None:
    """Whoever names it may ask for it, and would take silence for an answer."""
    stage, slot = closed(topologies.line(), depth=DEPTH - 1, name="bob", peer="alice")
    m, other = stage.m("bob"), stage.slot("bob", "carol")
    m.set_env(block_height=m.env.block_height + 1)
    assert archive.may_go(m, slot)
    ELSEWHERE[what](m, other.state.core, slot.channel_id)
    assert not archive.may_go(m, slot)


HERE: dict[str, Callable[[Any], None]] = {
    "an inbound HTLC": lambda core: core.inbound.update({9: inbound_htlc(_add(b"x" * 32))}),
    "an outbound HTLC": lambda core: core.outbound.update({9: outbound_htlc(_add(b"x" * 32), 1)}),
    "an outcome": lambda core: core.outcomes.update({9: _outcome(b"x" * 32)}),
    "a claim": lambda core: core.claims.update({b"c" * 32: _claim(b"x" * 32)}),
    "a question": lambda core: core.shown.update(
        {b"s" * 32: HtlcsShown(b"s" * 32, [1], b"h" * 32, b"", "keysend", 1, 500, b"", [])}
    ),
    "a forward to be told": lambda core: core.forward_events.update(
        {"forwarded/x": ForwardEvent("forwarded/x", 1, 2, b"y" * 32, 3, 1)}
    ),
    "an event": lambda core: core.events.update({"channel_ready/x": ["channel_ready"]}),
    "a spend that is not deep": lambda core: setattr(
        core, "spent", msgspec.structs.replace(core.spent, height=core.spent.height + 1)
    ),
}


@pytest.mark.parametrize("what", HERE)
def test_nothing_in_it_may_wait_for_anybody(what: str) -> None:
    """A fact is kept until it was acted on, an HTLC until it is resolved."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    m = stage.m("alice")
    m.set_env(block_height=m.env.block_height + 1)
    assert archive.may_go(m, slot)
    HERE[what](slot.state.core)
    assert not archive.may_go(m, slot)


def test_records_under_way_and_a_halt_keep_it() -> None:
    """What is not durable may be lost, and what a bug has left is to be looked at."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    m = stage.m("alice")
    m.set_env(block_height=m.env.block_height + 1)
    slot.tail.position += 1
    assert not archive.may_go(m, slot)
    slot.tail.position -= 1
    slot.halted = "a bug"
    assert not archive.may_go(m, slot)


def test_late_preimage_is_impossible_when_the_journal_is_gone() -> None:
    """Every output that could show one is spent a hundred blocks deep: no block can take it, in this branch or in any
    that a reorganisation of what may be undone can bring; and until then the journal is there to hear it.
    """
    stage = scenes.forwarded()
    [claimable] = stage.m("carol").claimables.values()
    slot = scenes.close(stage, "bob", "carol")
    scenes.mine_to(stage, scenes.expiry(stage, "bob", "carol") + 1)
    [htlc] = scenes.view(slot).by_htlc[0]
    [spend] = slot.state.core.output_spends
    late = scenes.spend(htlc, witness=(claimable.preimage,))
    scenes.mine_to(stage, spend.height + DEPTH - 2)
    assert slot.tail.journal in journals(stage, "bob")
    scenes.finish(stage)
    assert slot.tail.journal not in journals(stage, "bob")
    chain = stage.world.chain
    with pytest.raises(InvalidBlock):
        chain.mine_block_with([late], scenes.ANYBODY)
    chain.reorganise(DEPTH - 1, 0, scenes.ANYBODY)
    with pytest.raises(InvalidBlock):
        chain.mine_block_with([late], scenes.ANYBODY)


def test_channels_that_carried_for_each_other_both_go() -> None:
    """Each is named as the source of what the other one offered; once both are resolved that is history."""
    stage = Stage(scenes.line())
    for name in ("alice", "carol"):
        stage.prompt(name, "")
    for payer, payee in (("alice", "carol"), ("carol", "alice")):
        asked = stage.invoice(payee, payment_hash=sha256(payer.encode()))
        stage.pay(payer, payee, asked, payer, deadline_seconds=scenes.PATIENT)
    stage.seconds(3)
    for peer in ("alice", "carol"):
        slot = scenes.close(stage, "bob", peer)
        assert slot.state.core.inbound
        assert slot.state.core.outbound
    scenes.finish(stage)
    assert journals(stage, "bob") == []
    assert len(stage.m("bob").node.archived) == 2


def test_funding_that_never_came_goes_when_it_would_bring_us_nothing() -> None:
    """By rule, long after it was given up (H92); with a gift in it we keep looking."""
    stage, slot = closed(topologies.direct(), depth=11)
    m, core = stage.m("alice"), slot.state.core
    core.spent, core.funding, core.closed_height, core.abandoned = None, None, 0, "did not confirm"
    late = core.opened.birth_height + m.config.funding_timeout_blocks + DEPTH
    core.local.local_msat = 0
    for height, may_go in ((late - 1, False), (late, True)):
        m.set_env(block_height=height)
        assert archive.is_resolved(m, slot) is may_go
    core.local.local_msat = 1
    assert not archive.is_resolved(m, slot)


# --- crashes ---------------------------------------------------------------------------------------------------------


def _step(stage: Stage, number: int) -> bool:
    """Take one step of the fair schedule; the block comes first."""
    if number == 0:
        stage.world.mine()
    enabled = stage.world.enabled()
    if enabled:
        stage.world.perform(enabled[0])
    return bool(enabled)


def test_any_crash_around_the_archive_leaves_it_whole() -> None:
    """`JournalArchived` first, then the drop; what a crash leaves of it is dropped at the start, and never lives."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    base, name = stage.world, slot.tail.journal
    under_way: list[dict[str, int]] = [{}]
    number = 0
    while _step(stage, number):
        number += 1
        under_way.append(stage["alice"].disk.under_way())
        is_archived = name in stage["alice"].manager.node.archived
        assert is_archived or name in journals(stage, "alice"), "never gone before it is archived"
    assert any("node" in counts for counts in under_way)
    base, _slot = closed(topologies.direct(), depth=DEPTH - 1)[0].world, None
    for step in range(number + 1):
        for kept in combinations(under_way[step]):
            one = Stage(base)
            one.world.closes_asked = dict(base.closes_asked)
            for taken in range(step):
                _step(one, taken)
            one.world.restart("alice", dict(kept))
            one.act()
            one.mine(2)
            one.seconds(2)
            assert journals(one, "alice") == []
            assert name in one.m("alice").node.archived
            one.world.restart("alice")
            one.rest()
            assert not one.m("alice").channels
            check_rest(one.world, one.books, one.orders)


def test_drop_that_was_interrupted_is_done_at_the_start() -> None:
    """Archived durably, and still on the disk: it goes, and its channel is not started."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    alice = stage["alice"]
    stage.world.mine()
    while slot.tail.journal not in alice.disk.ready():
        stage.world.perform(stage.world.enabled()[0])
    stage.world.restart("alice")
    assert not stage.m("alice").channels
    assert journals(stage, "alice") == [slot.tail.journal]
    stage.act()
    assert journals(stage, "alice") == []


def test_store_that_does_not_drop_is_asked_again_at_the_next_start() -> None:
    """It is no more than room on the disk."""
    stage, slot = closed(topologies.direct(), depth=DEPTH - 1)
    alice = stage["alice"]
    stage.world.mine()
    while slot.tail.journal not in alice.disk.ready():
        stage.world.perform(stage.world.enabled()[0])
    alice.disk.refuse(StorageUnavailable("no space left"))
    stage.act()
    assert any("could not be dropped yet" in one.text for one in alice.reports)
    assert journals(stage, "alice") == [slot.tail.journal]
    stage.world.restart("alice")
    stage.act()
    assert journals(stage, "alice") == []
    stage.check()
