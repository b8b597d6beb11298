"""Bytes of the records of the `node` journal, the wallet's included; rules as in `codec.py`."""

from typing import TypeAlias

import msgspec

from leyden.base.errors import DecodeError
from leyden.journal.node_records import CoreNodeRecord
from leyden.journal.wallet_records import WalletRecord

NodeRecord: TypeAlias = CoreNodeRecord | WalletRecord

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[NodeRecord] = msgspec.msgpack.Decoder(NodeRecord)


def encode_node_record(record: NodeRecord) -> bytes:
    """Return one record as it is appended to the node journal."""
    return _encoder.encode(record)


def decode_node_record(encoded: bytes) -> NodeRecord:
    """Read one record that `encode_node_record` wrote.

    Raises: DecodeError for a kind or field of a newer version, and for damaged bytes.
    """
    try:
        return _decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"damaged node record, or of a newer version of this program: {error}") from error
