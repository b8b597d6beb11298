"""Durable before visible: each promise is broken once, by a disk that is older than what its node has said."""

from collections.abc import Callable

import pytest

from leyden.manager import events as ev
from leyden.sim.disk import SimDisk
from leyden.sim.node import SimNode
from leyden.sim.oracles import Violation
from leyden.sim.promises import Durable, Mark, Promises, event_rests
from leyden.sim.scenario import Begun, begin
from leyden.sim.schedules import STORE_FIRST, run_to_rest
from leyden.sim.world import World
from leyden.wire.messages import (
    CommitmentSigned,
    Message,
    RevokeAndAck,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFulfillHtlc,
    decode,
)
from tests.sim.scenarios import scenario


def before_messages(world: World) -> Mark:
    """Everything on its way is new, what users were told is not."""
    return Mark({}, {name: len(node.shown) for name, node in world.nodes.items()}, {})


def before_events(world: World) -> Mark:
    """The other way round."""
    pairs = [(name, peer) for name in world.nodes for peer in world.nodes]
    return Mark(dict.fromkeys(pairs, 1000), {}, {})


def started(name: str) -> tuple[Begun, dict[str, SimDisk]]:
    """A scenario, and what its nodes had on their disks when it began."""
    begun = begin(scenario(name))
    return begun, {name: node.disk.copy() for name, node in begun.world.nodes.items()}


def sender_of(world: World, kind: type[Message]) -> str:
    """Who has a message of this kind on its way, or nobody."""
    for (one, other), near in world.connections.items():
        for sender, end in ((other, near), (one, near.peer)):
            if any(isinstance(decode(raw), kind) for raw in end.arrived if raw is not None):
                return sender
    return ""


@pytest.mark.parametrize(
    ("name", "kind", "broken"),
    [
        ("direct", CommitmentSigned, "after a crash it would not know what it sent"),
        ("direct", RevokeAndAck, "after a crash it would be behind"),
        ("direct", UpdateAddHtlc, "no record holds the HTLC"),
    ],
)
def test_message_that_its_sender_could_not_stand_by_is_found(name: str, kind: type[Message], broken: str) -> None:
    """The same message is in order while the disk of its sender is the one it was sent from."""
    begun, before = started(name)
    world = begun.world
    run_to_rest(world, STORE_FIRST, lambda at: bool(sender_of(at, kind)))
    Promises().check(world, before_messages(world))
    sender = world.nodes[sender_of(world, kind)]
    sender.disk = before[sender.name]
    with pytest.raises(Violation, match=broken):
        Promises().check(world, before_messages(world))


def durable_without(begun: Begun, name: str, forget: Callable[[Durable], object]) -> Durable:
    """What is durable at a node, but for something."""
    durable = Promises().durable(begun.world.nodes[name])
    forget(durable)
    return durable


def undo_decisions(durable: Durable) -> None:
    """No inbound HTLC is decided."""
    for core in durable.cores():
        for htlc in core.inbound.values():
            htlc.preimage, htlc.failure = b"", None


@pytest.mark.parametrize(
    ("name", "kind", "forget", "broken"),
    [
        ("direct", UpdateFulfillHtlc, undo_decisions, "no record says that it is fulfilled"),
        ("failure", UpdateFailHtlc, undo_decisions, "no record says that it fails"),
        ("direct", UpdateAddHtlc, lambda durable: durable.node.ledger.payments.clear(), "the payment is not recorded"),
    ],
)
def test_update_that_rests_on_nothing_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Message], forget: Callable[[Durable], object], broken: str
) -> None:
    """Its record is there and says something else, or another journal lacks what it rests on."""
    begun, _ = started(name)
    run_to_rest(begun.world, STORE_FIRST, lambda at: bool(sender_of(at, kind)))
    durable = durable_without(begun, sender_of(begun.world, kind), forget)
    monkeypatch.setattr(Promises, "durable", lambda *_: durable)
    with pytest.raises(Violation, match=broken):
        Promises().check(begun.world, before_messages(begun.world))


def test_forward_before_its_inbound_htlc_is_durable_is_found() -> None:
    """The one that it came from is not irrevocable on disk."""
    begun, before = started("forward")
    world, bob = begun.world, begun.world.nodes["bob"]
    run_to_rest(world, STORE_FIRST, lambda at: sender_of(at, UpdateAddHtlc) == "bob")
    first = next(iter(bob.disk.journals())).journal
    for stored in bob.disk.journals():
        if stored.journal.startswith("channel/") and not _has_outbound(bob.disk, stored.journal):
            first = stored.journal
    vars(bob.disk)["_kept"][first] = vars(before["bob"])["_kept"][first]
    with pytest.raises(Violation, match="the HTLC that it forwards is not recorded"):
        Promises().check(world, before_messages(world))


