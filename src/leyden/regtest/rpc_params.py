"""Parameters of a JSON-RPC call, by position or by name, checked as bitcoind checks them."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, cast, final

from msgspec import Struct

from leyden.base.errors import DecodeError
from leyden.bitcoin.tx import txid_from_hex
from leyden.regtest.backend import Backend
from leyden.regtest.rpc_errors import INVALID_PARAMETER, MISC_ERROR, TYPE_ERROR, RpcError

_COIN: Final = Decimal(100_000_000)
_MAX_SAT: Final = 21_000_000 * 100_000_000


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | Decimal | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


@final
class Params:
    """The values of one call. Positions count from 0; a missing value and null are the same."""

    def __init__(self, names: Sequence[str], values: Sequence[object]) -> None:
        self._names = names
        self._values = values

    def has(self, index: int) -> bool:
        """Tell whether a value was given."""
        return self.value(index) is not None

    def value(self, index: int) -> object:
        """Return a value unchecked."""
        return self._values[index] if index < len(self._values) else None

    def _wrong_type(self, index: int, wanted: str) -> RpcError:
        place = f"Position {index + 1} ({self._names[index]})"
        what = f"JSON value of type {_type_name(self.value(index))} is not of expected type {wanted}"
        return RpcError(TYPE_ERROR, f'Wrong type passed:\n{{\n    "{place}": "{what}"\n}}')

    def text(self, index: int) -> str:
        """Return a string."""
        value = self.value(index)
        if not isinstance(value, str):
            raise self._wrong_type(index, "string")
        return value

    def optional_text(self, index: int, default: str) -> str:
        """Return a string or the default."""
        return self.text(index) if self.has(index) else default

    def integer(self, index: int) -> int:
        """Return a whole number."""
        value = self.value(index)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self._wrong_type(index, "number")
        if value != int(value):
            raise RpcError(MISC_ERROR, "JSON integer out of range")
        if not -(1 << 63) <= value < 1 << 63:
            raise RpcError(MISC_ERROR, "JSON integer out of range")
        return int(value)

    def optional_integer(self, index: int, default: int) -> int:
        """Return a whole number or the default."""
        return self.integer(index) if self.has(index) else default

    def boolean(self, index: int, default: bool) -> bool:
        """Return true or false, or the default."""
        value = self.value(index)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong_type(index, "bool")
        return value

    def verbosity(self, index: int, default: int) -> int:
        """Return a level of detail, given as a number or, in the old way, as true or false."""
        value = self.value(index)
        if isinstance(value, bool):
            return int(value)
        return self.optional_integer(index, default)

    def array(self, index: int) -> list[object]:
        """Return an array."""
        value = self.value(index)
        if not isinstance(value, list):
            raise self._wrong_type(index, "array")
        return cast("list[object]", value)

    def texts(self, index: int) -> list[str]:
        """Return an array of strings."""
        values = self.array(index)
        if not all(isinstance(value, str) for value in values):
            raise RpcError(TYPE_ERROR, "JSON value of type number is not of expected type string")
        return [str(value) for value in values]

    def hash(self, index: int) -> bytes:
        """Return a txid or block hash: 32 bytes in internal order."""
        return parse_hash(self.text(index), self._names[index])

    def feerate(self, index: int, default_sat: int) -> int:
        """Return a feerate given in BTC/kvB as sat/kvB."""
        if not self.has(index):
            return default_sat
        feerate = parse_amount(self.value(index))
        if feerate >= 100_000_000:
            raise RpcError(INVALID_PARAMETER, "Fee rates larger than or equal to 1BTC/kvB are not accepted")
        return feerate

    def amount(self, index: int, default_sat: int) -> int:
        """Return an amount given in BTC as satoshis."""
        return parse_amount(self.value(index)) if self.has(index) else default_sat


def parse_hash(text: str, name: str) -> bytes:
    """Return the 32 bytes (internal order) of a displayed hash called `name`. Raises RpcError."""
    if len(text) != 64:
        raise RpcError(INVALID_PARAMETER, f"{name} must be of length 64 (not {len(text)}, for '{text[:200]}')")
    try:
        return txid_from_hex(text)
    except DecodeError:
        raise RpcError(INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{text}')") from None


def parse_amount(value: object) -> int:
    """Return the satoshis of an amount in BTC, a number or a decimal string. Raises RpcError."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise RpcError(TYPE_ERROR, "Amount is not a number or string")
    try:
        sat = Decimal(value) * _COIN
    except ArithmeticError:
        raise RpcError(TYPE_ERROR, "Invalid amount") from None
    if not sat.is_finite() or sat != int(sat):
        raise RpcError(TYPE_ERROR, "Invalid amount")
    if not 0 <= sat <= _MAX_SAT:
        raise RpcError(TYPE_ERROR, "Amount out of range")
    return int(sat)


Handler = Callable[[Backend, Params], object]


class Method(Struct, frozen=True):
    """A method that runs in the chain thread: names of its parameters, how many are required, and its code."""

    names: tuple[str, ...]
    required: int
    run: Handler


def bind(name: str, names: Sequence[str], required: int, params: object) -> Params:
    """Match the `params` member of a request with a method's parameters. Raises RpcError."""
    if params is None:
        values: list[object] = []
    elif isinstance(params, list):
        values = cast("list[object]", params)
    elif isinstance(params, dict):
        values = _by_name(names, cast("Mapping[str, object]", params))
    else:
        raise RpcError(-32600, "Params must be an array or object")
    if len(values) > len(names) or sum(value is not None for value in values[:required]) < required:
        usage = " ".join(f"{n}" if i < required else f"( {n} )" for i, n in enumerate(names))
        raise RpcError(MISC_ERROR, f"{name} {usage}".strip())
    return Params(names, values)


def _by_name(names: Sequence[str], given: Mapping[str, object]) -> list[object]:
    rest = dict(given)
    args = rest.pop("args", [])
    if not isinstance(args, list):
        raise RpcError(INVALID_PARAMETER, "Parameter args must be an array")
    positional = cast("list[object]", args)
    values: list[object] = list(positional)
    for index, name in enumerate(names):
        if name in rest:
            if index < len(positional):
                raise RpcError(
                    INVALID_PARAMETER, f"Parameter {name} specified twice both as positional and named argument"
                )
            values.extend([None] * (index + 1 - len(values)))
            values[index] = rest.pop(name)
    if rest:
        raise RpcError(INVALID_PARAMETER, f"Unknown named parameter {next(iter(rest))}")
    return values
