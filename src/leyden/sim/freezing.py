"""Worlds as bytes: a live world is frozen once and thawed as often as something is to be tried from it.

Pickle does it, with what it cannot do alone: functions made in functions are named by their code, cells by what they
hold. Values that never change are not copied but shared by all worlds of one explorer. The bytes mean something only to
the `Freezer` that made them (ADR 0013).
"""

import gc
import io
import pickle
from collections.abc import Iterator
from operator import attrgetter
from types import CellType, CodeType, FunctionType
from typing import Any

import msgspec

from leyden.wallet.keys import Keyring

_PROTOCOL = 5


class _Sources:
    """Code objects and classes that frozen worlds name by number. They live as long as the program."""

    def __init__(self) -> None:
        self.numbers: dict[CodeType, int] = {}
        self.functions: list[tuple[CodeType, dict[str, Any], str, str]] = []

    def number(self, function: FunctionType) -> int:
        code = function.__code__
        number = self.numbers.get(code)
        if number is None:
            number = self.numbers[code] = len(self.functions)
            self.functions.append((code, function.__globals__, function.__name__, function.__qualname__))
        return number


_SOURCES = _Sources()
_SHARED: list[object] = []
"""What the worlds of all freezers share: classes, and values by the number that stands for them in the bytes."""


def _shared(number: int) -> object:
    return _SHARED[number]


def _function(
    number: int,
    closure: tuple[CellType, ...] | None,
    defaults: tuple[object, ...] | None,
    keyword_defaults: dict[str, object] | None,
) -> FunctionType:
    code, namespace, name, qualified_name = _SOURCES.functions[number]
    function = FunctionType(code, namespace, name, defaults, closure)
    function.__kwdefaults__ = keyword_defaults
    function.__qualname__ = qualified_name
    return function


_KEYRINGS: dict[tuple[object, ...], int] = {}


_WATCHED = attrgetter("_watched")


def _copy(keyring: Any) -> Keyring:
    other = Keyring.__new__(Keyring)
    for name in Keyring.__slots__:
        setattr(other, name, dict(getattr(keyring, name)))
    return other


def _keyring_number(keyring: Keyring) -> int:
    name = (*[key.public_key for key in keyring.account_keys.values()], *_WATCHED(keyring).values())
    number = _KEYRINGS.get(name)
    if number is None:
        number = _KEYRINGS[name] = len(_SHARED)
        _SHARED.append(_copy(keyring))
    return number


def _keyring(number: int) -> Keyring:
    """Return a copy of a keyring: what it watches only grows, and is the same for all wallets with these keys."""
    return _copy(_SHARED[number])


def _fill(cell: CellType, contents: tuple[object]) -> None:
    cell.cell_contents = contents[0]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, numbers: dict[int, int]) -> None:
        super().__init__(file, _PROTOCOL)
        self._numbers = numbers

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler`: called for everything but builtin containers, numbers and strings."""
        number = self._numbers.get(id(obj))
        if number is not None:
            return _shared, (number,)
        kind: type[object] = obj.__class__
        if kind is FunctionType and "<" in obj.__qualname__:
            return _function, (_SOURCES.number(obj), obj.__closure__, obj.__defaults__, obj.__kwdefaults__)
        if kind is CellType:
            try:
                contents = (obj.cell_contents,)
            except ValueError:
                return CellType, ()
            return CellType, (), contents, None, None, _fill
        if kind is Keyring:
            return _keyring, (_keyring_number(obj),)
        if isinstance(obj, type):
            self._numbers[id(obj)] = len(_SHARED)
            _SHARED.append(obj)
            return _shared, (len(_SHARED) - 1,)
        return NotImplemented


class Freezer:
    """Freezes and thaws what hangs together. root: its frozen values (`msgspec.Struct, frozen=True`) are shared."""

    def __init__(self, root: object) -> None:
        self._numbers: dict[int, int] = {}
        for value in _values(root):
            self._numbers[id(value)] = len(_SHARED)
            _SHARED.append(value)

    def freeze(self, thing: object) -> bytes:
        """Return `thing` as it is now."""
        file = io.BytesIO()
        _Pickler(file, self._numbers).dump(thing)
        return file.getvalue()

    def thaw(self, frozen: bytes) -> Any:
        """Return a new one of what was frozen."""
        return pickle.loads(frozen)


def dismantle(*things: object) -> None:
    """Take apart what nobody will look at again: its parts refer to each other, and would wait for the collector."""
    for thing in things:
        vars(thing).clear()


def _values(root: object) -> Iterator[object]:
    """Yield the frozen values that `root` reaches, without those inside of them."""
    seen: dict[int, object] = {id(root): root}
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, msgspec.Struct) and thing.__struct_config__.frozen:
            yield thing
            continue
        for part in gc.get_referents(thing):
            if id(part) not in seen and not isinstance(part, type | CodeType):
                seen[id(part)] = part
                waiting.append(part)
