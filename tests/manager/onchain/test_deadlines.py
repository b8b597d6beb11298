"""Channels close at the height at which an HTLC needs the chain, not a block earlier, and never for nothing."""

import time
from functools import cache

import msgspec
import pytest

from leyden.channel import negotiating
from leyden.channel.inputs import ForceClose
from leyden.channel.states import ForceClosing, Negotiating, Normal, Spent
from leyden.journal.records import OnchainResolved, ProvenStale
from leyden.manager import claiming, handoff
from leyden.manager.config import CloseCause, CloseRequest
from leyden.manager.onchain import deadlines
from leyden.payments import outcome as why
from leyden.sim import user
from leyden.sim.world import World
from leyden.sphinx.failures import FailureCode
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.manager.stage import Stage
from tests.sim import topologies

KINDS = pytest.mark.parametrize("kind_name", ["anchors", "static_remotekey"])
GRACE = 2
CLAIM = 18
FAIL_BACK = 3
DUST_MSAT = 200_000
PATIENT_SECONDS = 10_000_000


@cache
def direct(kind_name: str = "anchors") -> World:
    """alice - bob, whose user is asked."""
    channel_type = ChannelType(CommitmentFormat[kind_name.upper()], scid_alias=False, zeroconf=False)
    return topologies.make([("alice", "bob")], "bob", channel_type)


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


@KINDS
def test_an_htlc_that_we_offered_closes_the_channel_two_blocks_after_its_expiry(kind_name: str) -> None:
    """The peer should have failed it; one block earlier it still may."""
    stage = held(direct(kind_name))
    expiry = sent(stage)
    part(stage, "alice", "bob")
    mine_to(stage, expiry + GRACE - 1)
    assert kind(stage, "alice", "bob") is Normal
    mine_to(stage, expiry + GRACE)
    assert kind(stage, "alice", "bob") in (ForceClosing, Spent)
    assert reason(stage, "alice", "bob") == f"HTLC 0 to the peer expired at height {expiry} and is not removed"
    assert kind(stage, "bob", "alice") is Normal, "bob has nothing to lose"


@KINDS
def test_a_fulfilled_htlc_closes_the_channel_while_it_can_still_be_claimed(kind_name: str) -> None:
    """18 blocks before its expiry, when the peer has not taken the fulfil."""
    stage = held(direct(kind_name))
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


@KINDS
def test_dust_that_we_offered_closes_nothing(kind_name: str) -> None:
    """It has no output, so the chain has nothing to give for it; it is settled when the peer is back."""
    stage = held(direct(kind_name), amount_msat=DUST_MSAT)
    part(stage, "alice", "bob")
    mine_to(stage, sent(stage) + 10)
    assert not reason(stage, "alice", "bob")
    join(stage, "alice", "bob")
    stage.rest()
    assert not stage.slot("alice", "bob").state.core.outbound


@KINDS
def test_dust_that_was_fulfilled_closes_nothing(kind_name: str) -> None:
    """As little is there to be claimed; the peer that comes back late takes the fulfil all the same."""
    stage = held(direct(kind_name), amount_msat=DUST_MSAT)
    expiry = sent(stage)
    part(stage, "alice", "bob")
    claim(stage)
    mine_to(stage, expiry + 10)
    assert not reason(stage, "bob", "alice")
    join(stage, "alice", "bob")
    stage.check()
    assert stage.payment("alice").sent is not None


def test_an_htlc_that_came_after_the_first_look_is_seen() -> None:
    """What is remembered of an earlier block is good for the records of that block alone."""
    stage = Stage(direct())
    stage.prompt("bob", "")
    stage.mine()
    assert stage.slot("alice", "bob").deadline_bound[1] == deadlines.LONG_EXPIRY
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=PATIENT_SECONDS)
    stage.seconds(3)
    part(stage, "alice", "bob")
    mine_to(stage, sent(stage) + GRACE)
    assert reason(stage, "alice", "bob")


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


def test_a_claim_that_waits_for_another_part_closes_nothing() -> None:
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


def test_a_store_that_hangs_closes_nothing() -> None:
    """The fulfil has not left, so the peer is not at fault; once it could, a block later is late (invariant S10)."""
    stage = held(direct())
    expiry = sent(stage)
    slot = stage.slot("bob", "alice")
    stage["bob"].disk.held[slot.tail.journal] = None
    claim(stage)
    mine_to(stage, expiry - CLAIM + 3)
    assert slot.state.core.inbound[0].preimage
    assert not reason(stage, "bob", "alice")
    part(stage, "alice", "bob")
    stage["bob"].disk.held.clear()
    stage.act()
    assert not reason(stage, "bob", "alice")
    stage.mine()
    assert "is fulfilled and not removed" in reason(stage, "bob", "alice")


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


# --- cooperative closes ----------------------------------------------------------------------------------------------


