"""Worlds as bytes: a live world is frozen once and thawed as often as something is to be tried from it.

Pickle does it, with what it cannot do alone: functions made in functions are named by their code, cells by what they
hold. Values that never change, and hold nothing that does, are not copied but shared by all worlds of one explorer:
blocks, transactions, coins, keys. The bytes mean something only to the `Freezer` that made them (ADR 0013).
"""

import gc
import io
import pickle
import types
import typing
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from operator import attrgetter
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import msgspec

from leyden.wallet.keys import Keyring

_PROTOCOL = 5
GC_FIRST = 50_000
"""So many new containers until the collector looks at them: some twenty worlds."""


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


class _Shelf:
    """What the worlds of one freezer share: classes, and values, by the number that stands for them in the bytes."""

    thawing: "_Shelf"
    """The one whose bytes are being thawed."""

    def __init__(self) -> None:
        self.things: list[object] = []
        self.get = self.things.__getitem__
        self.by_id: dict[int, int] = {}
        self.by_value: dict[object, int] = {}
        self.keyrings: dict[tuple[object, ...], int] = {}

    def put(self, thing: object) -> int:
        """Share a thing; return its number. It stays, so its id is its own."""
        number = self.by_id[id(thing)] = len(self.things)
        self.things.append(thing)
        return number

    def put_value(self, value: object) -> int:
        """Share a value, or the equal one that is there already; return its number."""
        number = self.by_value.get(value)
        if number is None:
            number = self.by_value[value] = self.put(value)
        return number


_SOURCES = _Sources()


def _get() -> Callable[[int], object]:
    return _Shelf.thawing.get


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


_WATCHED = attrgetter("_watched")


def _copy(keyring: Any) -> Keyring:
    other = Keyring.__new__(Keyring)
    for name in Keyring.__slots__:
        setattr(other, name, dict(getattr(keyring, name)))
    return other


def _keyring_number(shelf: _Shelf, keyring: Keyring) -> int:
    name = (*[key.public_key for key in keyring.account_keys.values()], *_WATCHED(keyring).values())
    number = shelf.keyrings.get(name)
    if number is None:
        number = shelf.keyrings[name] = shelf.put(_copy(keyring))
    return number


def _keyring(number: int) -> Keyring:
    """Return a copy of a keyring: what it watches only grows, and is the same for all wallets with these keys."""
    return _copy(_Shelf.thawing.things[number])


def _fill(cell: CellType, contents: tuple[object]) -> None:
    cell.cell_contents = contents[0]


@cache
def _is_value(kind: Any) -> bool:
    """Return whether nothing of an instance of this class can ever change, however deep."""
    if kind in (int, str, bytes, bool, float, type(None), ...):
        return True
    origin = typing.get_origin(kind)
    if origin in (tuple, typing.Union, types.UnionType):
        return all(_is_value(part) for part in typing.get_args(kind))
    if origin is not None or not isinstance(kind, type):
        return False
    if issubclass(kind, Enum):
        return True
    if not issubclass(kind, msgspec.Struct) or not kind.__struct_config__.frozen or not kind.__struct_config__.eq:
        return False
    try:
        return all(_is_value(field.type) for field in msgspec.structs.fields(kind))
    except NameError:
        return False  # of a type that is imported for the checker alone


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shelf: _Shelf) -> None:
        super().__init__(file, _PROTOCOL)
        self._shelf = shelf
        self._numbers = shelf.by_id
        self._get = shelf.get

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler`: called for everything but builtin containers, numbers and strings."""
        number = self._numbers.get(id(obj))
        if number is not None:
            return self._get, (number,)
        kind: Any = obj.__class__
        if kind is FunctionType and "<" in obj.__qualname__:
            return _function, (_SOURCES.number(obj), obj.__closure__, obj.__defaults__, obj.__kwdefaults__)
        if kind is CellType:
            try:
                contents = (obj.cell_contents,)
            except ValueError:
                return CellType, ()
            return CellType, (), contents, None, None, _fill
        if kind is Keyring:
            return _keyring, (_keyring_number(self._shelf, obj),)
        if isinstance(obj, type):
            return self._get, (self._shelf.put(obj),)
        if _is_value(kind):
            return self._get, (self._shelf.put_value(obj),)
        return (_get, ()) if obj is self._get else NotImplemented


class Freezer:
    """Freezes and thaws what hangs together. root: its frozen values are shared, whatever they hold."""

    def __init__(self, root: object) -> None:
        self._shelf = _Shelf()
        for value in _values(root):
            self._shelf.put(value)

    def freeze(self, thing: object) -> bytes:
        """Return `thing` as it is now."""
        file = io.BytesIO()
        _Pickler(file, self._shelf).dump(thing)
        return file.getvalue()

    def thaw(self, frozen: bytes) -> Any:
        """Return a new one of what was frozen."""
        _Shelf.thawing = self._shelf
        return pickle.loads(frozen)


@contextmanager
def few_collections() -> Generator[None]:
    """Worlds are cycles and die young: most of what the collector looks at lives as long as the explorer."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_FIRST, 5, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def dismantle(*things: object) -> None:
    """Take apart what nobody will look at again: its parts refer to each other, and would wait for the collector."""
    for thing in things:
        vars(thing).clear()


def _values(root: object) -> Iterator[object]:
    """Yield the frozen values that `root` reaches, without those inside of them.

    Modules are not entered, nor is what functions see of theirs: from there one reaches the whole process.
    """
    seen: dict[int, object] = {id(root): root}
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if _is_frozen(thing):
            yield thing
            continue
        for part in _parts(thing):
            if id(part) not in seen and not isinstance(part, type | CodeType | ModuleType):
                seen[id(part)] = part
                waiting.append(part)


def _is_frozen(thing: object) -> bool:
    return isinstance(thing, msgspec.Struct) and thing.__struct_config__.frozen


def _parts(thing: object) -> list[object]:
    if isinstance(thing, FunctionType):
        return [thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
    return gc.get_referents(thing)
