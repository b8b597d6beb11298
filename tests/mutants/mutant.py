"""A mutant: one guard of the product taken out, by putting another function in its place for the length of a run.

Nothing in the product knows of it. The replacement counts how often it was reached where the guard would have mattered.
"""

import ast
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Hit: TypeAlias = Callable[[], None]
Make: TypeAlias = Callable[[Any, Hit], Any]
"""From the original and the counter to the replacement."""


@dataclass(frozen=True)
class Patch:
    """attribute: `name`, `Class.name`, or an entry of a table as `TABLE[Key]`, keys as the module writes them."""

    module: str
    attribute: str
    make: Make


@dataclass(frozen=True)
class Mutant:
    """why: what is lost without the guard. guards: the rules it belongs to: invariants, promises of docs/assurance.md,
    sections.

    scenarios: where it is looked for first.
    """

    name: str
    patches: tuple[Patch, ...]
    why: str
    guards: tuple[str, ...]
    scenarios: tuple[str, ...]


class Place:
    """Where a patch goes: read and written."""

    def __init__(self, patch: Patch) -> None:
        module = importlib.import_module(patch.module)
        self._names = vars(module)
        tree = ast.parse(patch.attribute, mode="eval").body
        self._holder: Any
        self._key: Any
        self._is_entry = isinstance(tree, ast.Subscript)
        match tree:
            case ast.Subscript(value=table, slice=key):
                self._holder, self._key = self._value(table), self._value(key)
            case ast.Attribute(value=holder, attr=name):
                self._holder, self._key = self._value(holder), name
            case ast.Name(id=name):
                self._holder, self._key = module, name
            case _:
                raise ValueError(f"{patch.attribute} names no place")

    def _value(self, tree: ast.expr) -> Any:
        return eval(compile(ast.Expression(tree), "<place>", "eval"), dict(self._names))

    def get(self) -> Any:
        """Return what stands there. Raises: AttributeError, KeyError."""
        return self._holder[self._key] if self._is_entry else getattr(self._holder, self._key)

    def put(self, value: Any) -> None:
        """Put something else there."""
        if self._is_entry:
            self._holder[self._key] = value
        else:
            setattr(self._holder, self._key, value)


class Counter:
    """How often the guard was reached."""

    def __init__(self) -> None:
        self.count = 0

    def hit(self) -> None:
        """Count."""
        self.count += 1


@contextmanager
def planted(mutant: Mutant) -> Iterator[Counter]:
    """Take the guard out; put it back at the end."""
    counter = Counter()
    places = [Place(patch) for patch in mutant.patches]
    originals = [place.get() for place in places]
    try:
        for place, original, patch in zip(places, originals, mutant.patches, strict=True):
            place.put(patch.make(original, counter.hit))
        yield counter
    finally:
        for place, original in zip(places, originals, strict=True):
            place.put(original)


def misfit(patch: Patch) -> str:
    """Return why a patch does not fit the product any more, or an empty string."""
    try:
        original = Place(patch).get()
    except (AttributeError, KeyError, NameError, ImportError) as error:
        return f"{patch.module}.{patch.attribute} is gone: {error!r}"
    replacement = patch.make(original, lambda: None)
    if not callable(original):
        return "" if type(original) is type(replacement) else "the replacement is of another type"
    try:
        wanted, given = inspect.signature(original), inspect.signature(replacement)
    except ValueError:
        return ""
    values: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in wanted.parameters.values():
        match parameter.kind:
            case inspect.Parameter.KEYWORD_ONLY:
                named[parameter.name] = None
            case inspect.Parameter.POSITIONAL_ONLY | inspect.Parameter.POSITIONAL_OR_KEYWORD:
                values.append(None)
            case _:
                return ""
    try:
        given.bind(*values, **named)
    except TypeError as error:
        return f"{patch.module}.{patch.attribute}: {error}"
    return ""


# --- replacements that fit many guards -----------------------------------------------------------------------------


def nothing(_original: Any, hit: Hit) -> Any:
    """Do nothing instead."""

    def replacement(*_values: Any, **_named: Any) -> None:
        hit()

    return replacement


def answering(value: Any) -> Make:
    """Give one answer to everything; reached where the original would have given another one."""

    def make(original: Any, hit: Hit) -> Any:
        def replacement(*values: Any, **named: Any) -> Any:
            if original(*values, **named) != value:
                hit()
            return value

        return replacement

    return make


def early(original: Any, hit: Hit) -> Any:
    """Wait for no record: whatever the function hands to `when_durable` or `when_these_durable` runs in this pass."""

    def replacement(m: Any, *values: Any) -> Any:
        outbox = m.outbox

        def when_durable(tail: Any, release: Callable[[], None]) -> None:
            if tail.durable < tail.position:
                hit()
            outbox._free.append(release)

        def when_these_durable(tails: Iterable[Any], release: Callable[[], None]) -> None:
            if any(tail.durable < tail.position for tail in tails):
                hit()
            outbox._free.append(release)

        outbox.when_durable, outbox.when_these_durable = when_durable, when_these_durable
        try:
            return original(m, *values)
        finally:
            del outbox.when_durable, outbox.when_these_durable

    return replacement


def unbound(original: Any, hit: Hit) -> Any:
    """The message that the function queues for a slot's peer, signed or not, waits for no record."""

    def replacement(m: Any, *values: Any) -> Any:
        result = original(m, *values)
        line = m.outbox.lines.get(values[0].peer if hasattr(values[0], "peer") else values[0].node_id)
        if line is not None and line.entries:
            entry = line.entries[-1]
            if entry.tail.durable < entry.position:
                hit()
            entry.position = 0
        return result

    return replacement


def mutant(
    name: str,
    place: str,
    make: Make,
    *also: tuple[str, Make],
    why: str,
    guards: str,
    scenarios: Sequence[str],
) -> Mutant:
    """Return a mutant. place: `module:attribute` below `leyden`. guards: separated by `;`."""
    patches = []
    for where, how in ((place, make), *also):
        module, _, attribute = where.partition(":")
        patches.append(Patch(f"leyden.{module}", attribute, how))
    return Mutant(name, tuple(patches), why, tuple(part.strip() for part in guards.split(";")), tuple(scenarios))
