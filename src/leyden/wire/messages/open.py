"""Messages of BOLT 2, "Channel Establishment v1". Amounts are in the unit of the field's name."""

from typing import Annotated, ClassVar

from leyden.wire.fields import REST, U8, U16, U32, U64, Bytes32, Fixed, Point, Signature, Tlv, UnknownTlvs
from leyden.wire.layout import Message


class OpenChannel(Message, frozen=True, gc=False):
    """`open_channel`, from the opener. BOLT 2, "The `open_channel` Message".

    `channel_type` is a feature bitmap (`leyden.wire.features.ChannelType`).
    """

    TYPE: ClassVar[int] = 32
    chain_hash: Bytes32
    temporary_channel_id: Bytes32
    funding_satoshis: U64
    push_msat: U64
    dust_limit_satoshis: U64
    max_htlc_value_in_flight_msat: U64
    channel_reserve_satoshis: U64
    htlc_minimum_msat: U64
    feerate_per_kw: U32
    to_self_delay: U16
    max_accepted_htlcs: U16
    funding_pubkey: Point
    revocation_basepoint: Point
    payment_basepoint: Point
    delayed_payment_basepoint: Point
    htlc_basepoint: Point
    first_per_commitment_point: Point
    channel_flags: U8
    upfront_shutdown_script: Annotated[bytes | None, Tlv(0, REST)] = None
    channel_type: Annotated[bytes | None, Tlv(1, REST)] = None
    unknown_tlvs: UnknownTlvs = ()


class AcceptChannel(Message, frozen=True, gc=False):
    """`accept_channel`, from the accepter. BOLT 2, "The `accept_channel` Message"."""

    TYPE: ClassVar[int] = 33
    temporary_channel_id: Bytes32
    dust_limit_satoshis: U64
    max_htlc_value_in_flight_msat: U64
    channel_reserve_satoshis: U64
    htlc_minimum_msat: U64
    minimum_depth: U32
    to_self_delay: U16
    max_accepted_htlcs: U16
    funding_pubkey: Point
    revocation_basepoint: Point
    payment_basepoint: Point
    delayed_payment_basepoint: Point
    htlc_basepoint: Point
    first_per_commitment_point: Point
    upfront_shutdown_script: Annotated[bytes | None, Tlv(0, REST)] = None
    channel_type: Annotated[bytes | None, Tlv(1, REST)] = None
    unknown_tlvs: UnknownTlvs = ()


class FundingCreated(Message, frozen=True, gc=False):
    """`funding_created`, from the opener. `funding_txid` is in internal order.

    BOLT 2, "The `funding_created` Message".
    """

    TYPE: ClassVar[int] = 34
    temporary_channel_id: Bytes32
    funding_txid: Bytes32
    funding_output_index: U16
    signature: Signature
    unknown_tlvs: UnknownTlvs = ()


class FundingSigned(Message, frozen=True, gc=False):
    """`funding_signed`, from the accepter. BOLT 2, "The `funding_signed` Message"."""

    TYPE: ClassVar[int] = 35
    channel_id: Bytes32
    signature: Signature
    unknown_tlvs: UnknownTlvs = ()


class ChannelReady(Message, frozen=True, gc=False):
    """`channel_ready`. TLV `short_channel_id` carries an alias. BOLT 2, "The `channel_ready` Message"."""

    TYPE: ClassVar[int] = 36
    channel_id: Bytes32
    second_per_commitment_point: Point
    short_channel_id: Annotated[int | None, Tlv(1, Fixed("Q"))] = None
    unknown_tlvs: UnknownTlvs = ()
