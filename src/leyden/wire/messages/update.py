"""Messages of BOLT 2, "Normal Operation", and `channel_reestablish`. Most of a busy channel's traffic is here."""

from typing import Annotated, ClassVar

import msgspec

from leyden.wire.fields import (
    HASH32,
    POINT,
    REST,
    U16,
    U32,
    U64,
    Bytes32,
    Bytes1366,
    Composite,
    Fixed,
    Point,
    PrefixedBytes,
    Secret32,
    Signature,
    Signatures,
    Tlv,
    UnknownTlvs,
)
from leyden.wire.layout import Message

ATTRIBUTION_DATA_SIZE = 20 * 4 + 210 * 4
"""Bytes of `attribution_data`: 20 hold times and 210 truncated HMACs. BOLT 4, "Returning Errors"."""

_ATTRIBUTION_DATA = Fixed(f"{ATTRIBUTION_DATA_SIZE}s")


class UpdateAddHtlc(Message, frozen=True, gc=False):
    """`update_add_htlc`. TLV `blinded_path` holds only `path_key` (33 bytes).

    BOLT 2, "Adding an HTLC: `update_add_htlc`".
    """

    TYPE: ClassVar[int] = 128
    channel_id: Bytes32
    id: U64
    amount_msat: U64
    payment_hash: Bytes32
    cltv_expiry: U32
    onion_routing_packet: Bytes1366
    path_key: Annotated[bytes | None, Tlv(0, POINT)] = None
    unknown_tlvs: UnknownTlvs = ()


class UpdateFulfillHtlc(Message, frozen=True, gc=False):
    """`update_fulfill_htlc`. BOLT 2, "Removing an HTLC: `update_fulfill_htlc`, `update_fail_htlc`, and
    `update_fail_malformed_htlc`".
    """

    TYPE: ClassVar[int] = 130
    channel_id: Bytes32
    id: U64
    payment_preimage: Secret32
    attribution_data: Annotated[bytes | None, Tlv(1, _ATTRIBUTION_DATA)] = None
    fulfillment_payload: Annotated[bytes | None, Tlv(3, REST)] = None
    unknown_tlvs: UnknownTlvs = ()


class UpdateFailHtlc(Message, frozen=True, gc=False):
    """`update_fail_htlc`; `reason` is the encrypted error packet. BOLT 2, "Removing an HTLC:
    `update_fulfill_htlc`, `update_fail_htlc`, and `update_fail_malformed_htlc`".
    """

    TYPE: ClassVar[int] = 131
    channel_id: Bytes32
    id: U64
    reason: PrefixedBytes
    attribution_data: Annotated[bytes | None, Tlv(1, _ATTRIBUTION_DATA)] = None
    unknown_tlvs: UnknownTlvs = ()


class UpdateFailMalformedHtlc(Message, frozen=True, gc=False):
    """`update_fail_malformed_htlc`. BOLT 2, "Removing an HTLC: `update_fulfill_htlc`, `update_fail_htlc`, and
    `update_fail_malformed_htlc`".
    """

    TYPE: ClassVar[int] = 135
    channel_id: Bytes32
    id: U64
    sha256_of_onion: Bytes32
    failure_code: U16
    unknown_tlvs: UnknownTlvs = ()


class StartBatch(Message, frozen=True, gc=False):
    """`start_batch`: the next `batch_size` messages belong together. BOLT 2, "Batching channel messages"."""

    TYPE: ClassVar[int] = 127
    channel_id: Bytes32
    batch_size: U16
    message_type: Annotated[int | None, Tlv(1, Fixed("H"))] = None
    unknown_tlvs: UnknownTlvs = ()


class CommitmentSigned(Message, frozen=True, gc=False):
    """`commitment_signed`; `htlc_signatures` in the order of the outputs (`num_htlcs` is their count).

    BOLT 2, "Committing Updates So Far: `commitment_signed`".
    """

    TYPE: ClassVar[int] = 132
    channel_id: Bytes32
    signature: Signature
    htlc_signatures: Signatures
    funding_txid: Annotated[bytes | None, Tlv(1, HASH32)] = None
    unknown_tlvs: UnknownTlvs = ()


class RevokeAndAck(Message, frozen=True, gc=False):
    """`revoke_and_ack`. BOLT 2, "Completing the Transition to the Updated State: `revoke_and_ack`"."""

    TYPE: ClassVar[int] = 133
    channel_id: Bytes32
    per_commitment_secret: Secret32
    next_per_commitment_point: Point
    unknown_tlvs: UnknownTlvs = ()


class UpdateFee(Message, frozen=True, gc=False):
    """`update_fee`. BOLT 2, "Updating Fees: `update_fee`"."""

    TYPE: ClassVar[int] = 134
    channel_id: Bytes32
    feerate_per_kw: U32
    unknown_tlvs: UnknownTlvs = ()


class NextFunding(msgspec.Struct, frozen=True, gc=False):
    """TLV `next_funding`; bit 0 of `retransmit_flags` asks for `commitment_signed`."""

    next_funding_txid: bytes
    retransmit_flags: int


class MyCurrentFundingLocked(msgspec.Struct, frozen=True, gc=False):
    """TLV `my_current_funding_locked`; bit 0 of `retransmit_flags` asks for `announcement_signatures`."""

    my_current_funding_locked_txid: bytes
    retransmit_flags: int


_NEXT_FUNDING = Composite(NextFunding, {"next_funding_txid": HASH32, "retransmit_flags": Fixed("B")})
_FUNDING_LOCKED = Composite(
    MyCurrentFundingLocked, {"my_current_funding_locked_txid": HASH32, "retransmit_flags": Fixed("B")}
)


class ChannelReestablish(Message, frozen=True, gc=False):
    """`channel_reestablish`. BOLT 2, "Message Retransmission"."""

    TYPE: ClassVar[int] = 136
    channel_id: Bytes32
    next_commitment_number: U64
    next_revocation_number: U64
    your_last_per_commitment_secret: Secret32
    my_current_per_commitment_point: Point
    next_funding: Annotated[NextFunding | None, Tlv(1, _NEXT_FUNDING)] = None
    my_current_funding_locked: Annotated[MyCurrentFundingLocked | None, Tlv(5, _FUNDING_LOCKED)] = None
    unknown_tlvs: UnknownTlvs = ()
