"""What failure codes say to the next node on the way back, and what the payer makes of them (BOLT 4)."""

from collections.abc import Callable

import msgspec
import pytest

from leyden.channel.inputs import SetPolicy
from leyden.crypto import ec
from leyden.crypto.hashes import sha256, sha256d
from leyden.journal.records import ForwardingPolicy
from leyden.manager import claiming
from leyden.manager.channel_updates import channel_update
from leyden.manager.forwarding import CLTV_EXPIRY_DELTA_MIN
from leyden.manager.manager import Manager
from leyden.sphinx.failures import (
    FailureCode,
    FailureMessage,
    FeeInsufficient,
    InvalidOnionHmac,
    TemporaryNodeFailure,
)
from leyden.sphinx.payload import HopPayload
from leyden.wire.messages import ChannelUpdate, decode
from tests.manager import handmade
from tests.manager.stage import AMOUNT_MSAT, DELTA, Stage
from tests.manager.test_forwarding import FEE_MSAT, over_bob
from tests.sim import topologies

HASH = sha256(b"a hash that nobody knows the preimage of")
STRANGER = ec.public_key(sha256(b"a node that is not on the way"))


def set_policy(stage: Stage, policy: ForwardingPolicy, *, is_disabled: bool = False) -> None:
    """Bob changes what he asks for the channel to carol."""
    slot = stage.slot("bob", "carol")
    stage["bob"].run(lambda m: m.apply(slot, SetPolicy(policy, m.now_seconds, is_disabled)))
    stage.rest()


# --- forwarders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_msat", "fee_msat", "delta", "final_delta", "code"),
    [
        (AMOUNT_MSAT, FEE_MSAT - 1, DELTA, 60, FailureCode.FEE_INSUFFICIENT),
        (AMOUNT_MSAT, FEE_MSAT, DELTA - 1, 60, FailureCode.INCORRECT_CLTV_EXPIRY),
        (AMOUNT_MSAT, FEE_MSAT, DELTA, 3, FailureCode.EXPIRY_TOO_SOON),
        (0, 1000, DELTA, 60, FailureCode.AMOUNT_BELOW_MINIMUM),
        (400_000_000, 41_000, DELTA, 60, FailureCode.TEMPORARY_CHANNEL_FAILURE),
    ],
)
def test_failure_that_is_about_the_policy_carries_the_policy(
    amount_msat: int, fee_msat: int, delta: int, final_delta: int, code: FailureCode
) -> None:
    """The payer learns what was wrong with its HTLC; LND reads these failures only with a channel_update in them, and
    one of a channel that is empty without.
    """
    stage = Stage(topologies.line())
    stage.pay("bob", "carol", stage.invoice("carol", 200_000_000, tag="fill"), "fill")
    stage.rest()
    expiry = stage.m("alice").env.block_height + final_delta
    scid = stage.scid("bob", "carol")
    hops = [
        ("bob", handmade.forward(amount_msat, expiry, scid)),
        ("carol", handmade.final(amount_msat, expiry, bytes(32))),
    ]
    built = handmade.onion(stage, hops, HASH)
    handmade.offer(stage, "alice", "bob", built.packet, HASH, amount_msat + fee_msat, expiry + delta)
    said, hop = handmade.answer(stage, "bob", "alice", built)
    assert said is not None
    assert (said.failure_code, hop) == (code.value, 0)
    raw = getattr(said, "channel_update")  # noqa: B009 - of these kinds of failures only
    if code is FailureCode.TEMPORARY_CHANNEL_FAILURE:
        assert raw == b""
    else:
        update = decode(raw)
        assert isinstance(update, ChannelUpdate)
        assert update.short_channel_id == scid
        assert (update.fee_base_msat, update.cltv_expiry_delta) == (1000, DELTA)
        assert ec.verify_ecdsa(stage["bob"].node_id, sha256d(raw[66:]), update.signature)
    stage.check()


def test_malformed_onion_becomes_an_error_of_the_forwarder() -> None:
    """`update_fail_malformed_htlc` goes one channel far; the payer gets a packet that it can read."""
    stage = Stage(topologies.line())
    expiry = stage.m("alice").env.block_height + 60
    hops: list[tuple[str, HopPayload] | tuple[bytes, HopPayload]] = [
        ("bob", handmade.forward(AMOUNT_MSAT, expiry, stage.scid("bob", "carol"))),
        (STRANGER, handmade.final(AMOUNT_MSAT, expiry, bytes(32))),
    ]
    built = handmade.onion(stage, hops, HASH)
    handmade.offer(stage, "alice", "bob", built.packet, HASH, AMOUNT_MSAT + FEE_MSAT, expiry + DELTA)
    malformed = handmade.decision(stage, "carol", "bob")
    assert malformed.failure_code == FailureCode.INVALID_ONION_HMAC.value
    assert handmade.answer(stage, "bob", "alice", built) == (InvalidOnionHmac(sha256_of_onion=malformed.reason), 0)
    assert not handmade.decision(stage, "bob", "alice").failure_code
    stage.check()


def test_forward_keeps_enough_blocks_whatever_the_policy_says() -> None:
    """With fewer a fulfil that is seen late on the chain could not be claimed in turn."""
    stage = Stage(topologies.line())
    set_policy(stage, ForwardingPolicy(1000, 100, 6, 1))
    over_bob(stage, delta=CLTV_EXPIRY_DELTA_MIN - 1)
    stage.check()
    assert stage.failure("alice") == ("route_failed", FailureCode.INCORRECT_CLTV_EXPIRY, 0)


