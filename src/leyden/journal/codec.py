"""Bytes of the records of a channel's journal: msgpack arrays whose first element is the tag of the record.

The tag is the format version of its kind: a changed meaning is a new tag, and a kind that grew fields at its end still
reads what was written before. A program that meets a tag or a field it does not know refuses the journal instead of
reading half of it. Golden files under tests/golden/journal/ hold every kind as it was first written.
"""

from typing import get_args

import msgspec

from leyden.base.errors import DecodeError, WrittenByNewer
from leyden.journal.records import ChannelRecord

RECORD_KINDS: dict[int, type] = {kind.__struct_config__.tag: kind for kind in get_args(ChannelRecord)}
"""Every kind of record by its tag."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[ChannelRecord] = msgspec.msgpack.Decoder(ChannelRecord)


def encode_record(record: ChannelRecord) -> bytes:
    """Return one record as it is appended to its journal."""
    return _encoder.encode(record)


def decode_record(encoded: bytes) -> ChannelRecord:
    """Read one record that `encode_record` wrote.

    Raises: DecodeError for a kind or field of a newer version, and for damaged bytes.
    """
    try:
        return _decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal(encoded, error) from error


def _refusal(encoded: bytes, error: msgspec.MsgspecError | UnicodeDecodeError) -> DecodeError:
    """Say whether the bytes are newer than this program or damaged."""
    try:
        content = msgspec.msgpack.decode(encoded, type=list[object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return DecodeError(f"damaged journal record: {error}")
    tag = content[0] if content else None
    if not isinstance(tag, int):
        return DecodeError("damaged journal record: it does not begin with a tag", offset=0, field="tag")
    kind = RECORD_KINDS.get(tag)
    if kind is None:
        return WrittenByNewer(
            f"journal record of kind {tag}, which a newer version of this program wrote", offset=0, field="tag"
        )
    if "at most length" in str(error):
        return WrittenByNewer(f"journal record {kind.__name__} with fields that a newer version of this program wrote")
    return DecodeError(f"damaged journal record {kind.__name__}: {error}")
