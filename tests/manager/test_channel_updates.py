"""What others learn of the policy of our channels."""

from leyden.crypto import ec
from leyden.crypto.hashes import sha256d
from leyden.journal.records import ForwardingPolicy
from leyden.manager.channel_updates import channel_update, set_policy
from leyden.wire.messages import ChannelUpdate, decode
from tests.manager.stage import Stage
from tests.sim import topologies


def test_channel_update_is_signed_and_names_the_alias_that_the_peer_gave() -> None:
    """The peer must recognise the channel, and others must be able to check who says it (BOLT 7)."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    raw = channel_update(stage.m("alice"), slot)
    update = decode(raw)
    assert isinstance(update, ChannelUpdate)
    assert update.message_flags == 0b11, "must_be_one, and only told to the peer"
    assert update.short_channel_id == stage.slot("bob", "alice").state.core.local_alias
    assert ec.verify_ecdsa(stage["alice"].node_id, sha256d(raw[66:]), update.signature)
    twin = decode(channel_update(stage.m("bob"), stage.slot("bob", "alice")))
    assert isinstance(twin, ChannelUpdate)
    assert {update.channel_flags & 1, twin.channel_flags & 1} == {0, 1}


def test_channel_update_for_a_payer_names_the_channel_as_the_payer_did() -> None:
    """It could not tell otherwise which hop of its route it is about."""
    stage = Stage(topologies.direct())
    slot = stage.slot("alice", "bob")
    raw = channel_update(stage.m("alice"), slot, 77)
    update = decode(raw)
    assert isinstance(update, ChannelUpdate)
    assert update.short_channel_id == 77
    assert ec.verify_ecdsa(stage["alice"].node_id, sha256d(raw[66:]), update.signature)


def test_policy_that_changes_twice_in_a_second_is_told_with_a_later_timestamp() -> None:
    """The peer takes the last update only when it is later than the one that it got when the channel was ready."""
    stage = Stage(topologies.direct())
    slot, twin = stage.slot("alice", "bob"), stage.slot("bob", "alice")
    told = decode(channel_update(stage.m("alice"), slot))
    assert isinstance(told, ChannelUpdate)
    for fee_base_msat in (2000, 3000):
        policy = ForwardingPolicy(fee_base_msat, 200, 80, 1)
        stage["alice"].run(lambda m, policy=policy: set_policy(m, slot, policy))  # type: ignore[misc]
        stage.rest()
        update = decode(channel_update(stage.m("alice"), slot))
        assert isinstance(update, ChannelUpdate)
        assert update.timestamp > told.timestamp
        told = update
        known = twin.state.core.peer_policy
        assert known is not None
        assert (known.fee_base_msat, known.cltv_expiry_delta) == (fee_base_msat, 80)
