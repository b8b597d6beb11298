"""Failure messages: what a hop tells the sender about an HTLC it did not take.

One class per failure, named as in BOLT 4. What a peer sends is read generously, since the sender acts on the code
alone: a code that is unknown, or whose data are too short, becomes `UnknownFailure`, and bytes behind the data that
form no TLV stream are dropped.

Spec: BOLT 4, "Failure Messages".
"""

from enum import Enum
from typing import Any, ClassVar, Final, final

import msgspec

from leyden.base.errors import DecodeError, LeydenError
from leyden.wire.codec import decode_bigsize, encode_bigsize
from leyden.wire.tlv import TlvRecords, join_records, split_records

BADONION: Final = 0x8000
"""Flag: the onion could not be read; the failure travels back in update_fail_malformed_htlc."""
PERM: Final = 0x4000
"""Flag: trying again will not help."""
NODE: Final = 0x2000
"""Flag: the node is the cause, else the channel."""
UPDATE: Final = 0x1000
"""Flag: the HTLC broke the channel's forwarding parameters."""


class FailureCode(Enum):
    """The known values of `failure_code`."""

    TEMPORARY_NODE_FAILURE = NODE | 2
    PERMANENT_NODE_FAILURE = PERM | NODE | 2
    REQUIRED_NODE_FEATURE_MISSING = PERM | NODE | 3
    INVALID_ONION_VERSION = BADONION | PERM | 4
    INVALID_ONION_HMAC = BADONION | PERM | 5
    INVALID_ONION_KEY = BADONION | PERM | 6
    TEMPORARY_CHANNEL_FAILURE = UPDATE | 7
    PERMANENT_CHANNEL_FAILURE = PERM | 8
    REQUIRED_CHANNEL_FEATURE_MISSING = PERM | 9
    UNKNOWN_NEXT_PEER = PERM | 10
    AMOUNT_BELOW_MINIMUM = UPDATE | 11
    FEE_INSUFFICIENT = UPDATE | 12
    INCORRECT_CLTV_EXPIRY = UPDATE | 13
    EXPIRY_TOO_SOON = UPDATE | 14
    INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS = PERM | 15
    FINAL_INCORRECT_CLTV_EXPIRY = 18
    FINAL_INCORRECT_HTLC_AMOUNT = 19
    CHANNEL_DISABLED = UPDATE | 20
    EXPIRY_TOO_FAR = 21
    INVALID_ONION_PAYLOAD = PERM | 22
    MPP_TIMEOUT = 23
    INVALID_ONION_BLINDING = BADONION | PERM | 24


_CHANNEL_UPDATE: Final = ("channel_update", "u16 bytes")
_SHA256_OF_ONION: Final = ("sha256_of_onion", "32 bytes")


class FailureMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What all failures share. `tlvs`: records behind the data, as they came."""

    CODE: ClassVar[FailureCode]
    LAYOUT: ClassVar[tuple[tuple[str, str], ...]] = ()

    tlvs: TlvRecords = ()

    @property
    def failure_code(self) -> int:
        """The code with its flags, as on the wire (16 bits)."""
        return int(self.CODE.value)

    @property
    def is_badonion(self) -> bool:
        """Whether the onion itself was unreadable."""
        return bool(self.failure_code & BADONION)

    @property
    def is_permanent(self) -> bool:
        """Whether trying the same again is of no use."""
        return bool(self.failure_code & PERM)

    @property
    def is_node_failure(self) -> bool:
        """Whether the node, rather than one of its channels, is the cause."""
        return bool(self.failure_code & NODE)

    @property
    def is_update(self) -> bool:
        """Whether forwarding parameters were violated."""
        return bool(self.failure_code & UPDATE)


@final
class TemporaryNodeFailure(FailureMessage, frozen=True):
    """The node cannot serve now."""

    CODE = FailureCode.TEMPORARY_NODE_FAILURE


@final
class PermanentNodeFailure(FailureMessage, frozen=True):
    """The node cannot serve at all."""

    CODE = FailureCode.PERMANENT_NODE_FAILURE


@final
class RequiredNodeFeatureMissing(FailureMessage, frozen=True):
    """The node requires a feature that the onion does not use."""

    CODE = FailureCode.REQUIRED_NODE_FEATURE_MISSING


class OnionFailure(FailureMessage, frozen=True):
    """The onion is unreadable. `sha256_of_onion`: SHA-256 of the packet, 32 bytes (may be zeros in a blinded path)."""

    LAYOUT = (_SHA256_OF_ONION,)

    sha256_of_onion: bytes


@final
class InvalidOnionVersion(OnionFailure, frozen=True):
    """The version byte is not 0."""

    CODE = FailureCode.INVALID_ONION_VERSION


@final
class InvalidOnionHmac(OnionFailure, frozen=True):
    """The HMAC does not fit."""

    CODE = FailureCode.INVALID_ONION_HMAC


@final
class InvalidOnionKey(OnionFailure, frozen=True):
    """The ephemeral key is no point."""

    CODE = FailureCode.INVALID_ONION_KEY


@final
class TemporaryChannelFailure(FailureMessage, frozen=True):
    """The outgoing channel cannot take the HTLC now. `channel_update`: raw, often empty."""

    CODE = FailureCode.TEMPORARY_CHANNEL_FAILURE
    LAYOUT = (_CHANNEL_UPDATE,)

    channel_update: bytes


@final
class PermanentChannelFailure(FailureMessage, frozen=True):
    """The outgoing channel takes no HTLC any more."""

    CODE = FailureCode.PERMANENT_CHANNEL_FAILURE


@final
class RequiredChannelFeatureMissing(FailureMessage, frozen=True):
    """The outgoing channel requires a feature that the onion does not use."""

    CODE = FailureCode.REQUIRED_CHANNEL_FEATURE_MISSING


@final
class UnknownNextPeer(FailureMessage, frozen=True):
    """The onion's short_channel_id leads nowhere."""

    CODE = FailureCode.UNKNOWN_NEXT_PEER


@final
class AmountBelowMinimum(FailureMessage, frozen=True):
    """The outgoing amount, `htlc_msat` (u64), is below the channel's htlc_minimum_msat."""

    CODE = FailureCode.AMOUNT_BELOW_MINIMUM
    LAYOUT = (("htlc_msat", "u64"), _CHANNEL_UPDATE)

    htlc_msat: int
    channel_update: bytes


@final
class FeeInsufficient(FailureMessage, frozen=True):
    """The incoming amount, `htlc_msat` (u64), leaves too small a fee."""

    CODE = FailureCode.FEE_INSUFFICIENT
    LAYOUT = (("htlc_msat", "u64"), _CHANNEL_UPDATE)

    htlc_msat: int
    channel_update: bytes


@final
class IncorrectCltvExpiry(FailureMessage, frozen=True):
    """The outgoing `cltv_expiry` (block height, u32) leaves less than the channel's cltv_expiry_delta."""

    CODE = FailureCode.INCORRECT_CLTV_EXPIRY
    LAYOUT = (("cltv_expiry", "u32"), _CHANNEL_UPDATE)

    cltv_expiry: int
    channel_update: bytes


@final
class ExpiryTooSoon(FailureMessage, frozen=True):
    """The HTLC expires too soon to be handled safely."""

    CODE = FailureCode.EXPIRY_TOO_SOON
    LAYOUT = (_CHANNEL_UPDATE,)

    channel_update: bytes


@final
class IncorrectOrUnknownPaymentDetails(FailureMessage, frozen=True):
    """The final node knows no such payment. `htlc_msat` (u64): incoming amount; `height` (u32): its best block."""

    CODE = FailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS
    LAYOUT = (("htlc_msat", "u64"), ("height", "u32"))

    htlc_msat: int
    height: int


