"""Commands carried out in a world."""

from collections.abc import Callable

import pytest

from leyden.channel.states import MutualClose, Normal
from leyden.manager import events as ev
from leyden.sim.commands import AT_REST, IN_TURN, VERBS, WHEN_IDLE, parse_command
from leyden.sim.director import PERFORM, Director, payment_id
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import Action
from tests.sim import topologies


class Room:
    """A world, its director, and lines for it."""

    def __init__(self, make: Callable[[], object] = topologies.direct) -> None:
        self.world = make().copy()  # type: ignore[attr-defined]
        run_to_rest(self.world, Fair())
        self.director = Director(self.world)

    def __call__(self, *lines: str) -> "Room":
        for line in lines:
            if line == "rest":
                run_to_rest(self.world, Fair())
            else:
                self.director.perform(parse_command(line).command)
        return self

    def told(self, name: str) -> list[str]:
        """The kinds of events that a node has told."""
        return [type(shown.event).__name__ for shown in self.world.nodes[name].shown]


def test_every_command_is_carried_out_by_something() -> None:
    """A new one too."""
    assert set(PERFORM) == set(VERBS.values())


def test_payments_by_name() -> None:
    """The same name again is the same payment, in any life."""
    room = Room()("pay alice bob 5000 one", "rest", "crash alice", "pay alice bob 5000 one", "rest")
    assert room.told("alice") == ["PaymentSent"]
    assert len(room.director.orders) == 1
    ledger = room.world.nodes["alice"].manager.node.ledger
    assert list(ledger.payments) == [payment_id("one")]


def test_hash_that_only_the_user_knows() -> None:
    """Claimed with the user's preimage; a hash that nobody knows is refused."""
    room = Room()("pay alice bob 5000 one hash=ours", "pay alice bob 5000 two hash=unknown", "rest")
    assert sorted(room.told("alice")) == ["PaymentFailed", "PaymentSent"]


def test_questions_are_answered_when_the_user_says_so() -> None:
    """Waiting is an answer too."""
    for answer, outcome in (("claim", "PaymentSent"), ("refuse", "PaymentFailed")):
        room = Room(lambda: topologies.direct("bob"))("app bob wait", "pay alice bob 5000 one deadline=900")
        while not any(isinstance(shown.event, ev.PaymentClaimable) for shown in room.world.nodes["bob"].shown):
            room.world.perform(room.world.enabled()[0])
        assert room.told("alice") == []
        room(f"{answer} bob", "rest")
        assert outcome in room.told("alice")


def test_slow_and_failing_handlers_handle_it_in_the_end() -> None:
    """One second after another."""
    room = Room()("app bob claim slow=3 fails=2", "pay alice bob 5000 one", "rest")
    assert room.told("bob") == ["PaymentClaimed"]
    assert room.world.nodes["bob"].manager.events == {}


def test_events_that_are_not_acknowledged_stay_until_they_are() -> None:
    """Over a crash with the same id."""
    room = Room()("app bob claim acks=false", "pay alice bob 5000 one", "rest", "crash bob", "rest")
    ids = {shown.event.event_id for shown in room.world.nodes["bob"].shown}
    assert (len(room.world.nodes["bob"].shown), len(ids)) == (2, 1)
    room("ack bob", "rest", "crash bob", "rest")
    assert len(room.world.nodes["bob"].shown) == 2


def test_channels_open_and_close() -> None:
    """And the world knows which closes were asked for."""
    room = Room()("open alice bob 500000 push_msat=1000", "rest", "mine 6", "rest")
    assert len(room.world.nodes["bob"].manager.channels) == 2
    room("close bob alice-bob", "rest")
    [closed] = room.world.closes_asked
    states = {channel: type(slot.state) for channel, slot in room.world.nodes["alice"].manager.channels.items()}
    assert states.pop(closed) is MutualClose
    assert list(states.values()) == [Normal]
    room("force-close alice alice-bob.2", "rest")
    assert len(room.world.closes_asked) == 2


