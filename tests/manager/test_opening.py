"""Opening channels: refused, interrupted at each step, zero-conf, with aliases."""

import msgspec
import pytest

from leyden.base.errors import CommandRejected
from leyden.channel.states import AwaitingReady, Closed, Normal
from leyden.journal.node_records import PeerRemembered
from leyden.manager import events as ev
from leyden.manager import opening
from leyden.manager.config import InboundOpen
from leyden.sim import user
from leyden.sim.schedules import Fair, run_to_rest
from leyden.sim.world import World
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from leyden.wire.features import Feature, FeatureVector
from leyden.wire.messages import FundingCreated, FundingSigned, decode
from tests.manager.stage import Stage
from tests.sim.topologies import CONFIG

FUNDING_SAT = 1_000_000
ZERO_CONF = ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=True)
SCID_ALIAS = ChannelType(CommitmentFormat.ANCHORS, scid_alias=True, zeroconf=False)
STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY, scid_alias=False, zeroconf=False)


def strangers(**changes: object) -> Stage:
    """alice has coins, bob is connected to her, they have no channel."""
    world = World(b"opening")
    world.add_node("alice", CONFIG)
    world.add_node("bob", msgspec.structs.replace(CONFIG, **changes))
    world.link("alice", "bob")
    world.grant("alice", 3 * FUNDING_SAT)
    world.mine()
    run_to_rest(world, Fair())
    stage = Stage.__new__(Stage)
    stage.world, stage.orders = world, []
    return stage


def ask(stage: Stage, funding_sat: int = FUNDING_SAT, channel_type: ChannelType = user.ANCHORS) -> bytes:
    """Alice asks bob for a channel."""
    return user.open_channel(stage["alice"], stage["bob"], funding_sat, funding_sat * 300, channel_type)


def refusals(stage: Stage) -> list[str]:
    """Why openings of alice came to nothing."""
    return [one.reason for one in stage.told("alice", ev.OpenRefused)]


def trust(stage: Stage) -> None:
    """Bob's user trusts alice with zero-conf channels."""
    record = PeerRemembered(stage["alice"].node_id, "", trusted=True)
    stage["bob"].run(lambda m: m.record(record))


@pytest.mark.parametrize("channel_type", [user.ANCHORS, STATIC, SCID_ALIAS])
def test_channel_becomes_usable_when_its_funding_is_deep(channel_type: ChannelType) -> None:
    """Both ends say so to their users, with the id that the opener chose."""
    stage = strangers()
    user_channel_id = ask(stage, channel_type=channel_type)
    stage.rest()
    assert type(stage.slot("alice", "bob").state) is AwaitingReady
    stage.mine(2).mine()
    stage.rest()
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        assert type(stage.slot(name, peer).state) is Normal
        assert stage.slot(name, peer).state.session.connected, "it was born on this connection"
        assert len(stage.told(name, ev.ChannelReady)) == 1
    assert stage.told("alice", ev.ChannelReady)[0].user_channel_id == user_channel_id
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        core = stage.slot(name, peer).state.core
        assert core.funding is not None
        known = core.funding.short_channel_id in stage.m(name).by_short_channel_id
        assert known is not channel_type.scid_alias, "with scid_alias the real one is not told and not taken"
    stage.pay("alice", "bob", stage.invoice("bob", 10_000_000))
    stage.rest()
    assert stage.payment("alice").sent is not None


def test_zero_conf_channel_is_usable_at_once_and_stays_so() -> None:
    """A trusted opener's channel needs no block; the real short_channel_id never becomes known."""
    stage = strangers()
    trust(stage)
    ask(stage, channel_type=ZERO_CONF)
    stage.rest()
    assert type(stage.slot("bob", "alice").state) is Normal
    stage.pay("alice", "bob", stage.invoice("bob", 10_000_000))
    stage.rest()
    assert stage.payment("alice").sent is not None
    stage.world.restart("bob")
    stage.world.restart("alice")
    stage.mine(1)
    stage.pay("bob", "alice", stage.invoice("alice", 5_000_000, tag="back"), "back")
    stage.rest()
    assert stage.payment("bob", "back").sent is not None
    assert not stage.told("bob", ev.ChannelClosed)


def test_zero_conf_of_a_stranger_is_refused() -> None:
    """Without trust the opener could spend the funding elsewhere."""
    stage = strangers()
    ask(stage, channel_type=ZERO_CONF)
    stage.rest()
    assert len(refusals(stage)) == 1
    assert "trusted" in refusals(stage)[0]
    assert not stage.m("bob").channels


