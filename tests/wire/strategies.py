"""Hypothesis strategies made from the message classes themselves: a new field is drawn without a line here."""

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.wire.fields import (
    BigSizeValue,
    Composite,
    CountedPrefixed,
    CountedSignatures,
    Fixed,
    Flag,
    Prefixed,
    Repeated,
    Rest,
    Tlv,
    Truncated,
)
from leyden.wire.layout import Message, field_kinds
from leyden.wire.messages import MESSAGE_CLASSES

Strategy = st.SearchStrategy[Any]
T = TypeVar("T")


def outcome(decoder: Callable[[bytes], T], raw: bytes) -> T | DecodeError:
    """What a decoder makes of `raw`: a value, or the only error it may raise."""
    try:
        return decoder(raw)
    except DecodeError as error:
        return error


_INTEGERS = {"B": (0, 8), "H": (0, 16), "I": (0, 32), "Q": (0, 64), "q": (63, 63)}


def sized_bytes(size: int) -> Strategy:
    """Byte strings of one size; long ones repeat a short pattern, which is cheaper and shows a shift as well."""
    if size <= 40:
        return st.binary(min_size=size, max_size=size)
    return st.binary(min_size=7, max_size=7).map(lambda seed: (seed * (size // 7 + 1))[:size])


def fixed(kind: Fixed) -> Strategy:
    """Values of a fixed-size field, the extremes included."""
    if kind.is_point:
        return st.builds(lambda first, x: bytes((first,)) + x, st.sampled_from((2, 3)), sized_bytes(32))
    if kind.is_bytes:
        return sized_bytes(kind.size)
    negative_bits, bits = _INTEGERS[kind.format]
    low = -(1 << negative_bits) if negative_bits else 0
    high = (1 << bits) - 1
    return st.sampled_from((low, high)) | st.integers(low, high)


def _composite(kind: Composite[Any]) -> Strategy:
    return st.builds(kind.cls, **{name: fixed(element) for name, element in kind.elements.items()})


def _repeated(kind: Repeated) -> Strategy:
    element = _composite(kind.element) if isinstance(kind.element, Composite) else fixed(kind.element)
    return st.lists(element, max_size=3).map(tuple)


_BY_KIND: dict[type, Callable[[Any], Strategy]] = {
    Fixed: fixed,
    Prefixed: lambda _: st.binary(max_size=40),
    CountedSignatures: lambda _: st.lists(sized_bytes(64), max_size=5).map(tuple),
    CountedPrefixed: lambda _: st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    Rest: lambda _: st.binary(max_size=40),
    Flag: lambda _: st.just(True),
    BigSizeValue: lambda _: st.integers(0, 2**64 - 1),
    Truncated: lambda kind: st.integers(0, 256**kind.width - 1),
    Composite: _composite,
    Repeated: _repeated,
}


def of_kind(kind: object) -> Strategy:
    """Values of any kind of field."""
    return _BY_KIND[type(kind)](kind)


def unknown_records(known: list[int]) -> Strategy:
    """Odd records of types that the class does not know, ascending."""
    types = st.integers(0, 2**63 - 1).map(lambda half: 2 * half + 1) | st.sampled_from((1, 3, 5, 0xFD, 0xFFFF, 0x10001))
    record = st.tuples(types.filter(lambda number: number not in known), st.binary(max_size=20))
    return st.lists(record, max_size=3, unique_by=lambda entry: entry[0]).map(lambda found: tuple(sorted(found)))


def messages_of(cls: type[Message]) -> Strategy:
    """Messages of one class with any subset of their TLV records."""
    fields: dict[str, Strategy] = {}
    known: list[int] = []
    for name, kind in field_kinds(cls).items():
        if isinstance(kind, Tlv):
            known.append(kind.number)
            fields[name] = st.just(kind.value.absent) | of_kind(kind.value)
        elif name == "unknown_tlvs":
            fields[name] = unknown_records(known)
        else:
            fields[name] = of_kind(kind)
    return st.builds(cls, **fields)


def any_message() -> Strategy:
    """Messages of any class."""
    return st.sampled_from(MESSAGE_CLASSES).flatmap(messages_of)


def mutated(raw: bytes) -> Strategy:
    """Byte strings near `raw`: cut, lengthened, with bytes changed, removed, inserted or repeated."""
    place = st.integers(0, len(raw))
    return st.one_of(
        place.map(lambda end: raw[:end]),
        st.binary(min_size=1, max_size=12).map(lambda more: raw + more),
        st.builds(lambda at, new: raw[:at] + new + raw[at + len(new) :], place, st.binary(min_size=1, max_size=4)),
        st.builds(lambda at, count: raw[:at] + raw[at + count :], place, st.integers(1, 70)),
        st.builds(lambda at, new: raw[:at] + new + raw[at:], place, st.binary(min_size=1, max_size=12)),
        st.builds(lambda at, count: raw[:at] + raw[at : at + count] + raw[at:], place, st.integers(1, 70)),
    )
