"""Messages of BOLT 7: announcements and updates.

The three that are relayed keep what follows their last field as it came, in `excess_data`. Their signatures cover
it, so it must be passed on to the byte; and a stranger's announcement with an extension that we cannot read must
not make us hang up on the honest peer who relays it (BOLT 1, "Lightning Message Format", lets a receiver ignore
an extension).
"""

from typing import ClassVar

from leyden.wire.fields import (
    U8,
    U16,
    U32,
    U64,
    Bytes3,
    Bytes32,
    ExcessData,
    Point,
    PrefixedBytes,
    Signature,
    UnknownTlvs,
)
from leyden.wire.layout import Message


class AnnouncementSignatures(Message, frozen=True, gc=False):
    """`announcement_signatures`. BOLT 7, "The `announcement_signatures` Message"."""

    TYPE: ClassVar[int] = 259
    channel_id: Bytes32
    short_channel_id: U64
    node_signature: Signature
    bitcoin_signature: Signature
    unknown_tlvs: UnknownTlvs = ()


class ChannelAnnouncement(Message, frozen=True, gc=False):
    """`channel_announcement`. BOLT 7, "The `channel_announcement` Message"."""

    TYPE: ClassVar[int] = 256
    node_signature_1: Signature
    node_signature_2: Signature
    bitcoin_signature_1: Signature
    bitcoin_signature_2: Signature
    features: PrefixedBytes
    chain_hash: Bytes32
    short_channel_id: U64
    node_id_1: Point
    node_id_2: Point
    bitcoin_key_1: Point
    bitcoin_key_2: Point
    excess_data: ExcessData = b""


class NodeAnnouncement(Message, frozen=True, gc=False):
    """`node_announcement`; `addresses` are address descriptors (`leyden.wire.addresses`), `alias` 32 bytes.

    BOLT 7, "The `node_announcement` Message".
    """

    TYPE: ClassVar[int] = 257
    signature: Signature
    features: PrefixedBytes
    timestamp: U32
    node_id: Point
    rgb_color: Bytes3
    alias: Bytes32
    addresses: PrefixedBytes
    excess_data: ExcessData = b""


class ChannelUpdate(Message, frozen=True, gc=False):
    """`channel_update`; bit 0 of `channel_flags` is the direction, bit 1 disables; bit 1 of `message_flags` forbids
    to pass it on. BOLT 7, "The `channel_update` Message".
    """

    TYPE: ClassVar[int] = 258
    signature: Signature
    chain_hash: Bytes32
    short_channel_id: U64
    timestamp: U32
    message_flags: U8
    channel_flags: U8
    cltv_expiry_delta: U16
    htlc_minimum_msat: U64
    fee_base_msat: U32
    fee_proportional_millionths: U32
    htlc_maximum_msat: U64
    excess_data: ExcessData = b""
