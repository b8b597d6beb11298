"""From journals to a running node: a pure function, in any life, interrupted or repeated (DESIGN section 3)."""

import msgspec
import pytest

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin.networks import REGTEST
from leyden.journal.batch import StoredJournal
from leyden.journal.codec import encode_record
from leyden.journal.records import RemoteReady
from leyden.manager import claiming, rebuild
from leyden.manager import events as ev
from leyden.node import boot
from leyden.signer.in_memory import InMemorySigner
from leyden.sim.disk import SimStore
from tests.manager.stage import AMOUNT_MSAT, Stage
from tests.sim import topologies


def in_flight() -> Stage:
    """A forwarded and a direct payment wait for carol's user, a third is on its way to bob."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100_000)
    stage.pay("bob", "carol", stage.invoice("carol", tag="direct"), "direct", deadline_seconds=100_000)
    stage.seconds(3)
    stage.pay("alice", "bob", stage.invoice("bob"), "short")
    for _ in range(9):
        stage.world.perform(stage.world.enabled()[0])
    return stage


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_start_that_is_repeated_writes_nothing_more(name: str) -> None:
    """A crash loop at start must not grow journals, or judge anything twice (invariant P15)."""
    stage = in_flight()
    stage.world.restart(name)
    positions: list[dict[str, int]] = []
    for _ in range(3):
        node = stage[name]
        while node.disk.ready():
            node.disk.commit(node.disk.ready()[0])
            stage.world.settle()
        positions.append({one.journal: one.position + len(one.records) for one in node.disk.journals()})
        stage.world.restart(name)
    assert positions[1] == positions[2]
    for question in [one for one in stage.m("carol").events.values() if isinstance(one, ev.PaymentClaimable)]:
        stage["carol"].run(lambda m, one=question: claiming.claim_payment(m, one.set_id, b""))  # type: ignore[misc]
    stage.prompt("carol", "claim")
    stage.check()


def test_every_node_restarted_again_and_again_while_payments_run() -> None:
    """No order of restarts loses or doubles anything."""
    stage = in_flight()
    for name in ("alice", "bob", "carol", "bob", "alice", "carol"):
        stage.world.restart(name)
        for _ in range(7):
            if enabled := stage.world.enabled():
                stage.world.perform(enabled[-1])
    stage.seconds(3)
    for question in [one for one in stage.m("carol").events.values() if isinstance(one, ev.PaymentClaimable)]:
        stage["carol"].run(lambda m, one=question: claiming.claim_payment(m, one.set_id, b""))  # type: ignore[misc]
    stage.prompt("carol", "claim")
    stage.check()
    assert sum(one.amount_msat for one in {e.event_id: e for e in stage.told("carol", ev.PaymentClaimed)}.values()) == (
        2 * AMOUNT_MSAT
    )


def test_owner_of_a_forwarded_htlc_is_known_after_a_restart() -> None:
    """Whoever names it as source owns it: it is neither forwarded again nor failed early (section 7, reading 9)."""
    stage = in_flight()
    forwards = dict(stage.m("bob").forwards)
    assert forwards
    stage.world.restart("bob")
    stage.seconds(3)
    assert stage.m("bob").forwards == forwards
    assert len(stage.slot("bob", "carol").state.core.outbound) == 2


def test_missing_journal_that_another_one_names_refuses_the_start() -> None:
    """Money would be lost silently: restore the whole directory (section 4, "Archive")."""
    stage = in_flight()
    bob = stage["bob"]
    stage.world.crash("bob")
    inbound = next(name for name in bob.disk._kept if name.endswith(stage.slot("alice", "bob").channel_id.hex()))
    kept = bob.disk._kept.pop(inbound)
    with pytest.raises((DecodeError, CommandRejected), match="missing"):
        bob.start()
    bob.life.end()
    bob._runtime = None
    bob.disk._kept[inbound] = kept
    bob.start()
    stage.seconds(3)
    for question in [one for one in stage.m("carol").events.values() if isinstance(one, ev.PaymentClaimable)]:
        stage["carol"].run(lambda m, one=question: claiming.claim_payment(m, one.set_id, b""))  # type: ignore[misc]
    stage.prompt("carol", "claim")
    stage.check()


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00", b"garbage" * 9, encode_record(RemoteReady(b"\x02" + bytes(32), 7))],
    ids=["empty", "byte", "garbage", "no birth"],
)
def test_damaged_journal_of_a_channel_is_named_and_left_out(raw: bytes) -> None:
    """The others are folded, and the operator knows which one it is."""
    name = "channel/" + "ab" * 32
    folded = rebuild.fold_journals([StoredJournal(name, 0, b"", [raw])])
    assert (folded.channels, list(folded.unreadable)) == ([], [name])
    one = folded.unreadable[name]
    assert (one.channel_id, one.position) == (b"\xab" * 32, 1)
    assert name in rebuild.unreadable_alarm(name, one)
    with pytest.raises(DecodeError, match="backup"):
        rebuild.fold_journals([StoredJournal("backup", 0, b"", [raw])])


def test_journal_of_a_newer_version_refuses_the_start_and_names_itself() -> None:
    """Nothing was changed; what a newer version has written may mean something for every channel."""
    with pytest.raises(DecodeError, match="ab" * 32):
        rebuild.fold_journals([StoredJournal("channel/" + "ab" * 32, 0, b"", [b"\x91\x7f"])])


def test_damaged_node_journal_and_snapshots_refuse_the_start() -> None:
    """A newer version's data is not read as half of what it is."""
    for stored in (
        StoredJournal("node", 0, b"", [b"\x91\x7f"]),
        StoredJournal("node", 1, b"\x09newer", []),
        StoredJournal("node", 1, b"\x01garbage", []),
        StoredJournal("channel/" + "ab" * 32, 1, b"\x09newer", []),
    ):
        with pytest.raises(DecodeError, match=stored.journal):
            rebuild.fold_journals([stored])


def test_two_rebuilds_of_the_same_disk_are_equal() -> None:
    """Nothing of the last life, no order of a set and no clock gets in (invariant P15)."""
    stage = in_flight()
    stage.act()
    bob = stage["bob"]

    def rebuilt() -> list[object]:
        signer = InMemorySigner(bob.seed, REGTEST)
        folded = boot.fold_store(SimStore(bob.disk), signer, REGTEST)
        manager = boot.make_manager(bob.config, signer, folded, bob.random32)
        manager.set_env(block_height=stage.m("bob").env.block_height)
        rebuild.start(manager)
        manager.flush()
        return [
            manager.forwards,
            manager.claimables,
            manager.events,
            [msgspec.to_builtins(a) for a in manager.outbox.take_batch()],
        ]

    assert rebuilt() == rebuilt()
