"""Channels close at the height at which an HTLC needs the chain, not a block earlier, and never for nothing."""

import time
from functools import cache

import msgspec
import pytest

from leyden.channel.inputs import ForceClose
from leyden.channel.states import ForceClosing, Normal, Spent
from leyden.journal.records import ProvenStale
from leyden.manager import claiming
from leyden.manager.config import CloseRequest
from leyden.manager.onchain import deadlines
from leyden.sim import user
from leyden.sim.world import World
from leyden.sphinx.failures import FailureCode
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.manager.stage import Stage
from tests.sim import topologies

STATIC_REMOTEKEY = ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=False, zeroconf=False)
GRACE = 2
CLAIM = 18
FAIL_BACK = 3
DUST_MSAT = 200_000
PATIENT_SECONDS = 10_000_000


@cache
def direct(channel_type: ChannelType = user.ANCHORS) -> World:
    """alice - bob, whose user is asked."""
    return topologies.make([("alice", "bob")], "bob", channel_type)


@cache
def line(channel_type: ChannelType = user.ANCHORS) -> World:
    """alice - bob - carol, whose user is asked."""
    return topologies.make([("alice", "bob"), ("bob", "carol")], "carol", channel_type)


def part(stage: Stage, one: str, other: str) -> None:
    """Two nodes cannot reach each other any more."""
    for link in ((one, other), (other, one)):
        if link in stage.world.links:
            stage.world.links[link] = False
    stage.world.cut(one, other)
    stage.act()


def join(stage: Stage, one: str, other: str) -> None:
    """They can again."""
    stage.world.links[(one, other)] = True
    stage.act()


def held(base: World, payee: str = "bob", amount_msat: int = 50_000_000) -> Stage:
    """A payment of alice's that the payee's user has not answered."""
    stage = Stage(base)
    stage.prompt(payee, "")
    stage.pay("alice", payee, stage.invoice(payee, amount_msat), deadline_seconds=PATIENT_SECONDS)
    stage.seconds(3)
    return stage


def claim(stage: Stage, name: str = "bob") -> None:
    """The user takes the payment."""
    question = stage.question(name)
    stage[name].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.act()


def mine_to(stage: Stage, height: int) -> None:
    """Mine until the chain has this height, and let everybody see it."""
    stage.mine(height - stage.m("alice").env.block_height)
    assert stage.m("alice").env.block_height == height


def sent(stage: Stage, name: str = "alice", peer: str = "bob") -> int:
    """Expiry of the one HTLC that `name` offered to `peer`."""
    [htlc] = stage.slot(name, peer).state.core.outbound.values()
    return htlc.add.cltv_expiry


def kind(stage: Stage, name: str, peer: str) -> type:
    """The state of a channel."""
    return type(stage.slot(name, peer).state)


def reason(stage: Stage, name: str, peer: str) -> str:
    """Why a channel was closed by force; empty when it was not."""
    closing = stage.slot(name, peer).state.core.closing
    return "" if closing is None else closing.reason


# --- closing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel_type", [user.ANCHORS, STATIC_REMOTEKEY], ids=["anchors", "static_remotekey"])
def test_an_htlc_that_we_offered_closes_the_channel_two_blocks_after_its_expiry(channel_type: ChannelType) -> None:
    """The peer should have failed it; one block earlier it still may."""
    stage = held(direct(channel_type))
    expiry = sent(stage)
    part(stage, "alice", "bob")
    mine_to(stage, expiry + GRACE - 1)
    assert kind(stage, "alice", "bob") is Normal
    mine_to(stage, expiry + GRACE)
    assert kind(stage, "alice", "bob") in (ForceClosing, Spent)
    assert reason(stage, "alice", "bob") == f"HTLC 0 to the peer expired at height {expiry} and is not removed"
    assert kind(stage, "bob", "alice") is Normal, "bob has nothing to lose"


@pytest.mark.parametrize("channel_type", [user.ANCHORS, STATIC_REMOTEKEY], ids=["anchors", "static_remotekey"])
def test_a_fulfilled_htlc_closes_the_channel_while_it_can_still_be_claimed(channel_type: ChannelType) -> None:
    """18 blocks before its expiry, when the peer has not taken the fulfil."""
    stage = held(direct(channel_type))
    expiry = sent(stage)
    part(stage, "alice", "bob")
    claim(stage)
    mine_to(stage, expiry - CLAIM - 1)
    assert kind(stage, "bob", "alice") is Normal
    mine_to(stage, expiry - CLAIM)
    assert kind(stage, "bob", "alice") in (ForceClosing, Spent)
    fulfilled = f"HTLC 0 of the peer is fulfilled and not removed, and expires at height {expiry}"
    assert reason(stage, "bob", "alice") == fulfilled
    assert not reason(stage, "alice", "bob")