def test_feerates_blocks_and_snapshots() -> None:
    """What the outside does."""
    room = Room()
    height = room.world.chain.tip.height
    room("feerate alice 1500", "mine 2", "reorg 1", "tick 2", "snapshot bob node", "snapshot bob alice-bob", "rest")
    assert room.world.chain.tip.height == height + 3
    [slot] = room.world.nodes["alice"].manager.channels.values()
    assert slot.state.core.remote.feerate_per_kw == 1500
    assert all(stored.position for stored in room.world.nodes["bob"].disk.journals())
    assert room.director.skipped == []


def test_what_goes_wrong_and_is_repaired() -> None:
    """Afterwards everything works, and what was asked before has an end."""
    room = Room()(
        "unlink alice bob",
        "pay alice bob 5000 one",
        "hold bob alice-bob",
        "store-fails alice unavailable",
        "rest",
        "kill bob",
        "link alice bob",
        "start bob sync=false",
        "cut alice bob",
        "store-fails bob broken",
    )
    assert room.told("alice") == ["PaymentFailed"]
    room("repair", "rest", "probe", "rest")
    assert room.told("alice").count("PaymentSent") == 1
    assert room.director.skipped == []


def test_chosen_action_happens_now() -> None:
    """And one that cannot happen is noted."""
    room = Room()("pay alice bob 5000 one")
    room.world.settle()
    room("do commit alice node", "do deliver alice bob", "do commit alice nowhere")
    assert room.world.trace[-1] == "commit alice node"
    assert [line.split(": ")[1] for line in room.director.skipped] == [
        "it is not possible now",
        "no channel is called nowhere; there are alice-bob",
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("claim eve", "no node is called eve"),
        ("restore alice", "nothing was put aside of alice"),
        ("start alice", "alice is up"),
        ("store-fails alice slowly", "a store does not fail as 'slowly'"),
        ("abandon alice never", "no payment has this payment_id"),
    ],
)
def test_what_is_impossible_is_skipped_and_said(line: str, why: str) -> None:
    """A shrunk run asks for much that makes no sense."""
    room = Room()(line)
    assert why in room.director.skipped[0]


def test_commands_in_their_turn_are_actions_of_the_world() -> None:
    """Some only when nothing else can happen."""
    room = Room()
    for line in ("pay alice bob 5000 one", "@idle tick 1", "@rest mine 1"):
        room.director.announce(parse_command(line))
    assert [(act.name, act.nodes, act.when) for act in room.world.acts] == [
        ("pay alice bob 5000 one", ("alice", "bob"), IN_TURN),
        ("tick 1", (), WHEN_IDLE),
        ("mine 1", (), AT_REST),
    ]
    room("rest")
    assert room.told("alice") == ["PaymentSent"]


# --- the chain -----------------------------------------------------------------------------------------------------


def closed_by_alice(*lines: str) -> Room:
    """A channel that alice has closed by force; her commitment waits in the mempool, unless the lines say otherwise."""
    return Room()(*lines, "force-close alice alice-bob", "rest")


def test_mempool_that_loses_everything() -> None:
    """What was published is gone until it is published again; coins that were granted stay."""
    room = closed_by_alice()
    room.world.grant("bob", 5_000)
    assert len(room.world.chain.pool) == 2
    room("evict")
    assert [entry.granted for entry in room.world.chain.pool.entries()] == [True]


def test_miners_leave_out_what_a_node_publishes() -> None:
    """Until they do no more, or somebody else publishes it too."""
    room = closed_by_alice("drop alice on")
    room("mine 2")
    (txid,) = room.world.chain.pool
    assert room.world.left_out == {txid: "alice"}
    room("drop alice off", "mine 1")
    assert not room.world.chain.pool
    room = closed_by_alice("drop alice on")
    (commitment,) = room.world.chain.pool.values()
    room.world.broadcast(commitment, "again", "bob")
    room("mine 1")
    assert not room.world.chain.pool
    room = closed_by_alice()
    room("drop alice on")
    (commitment,) = room.world.chain.pool.values()
    room.world.broadcast(commitment, "again", "alice")
    room("mine 1")
    assert not room.world.chain.pool, "miners had it before"
    assert Room()("drop alice maybe", "drop eve on").director.skipped == [
        "drop alice maybe: say which node, and on or off",
        "drop eve on: say which node, and on or off",
    ]


