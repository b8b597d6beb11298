"""From a message class to its codec: the annotations are read once, at import, and compiled to a few calls.

Runs of fixed-size fields become one `struct.Struct`; a message without variable fields and TLV records, which is
what the hot path carries, is decoded by one unpack and one constructor call.
"""

import struct
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeAlias, final

import msgspec

from leyden.base.errors import DecodeError
from leyden.wire.codec import MESSAGE_SIZE_MAX
from leyden.wire.fields import CountedPrefixed, CountedSignatures, Fixed, Prefixed, Rest, Tlv
from leyden.wire.tlv import TlvStream


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message of the BOLTs. Fields have the names, order and kinds of the BOLT that defines it.

    TLV records that the class knows are fields (None, or False for a mere mark, when absent). Unknown odd records
    are kept in `unknown_tlvs` and written back at their place. Points are checked for their form only.
    """

    TYPE: ClassVar[int]

    def __repr__(self) -> str:
        """Show the fields that differ from their defaults, long bytes shortened, secrets and preimages hidden."""
        return f"{type(self).__name__}({', '.join(f'{name}={shown}' for name, shown in _shown(self).items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same, for rich."""
        return list(_shown(self).items())


def _shown(message: Message) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, kind in field_kinds(type(message)).items():
        value: object = getattr(message, name)
        if isinstance(kind, Fixed) and kind.is_secret:
            shown[name] = "<hidden>"
        elif isinstance(value, bytes):
            shown[name] = value.hex() if len(value) <= 64 else f"{value[:8].hex()}...<{len(value)} bytes>"
        elif isinstance(kind, CountedSignatures):
            shown[name] = f"<{len(getattr(message, name))} signatures>"
        elif value is not None and value is not False and value != ():
            shown[name] = repr(value)
    return shown


def field_kinds(cls: type[msgspec.Struct]) -> dict[str, object]:
    """Return what each field's annotation is marked with (a kind of `leyden.wire.fields`), in order of the fields."""
    kinds: dict[str, object] = {}
    for name, annotation in cls.__annotations__.items():
        metadata = getattr(annotation, "__metadata__", None)
        if metadata:
            kinds[name] = metadata[0]
    if tuple(kinds) != cls.__struct_fields__:
        raise TypeError(f"{cls.__name__} has a field without a kind")
    return kinds


@final
class _FixedRun:
    """Consecutive fixed-size fields, the first of which has index `first` in the message."""

    __slots__ = ("checks", "count", "fields", "first", "pack", "points", "size", "stop", "unpack_from")

    def __init__(self, fields: dict[str, Fixed], first: int) -> None:
        compiled = struct.Struct("!" + "".join(kind.format for kind in fields.values()))
        self.fields = fields
        self.first = first
        self.stop = first + len(fields)
        self.size = compiled.size
        self.pack = compiled.pack
        self.unpack_from = compiled.unpack_from
        self.checks = tuple((index, kind.size) for index, kind in enumerate(fields.values()) if kind.is_bytes)
        self.points = tuple(place for place, kind in self.places() if kind.is_point)

    def places(self) -> list[tuple[int, Fixed]]:
        """Each field's offset inside the run."""
        result: list[tuple[int, Fixed]] = []
        offset = 0
        for kind in self.fields.values():
            result.append((offset, kind))
            offset += kind.size
        return result

    def read(self, raw: bytes, offset: int) -> tuple[Any, ...]:
        try:
            values = self.unpack_from(raw, offset)
        except struct.error:
            raise self._truncated(raw, offset) from None
        for place in self.points:
            if raw[offset + place] & 0xFE != 2:
                raise self._bad_point(offset, place)
        return values

    def write(self, values: tuple[Any, ...]) -> bytes:
        # struct pads and cuts bytes silently: a short key would leave the node as another key.
        for index, size in self.checks:
            if len(values[index]) != size:
                raise ValueError(f"{list(self.fields)[index]} has {len(values[index])} bytes instead of {size}")
        try:
            return self.pack(*values)
        except struct.error as error:
            raise ValueError(str(error)) from None

    def _truncated(self, raw: bytes, offset: int) -> DecodeError:
        for name, (place, kind) in zip(self.fields, self.places(), strict=True):
            if offset + place + kind.size > len(raw):
                return DecodeError("message is truncated", offset=offset + place, field=name)
        raise AssertionError("a run that fits was called truncated")

    def _bad_point(self, offset: int, place: int) -> DecodeError:
        names = {found: name for name, (found, _) in zip(self.fields, self.places(), strict=True)}
        return DecodeError("point does not start with 2 or 3", offset=offset + place, field=names[place])


