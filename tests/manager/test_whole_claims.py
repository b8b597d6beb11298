"""A claim that was durable in all its parts is never given up, and `node` knows of it as long as a channel does.

Both losses were found by `models/claim_journals.py`.
"""

import pytest

from leyden.channel.inputs import ForceClose
from leyden.manager import claiming, handoff
from leyden.manager import events as ev
from leyden.manager.state import Slot
from tests.manager.stage import Stage
from tests.manager.test_claiming import TWO_PARTS_MSAT
from tests.sim import topologies

DAY_SECONDS = 86_400
FORGET_EVERY_SECONDS = 600


def claimed_with_carol_away() -> tuple[Stage, Slot, int]:
    """A payment of two parts that dave has claimed; the part over carol cannot be settled yet.

    Returns the stage, dave's channel with carol, and the expiry of the parts.
    """
    stage = Stage(topologies.diamond("dave"))
    stage.prompt("dave", "", acknowledges=False)
    stage.pay("alice", "dave", stage.invoice("dave", TWO_PARTS_MSAT), deadline_seconds=100_000)
    stage.seconds(5)
    question = stage.question("dave")
    expiry = question.deadline_height + stage.m("dave").config.claim_deadline_blocks
    for one, other in (("carol", "dave"), ("dave", "carol")):
        stage.world.links[(one, other)] = False
    stage.world.cut("carol", "dave")
    stage["dave"].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.seconds(3)
    assert stage.payment("alice").sent is not None, "the fulfil over bob has left"
    return stage, stage.slot("dave", "carol"), expiry


@pytest.mark.parametrize("closes", [False, True], ids=["quiet", "closed meanwhile"])
def test_a_claim_that_was_whole_before_a_crash_is_never_abandoned(closes: bool) -> None:
    """The payer has the preimage: failing the other part would give its money away (invariant P11)."""
    stage, slot, expiry = claimed_with_carol_away()
    dave, journal = stage["dave"], slot.tail.journal
    stage.world.crash("dave")
    if closes:
        stage.m("carol").guarded(stage.slot("carol", "dave"), ForceClose("closed"))
        stage["carol"].runtime.turn()
        stage.act()
    stage.mine(expiry - 10 - stage.m("alice").env.block_height)
    dave.disk.held[journal] = None  # the store hangs on this journal until after the height of giving up
    dave.start()
    stage.act()
    stage.mine()
    dave.disk.held.clear()
    stage.act()
    core = stage.m("dave").channels[slot.channel_id].state.core
    assert all(htlc.preimage for htlc in core.inbound.values())
    assert not stage.told("dave", ev.PaymentClaimAbandoned)


def test_node_remembers_a_received_payment_until_every_part_has_forgotten_its_claim() -> None:
    """Else a crash that keeps one acknowledgement of two makes the other part look unclaimed."""
    stage, slot, _expiry = claimed_with_carol_away()
    dave, journal = stage["dave"], slot.tail.journal
    clock = stage.world.clock
    clock.now_seconds = (clock.now_seconds + 8 * DAY_SECONDS) // FORGET_EVERY_SECONDS * FORGET_EVERY_SECONDS - 1
    stage.seconds(2)
    assert stage.m("dave").node.received, "the application has not acknowledged it"
    dave.disk.held[journal] = None
    event = stage.told("dave", ev.PaymentClaimed)[-1]
    dave.run(lambda m: handoff.acknowledge_event(m, event.event_id))
    stage.seconds(2)
    stage.world.restart("dave")
    stage.act()
    core = stage.m("dave").channels[slot.channel_id].state.core
    assert all(htlc.preimage for htlc in core.inbound.values())
    assert not stage.told("dave", ev.PaymentClaimAbandoned)


def test_a_received_payment_is_forgotten_in_the_end() -> None:
    """What everybody is done with must not pile up for ever."""
    stage = Stage(topologies.direct())
    stage.pay("alice", "bob", stage.invoice("bob"))
    stage.rest()
    assert stage.m("bob").node.received
    assert stage.m("alice").node.ledger.payments
    clock = stage.world.clock
    clock.now_seconds = (clock.now_seconds + 8 * DAY_SECONDS) // FORGET_EVERY_SECONDS * FORGET_EVERY_SECONDS - 1
    stage.seconds(2)
    assert not stage.m("bob").node.received
    assert not stage.m("alice").node.ledger.payments


def test_a_claim_after_the_close_goes_to_the_chain_at_once() -> None:
    """The peer has the channel closed while the user thinks; the next block may be an hour away."""
    stage = Stage(topologies.direct("bob"))
    stage.prompt("bob", "", acknowledges=False)
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100_000)
    stage.seconds(3)
    question = stage.question("bob")
    stage.m("alice").guarded(stage.slot("alice", "bob"), ForceClose("closed"))
    stage["alice"].runtime.turn()
    stage.act()
    stage.mine(2)
    stage.act()
    slot = stage.slot("bob", "alice")
    stage["bob"].disk.held[slot.tail.journal] = None
    stage["bob"].run(lambda m: claiming.claim_payment(m, question.set_id, b""))
    stage.act()
    assert not [what for _txid, what in stage.world.broadcasts if "counterparty_preimage" in what]
    stage["bob"].disk.held.clear()
    stage.act()
    assert len([what for _txid, what in stage.world.broadcasts if "counterparty_preimage" in what]) == 1
