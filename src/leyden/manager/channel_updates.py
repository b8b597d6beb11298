"""What our channels ask for forwarding, signed, for those who are to know it."""

from leyden.channel.inputs import SetPolicy
from leyden.crypto.hashes import sha256d
from leyden.journal.records import ForwardingPolicy
from leyden.manager.manager import Manager
from leyden.manager.state import Slot
from leyden.wire.messages import ChannelUpdate, encode

DIRECTION_FLAG = 1
DISABLED_FLAG = 2


def set_policy(m: Manager, slot: Slot, policy: ForwardingPolicy, *, is_disabled: bool = False) -> None:
    """Change what a channel asks for, and whether anything is forwarded out of it; a connected peer is told at once.

    The update is later than any before it, also in the same second: who has seen one ignores all that are not later.
    """
    m.apply(slot, SetPolicy(policy, max(m.now_seconds, slot.update_timestamp + 1), is_disabled))


def channel_update(m: Manager, slot: Slot, short_channel_id: int = 0) -> bytes:
    """Return our signed `channel_update` for an unannounced channel.

    short_channel_id: the name that the reader knows it by; 0 is the alias that the peer gave us.
    Spec: BOLT 7, "The `channel_update` Message".
    """
    core = slot.state.core
    scid = short_channel_id or core.remote_alias or (core.funding.short_channel_id if core.funding else 0)
    direction = 0 if m.node_id < slot.peer else DIRECTION_FLAG
    disabled = DISABLED_FLAG if core.forwarding_disabled else 0
    slot.update_timestamp = max(core.policy_timestamp, m.now_seconds, 1)
    unsigned = ChannelUpdate(
        signature=bytes(64),
        chain_hash=m.config.network.chain_hash,
        short_channel_id=scid,
        timestamp=slot.update_timestamp,
        message_flags=0b11,
        channel_flags=direction | disabled,
        cltv_expiry_delta=core.policy.cltv_expiry_delta,
        htlc_minimum_msat=max(core.policy.htlc_minimum_msat, core.opened.remote.htlc_minimum_msat),
        fee_base_msat=core.policy.fee_base_msat,
        fee_proportional_millionths=core.policy.fee_proportional_millionths,
        htlc_maximum_msat=min(core.opened.remote.max_htlc_value_in_flight_msat, core.capacity_satoshis * 1000),
    )
    raw = encode(unsigned)
    # The signature covers everything behind it (type 2 bytes, signature 64 bytes).
    return raw[:2] + m.signer.sign_node(sha256d(raw[66:])) + raw[66:]
