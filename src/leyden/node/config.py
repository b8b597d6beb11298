"""Configuration: `leyden.toml`, then the environment (`LEYDEN_*`), then flags; what comes later wins.

A key is named by its path, `bitcoind.url`; its variable is `LEYDEN_BITCOIND_URL`. Unknown keys are errors, because a
misspelt limit would silently not be there.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from leyden.base.errors import CommandRejected
from leyden.bitcoin.networks import Network, by_name
from leyden.node import files
from leyden.node.settings import LOG_SUBSYSTEMS, NodeConfig

ENVIRONMENT_PREFIX = "LEYDEN_"
OTHER_VARIABLES = ("LEYDEN_CONFIG", "LEYDEN_PASSPHRASE", "LEYDEN_WORDS")
"""Variables that name no key: the file itself, and secrets that no file should hold."""

COMMAND_LINE = "command line"
"""Where flags come from, in errors: one key may have an option of its own, `--set`, or both."""

Table = dict[str, Any]


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """Return `LEYDEN_DATA_DIR`, else `.leyden` in the home directory."""
    named = environment.get("LEYDEN_DATA_DIR", "")
    return Path(named).expanduser() if named else Path.home() / files.DEFAULT_DIRECTORY


def load(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> NodeConfig:
    """Read the configuration of a node.

    Args:
        path: the file; None: `leyden.toml` in the data directory, if there is one.
        environment: usually `os.environ`.
        flags: values by path, e.g. `{"log.level": "debug"}`; None leaves a key alone. Text for a list or table is
            read as in a variable: `a,b`, and empty for none.
    Raises: CommandRejected, code `invalid_config`: the sentence names the file or variable, the key, and what is
    expected.
    """
    data_dir = Path(str(flags.get("data_dir") or "") or default_data_dir(environment)).expanduser()
    file = path or data_dir / files.CONFIG_FILE
    content = _read_file(file, required=path is not None)
    _refuse_unknown(content, str(file))
    # The file alone first: text where a number belongs is a mistake there, but in a variable everything is text.
    _convert(content, {}, str(file))
    origin: dict[str, str] = {}
    for key, text in _from_environment(environment):
        _set(content, key, text)
        origin[key] = ENVIRONMENT_PREFIX + key.upper().replace(".", "_")
    known = {key: _plain(field.type) for key, field in keys()}
    for key, value in flags.items():
        if key not in known:
            raise _invalid(f"there is no setting `{key}`{_nearest(key, list(known))}")
        if value is not None:
            read = _list_or_text(known[key], value, f"{COMMAND_LINE}: `{key}`") if isinstance(value, str) else value
            _set(content, key, str(read) if isinstance(read, Path) else read)
            origin[key] = COMMAND_LINE
    if not content.get("data_dir"):
        content["data_dir"] = str(data_dir if path is None else path.parent)
    content["data_dir"] = str(Path(str(content["data_dir"])).expanduser().absolute())
    config = _convert(content, origin, str(file))
    _check(config)
    return config


def network_of(config: NodeConfig) -> Network:
    """Return the constants of the configured network."""
    return by_name(config.network)


def keys(kind: type = NodeConfig, prefix: str = "") -> Iterator[tuple[str, msgspec.inspect.Field]]:
    """Yield every key with its field, by path, in the order of the file."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        inner = _plain(field.type)
        if isinstance(inner, msgspec.inspect.StructType):
            yield from keys(inner.cls, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field


def _plain(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return _plain(kind.type) if isinstance(kind, msgspec.inspect.Metadata) else kind


# --- sources -------------------------------------------------------------------------------------------------------


def _read_file(file: Path, *, required: bool) -> Table:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return {}
        raise _invalid(f"{file} does not exist: make it with `leyden init`, or name another file") from None
    except OSError as error:
        raise _invalid(f"cannot read {file} ({error.strerror}): check its owner and permissions") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"{file} is not TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    by_variable = {ENVIRONMENT_PREFIX + key.upper().replace(".", "_"): (key, field) for key, field in keys()}
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES or variable.startswith("_"):
            continue
        if variable not in by_variable:
            hint = _nearest(variable, [*by_variable, *OTHER_VARIABLES])
            raise _invalid(f"environment variable {variable} names no setting of Leyden{hint}")
        key, field = by_variable[variable]
        text = environment[variable]
        yield key, _list_or_text(_plain(field.type), text, variable)


def _list_or_text(kind: msgspec.inspect.Type, text: str, variable: str) -> object:
    """Read lists as `a,b` and tables as `name=value,...`; everything else is converted later."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return parts
    if isinstance(kind, msgspec.inspect.DictType):
        pairs = [part.partition("=") for part in parts]
        if not all(separator for _, separator, _ in pairs):
            raise _invalid(f"{variable} needs name=value pairs with commas between them, e.g. peer=debug,chain=info")
        return {name.strip(): value.strip() for name, _, value in pairs}
    return text


def _set(content: Table, key: str, value: object) -> None:
    *tables, name = key.split(".")
    for table in tables:
        content = cast("Table", content.setdefault(table, {}))
    content[name] = value


# --- checks --------------------------------------------------------------------------------------------------------


def _refuse_unknown(content: Table, file: str) -> None:
    known = {key for key, _ in keys()}
    tables = {key.partition(".")[0] for key in known if "." in key}
    for name, value in content.items():
        if name in tables and isinstance(value, dict):
            for inner in cast("Table", value):
                if f"{name}.{inner}" not in known:
                    raise _invalid(f"{file}: unknown key `{name}.{inner}`{_nearest(f'{name}.{inner}', known)}")
        elif name not in known and name not in tables:
            raise _invalid(f"{file}: unknown key `{name}`{_nearest(name, [*sorted(known), *sorted(tables)])}")


def _nearest(name: str, known: "list[str] | set[str]") -> str:
    """Return `; did you mean ...?` when a known name is near, also when only its last part is."""
    candidates = sorted(known)
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.7)
    if not near:
        last = {key.rpartition(".")[2]: key for key in candidates}
        near = [last[found] for found in difflib.get_close_matches(name.rpartition(".")[2], sorted(last), 1, 0.75)]
    return f"; did you mean `{near[0]}`?" if near else ""


def _convert(content: Table, origin: Mapping[str, str], file: str) -> NodeConfig:
    try:
        return msgspec.convert(content, NodeConfig, strict=not origin)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        key = re.sub(r"[`$]|\[.*\]|key in ", "", place).strip(".")
        where = origin.get(key, file)
        raise _invalid(
            f"{where}: {'`' + key + '`: ' if key else ''}{what[:1].lower()}{what[1:]}{_choices(key)}"
        ) from None


def _choices(key: str) -> str:
    """Return which values a key may have, when they are few."""
    kind = next((_plain(field.type) for name, field in keys() if name == key), None)
    if isinstance(kind, msgspec.inspect.DictType):
        kind = _plain(kind.value_type)
    if not isinstance(kind, msgspec.inspect.LiteralType):
        return ""
    return f"; use one of {', '.join(str(value) for value in kind.values)}"


def _check(config: NodeConfig) -> None:
    for place in config.listen:
        split_address(place, "listen")
    for name in config.log.levels:
        if name not in LOG_SUBSYSTEMS:
            raise _invalid(f"log.levels: there is no subsystem `{name}`{_nearest(name, list(LOG_SUBSYSTEMS))}")
    if config.bitcoind.cookie_file and (config.bitcoind.user or config.bitcoind.password):
        raise _invalid("give bitcoind.cookie_file, or bitcoind.user and bitcoind.password, not both")
    if bool(config.bitcoind.user) != bool(config.bitcoind.password):
        raise _invalid("bitcoind.user and bitcoind.password belong together")
    if len(config.alias.encode()) > 32:
        raise _invalid("alias: 32 bytes at most in UTF-8 (BOLT 7)")
    if config.channels.funding_satoshis_min > config.channels.funding_satoshis_max:
        raise _invalid("channels.funding_satoshis_min is above channels.funding_satoshis_max")


def split_address(text: str, what: str) -> tuple[str, int]:
    """Split `host:port` (`[v6]:port`). Raises: CommandRejected, code `invalid_config`; `what` names the value."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise _invalid(f"{what}: `{text}` is not host:port, e.g. 127.0.0.1:9735")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _invalid(what: str) -> CommandRejected:
    return CommandRejected(what, code="invalid_config")
