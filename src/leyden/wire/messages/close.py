"""Messages of BOLT 2, "Channel Close": shutdown, the legacy negotiation and the simple one."""

from typing import Annotated, ClassVar

import msgspec

from leyden.wire.fields import (
    SIGNATURE,
    U32,
    U64,
    Bytes32,
    Composite,
    Fixed,
    PrefixedBytes,
    Signature,
    Tlv,
    UnknownTlvs,
)
from leyden.wire.layout import Message


class Shutdown(Message, frozen=True, gc=False):
    """`shutdown`. BOLT 2, "Closing Initiation: `shutdown`"."""

    TYPE: ClassVar[int] = 38
    channel_id: Bytes32
    scriptpubkey: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class FeeRange(msgspec.Struct, frozen=True, gc=False):
    """TLV `fee_range` of `closing_signed`: both ends are acceptable."""

    min_fee_satoshis: int
    max_fee_satoshis: int


_FEE_RANGE = Composite(FeeRange, {"min_fee_satoshis": Fixed("Q"), "max_fee_satoshis": Fixed("Q")})


class ClosingSigned(Message, frozen=True, gc=False):
    """`closing_signed`. BOLT 2, "Legacy Closing Negotiation: `closing_signed`"."""

    TYPE: ClassVar[int] = 39
    channel_id: Bytes32
    fee_satoshis: U64
    signature: Signature
    fee_range: Annotated[FeeRange | None, Tlv(1, _FEE_RANGE)] = None
    unknown_tlvs: UnknownTlvs = ()


class ClosingComplete(Message, frozen=True, gc=False):
    """`closing_complete`, from the closer. The TLVs are the closer's signatures, one per form of the transaction.

    BOLT 2, "Closing Negotiation: `closing_complete` and `closing_sig`".
    """

    TYPE: ClassVar[int] = 40
    channel_id: Bytes32
    closer_scriptpubkey: PrefixedBytes
    closee_scriptpubkey: PrefixedBytes
    fee_satoshis: U64
    locktime: U32
    closer_output_only: Annotated[bytes | None, Tlv(1, SIGNATURE)] = None
    closee_output_only: Annotated[bytes | None, Tlv(2, SIGNATURE)] = None
    closer_and_closee_outputs: Annotated[bytes | None, Tlv(3, SIGNATURE)] = None
    unknown_tlvs: UnknownTlvs = ()


class ClosingSig(Message, frozen=True, gc=False):
    """`closing_sig`, from the closee: one signature, in the same TLV as the one it answers.

    BOLT 2, "Closing Negotiation: `closing_complete` and `closing_sig`".
    """

    TYPE: ClassVar[int] = 41
    channel_id: Bytes32
    closer_scriptpubkey: PrefixedBytes
    closee_scriptpubkey: PrefixedBytes
    fee_satoshis: U64
    locktime: U32
    closer_output_only: Annotated[bytes | None, Tlv(1, SIGNATURE)] = None
    closee_output_only: Annotated[bytes | None, Tlv(2, SIGNATURE)] = None
    closer_and_closee_outputs: Annotated[bytes | None, Tlv(3, SIGNATURE)] = None
    unknown_tlvs: UnknownTlvs = ()
