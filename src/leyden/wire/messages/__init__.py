"""Every message of BOLT 1, 2, 4 and 7, with `encode` and `decode`."""

from typing import Final, final

import msgspec

from leyden.base.errors import DecodeError
from leyden.wire.codec import MESSAGE_SIZE_MAX
from leyden.wire.layout import Message, MessageCodec
from leyden.wire.messages.close import ClosingComplete, ClosingSig, ClosingSigned, FeeRange, Shutdown
from leyden.wire.messages.gossip import (
    AnnouncementSignatures,
    ChannelAnnouncement,
    ChannelUpdate,
    NodeAnnouncement,
)
from leyden.wire.messages.interactive import (
    TxAbort,
    TxAckRbf,
    TxAddInput,
    TxAddOutput,
    TxComplete,
    TxInitRbf,
    TxRemoveInput,
    TxRemoveOutput,
    TxSignatures,
)
from leyden.wire.messages.onion import OnionMessage
from leyden.wire.messages.open import AcceptChannel, ChannelReady, FundingCreated, FundingSigned, OpenChannel
from leyden.wire.messages.open2 import AcceptChannel2, OpenChannel2
from leyden.wire.messages.query import (
    ChannelUpdateChecksums,
    GossipTimestampFilter,
    QueryChannelRange,
    QueryShortChannelIds,
    ReplyChannelRange,
    ReplyShortChannelIdsEnd,
)
from leyden.wire.messages.setup import (
    ErrorMessage,
    Init,
    PeerStorage,
    PeerStorageRetrieval,
    Ping,
    Pong,
    WarningMessage,
)
from leyden.wire.messages.splice import SpliceAck, SpliceInit, SpliceLocked, Stfu
from leyden.wire.messages.update import (
    ChannelReestablish,
    CommitmentSigned,
    MyCurrentFundingLocked,
    NextFunding,
    RevokeAndAck,
    StartBatch,
    UpdateAddHtlc,
    UpdateFailHtlc,
    UpdateFailMalformedHtlc,
    UpdateFee,
    UpdateFulfillHtlc,
)

MESSAGE_CLASSES: Final[tuple[type[Message], ...]] = (
    WarningMessage,
    Stfu,
    PeerStorage,
    PeerStorageRetrieval,
    Init,
    ErrorMessage,
    Ping,
    Pong,
    OpenChannel,
    AcceptChannel,
    FundingCreated,
    FundingSigned,
    ChannelReady,
    Shutdown,
    ClosingSigned,
    ClosingComplete,
    ClosingSig,
    OpenChannel2,
    AcceptChannel2,
    TxAddInput,
    TxAddOutput,
    TxRemoveInput,
    TxRemoveOutput,
    TxComplete,
    TxSignatures,
    TxInitRbf,
    TxAckRbf,
    TxAbort,
    SpliceLocked,
    SpliceInit,
    SpliceAck,
    StartBatch,
    UpdateAddHtlc,
    UpdateFulfillHtlc,
    UpdateFailHtlc,
    CommitmentSigned,
    RevokeAndAck,
    UpdateFee,
    UpdateFailMalformedHtlc,
    ChannelReestablish,
    ChannelAnnouncement,
    NodeAnnouncement,
    ChannelUpdate,
    AnnouncementSignatures,
    QueryShortChannelIds,
    ReplyShortChannelIdsEnd,
    QueryChannelRange,
    ReplyChannelRange,
    GossipTimestampFilter,
    OnionMessage,
)
"""Every class, in ascending order of type."""


@final
class UnknownMessage(msgspec.Struct, frozen=True, gc=False):
    """A message whose type no class has; `payload` is what follows the type.

    BOLT 1, "Lightning Message Format": the session ignores odd ones and disconnects on even ones.
    """

    type: int
    payload: bytes

    @property
    def is_even(self) -> bool:
        """Whether the sender insists that it be understood."""
        return self.type & 1 == 0


_CODECS: Final[dict[type[Message], MessageCodec]] = {cls: MessageCodec(cls) for cls in MESSAGE_CLASSES}
_DECODERS: Final = {cls.TYPE.to_bytes(2, "big"): codec.decode for cls, codec in _CODECS.items()}
_ENCODERS: Final = {cls: codec.encode for cls, codec in _CODECS.items()}


def encode(message: Message | UnknownMessage) -> bytes:
    """Encode a message, its 2-byte type first, at most 65535 bytes.

    Raises: ValueError when a field has a wrong length or range, or the whole is too long.
    Source: BOLT 1, "Lightning Message Format".
    """
    if isinstance(message, UnknownMessage):
        encoded = message.type.to_bytes(2, "big") + message.payload
        if len(encoded) > MESSAGE_SIZE_MAX:
            raise ValueError(f"message of {len(encoded)} bytes; the transport carries {MESSAGE_SIZE_MAX}")
        return encoded
    return _ENCODERS[type(message)](message)


def decode(raw: bytes) -> Message | UnknownMessage:
    """Decode a whole message, its 2-byte type first.

    Returns: the message, or an UnknownMessage when the type has no class.
    Raises: DecodeError on anything malformed, and on an unknown even TLV record.
    Source: BOLT 1, "Lightning Message Format".
    """
    decoder = _DECODERS.get(raw[:2])
    if decoder is not None and len(raw) <= MESSAGE_SIZE_MAX:
        return decoder(raw)
    if len(raw) < 2:
        raise DecodeError("message has no type", offset=0, field="type")
    if len(raw) > MESSAGE_SIZE_MAX:
        raise DecodeError(f"message of {len(raw)} bytes", offset=MESSAGE_SIZE_MAX)
    return UnknownMessage(int.from_bytes(raw[:2], "big"), raw[2:])


__all__ = [
    "MESSAGE_CLASSES",
    "AcceptChannel",
    "AcceptChannel2",
    "AnnouncementSignatures",
    "ChannelAnnouncement",
    "ChannelReady",
    "ChannelReestablish",
    "ChannelUpdate",
    "ChannelUpdateChecksums",
    "ClosingComplete",
    "ClosingSig",
    "ClosingSigned",
    "CommitmentSigned",
    "ErrorMessage",
    "FeeRange",
    "FundingCreated",
    "FundingSigned",
    "GossipTimestampFilter",
    "Init",
    "Message",
    "MyCurrentFundingLocked",
    "NextFunding",
    "NodeAnnouncement",
    "OnionMessage",
    "OpenChannel",
    "OpenChannel2",
    "PeerStorage",
    "PeerStorageRetrieval",
    "Ping",
    "Pong",
    "QueryChannelRange",
    "QueryShortChannelIds",
    "ReplyChannelRange",
    "ReplyShortChannelIdsEnd",
    "RevokeAndAck",
    "Shutdown",
    "SpliceAck",
    "SpliceInit",
    "SpliceLocked",
    "StartBatch",
    "Stfu",
    "TxAbort",
    "TxAckRbf",
    "TxAddInput",
    "TxAddOutput",
    "TxComplete",
    "TxInitRbf",
    "TxRemoveInput",
    "TxRemoveOutput",
    "TxSignatures",
    "UnknownMessage",
    "UpdateAddHtlc",
    "UpdateFailHtlc",
    "UpdateFailMalformedHtlc",
    "UpdateFee",
    "UpdateFulfillHtlc",
    "WarningMessage",
    "decode",
    "encode",
]