def without_agreement(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A cooperative close in which the opener pays little and the other wants much."""
    bounds = {True: (300, 200, 400), False: (900, 800, 1_000)}
    monkeypatch.setattr(negotiating, "_fee_bounds", lambda state, _env: bounds[state.core.opened.is_opener])
    stage = Stage(topologies.direct())
    user.close_channel(stage["alice"], stage.slot("alice", "bob"))
    stage.act()
    assert (kind(stage, "alice", "bob"), kind(stage, "bob", "alice")) == (Negotiating, Negotiating)
    return stage


def test_closing_fees_that_never_meet_end_in_a_forced_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """After twelve blocks that came while both were connected."""
    stage = without_agreement(monkeypatch)
    stage.mine(5)
    part(stage, "alice", "bob")
    stage.mine(20)
    join(stage, "alice", "bob")
    stage.mine(6)
    assert (kind(stage, "alice", "bob"), kind(stage, "bob", "alice")) == (Negotiating, Negotiating)
    stage.mine()
    assert reason(stage, "alice", "bob") == "no closing fee is acceptable to both"
    stage.mine()
    assert kind(stage, "alice", "bob") is Spent


def test_the_hook_is_asked_when_closing_fees_never_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No money is at stake, so whoever never closes on its own waits on."""
    stage = without_agreement(monkeypatch)
    asked = [asked_about(stage, name, allows=False) for name in ("alice", "bob")]
    stage.mine(12)
    assert [[one.cause for one in seen] for seen in asked] == [[CloseCause.NEGOTIATION], [CloseCause.NEGOTIATION]]
    assert not reason(stage, "alice", "bob")


# --- failing upstream ------------------------------------------------------------------------------------------------


def inbound_expiry(stage: Stage) -> int:
    """Expiry of the HTLC of alice's that bob has forwarded."""
    [htlc] = stage.slot("bob", "alice").state.core.inbound.values()
    return htlc.add.cltv_expiry


def stuck(*, amount_msat: int = 50_000_000, closes: bool = True) -> Stage:
    """A payment over bob whose HTLC to carol, who is gone, the chain does not resolve."""
    stage = held(topologies.line("carol"), "carol", amount_msat)
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


@pytest.mark.parametrize("is_dust", [False, True], ids=["closing", "dust in a live channel"])
def test_what_the_chain_leaves_open_is_failed_in_time(is_dust: bool) -> None:
    """Three blocks before the inbound HTLC expires, not earlier; the channel with alice goes on."""
    stage = stuck(amount_msat=DUST_MSAT if is_dust else 50_000_000, closes=not is_dust)
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


def test_a_failure_in_time_survives_a_crash_before_and_after_its_record() -> None:
    """It is one record: lost it is decided again, durable it is sent again."""
    for keeps in (False, True):
        stage = stuck()
        mine_to(stage, inbound_expiry(stage) - FAIL_BACK - 1)
        inbound = stage.slot("bob", "alice")
        stage["bob"].disk.held[inbound.tail.journal] = None
        stage.mine()
        assert inbound.state.core.inbound[0].failure is not None
        stage.world.restart("bob", stage["bob"].disk.under_way() if keeps else {})
        stage["bob"].disk.held.clear()
        stage.act()
        assert failed(stage) is keeps
        stage.mine()
        assert failed(stage)
        stage.mine(10)
        assert kind(stage, "alice", "bob") is Normal


def resolve(stage: Stage, name: str, peer: str, *, preimage: bytes = b"", acts: bool = True) -> None:
    """The chain has decided on HTLC 0 to the peer. acts: its outcome is handed on once it is durable."""
    slot = stage.slot(name, peer)
    record = OnchainResolved([(0, preimage)] if preimage else [], [] if preimage else [0], [])
    stage[name].run(lambda m: m.learn(slot, record))
    if acts:
        stage.act()
        stage[name].run(lambda m: handoff.on_outcomes(m, slot, (0,)))
        stage.act()


def preimage_of(stage: Stage) -> bytes:
    """The preimage of carol's invoice, which waits for her answer."""
    [claimable] = stage.m("carol").claimables.values()
    return claimable.preimage


def carried_on() -> tuple[Stage, bytes]:
    """As `stuck`, and the preimage that carol has."""
    stage = held(topologies.line("carol"), "carol")
    preimage = preimage_of(stage)
    part(stage, "bob", "carol")
    stage.world.crash("carol")
    slot = stage.slot("bob", "carol")
    stage["bob"].run(lambda m: m.guarded(slot, ForceClose("closed by the user")))
    stage.act()
    return stage, preimage


def test_what_has_its_preimage_is_never_failed() -> None:
    """It came with the very block, and its record is not durable yet."""
    stage, preimage = carried_on()
    mine_to(stage, inbound_expiry(stage) - FAIL_BACK - 1)
    outbound = stage.slot("bob", "carol")
    stage["bob"].disk.held[outbound.tail.journal] = None
    resolve(stage, "bob", "carol", preimage=preimage, acts=False)
    stage.mine()
    assert not stage.slot("bob", "alice").state.core.inbound[0].decided()
    stage["bob"].disk.held.clear()
    stage.act()
    stage["bob"].run(lambda m: handoff.on_outcomes(m, outbound, (0,)))
    stage.seconds(3)
    assert stage.payment("alice").sent is not None


def test_a_preimage_that_comes_before_the_failure_is_signed_wins() -> None:
    """Alice is away, so she has not been told that it failed (invariant S15)."""
    stage, preimage = carried_on()
    mine_to(stage, inbound_expiry(stage) - FAIL_BACK - 1)
    part(stage, "alice", "bob")
    stage.mine()
    assert stage.slot("bob", "alice").state.core.inbound[0].failure is not None
    resolve(stage, "bob", "carol", preimage=preimage)
    join(stage, "alice", "bob")
    stage.seconds(3)
    assert stage.payment("alice").sent is not None
    assert not [one for one in stage["bob"].reports if "it is lost" in one.text]


def test_a_preimage_that_comes_after_the_failure_is_a_loss_that_is_said() -> None:
    """As large as that HTLC; nothing else is touched by it."""
    stage, preimage = carried_on()
    mine_to(stage, inbound_expiry(stage) - FAIL_BACK)
    assert failed(stage)
    resolve(stage, "bob", "carol", preimage=preimage)
    stage.seconds(3)
    assert [one.text for one in stage["bob"].reports if "it is lost" in one.text]
    assert not stage.slot("bob", "carol").state.core.outcomes, "acknowledged all the same"
    assert kind(stage, "bob", "alice") is Normal
    assert not stage.m("bob").failed_early


def test_an_outcome_after_the_failure_is_acknowledged() -> None:
    """It finds the HTLC decided, or gone."""
    stage = stuck()
    mine_to(stage, inbound_expiry(stage) - FAIL_BACK)
    number = stage.slot("bob", "alice").state.core.remote.number
    resolve(stage, "bob", "carol")
    stage.seconds(3)
    assert not stage.slot("bob", "carol").state.core.outcomes
    assert not stage.m("bob").forwards
    assert stage.slot("bob", "alice").state.core.remote.number == number, "nothing more is said to alice"


def test_a_source_that_another_channel_carries_too_is_not_failed() -> None:
    """A failure counts when it is the last (invariant S15)."""
    stage = stuck()
    key = (stage.slot("bob", "alice").channel_id, 0)
    stage.m("bob").also_carried[key] = [bytes(32)]
    mine_to(stage, inbound_expiry(stage) - 1)
    assert not failed(stage)
    stage.m("bob").also_carried[key] = [stage.slot("bob", "carol").channel_id]
    stage.mine()
    assert failed(stage)


def test_nothing_is_failed_in_a_channel_that_is_itself_on_its_way_to_the_chain() -> None:
    """There is no peer to tell, and no close to avoid."""
    stage = stuck()
    slot = stage.slot("bob", "alice")
    stage["bob"].run(lambda m: m.guarded(slot, ForceClose("closed by the user")))
    stage.act()
    mine_to(stage, inbound_expiry(stage) + 5)
    assert not stage.slot("bob", "alice").state.core.inbound[0].decided()


def test_own_payments_wait_for_the_chain() -> None:
    """Nobody upstream closes; told as failed, the payment could be made again while it is still paid."""
    stage = held(direct())
    expiry = sent(stage)
    part(stage, "alice", "bob")
    mine_to(stage, expiry + 100)
    assert stage.payment("alice").is_live
    assert len(stage.payment("alice").parts) == 1


def test_an_own_part_that_the_chain_gave_back_says_so() -> None:
    """No node on the way has sent a failure, so there is nothing to read."""
    stage = held(direct())
    part(stage, "alice", "bob")
    mine_to(stage, sent(stage) + GRACE)
    stage.world.clock.now_seconds += PATIENT_SECONDS
    resolve(stage, "alice", "bob")
    assert stage.failure("alice") == (why.ONCHAIN_TIMEOUT, FailureCode.PERMANENT_CHANNEL_FAILURE, -1)
    assert why.ONCHAIN_TIMEOUT in why.ADVICE


def test_a_forward_that_the_chain_decided_against_fails_in_our_name() -> None:
    """The payer learns that it is our channel that is gone."""
    stage = stuck()
    resolve(stage, "bob", "carol")
    stage.seconds(3)
    assert failed(stage)
    last = stage.payment("alice").last_failure
    assert last is not None
    assert (last.hop, last.code) == (0, FailureCode.PERMANENT_CHANNEL_FAILURE.value)