_Variable: TypeAlias = Prefixed | CountedSignatures | CountedPrefixed


@final
class MessageCodec:
    """Encodes and decodes the messages of one class; `raw` and results include the two bytes of the type."""

    __slots__ = (
        "_build",
        "_head",
        "_head_end",
        "_no_tail",
        "_steps",
        "_stream",
        "_type_bytes",
    )

    def __init__(self, cls: type[Message]) -> None:
        kinds = field_kinds(cls)
        self._build: Final[Callable[..., Message]] = cls
        self._type_bytes: Final = cls.TYPE.to_bytes(2, "big")
        self._steps, tail_start = _compile_steps(kinds)
        tail = list(kinds.items())[tail_start:]
        self._stream = None if isinstance(tail[-1][1], Rest) else _compile_stream(cls, tail)
        self._no_tail: tuple[Any, ...] = (b"",) if self._stream is None else (*self._stream.absent, ())
        self._head: _FixedRun | None = None
        if len(self._steps) == 1 and isinstance(self._steps[0], _FixedRun):
            self._head = self._steps[0]
        self._head_end = -1 if self._head is None else 2 + self._head.size

    def decode(self, raw: bytes) -> Message:
        """Decode a whole message, type included. Raises: DecodeError."""
        if len(raw) == self._head_end:
            assert self._head is not None
            # The tail's fields take their defaults.
            return self._build(*self._head.read(raw, 2))
        values: list[Any] = []
        offset = 2
        for step in self._steps:
            if isinstance(step, _FixedRun):
                values += step.read(raw, offset)
                offset += step.size
                continue
            name, kind = step
            try:
                value, offset = kind.read(raw, offset)
            except DecodeError as error:
                raise DecodeError(error.what, offset=error.offset, field=name) from None
            values.append(value)
        if offset == len(raw):
            return self._build(*values)
        if self._stream is None:
            return self._build(*values, raw[offset:])
        known, unknown = self._stream.decode(raw, offset)
        return self._build(*values, *known, unknown)

    def encode(self, message: Message) -> bytes:
        """Encode, type included. Raises: ValueError when a field has a wrong length or range, or all is too long."""
        values: tuple[Any, ...] = msgspec.structs.astuple(message)
        parts = [self._type_bytes]
        index = 0
        for step in self._steps:
            if isinstance(step, _FixedRun):
                parts.append(step.write(values[step.first : step.stop]))
                index = step.stop
            else:
                parts.append(step[1].write(values[index]))
                index += 1
        tail = values[index:]
        if tail != self._no_tail:
            parts.append(tail[0] if self._stream is None else self._stream.encode(tail[:-1], tail[-1]))
        encoded = b"".join(parts)
        if len(encoded) > MESSAGE_SIZE_MAX:
            raise ValueError(f"message of {len(encoded)} bytes; the transport carries {MESSAGE_SIZE_MAX}")
        return encoded


def _compile_steps(kinds: dict[str, object]) -> tuple[list[_FixedRun | tuple[str, _Variable]], int]:
    steps: list[_FixedRun | tuple[str, _Variable]] = []
    run: dict[str, Fixed] = {}
    count = 0
    for name, kind in kinds.items():
        if isinstance(kind, Fixed):
            run[name] = kind
            count += 1
            continue
        if run:
            steps.append(_FixedRun(run, count - len(run)))
            run = {}
        if not isinstance(kind, _Variable):
            break
        steps.append((name, kind))
        count += 1
    return steps, count


def _compile_stream(cls: type[Message], tail: list[tuple[str, object]]) -> TlvStream[Any]:
    if tail[-1][0] != "unknown_tlvs":
        raise TypeError(f"{cls.__name__} does not end in unknown_tlvs")
    fields: list[tuple[int, str, Any]] = []
    for name, kind in tail[:-1]:
        if not isinstance(kind, Tlv):
            raise TypeError(f"{cls.__name__}.{name} stands behind the TLV fields")
        fields.append((kind.number, name, kind.value))
    return TlvStream(fields)