@final
class FinalIncorrectCltvExpiry(FailureMessage, frozen=True):
    """The incoming `cltv_expiry` (block height, u32) is below the one in the onion."""

    CODE = FailureCode.FINAL_INCORRECT_CLTV_EXPIRY
    LAYOUT = (("cltv_expiry", "u32"),)

    cltv_expiry: int


@final
class FinalIncorrectHtlcAmount(FailureMessage, frozen=True):
    """The incoming amount, `incoming_htlc_amt` (millisatoshi, u64), is below the one in the onion."""

    CODE = FailureCode.FINAL_INCORRECT_HTLC_AMOUNT
    LAYOUT = (("incoming_htlc_amt", "u64"),)

    incoming_htlc_amt: int


@final
class ChannelDisabled(FailureMessage, frozen=True):
    """The outgoing channel is disabled. `disabled_flags` (u16): always 0 so far."""

    CODE = FailureCode.CHANNEL_DISABLED
    LAYOUT = (("disabled_flags", "u16"), _CHANNEL_UPDATE)

    disabled_flags: int
    channel_update: bytes


@final
class ExpiryTooFar(FailureMessage, frozen=True):
    """The HTLC would lock up funds for too long."""

    CODE = FailureCode.EXPIRY_TOO_FAR


@final
class InvalidOnionPayload(FailureMessage, frozen=True):
    """The payload is not understood: TLV `type` (u64) at `offset` (u16, in the decrypted stream), 0 if unclear."""

    CODE = FailureCode.INVALID_ONION_PAYLOAD
    LAYOUT = (("type", "bigsize"), ("offset", "u16"))

    type: int
    offset: int


@final
class MppTimeout(FailureMessage, frozen=True):
    """The other parts of the payment did not arrive in time."""

    CODE = FailureCode.MPP_TIMEOUT


@final
class InvalidOnionBlinding(OnionFailure, frozen=True):
    """Something failed inside a blinded path; no more is told."""

    CODE = FailureCode.INVALID_ONION_BLINDING


@final
class UnknownFailure(FailureMessage, frozen=True):
    """A code that we do not know, or known with data too short. `code`: 16 bits; `data`: all that follows it."""

    code: int
    data: bytes

    @property
    def failure_code(self) -> int:
        """The code with its flags, as on the wire (16 bits)."""
        return self.code


_CLASSES: Final[dict[int, type[FailureMessage]]] = {
    int(cls.CODE.value): cls
    for cls in (
        TemporaryNodeFailure,
        PermanentNodeFailure,
        RequiredNodeFeatureMissing,
        InvalidOnionVersion,
        InvalidOnionHmac,
        InvalidOnionKey,
        TemporaryChannelFailure,
        PermanentChannelFailure,
        RequiredChannelFeatureMissing,
        UnknownNextPeer,
        AmountBelowMinimum,
        FeeInsufficient,
        IncorrectCltvExpiry,
        ExpiryTooSoon,
        IncorrectOrUnknownPaymentDetails,
        FinalIncorrectCltvExpiry,
        FinalIncorrectHtlcAmount,
        ChannelDisabled,
        ExpiryTooFar,
        InvalidOnionPayload,
        MppTimeout,
        InvalidOnionBlinding,
    )
}

_WIDTHS: Final = {"u16": 2, "u32": 4, "u64": 8}


class OnionError(LeydenError):
    """An onion that must be failed back. Not a fault of the peer that relayed it: the connection goes on.

    Args:
        failure: what to answer. A BADONION failure goes back in update_fail_malformed_htlc, any other one as a
            return packet.
        shared_secret: 32 bytes with which a return packet is made; None for BADONION, and where the caller has it.
    """

    def __init__(self, failure: FailureMessage, *, shared_secret: bytes | None) -> None:
        super().__init__(type(failure).__name__)
        self.failure = failure
        self.shared_secret = shared_secret

    @property
    def failure_code(self) -> int:
        """The code to answer with (16 bits)."""
        return self.failure.failure_code

    @property
    def sha256_of_onion(self) -> bytes:
        """SHA-256 of the packet (32 bytes) for update_fail_malformed_htlc; empty unless the failure is BADONION."""
        return self.failure.sha256_of_onion if isinstance(self.failure, OnionFailure) else b""


