"""Messages of BOLT 1: setup, control and peer storage."""

from typing import Annotated, ClassVar

from leyden.wire.fields import (
    HASH32,
    REST,
    U16,
    Bytes32,
    PrefixedBytes,
    Repeated,
    Tlv,
    UnknownTlvs,
)
from leyden.wire.layout import Message


class Init(Message, frozen=True, gc=False):
    """`init`: the first message, in each direction exactly once. BOLT 1, "The `init` Message".

    The peer's features are `globalfeatures` OR `features`. `networks` are 32-byte chain hashes; `remote_addr` is
    one address descriptor of BOLT 7 (`leyden.wire.addresses`).
    """

    TYPE: ClassVar[int] = 16
    globalfeatures: PrefixedBytes
    features: PrefixedBytes
    networks: Annotated[tuple[bytes, ...] | None, Tlv(1, Repeated(HASH32))] = None
    remote_addr: Annotated[bytes | None, Tlv(3, REST)] = None
    unknown_tlvs: UnknownTlvs = ()


class ErrorMessage(Message, frozen=True, gc=False):
    """`error`: the channel fails, or all channels when `channel_id` is zero.

    BOLT 1, "The `error` and `warning` Messages".
    """

    TYPE: ClassVar[int] = 17
    channel_id: Bytes32
    data: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class WarningMessage(Message, frozen=True, gc=False):
    """`warning`: something is wrong, nothing fails. BOLT 1, "The `error` and `warning` Messages"."""

    TYPE: ClassVar[int] = 1
    channel_id: Bytes32
    data: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class Ping(Message, frozen=True, gc=False):
    """`ping`: answered only when `num_pong_bytes` < 65532. BOLT 1, "The `ping` and `pong` Messages"."""

    TYPE: ClassVar[int] = 18
    num_pong_bytes: U16
    ignored: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class Pong(Message, frozen=True, gc=False):
    """`pong`: `ignored` has as many bytes as were asked for. BOLT 1, "The `ping` and `pong` Messages"."""

    TYPE: ClassVar[int] = 19
    ignored: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class PeerStorage(Message, frozen=True, gc=False):
    """`peer_storage`: keep this blob (at most 65531 bytes) for me.

    BOLT 1, "The `peer_storage` and `peer_storage_retrieval` Messages".
    """

    TYPE: ClassVar[int] = 7
    blob: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()


class PeerStorageRetrieval(Message, frozen=True, gc=False):
    """`peer_storage_retrieval`: your latest blob, after a reconnection.

    BOLT 1, "The `peer_storage` and `peer_storage_retrieval` Messages".
    """

    TYPE: ClassVar[int] = 9
    blob: PrefixedBytes
    unknown_tlvs: UnknownTlvs = ()
