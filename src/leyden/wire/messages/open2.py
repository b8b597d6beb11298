"""Messages of BOLT 2, "Channel Establishment v2". Amounts are in the unit of the field's name."""

from typing import Annotated, ClassVar

from leyden.wire.fields import FLAG, REST, U8, U16, U32, U64, Bytes32, Point, Tlv, UnknownTlvs
from leyden.wire.layout import Message


class OpenChannel2(Message, frozen=True, gc=False):
    """`open_channel2`, from the opener. BOLT 2, "The `open_channel2` Message"."""

    TYPE: ClassVar[int] = 64
    chain_hash: Bytes32
    temporary_channel_id: Bytes32
    funding_feerate_perkw: U32
    commitment_feerate_perkw: U32
    funding_satoshis: U64
    dust_limit_satoshis: U64
    max_htlc_value_in_flight_msat: U64
    htlc_minimum_msat: U64
    to_self_delay: U16
    max_accepted_htlcs: U16
    locktime: U32
    funding_pubkey: Point
    revocation_basepoint: Point
    payment_basepoint: Point
    delayed_payment_basepoint: Point
    htlc_basepoint: Point
    first_per_commitment_point: Point
    second_per_commitment_point: Point
    channel_flags: U8
    upfront_shutdown_script: Annotated[bytes | None, Tlv(0, REST)] = None
    channel_type: Annotated[bytes | None, Tlv(1, REST)] = None
    require_confirmed_inputs: Annotated[bool, Tlv(2, FLAG)] = False
    unknown_tlvs: UnknownTlvs = ()


class AcceptChannel2(Message, frozen=True, gc=False):
    """`accept_channel2`, from the accepter. BOLT 2, "The `accept_channel2` Message"."""

    TYPE: ClassVar[int] = 65
    temporary_channel_id: Bytes32
    funding_satoshis: U64
    dust_limit_satoshis: U64
    max_htlc_value_in_flight_msat: U64
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
    second_per_commitment_point: Point
    upfront_shutdown_script: Annotated[bytes | None, Tlv(0, REST)] = None
    channel_type: Annotated[bytes | None, Tlv(1, REST)] = None
    require_confirmed_inputs: Annotated[bool, Tlv(2, FLAG)] = False
    unknown_tlvs: UnknownTlvs = ()