@pytest.mark.parametrize("channel_type", [user.ANCHORS, STATIC_REMOTEKEY], ids=["anchors", "static_remotekey"])
@pytest.mark.parametrize("is_claimed", [False, True], ids=["offered", "fulfilled"])
def test_dust_never_closes_a_channel(channel_type: ChannelType, is_claimed: bool) -> None:
    """It has no output, so the chain has nothing to give for it."""
    stage = held(direct(channel_type), amount_msat=DUST_MSAT)
    expiry = sent(stage)
    part(stage, "alice", "bob")
    if is_claimed:
        claim(stage)
    mine_to(stage, expiry + 10)
    assert (kind(stage, "alice", "bob"), kind(stage, "bob", "alice")) == (Normal, Normal)
    join(stage, "alice", "bob")
    stage.rest()
    assert not stage.slot("alice", "bob").state.core.outbound, "and it is settled when the peer is back"


def test_an_htlc_that_is_not_fulfilled_closes_nothing_at_its_receiver() -> None:
    """Who has no preimage has nothing to claim; that it failed costs the sender a close at most."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    mine_to(stage, expiry + GRACE - 1)
    assert stage.slot("bob", "alice").state.core.inbound[0].failure is not None
    mine_to(stage, expiry + 10)
    assert not reason(stage, "bob", "alice")


def test_settled_htlcs_close_nothing() -> None:
    """The height passes over what is gone."""
    stage = held(direct())
    expiry = sent(stage)
    claim(stage)
    mine_to(stage, expiry + 10)
    stage.check()
    assert kind(stage, "alice", "bob") is Normal


def test_a_claim_that_waits_for_another_part_does_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all parts have it the preimage may be in no transaction (invariant P11): a close would bring nothing."""
    stage = Stage(topologies.diamond("dave"))
    stage.prompt("dave", "")
    stage.pay("alice", "dave", stage.invoice("dave", 600_000_000), deadline_seconds=PATIENT_SECONDS)
    stage.seconds(5)
    expiry = min(sent(stage, one, "dave") for one in ("bob", "carol"))
    stage["dave"].disk.held[stage.slot("dave", "carol").tail.journal] = None
    claim(stage, "dave")
    assert stage.slot("dave", "bob").state.core.inbound[0].preimage
    mine_to(stage, expiry - CLAIM // 2 - 1)
    assert (kind(stage, "dave", "bob"), kind(stage, "dave", "carol")) == (Normal, Normal)
    assert not reason(stage, "dave", "bob")
    part(stage, "bob", "dave")
    stage["dave"].disk.held.clear()
    monkeypatch.setattr(claiming, "_abandon_if_late", lambda _m, _claim_id: None)
    stage.act()
    stage.mine()
    assert "is fulfilled and not removed" in reason(stage, "dave", "bob")


def test_an_old_copy_that_is_known_to_be_old_does_not_close() -> None:
    """Its commitment may be a revoked one."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    slot = stage.slot("alice", "bob")
    stage["alice"].run(lambda m: m.learn(slot, ProvenStale(0)))
    mine_to(stage, expiry + 20)
    assert not reason(stage, "alice", "bob")
    assert not slot.halted


def test_a_peer_that_was_not_heard_in_this_life_is_waited_for_two_blocks() -> None:
    """It may be able to say that our data are an old copy; for ever it cannot hold what is due."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    stage.world.restart("alice")
    mine_to(stage, expiry + GRACE + deadlines.HEARING_BLOCKS - 1)
    assert kind(stage, "alice", "bob") is Normal
    assert any("waits for channel_reestablish" in one.text for one in stage["alice"].reports)
    stage.mine()
    assert reason(stage, "alice", "bob")


def test_a_peer_that_comes_back_in_time_saves_the_channel() -> None:
    """What it owes it brings with it."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    stage.world.restart("alice")
    mine_to(stage, expiry + GRACE)
    join(stage, "alice", "bob")
    stage.mine(5)
    stage.check()
    assert kind(stage, "alice", "bob") is Normal


def test_a_preimage_that_gets_late_waits_for_nobody() -> None:
    """Twelve blocks before the expiry a claim has to be on its way, heard or not."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    claim(stage)
    mine_to(stage, expiry - CLAIM - 1)
    stage.world.crash("bob")
    mine_to(stage, expiry - deadlines.CLAIM_BLOCKS - 1)
    stage["bob"].start()
    stage.act()
    assert not reason(stage, "bob", "alice"), "decided at a block alone"
    stage.mine()
    assert reason(stage, "bob", "alice")


def test_nothing_closes_on_a_height_that_is_not_the_tips() -> None:
    """Blocks that were missed may hold the answer (invariant P16)."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    m, slot = stage.m("alice"), stage.slot("alice", "bob")
    m.is_started = False
    mine_to(stage, expiry + 10)
    assert not reason(stage, "alice", "bob")
    m.is_started = True
    deadlines.on_block(m)
    assert slot.state.core.closing is not None


def test_a_halted_channel_is_left_alone() -> None:
    """It writes nothing in this life."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    stage.slot("alice", "bob").halted = "a bug"
    mine_to(stage, expiry + 10)
    assert not reason(stage, "alice", "bob")
    assert not stage.m("alice").faults


def test_a_close_in_time_survives_a_crash_before_and_after_its_record() -> None:
    """Lost, it is decided again; durable, it is carried out."""
    for keeps in (False, True):
        stage = held(direct())
        expiry = sent(stage)
        part(stage, "alice", "bob")
        mine_to(stage, expiry + GRACE - 1)
        stage["alice"].disk.held[stage.slot("alice", "bob").tail.journal] = None
        stage.mine()
        assert kind(stage, "alice", "bob") is ForceClosing
        stage.world.restart("alice", stage["alice"].disk.under_way() if keeps else {})
        stage.act()
        assert bool(reason(stage, "alice", "bob")) is keeps
        stage.mine(1 + deadlines.HEARING_BLOCKS)
        assert kind(stage, "alice", "bob") in (ForceClosing, Spent)


def test_a_thousand_quiet_channels_cost_a_block_little() -> None:
    """Only HTLCs are looked at, and only when one may be due."""
    stage = held(direct())
    m, slot = stage.m("alice"), stage.slot("alice", "bob")
    assert m.env.block_height < deadlines._bound(m, slot)
    for number in range(1000):
        m.channels[number.to_bytes(32, "big")] = slot
    deadlines.on_block(m)
    began = time.perf_counter()
    deadlines.on_block(m)
    assert time.perf_counter() - began < 0.02


# --- the policy ------------------------------------------------------------------------------------------------------


def asked_about(stage: Stage, name: str, *, allows: bool) -> list[CloseRequest]:
    """Let a node's user judge closes; what was asked."""
    asked: list[CloseRequest] = []

    def hook(request: CloseRequest, /) -> bool:
        asked.append(request)
        return allows

    m = stage.m(name)
    m.config = msgspec.structs.replace(m.config, close_hook=hook)
    return asked


def test_the_hook_is_not_asked_when_a_deadline_closes() -> None:
    """Whoever never closes on its own still keeps its money."""
    stage = held(direct())
    expiry = sent(stage)
    asked = asked_about(stage, "alice", allows=False)
    part(stage, "alice", "bob")
    mine_to(stage, expiry + GRACE)
    assert reason(stage, "alice", "bob")
    assert not asked


# --- failing upstream ------------------------------------------------------------------------------------------------


def inbound_expiry(stage: Stage) -> int:
    """Expiry of the HTLC of alice's that bob has forwarded."""
    [htlc] = stage.slot("bob", "alice").state.core.inbound.values()
    return htlc.add.cltv_expiry


def stuck(*, amount_msat: int = 50_000_000, closes: bool = True) -> Stage:
    """A payment over bob whose HTLC to carol, who is gone, the chain does not resolve."""
    stage = held(line(), "carol", amount_msat)
    part(stage, "bob", "carol")
    stage.world.crash("carol")
    if closes:
        slot = stage.slot("bob", "carol")
        stage["bob"].run(lambda m: m.guarded(slot, ForceClose("closed by the user")))
        stage.act()
    return stage


def failed(stage: Stage) -> bool:
    """Whether bob has failed alice's HTLC."""
    return not stage.slot("bob", "alice").state.core.inbound


@pytest.mark.parametrize("amount_msat", [50_000_000, DUST_MSAT], ids=["closing", "dust in a live channel"])
def test_what_the_chain_leaves_open_is_failed_before_the_peer_upstream_closes(amount_msat: int) -> None:
    """Three blocks before the inbound HTLC expires, not earlier; the channel with alice goes on."""
    stage = stuck(amount_msat=amount_msat, closes=amount_msat != DUST_MSAT)
    expiry = inbound_expiry(stage)
    mine_to(stage, expiry - FAIL_BACK - 1)
    assert not failed(stage)
    assert not stage.slot("bob", "alice").state.core.inbound[0].decided()
    stage.mine()
    assert failed(stage)
    stage.seconds(3)
    assert any("that is our loss" in one.text for one in stage["bob"].reports)
    stage.mine(20)
    assert (kind(stage, "alice", "bob"), kind(stage, "bob", "alice")) == (Normal, Normal)
    payment = stage.payment("alice")
    assert payment.last_failure is not None
    assert payment.last_failure.code == FailureCode.PERMANENT_CHANNEL_FAILURE.value