def test_forward_with_the_least_blocks_passes() -> None:
    """The step before the refusal above."""
    stage = Stage(topologies.line())
    set_policy(stage, ForwardingPolicy(1000, 100, 6, 1))
    over_bob(stage, delta=CLTV_EXPIRY_DELTA_MIN)
    stage.check()
    assert stage.payment("alice").sent is not None


def test_nothing_is_forwarded_out_of_a_disabled_channel() -> None:
    """The payer learns that this way is closed; what the node pays itself goes on, and the way opens again."""
    stage = Stage(topologies.line())
    set_policy(stage, ForwardingPolicy(1000, 100, DELTA, 1), is_disabled=True)
    known = stage.slot("carol", "bob").state.core.peer_policy
    assert known is not None
    assert known.disabled
    over_bob(stage)
    stage.check()
    assert stage.failure("alice") == ("route_failed", FailureCode.CHANNEL_DISABLED, 0)
    stage.pay("bob", "carol", stage.invoice("carol", tag="own"), "own")
    stage.rest()
    assert stage.payment("bob", "own").sent is not None
    set_policy(stage, ForwardingPolicy(1000, 100, DELTA, 1))
    stage.pay("alice", "carol", stage.invoice("carol", tag="again"), "again")
    stage.check()
    assert stage.payment("alice", "again").sent is not None


@pytest.mark.parametrize("is_disabled", [False, True])
def test_disabled_channel_takes_nothing_in_place_of_another(*, is_disabled: bool) -> None:
    """Channels of one peer stand in for each other, but not this one."""
    stage = Stage(topologies.make([("alice", "bob"), ("bob", "carol"), ("bob", "carol")]))
    set_policy(stage, ForwardingPolicy(1000, 100, DELTA, 1), is_disabled=is_disabled)
    stage.slot("bob", "carol", 1).halted = "a journal that hangs"
    over_bob(stage, scid=stage.scid("bob", "carol", 1))
    stage.rest()
    if is_disabled:
        assert stage.failure("alice") == ("route_failed", FailureCode.TEMPORARY_CHANNEL_FAILURE, 0)
    else:
        assert stage.payment("alice").sent is not None


# --- the payer ------------------------------------------------------------------------------------------------------


def failing(stage: Stage, node: str, failure: FailureMessage) -> None:
    """A node that asks its user fails what it was shown with this."""

    def fail(m: Manager) -> None:
        [claimable] = m.claimables.values()
        claiming.fail_set(m, claimable, failure)

    stage[node].run(fail)


def test_channel_update_in_a_failure_changes_nothing() -> None:
    """Also one that is genuine: whoever sends it to one payer only could tell that payer again by what it does."""
    stage = Stage(topologies.line("carol"))
    stage.prompt("carol", "")
    stage.pay("alice", "carol", stage.invoice("carol"), deadline_seconds=100)
    stage.seconds(3)
    slot = stage.slot("alice", "bob")
    known = slot.state.core.peer_policy
    bob, twin = stage.m("bob"), stage.slot("bob", "alice")
    twin.state.core.policy = ForwardingPolicy(999_999, 99, 99, 9)
    bob.now_seconds += 1_000
    update = channel_update(bob, twin)
    assert isinstance(decode(update), ChannelUpdate)
    position = slot.tail.position
    failing(stage, "carol", FeeInsufficient(htlc_msat=AMOUNT_MSAT, channel_update=update))
    stage.act()
    assert stage.payment("alice").last_failure is not None
    assert slot.tail.position > position
    assert slot.state.core.peer_policy == known
    assert len(stage.m("alice").by_short_channel_id) == 2


def _dearer(stage: Stage) -> None:
    for slot in stage.slots("bob", "carol"):
        slot.state.core.policy = ForwardingPolicy(10**8, 0, DELTA, 1)


def _overloaded(stage: Stage) -> None:
    stage.m("bob").config = msgspec.structs.replace(stage.m("bob").config, unacknowledged_events_max=0)


def _without_channels(stage: Stage) -> None:
    for slot in stage.slots("bob", "carol"):
        del stage.m("bob").by_short_channel_id[slot.state.core.local_alias]


@pytest.mark.parametrize(
    ("trouble", "code", "attempts"),
    [
        (_dearer, FailureCode.FEE_INSUFFICIENT, 4),
        (_without_channels, FailureCode.UNKNOWN_NEXT_PEER, 2),
        (_overloaded, FailureCode.TEMPORARY_NODE_FAILURE, 1),
    ],
)
def test_code_says_what_is_not_tried_again(trouble: Callable[[Stage], None], code: FailureCode, attempts: int) -> None:
    """Two channels to bob, two hints from him: NODE rules out bob, PERM one of his channels, all else one way only."""
    stage = Stage(topologies.make([("alice", "bob"), ("alice", "bob"), ("bob", "carol"), ("bob", "carol")]))
    text = stage.invoice("carol")
    trouble(stage)
    stage.pay("alice", "carol", text)
    stage.act()
    assert stage.failure("alice") == ("route_failed", code, 0)
    assert stage.payment("alice").next_part == attempts


def test_recipient_that_is_out_of_order_for_a_moment_is_tried_again() -> None:
    """It has not said no to the payment."""
    stage = Stage(topologies.double("bob"))
    stage.prompt("bob", "")
    stage.pay("alice", "bob", stage.invoice("bob"), deadline_seconds=100)
    stage.seconds(3)
    failing(stage, "bob", TemporaryNodeFailure())
    stage.prompt("bob", "claim")
    stage.check()
    assert stage.payment("alice").sent is not None