def test_fees_change_for_everybody() -> None:
    """Also for a node that starts later; the mempool throws out what pays less."""
    room = closed_by_alice()
    (commitment,) = room.world.chain.pool.values()
    room("kill bob", "fees 90000")
    assert room.world.nodes["alice"].manager.env.feerate_per_kw == 90_000
    room("start bob", "rest")
    assert room.world.nodes["bob"].manager.env.feerate_per_kw == 90_000
    assert not room.world.chain.pool
    assert room.world.broadcast(commitment, "again").reject_reason == "mempool min fee not met"
    room("fees 90000 minimum=1")
    assert room.world.broadcast(commitment, "again").accepted
    assert room.world.copy().feerate_per_kw == 90_000


def test_reorganisation_may_leave_its_transactions_in_the_mempool() -> None:
    """A branch may be mined by somebody who does not want them."""
    room = closed_by_alice()
    room("mine 1", "reorg 1 without=true", "rest")
    assert len(room.world.chain.pool) == 1
    room("mine 1", "reorg 1", "rest", "reorg 500")
    assert not room.world.chain.pool
    (why,) = room.director.skipped
    assert why.startswith("reorg 500: there are ")


def test_repair_ends_what_the_chain_does_to_nodes() -> None:
    """Otherwise nothing would ever be mined again."""
    room = Room()("fees 9000", "drop alice on", "force-close alice alice-bob", "rest", "repair", "rest")
    assert room.world.chain.pool, "the commitment and its child, published again"
    room("mine 1", "rest")
    assert not room.world.chain.pool
    assert room.world.chain.mempool_feerate_per_kw == 0
    assert not room.world.disliked


def test_cheating_operator_publishes_a_revoked_commitment() -> None:
    """What justice is for; the others are alarmed, and may be."""
    room = Room()("pay alice bob 50000000 one", "rest", "cheat alice alice-bob 0", "mine 1", "rest")
    assert not room.director.skipped
    alice, bob = room.world.nodes["alice"], room.world.nodes["bob"]
    (slot,) = bob.manager.channels.values()
    assert slot.state.core.spent is not None
    assert room.world.cheats == {slot.channel_id: ("alice", "bob")}
    assert slot.channel_id in room.world.closes_asked
    assert any("revoked" in report.text for report in bob.reports)
    assert alice.manager.channels[slot.channel_id].state.core.local.number > 0


def test_cheating_needs_a_state_that_is_still_kept() -> None:
    """The message says what there is."""
    room = Room()("pay alice bob 50000000 one", "rest", "cheat alice alice-bob 77")
    (why,) = room.director.skipped
    assert why.startswith("cheat alice alice-bob 77: alice has kept its commitments 0 to ")
    room("snapshot alice alice-bob", "rest", "cheat alice alice-bob 0")
    assert len(room.director.skipped) == 2
    assert not room.world.chain.pool


def preimage_in_the_mempool() -> Room:
    """bob has closed towards carol while a payment of alice's waits; carol claims its output, and no block has come."""
    room = Room(lambda: topologies.line("carol"))("app carol wait", "pay alice carol 50000000 one deadline=900")
    for line in ("force-close bob bob-carol", "mine 1", "claim carol", ""):
        while actions := [action for action in room.world.enabled() if action.kind != "mempool"]:
            room.world.perform(actions[0])
        room(*[line] if line else [])
    assert room.world.chain.pool, (room.world.broadcasts, room.director.skipped)
    return room


def test_preimage_is_read_from_the_mempool() -> None:
    """The one who forwarded is paid blocks before the claim is mined; each life looks once."""
    room = preimage_in_the_mempool()
    look = Action("mempool", "bob", "")
    assert look in room.world.enabled()
    room("crash bob")
    assert look in room.world.enabled()
    height = room.world.chain.tip.height
    room("do mempool bob -")
    assert not room.director.skipped
    assert look not in room.world.enabled()
    room("rest")
    assert room.told("alice") == ["PaymentSent"]
    assert room.world.chain.tip.height == height


def test_what_left_the_mempool_is_no_news() -> None:
    """And is news again when it comes back."""
    room = preimage_in_the_mempool()
    claim = [one.tx for one in room.world.chain.pool.entries()][-1]
    room("evict")
    assert not any(action.kind == "mempool" for action in room.world.enabled())
    room.world.broadcast(claim, "again")
    assert any(action.kind == "mempool" for action in room.world.enabled())