def test_hook_refuses() -> None:
    """The words of the acceptance hook reach the opener's user and our own log, and the coins are free again."""
    seen: list[InboundOpen] = []

    def hook(request: InboundOpen) -> str:
        seen.append(request)
        return "no channels on Sundays"

    stage = strangers(accept_hook=hook)
    before = stage["alice"].runtime.wallet.balance()
    ask(stage)
    stage.rest()
    assert refusals(stage) == ["the peer refused: no channels on Sundays"]
    said = f"opening with {stage['alice'].node_id.hex()[:16]} refused: no channels on Sundays"
    assert said in [one.text for one in stage["bob"].reports], "who refuses is asked why, and looks into its log"
    assert seen[0].counterparty_node_id == stage["alice"].node_id
    assert not stage.m("alice").peers[stage["bob"].node_id].openings
    assert stage["alice"].runtime.wallet.balance() == before


def test_amount_that_the_wallet_does_not_have_ends_the_opening() -> None:
    """The peer is told, nothing is locked."""
    stage = strangers()
    ask(stage, 4 * FUNDING_SAT)
    stage.rest()
    assert len(refusals(stage)) == 1
    assert not stage.m("bob").peers[stage["alice"].node_id].openings
    ask(stage)
    stage.rest()
    assert len(stage.m("bob").channels) == 1


@pytest.mark.parametrize(
    ("funding_sat", "push_msat"),
    [(1000, 0), (20_000_000_000, 0), (FUNDING_SAT, FUNDING_SAT * 1000 + 1), (FUNDING_SAT, -1)],
)
def test_amounts_that_make_no_sense_are_refused_here(funding_sat: int, push_msat: int) -> None:
    """The caller's mistake costs no message."""
    stage = strangers()
    with pytest.raises(CommandRejected):
        user.open_channel(stage["alice"], stage["bob"], funding_sat, push_msat)
    assert not stage.m("alice").peers[stage["bob"].node_id].openings


def test_peer_that_is_not_connected() -> None:
    """Connect first."""
    stage = strangers()
    stage.world.links.clear()
    stage.world.cut("alice", "bob")
    with pytest.raises(CommandRejected) as refused:
        ask(stage)
    assert refused.value.code == "not_connected"


def test_peer_may_not_fill_memory_with_unfunded_channels() -> None:
    """Each costs a journal; a few per peer are enough."""
    stage = strangers()
    for _ in range(6):
        stage.world.grant("alice", FUNDING_SAT)
        stage.mine()
    for _ in range(6):
        user.open_channel(stage["alice"], stage["bob"], 50_000, 0)
    stage.rest()
    assert len(stage.m("bob").channels) == 4
    assert len(refusals(stage)) == 2


def _pending(stage: Stage, kind: type) -> bool:
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        waiting = stage.world.end_of(name, peer).arrived
        if any(isinstance(decode(raw), kind) for raw in waiting if raw is not None):
            return True
    return False


def _half_open(stage: Stage) -> tuple[int, int]:
    return len(stage.m("alice").channels), len(stage.m("bob").channels)


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("keeps", [False, True])
def test_opening_interrupted_at_any_step_leaves_no_money_behind(who: str, keeps: bool) -> None:
    """A crash of either end at each step: the channel comes to be at both ends, or the opener's coins are free."""
    for step in range(100):
        stage = strangers()
        ask(stage)
        for _ in range(step):
            enabled = stage.world.enabled()
            if not enabled:
                return
            stage.world.perform(enabled[0])
        waiting = stage[who].disk.under_way()
        stage.world.restart(who, waiting if keeps else {})
        stage.rest()
        stage.mine(6)
        stage.rest()
        opened, accepted = _half_open(stage)
        if opened:
            assert accepted == 1
            assert type(stage.slot("alice", "bob").state) is Normal
            assert type(stage.slot("bob", "alice").state) is Normal
            continue
        # What the accepter alone knows was never funded: it closes nothing that is worth anything, and forgets it.
        balance = stage["alice"].runtime.wallet.balance()
        assert balance.confirmed_sat == balance.spendable_sat == 3 * FUNDING_SAT
        assert all(one.core.funding is None for one in (slot.state for slot in stage.m("bob").channels.values()))
        ask(stage)
        stage.rest()
        stage.mine(6)
        stage.rest()
        assert len(stage.m("alice").channels) == 1
    raise AssertionError("the opening never ends")


@pytest.mark.parametrize("kind", [FundingCreated, FundingSigned])
def test_opening_cut_off_at_its_signatures(kind: type) -> None:
    """The connection is lost with the signature on its way: the opener forgets, and its coins are free."""
    stage = strangers()
    ask(stage)
    while not _pending(stage, kind):
        stage.world.perform(stage.world.enabled()[0])
    stage.world.cut("alice", "bob")
    stage.rest()
    assert refusals(stage) == ["the peer disconnected"]
    assert not stage.m("alice").channels
    assert stage["alice"].runtime.wallet.balance().spendable_sat == 3 * FUNDING_SAT
    assert not stage.world.broadcasts
    assert all(type(slot.state) is Closed for slot in stage.slots("bob", "alice")), "the accepter forgets it too"


