"""Messages of BOLT 2, "Interactive Transaction Construction". Txids are in internal order."""

from typing import Annotated, ClassVar

from leyden.wire.fields import (
    FLAG,
    HASH32,
    SIGNATURE,
    U32,
    U64,
    Bytes32,
    Fixed,
    PrefixedBytes,
    PrefixedStrings,
    Tlv,
    UnknownTlvs,
)
from leyden.wire.layout import Message


class TxAddInput(Message, frozen=True, gc=False):
    """`tx_add_input`; TLV `shared_input_txid` names the funding output that a splice spends, `prevtx` is then empty.

    BOLT 2, "The `tx_add_input` Message".
    """

    TYPE: ClassVar[int] = 66
    channel_id: Bytes32
    serial_id: U64
    prevtx: PrefixedBytes
    prevtx_vout: U32
    sequence: U32
    shared_input_txid: Annotated[bytes | None, Tlv(0, HASH32)] = None
    unknown_tlvs: UnknownTlvs = ()


class TxAddOutput(Message, frozen=True, gc=False):
    """`tx_add_output`. BOLT 2, "The `tx_add_output` Message"."""

    TYPE: ClassVar[int] = 67
    channel_id: Bytes32
    serial_id: U64
    sats: U64
    script: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class TxRemoveInput(Message, frozen=True, gc=False):
    """`tx_remove_input`. BOLT 2, "The `tx_remove_input` and `tx_remove_output` Messages"."""

    TYPE: ClassVar[int] = 68
    channel_id: Bytes32
    serial_id: U64
    unknown_tlvs: UnknownTlvs = ()


class TxRemoveOutput(Message, frozen=True, gc=False):
    """`tx_remove_output`. BOLT 2, "The `tx_remove_input` and `tx_remove_output` Messages"."""

    TYPE: ClassVar[int] = 69
    channel_id: Bytes32
    serial_id: U64
    unknown_tlvs: UnknownTlvs = ()


class TxComplete(Message, frozen=True, gc=False):
    """`tx_complete`. BOLT 2, "The `tx_complete` Message"."""

    TYPE: ClassVar[int] = 70
    channel_id: Bytes32
    unknown_tlvs: UnknownTlvs = ()


class TxSignatures(Message, frozen=True, gc=False):
    """`tx_signatures`; each of `witnesses` is the `witness_data` of one own input, its stack serialised as in a block.

    BOLT 2, "The `tx_signatures` Message".
    """

    TYPE: ClassVar[int] = 71
    channel_id: Bytes32
    txid: Bytes32
    witnesses: PrefixedStrings
    shared_input_signature: Annotated[bytes | None, Tlv(0, SIGNATURE)] = None
    unknown_tlvs: UnknownTlvs = ()


class TxInitRbf(Message, frozen=True, gc=False):
    """`tx_init_rbf`; `feerate` in sat per 1000 weight, `funding_output_contribution` in sat, may be negative.

    BOLT 2, "The `tx_init_rbf` Message".
    """

    TYPE: ClassVar[int] = 72
    channel_id: Bytes32
    locktime: U32
    feerate: U32
    funding_output_contribution: Annotated[int | None, Tlv(0, Fixed("q"))] = None
    require_confirmed_inputs: Annotated[bool, Tlv(2, FLAG)] = False
    unknown_tlvs: UnknownTlvs = ()


class TxAckRbf(Message, frozen=True, gc=False):
    """`tx_ack_rbf`; `funding_output_contribution` in sat, may be negative. BOLT 2, "The `tx_ack_rbf` Message"."""

    TYPE: ClassVar[int] = 73
    channel_id: Bytes32
    funding_output_contribution: Annotated[int | None, Tlv(0, Fixed("q"))] = None
    require_confirmed_inputs: Annotated[bool, Tlv(2, FLAG)] = False
    unknown_tlvs: UnknownTlvs = ()


class TxAbort(Message, frozen=True, gc=False):
    """`tx_abort`; the receiver echoes one. BOLT 2, "The `tx_abort` Message"."""

    TYPE: ClassVar[int] = 74
    channel_id: Bytes32
    data: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()