def _has_outbound(disk: SimDisk, journal: str) -> bool:
    holder = begin(scenario("forward")).world.nodes["bob"]
    holder.disk = disk
    channel = Promises().durable(holder).channels[bytes.fromhex(journal.removeprefix("channel/"))]
    return bool(channel.core.outbound)


def test_fulfil_of_one_part_before_all_have_the_claim_is_found() -> None:
    """A payer would have its proof, and the other part would fail back (DESIGN section 7, reading 3)."""
    begun, before = started("two parts")
    world, bob = begun.world, begun.world.nodes["bob"]
    run_to_rest(world, STORE_FIRST, lambda at: sender_of(at, UpdateFulfillHtlc) == "bob")
    late = max(stored.journal for stored in bob.disk.journals() if stored.journal.startswith("channel/"))
    for journal in (late, "node"):
        vars(bob.disk)["_kept"][journal] = vars(before["bob"])["_kept"][journal]
    with pytest.raises(Violation, match="its claim is not durable in channel"):
        Promises().check(world, before_messages(world))


def _last(node: SimNode, kind: type) -> int:
    """How many events were told before the last one, if that is of this kind."""
    count = len(node.shown)
    return count - 1 if count and isinstance(node.shown[-1].event, kind) else count


@pytest.mark.parametrize(("name", "kind"), [
    ("direct", ev.PaymentSent), ("direct", ev.PaymentClaimed), ("failure", ev.PaymentFailed),
    ("hold", ev.PaymentClaimable), ("forward", ev.PaymentForwarded),
])  # fmt: skip
def test_event_that_a_crash_would_forget_is_found(name: str, kind: type) -> None:
    """It was told, and the next life would know nothing of it."""
    begun, before = started(name)
    world = begun.world

    def told(at: World) -> bool:
        return any(isinstance(shown.event, kind) for node in at.nodes.values() for shown in node.shown)

    assert run_to_rest(world, STORE_FIRST, told)
    Promises().check(world, Mark({}, {name: _last(node, kind) for name, node in world.nodes.items()}, {}))
    node = next(node for node in world.nodes.values() if any(isinstance(one.event, kind) for one in node.shown))
    node.disk = before[node.name]
    with pytest.raises(Violation, match="no durable record says so"):
        Promises().check(world, before_events(world))


def test_event_of_a_channel_needs_its_record() -> None:
    """As those of payments do; what lives in one life only needs none."""
    durable = Promises().durable(begin(scenario("direct")).world.nodes["alice"])
    channel_id = next(iter(durable.channels))
    assert list(event_rests(durable, ev.ChannelReady("ready", channel_id, b"", b""))) == ["no durable record says so"]
    assert list(event_rests(durable, ev.OpenRefused("x", b"", ""))) == []


def test_preimage_that_is_forgotten_too_early_is_found() -> None:
    """Somebody has the proof by now, and the HTLC that pays for it is still there."""
    begun, before = started("direct")
    world, bob = begun.world, begun.world.nodes["bob"]
    promises = Promises()
    run_to_rest(world, STORE_FIRST, lambda _: bool(promises.durable(bob).promised()))
    mark = promises.mark(world, ["bob"])
    promises.check(world, mark)
    (htlc,) = mark.promised["bob"]
    durable = promises.durable(bob)
    durable.channels[htlc[0]].core.inbound[htlc[1]].preimage = b""
    durable.channels[htlc[0]].core.claims.clear()
    with pytest.raises(Violation, match="no journal knows the preimage of HTLC 0"):
        promises.check(world, mark)
    assert before


def test_memory_that_is_not_what_was_written_is_found() -> None:
    """Whatever a pass changed without a record is lost with the next crash."""
    begun, _ = started("direct")
    alice = begun.world.nodes["alice"]
    Promises().check_folds(alice)
    alice.manager.node.ledger.payments.clear()
    with pytest.raises(Violation, match="node folds to another state"):
        Promises().check_folds(alice)
    bob = begun.world.nodes["bob"]
    next(iter(bob.manager.channels.values())).state.core.next_inbound_id += 1
    with pytest.raises(Violation, match=r"channel/.* folds to another state"):
        Promises().check_folds(bob)


def test_what_was_checked_once_is_not_checked_again() -> None:
    """The same message from the same disk is the same promise."""
    begun, _ = started("direct")
    run_to_rest(begun.world, STORE_FIRST, lambda at: bool(sender_of(at, CommitmentSigned)))
    promises = Promises()
    promises.check(begun.world, before_messages(begun.world))
    count = len(vars(promises)["_checked"])
    promises.check(begun.world, before_messages(begun.world))
    assert len(vars(promises)["_checked"]) == count > 0
