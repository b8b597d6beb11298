"""The BOLTs' own message layouts (tests/vectors/layouts/messages.json) as an encoder that shares nothing with ours."""

import hashlib
import json
from pathlib import Path
from typing import Any

from leyden.wire.layout import Message
from leyden.wire.messages import (
    MESSAGE_CLASSES,
    ChannelUpdateChecksums,
    FeeRange,
    MyCurrentFundingLocked,
    NextFunding,
    decode,
    encode,
)

VECTORS = Path(__file__).parent.parent / "vectors"
LAYOUTS = json.loads((VECTORS / "layouts" / "messages.json").read_text())["messages"]
CLASSES = {cls.TYPE: cls for cls in MESSAGE_CLASSES}

INTEGER_SIZES = {"byte": 1, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "short_channel_id": 8}
BYTE_SIZES = {"channel_id": 32, "chain_hash": 32, "sha256": 32, "sha256[..4]": 4, "signature": 64, "byte": 1, "u32": 4}
# Where our field is not called as the BOLT's field, or the BOLT's TLV record.
RENAMED = {
    "htlc_signature": "htlc_signatures",
    "blinded_path": "path_key",
    "query_option": "query_option_flags",
    "timestamps_tlv": "timestamps",
    "checksums_tlv": "checksums",
}
COMPOSITES = {"fee_range": FeeRange, "next_funding": NextFunding, "my_current_funding_locked": MyCurrentFundingLocked}
# Records that are newer than the snapshot the layouts were taken from.
NEWER = {"fulfillment_payload"}


def noise(label: str, size: int) -> bytes:
    """Bytes that differ from field to field, so that two swapped fields are seen."""
    return hashlib.shake_128(label.encode()).digest(size)


def field(name: str, kind: str) -> tuple[Any, bytes]:
    """A value and its encoding for a field of one of the BOLTs' fundamental types, or an array of fixed length."""
    if kind in INTEGER_SIZES:
        raw = noise(name, INTEGER_SIZES[kind])
        return int.from_bytes(raw, "big"), raw
    if kind == "s64":
        raw = b"\xff" + noise(name, 7)
        return int.from_bytes(raw, "big", signed=True), raw
    if kind == "point":
        raw = b"\x03" + noise(name, 32)
        return raw, raw
    if kind == "bigsize":
        return 0xABCD, b"\xfd\xab\xcd"
    count, _, element = kind.rpartition("*")
    raw = noise(name, int(count or 1) * BYTE_SIZES[element])
    return raw, raw


def counted(name: str, kind: str) -> tuple[Any, bytes, int]:
    """A value, its encoding and its count for a field whose length another field gives."""
    element = kind.rpartition("*")[2]
    if element == "byte":
        return noise(name, 19), noise(name, 19), 19
    if element == "signature":
        signatures = (noise(name + "1", 64), noise(name + "2", 64))
        return signatures, b"".join(signatures), 2
    assert element == "witness"
    witnesses = (noise(name + "1", 5), b"", noise(name + "2", 7))
    return witnesses, b"".join(len(witness).to_bytes(2, "big") + witness for witness in witnesses), 3


def record(tlv: dict[str, Any]) -> tuple[Any, bytes]:
    """A value and its encoding for one TLV record."""
    kinds = [kind for _, kind in tlv["fields"]]
    if not kinds:
        return True, b""
    if "...*byte" in kinds:
        raw = noise(tlv["name"], 23)
        return raw, raw
    if kinds == ["...*chain_hash"]:
        hashes = (noise("first", 32), noise("second", 32))
        return hashes, b"".join(hashes)
    if kinds == ["...*channel_update_checksums"]:
        return (ChannelUpdateChecksums(1, 2), ChannelUpdateChecksums(3, 4)), bytes.fromhex(
            "00000001000000020000000300000004"
        )
    parts = [field(name, kind) for name, kind in tlv["fields"]]
    raw = b"".join(encoded for _, encoded in parts)
    if tlv["name"] in COMPOSITES:
        return COMPOSITES[tlv["name"]](*(value for value, _ in parts)), raw
    return (parts[0][0] if len(parts) == 1 else raw), raw


def message_by_layout(name: str, *, with_tlvs: bool) -> tuple[dict[str, Any], bytes]:
    """The fields and the encoding of one message, by the BOLT's layout alone."""
    layout = LAYOUTS[name]
    counts = {kind.rpartition("*")[0] for _, kind in layout["fields"]}
    values: dict[str, Any] = {}
    parts = [layout["type"].to_bytes(2, "big")]
    for field_name, kind in layout["fields"]:
        if field_name in counts:
            continue
        count_name = kind.rpartition("*")[0]
        if count_name and not count_name.isdigit():
            value, raw, count = counted(field_name, kind)
            raw = count.to_bytes(2, "big") + raw
        else:
            value, raw = field(field_name, kind)
        values[RENAMED.get(field_name, field_name)] = value
        parts.append(raw)
    for tlv in layout["tlvs"] if with_tlvs else ():
        value, raw = record(tlv)
        values[RENAMED.get(tlv["name"], tlv["name"])] = value
        length = bytes((len(raw),)) if len(raw) < 0xFD else b"\xfd" + len(raw).to_bytes(2, "big")
        parts += (bytes((tlv["type"],)), length, raw)
    return values, b"".join(parts)


def check_layout(name: str) -> Message:
    """Hold the class against the BOLT: names, order, sizes, TLV types; return the message with all its records."""
    cls = CLASSES[LAYOUTS[name]["type"]]
    message: Message | None = None
    for with_tlvs in (False, True):
        values, raw = message_by_layout(name, with_tlvs=with_tlvs)
        message = cls(**values)
        assert encode(message) == raw
        assert decode(raw) == message
        if with_tlvs:
            ours = [f for f in cls.__struct_fields__ if f not in {"unknown_tlvs", "excess_data", *NEWER}]
            assert ours == list(values)
    assert message is not None
    return message