def encode_failure(failure: FailureMessage) -> bytes:
    """Return `failuremsg`: code, data, TLV records.

    Raises: ValueError if a number or a length does not fit its field.
    Spec:   BOLT 4, "Failure Messages".
    """
    parts = [failure.failure_code.to_bytes(2, "big")]
    if isinstance(failure, UnknownFailure):
        parts.append(failure.data)
    for name, kind in failure.LAYOUT:
        parts.append(_encode_field(kind, getattr(failure, name)))
    parts.append(join_records(failure.tlvs))
    return b"".join(parts)


def _encode_field(kind: str, value: Any) -> bytes:
    if kind == "u16 bytes":
        return _encode_field("u16", len(value)) + bytes(value)
    if kind == "32 bytes":
        if len(value) != 32:
            raise ValueError("a hash has 32 bytes")
        return bytes(value)
    if kind == "bigsize":
        return encode_bigsize(value)
    number, width = int(value), _WIDTHS[kind]
    if not 0 <= number < 1 << (8 * width):
        raise ValueError(f"{number} does not fit into {width} bytes")
    return number.to_bytes(width, "big")


def decode_failure(failuremsg: bytes) -> FailureMessage:
    """Return the failure in `failuremsg`; an `UnknownFailure` when the code or its data are not understood.

    Raises: DecodeError if there are not even the two bytes of the code.
    Spec:   BOLT 4, "Failure Messages" and "Receiving Failure Codes".
    """
    if len(failuremsg) < 2:
        raise DecodeError("failure message without a code", offset=0, field="failure_code")
    code = int.from_bytes(failuremsg[:2], "big")
    cls = _CLASSES.get(code)
    if cls is None:
        return UnknownFailure(code=code, data=failuremsg[2:])
    values: dict[str, Any] = {}
    offset = 2
    try:
        for name, kind in cls.LAYOUT:
            values[name], offset = _decode_field(kind, failuremsg, offset)
    except DecodeError:
        return UnknownFailure(code=code, data=failuremsg[2:])
    return cls(**values, tlvs=_lenient_records(failuremsg, offset))


def _decode_field(kind: str, raw: bytes, offset: int) -> tuple[int | bytes, int]:
    if kind == "bigsize":
        return decode_bigsize(raw, offset)
    length = 32
    if kind == "u16 bytes":
        length = int.from_bytes(_take(raw, offset, 2), "big")
        offset += 2
    elif kind in _WIDTHS:
        width = _WIDTHS[kind]
        return int.from_bytes(_take(raw, offset, width), "big"), offset + width
    return _take(raw, offset, length), offset + length


def _take(raw: bytes, offset: int, length: int) -> bytes:
    data = raw[offset : offset + length]
    if len(data) != length:
        raise DecodeError("failure message is truncated", offset=offset)
    return data


def _lenient_records(raw: bytes, offset: int) -> TlvRecords:
    # BOLT 4, "Receiving Failure Codes": extra bytes are ignored, so bytes that are no TLV stream are no error.
    try:
        return tuple((record_type, value) for record_type, value, _ in split_records(raw, offset))
    except DecodeError:
        return ()


def failure_of_malformed(failure_code: int, sha256_of_onion: bytes) -> FailureMessage:
    """Return the failure that update_fail_malformed_htlc of the next hop stands for.

    Args: failure_code: 16 bits, BADONION set (the caller has checked); sha256_of_onion: 32 bytes.
    Spec: BOLT 2, "Removing an HTLC: `update_fulfill_htlc`, `update_fail_htlc`, and `update_fail_malformed_htlc`".
    """
    return decode_failure(failure_code.to_bytes(2, "big") + sha256_of_onion)