def test_accepter_forgets_a_channel_that_never_confirms() -> None:
    """The opener may have lost it; the fundee has nothing at stake (BOLT 2, "The `channel_ready` Message")."""
    stage = strangers(funding_timeout_blocks=50)
    ask(stage)
    while not stage.m("bob").channels:
        stage.world.perform(stage.world.enabled()[0])
    stage.act()
    stage.world.chain.pool.clear()
    stage.mine(49)
    assert type(stage.slot("bob", "alice").state) is AwaitingReady
    stage.mine(1)
    assert type(stage.slot("bob", "alice").state) is Closed
    assert len(stage.told("bob", ev.ChannelClosed)) == 1
    assert type(stage.slot("alice", "bob").state) is AwaitingReady, "the funder published it, it never forgets"


def test_accepter_does_not_forget_a_channel_in_use_when_a_reorganisation_takes_its_funding() -> None:
    """What was funded once and is in use has money at stake, wherever the funding transaction is now."""
    stage = strangers(funding_timeout_blocks=50)
    ask(stage)
    stage.rest()
    stage.mine(3)
    stage.rest()
    stage.mine(60)
    slot = stage.slot("bob", "alice")
    height = stage.world.chain.tip.height
    funding = slot.state.core.funding
    assert funding is not None
    stage.world.chain.reorganise(height - funding.height + 1, 1, b"\x51")
    stage.world.chain.pool.clear()
    stage.act()
    stage.mine(60)
    assert type(slot.state) is not Closed
    assert not stage.told("bob", ev.ChannelClosed)


def test_funding_is_published_again_at_each_start_until_it_is_in_a_block() -> None:
    """The broadcast may have been lost with the crash; the journal holds the transaction."""
    stage = strangers()
    ask(stage)
    stage.rest()
    [(txid, _what), *_rest] = stage.world.broadcasts
    stage.world.chain.pool.clear()
    stage.world.restart("alice")
    stage.rest()
    assert txid in stage.world.chain.pool
    stage.mine(6)
    stage.rest()
    count = len(stage.world.broadcasts)
    stage.world.restart("alice")
    stage.rest()
    assert len(stage.world.broadcasts) == count


def test_funding_is_published_only_behind_the_durable_birth() -> None:
    """A channel that nobody remembers must not be funded (invariant P19)."""
    stage = strangers()
    ask(stage)
    while not stage.m("alice").channels:
        stage.world.perform(stage.world.enabled()[0])
    stage["alice"].disk.held[stage.slot("alice", "bob").tail.journal] = None
    stage.act()
    assert not stage.world.broadcasts
    stage["alice"].disk.held.clear()
    stage.act()
    assert stage.world.broadcasts


def test_funding_signed_leaves_only_behind_the_durable_birth() -> None:
    """The opener broadcasts upon it, so the accepter must know the channel whatever happens (invariant P19)."""
    stage = strangers()
    ask(stage)
    while not stage.m("bob").channels:
        stage.world.perform(stage.world.enabled()[0])
    stage["bob"].disk.held[stage.slot("bob", "alice").tail.journal] = None
    stage.act()
    assert not stage.m("alice").channels
    stage["bob"].disk.held.clear()
    stage.act()
    assert stage.m("alice").channels


def test_wallet_that_answers_too_late_is_told_so() -> None:
    """The opening is gone when the transaction is ready: its coins must not stay locked."""
    stage = strangers()
    transaction = stage.world.chain.block_at(stage.world.chain.tip.height)
    assert transaction is not None
    known = opening.funding_ready(stage.m("alice"), bytes(32), transaction.block.transactions[0], [0])
    assert not known


def without(stage: Stage, name: str, peer: str, feature: Feature) -> None:
    """The `init` of the peer did not offer this feature."""
    session = stage.m(name).peers[stage[peer].node_id]
    assert session.features is not None
    masks = feature.mandatory_mask | feature.optional_mask
    session.features = FeatureVector(session.features.bitmap & ~masks)


@pytest.mark.parametrize(
    ("feature", "funding_sat"),
    [(Feature.OPTION_ANCHORS, FUNDING_SAT), (Feature.OPTION_SUPPORT_LARGE_CHANNEL, 16_777_216)],
)
def test_channel_that_the_features_do_not_allow_is_not_opened(feature: Feature, funding_sat: int) -> None:
    """Refused here before anything is sent, and by the accepter if the opener asks all the same (BOLT 2)."""
    stage = strangers()
    stage.world.grant("alice", 2 * funding_sat)
    stage.mine()
    without(stage, "bob", "alice", feature)
    ask(stage, funding_sat)
    stage.rest()
    [reason] = refusals(stage)
    assert "needs" in reason
    assert not stage.m("bob").channels
    without(stage, "alice", "bob", feature)
    with pytest.raises(CommandRejected) as refused:
        ask(stage, funding_sat)
    assert refused.value.code == "peer_lacks_feature"


def test_channel_without_an_alias_is_not_known_by_number_zero() -> None:
    """Before `channel_ready` there is no alias, and an onion that names 0 names nothing."""
    stage = strangers()
    ask(stage)
    stage.act()
    assert len(stage.m("bob").channels) == 1
    assert 0 not in stage.m("bob").by_short_channel_id
