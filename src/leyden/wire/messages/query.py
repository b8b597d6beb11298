"""Messages of BOLT 7, "Query Messages". Their arrays stay bytes here; `leyden.wire.gossip_arrays` reads them."""

from typing import Annotated, ClassVar

import msgspec

from leyden.wire.fields import (
    REST,
    U8,
    U32,
    BigSizeValue,
    Bytes32,
    Composite,
    Fixed,
    PrefixedBytes,
    Repeated,
    Tlv,
    UnknownTlvs,
)
from leyden.wire.layout import Message


class ChannelUpdateChecksums(msgspec.Struct, frozen=True, gc=False):
    """CRC32C of the updates of both directions, 0 when there is none."""

    checksum_node_id_1: int
    checksum_node_id_2: int


_CHECKSUMS = Composite(ChannelUpdateChecksums, {"checksum_node_id_1": Fixed("I"), "checksum_node_id_2": Fixed("I")})


class QueryShortChannelIds(Message, frozen=True, gc=False):
    """`query_short_channel_ids`; TLV `query_flags` begins with its encoding byte, as `encoded_short_ids` does.

    BOLT 7, "The `query_short_channel_ids`/`reply_short_channel_ids_end` Messages".
    """

    TYPE: ClassVar[int] = 261
    chain_hash: Bytes32
    encoded_short_ids: PrefixedBytes
    query_flags: Annotated[bytes | None, Tlv(1, REST)] = None
    unknown_tlvs: UnknownTlvs = ()


class ReplyShortChannelIdsEnd(Message, frozen=True, gc=False):
    """`reply_short_channel_ids_end`. BOLT 7, "The `query_short_channel_ids`/`reply_short_channel_ids_end` Messages"."""

    TYPE: ClassVar[int] = 262
    chain_hash: Bytes32
    full_information: U8
    unknown_tlvs: UnknownTlvs = ()


class QueryChannelRange(Message, frozen=True, gc=False):
    """`query_channel_range`; bit 0 of `query_option_flags` asks for timestamps, bit 1 for checksums.

    BOLT 7, "The `query_channel_range` and `reply_channel_range` Messages".
    """

    TYPE: ClassVar[int] = 263
    chain_hash: Bytes32
    first_blocknum: U32
    number_of_blocks: U32
    query_option_flags: Annotated[int | None, Tlv(1, BigSizeValue())] = None
    unknown_tlvs: UnknownTlvs = ()


class ReplyChannelRange(Message, frozen=True, gc=False):
    """`reply_channel_range`; TLV `timestamps` begins with its encoding byte, as `encoded_short_ids` does.

    BOLT 7, "The `query_channel_range` and `reply_channel_range` Messages".
    """

    TYPE: ClassVar[int] = 264
    chain_hash: Bytes32
    first_blocknum: U32
    number_of_blocks: U32
    sync_complete: U8
    encoded_short_ids: PrefixedBytes
    timestamps: Annotated[bytes | None, Tlv(1, REST)] = None
    checksums: Annotated[tuple[ChannelUpdateChecksums, ...] | None, Tlv(3, Repeated(_CHECKSUMS))] = None
    unknown_tlvs: UnknownTlvs = ()


class GossipTimestampFilter(Message, frozen=True, gc=False):
    """`gossip_timestamp_filter`; times in seconds since 1970. BOLT 7, "The `gossip_timestamp_filter` Message"."""

    TYPE: ClassVar[int] = 265
    chain_hash: Bytes32
    first_timestamp: U32
    timestamp_range: U32
    unknown_tlvs: UnknownTlvs = ()
