"""The one table of the API: every method of `NodeControl`, with the struct of its request and the type of its result.

A request is `POST /v1/<method>` with a JSON object; the reply is `{"result": ...}`, or `{"error": {"code", "message",
"data"}}` with a status of 400 or above.
"""

import difflib
import inspect
import re
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import msgspec

from leyden.base.errors import CommandRejected
from leyden.node.control import NodeControl

PATH_PREFIX: Final = "/v1/"
HEADER_BYTES_MAX: Final = 16_384
BODY_BYTES_MAX: Final = 1 << 20
WAIT_SECONDS_MAX: Final = 300
"""Longest time that `events` and `wait_payment` wait; a longer wait is cut to it, and the client asks again."""

WAITING: Final = {"events": "wait_seconds", "wait_payment": "timeout_seconds"}
"""Methods that only wait, with the parameter that says how long. They end when the client goes away; commands go on."""


class Method(msgspec.Struct, frozen=True):
    """One method. request: struct of its parameters. summary: its first sentence."""

    name: str
    summary: str
    signature: inspect.Signature
    request: type[msgspec.Struct]
    result: Any

    def decode_request(self, body: bytes) -> dict[str, Any]:
        """Return the parameters in `body` (a JSON object, or nothing).

        Raises: CommandRejected, code `invalid_request`: the sentence names the field.
        """
        try:
            request = msgspec.json.decode(body or b"{}", type=self.request)
        except msgspec.ValidationError as error:
            raise CommandRejected(self._explain(str(error)), code="invalid_request") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise CommandRejected("the body is not a JSON object", code="invalid_request") from None
        return {name: getattr(request, name) for name in request.__struct_fields__}

    def encode_request(self, *arguments: object, **named: object) -> bytes:
        """Return the body for a call with these arguments. Raises TypeError as a call would."""
        return msgspec.json.encode(self.signature.bind(*arguments, **named).arguments)

    def decode_result(self, raw: msgspec.Raw) -> Any:
        """Return the result in a reply. Raises msgspec.MsgspecError."""
        return msgspec.json.decode(raw, type=self.result)

    def _explain(self, what: str) -> str:
        sentence, _, place = what.partition(" - at ")
        where = re.sub(r"`key` in |[`$]|\[\.\.\.\]", "", place).strip(".")
        said = f"{self.name}: {where + ': ' if where else ''}{sentence[:1].lower() + sentence[1:]}"
        unknown = re.search(r"unknown field `(.*)`$", sentence)
        if unknown and not where:
            known = self.request.__struct_fields__
            near = difflib.get_close_matches(unknown[1], known, n=1, cutoff=0.6)
            return f"{said}; did you mean `{near[0]}`?" if near else f"{said}; it takes {_listed(known)}"
        return said


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a call was not carried out. code: stable name in snake_case."""

    code: str
    message: str
    data: dict[str, object] = {}


class Reply(msgspec.Struct, frozen=True):
    """A reply as the client reads it: one of the two."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorBody | None = None


_Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_OptionalInt64: TypeAlias = _Int64 | None
_BOUNDED: Final[dict[Any, Any]] = {int: _Int64, int | None: _OptionalInt64}
"""A number with a million digits ends here; what an amount may be, the node says."""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no fields"


def _method(name: str) -> Method:
    function = getattr(NodeControl, name)
    hints = get_type_hints(function)
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1:]
    fields: list[Any] = []
    for parameter in parameters:
        kind = _BOUNDED.get(hints[parameter.name], hints[parameter.name])
        fields.append(
            (parameter.name, kind)
            if parameter.default is inspect.Parameter.empty
            else (parameter.name, kind, parameter.default)
        )
    request = msgspec.defstruct(f"{name}_request", fields, kw_only=True, frozen=True, forbid_unknown_fields=True)
    summary = (inspect.getdoc(function) or "").splitlines()[0]
    return Method(name, summary, signature.replace(parameters=parameters), request, hints["return"])


@cache
def methods() -> dict[str, Method]:
    """Return the table by name."""
    names = [name for name, value in vars(NodeControl).items() if inspect.iscoroutinefunction(value)]
    return {name: _method(name) for name in names}


def method_named(name: str) -> Method:
    """Return a method. Raises: CommandRejected, code `unknown_method`, with the nearest name."""
    found = methods().get(name)
    if found is None:
        near = difflib.get_close_matches(name, list(methods()), n=1, cutoff=0.6)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise CommandRejected(f"there is no method `{name}`{hint}", code="unknown_method")
    return found
