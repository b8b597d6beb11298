"""Messages of BOLT 2, "Channel Quiescence" and "Channel Splicing"."""

from typing import Annotated, ClassVar

from leyden.wire.fields import FLAG, S64, U8, U32, Bytes32, Point, Tlv, UnknownTlvs
from leyden.wire.layout import Message


class Stfu(Message, frozen=True, gc=False):
    """`stfu`: no more updates from me; `initiator` is 1 when I asked first. BOLT 2, "Channel Quiescence"."""

    TYPE: ClassVar[int] = 2
    channel_id: Bytes32
    initiator: U8
    unknown_tlvs: UnknownTlvs = ()


class SpliceInit(Message, frozen=True, gc=False):
    """`splice_init`; a negative contribution takes money out. BOLT 2, "The `splice_init` Message"."""

    TYPE: ClassVar[int] = 80
    channel_id: Bytes32
    funding_contribution_satoshis: S64
    funding_feerate_perkw: U32
    locktime: U32
    funding_pubkey: Point
    require_confirmed_inputs: Annotated[bool, Tlv(2, FLAG)] = False
    unknown_tlvs: UnknownTlvs = ()


class SpliceAck(Message, frozen=True, gc=False):
    """`splice_ack`; a negative contribution takes money out. BOLT 2, "The `splice_ack` Message"."""

    TYPE: ClassVar[int] = 81
    channel_id: Bytes32
    funding_contribution_satoshis: S64
    funding_pubkey: Point
    require_confirmed_inputs: Annotated[bool, Tlv(2, FLAG)] = False
    unknown_tlvs: UnknownTlvs = ()


class SpliceLocked(Message, frozen=True, gc=False):
    """`splice_locked`; `splice_txid` is in internal order. BOLT 2, "Splice Completion"."""

    TYPE: ClassVar[int] = 77
    channel_id: Bytes32
    splice_txid: Bytes32
    unknown_tlvs: UnknownTlvs = ()
