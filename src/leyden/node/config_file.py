"""`leyden.toml` as it is first written:

every key with its default and its sentence, commented out unless it was given.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from leyden.node.config import keys
from leyden.node.settings import NodeConfig

_HEAD = """\
# Configuration of a Leyden node. A key behind a # without a blank has its default.
# Each key may also come from the environment (LEYDEN_ and its path: LEYDEN_LOG_LEVEL) or from a flag; flags win.
"""


def config_text(values: Mapping[str, object]) -> str:
    """Return the file. values: keys by path (`bitcoind.url`) that are set in it; unknown ones are not looked for."""
    lines = [_HEAD]
    table = ""
    for key, field in keys():
        name = key.rpartition(".")[2]
        if key != name and table != key.removesuffix("." + name):
            table = key.removesuffix("." + name)
            lines += ["", f"[{table}]  # {_table_sentence(table)}"]
        comment = "" if key in values else "#"
        value = values.get(key, _default(field))
        lines += [f"# {_description(field.type)}", f"{comment}{name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _default(field: msgspec.inspect.Field) -> object:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if callable(field.default_factory) else ""


def _description(kind: msgspec.inspect.Type) -> str:
    """Return a key's sentence with its bounds or choices."""
    sentence, bounds = "", ""
    while isinstance(kind, msgspec.inspect.Metadata):
        schema = cast("Mapping[str, object]", kind.extra_json_schema or {})
        sentence = str(schema.get("description", sentence))
        kind = kind.type
    if isinstance(kind, msgspec.inspect.IntType) and kind.ge is not None and kind.le is not None:
        bounds = f" ({kind.ge} to {kind.le})" if kind.le < 10**9 else ""
    elif isinstance(kind, msgspec.inspect.LiteralType):
        bounds = f" ({' | '.join(str(value) for value in kind.values)})"
    return sentence + bounds


def _table_sentence(table: str) -> str:
    settings = getattr(NodeConfig(), table)
    return (type(settings).__doc__ or "").splitlines()[0]


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return "[" + ", ".join(_toml(item) for item in items) + "]"
        case dict():
            inner = cast("Mapping[str, object]", value)
            pairs = ", ".join(f"{_quoted(name)} = {_toml(inner[name])}" for name in inner)
            return "{ " + pairs + " }" if pairs else "{}"
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08X}" for char in escaped) + '"'
