"""JSON-RPC 1.0 and 2.0 as bitcoind speaks it: authentication, single and batched requests, errors.

Knows methods only by the function it is given: `call(name, params)`.
"""

import hmac
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Final, cast, final

import msgspec

from leyden.regtest.http_server import HttpRequest, HttpResponse
from leyden.regtest.rpc_errors import INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, RpcError

Call = Callable[[str, object], Awaitable[object]]

BATCH_MAX: Final = 10_000
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


def encode_json(value: object) -> bytes:
    """Return a value as JSON."""
    return _ENCODER.encode(value)


def decode_json(raw: bytes) -> object:
    """Return the value of a JSON text; numbers with a fraction become Decimal. Raises RpcError."""
    try:
        return cast("object", _DECODER.decode(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise RpcError(PARSE_ERROR, "Parse error") from None


@final
class RpcServer:
    """Turns HTTP requests into calls.

    Args of the constructor: call: runs one method; credentials: every accepted `user:password`.
    """

    def __init__(self, call: Call, credentials: Sequence[bytes]) -> None:
        self._call = call
        self._credentials = tuple(credentials)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one HTTP request."""
        if request.method != "POST":
            return HttpResponse(405, b"JSONRPC server handles only POST requests", "text/plain")
        if not self._is_authorized(request.headers.get("authorization", "")):
            return HttpResponse(401, headers=(("WWW-Authenticate", 'Basic realm="jsonrpc"'),), close=True)
        try:
            message = decode_json(request.body)
        except RpcError as error:
            return HttpResponse(500, _line(_error_reply(None, error, is_v2=False)))
        if isinstance(message, list):
            return await self._handle_batch(cast("list[object]", message))
        reply, status = await self._handle_one(message)
        return HttpResponse(204) if reply is None else HttpResponse(status, _line(reply))

    def _is_authorized(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        # Every credential is compared, so that the time says nothing about which one is near.
        matches = [hmac.compare_digest(given, known) for known in self._credentials]
        return True in matches

    async def _handle_batch(self, messages: Sequence[object]) -> HttpResponse:
        if len(messages) > BATCH_MAX:
            error = RpcError(INVALID_REQUEST, f"a batch has at most {BATCH_MAX} requests")
            return HttpResponse(400, _line(_error_reply(None, error, is_v2=False)))
        replies: list[object] = []
        for message in messages:
            reply, _ = await self._handle_one(message)
            if reply is not None:
                replies.append(reply)
        if messages and not replies:
            return HttpResponse(204)
        return HttpResponse(200, _line(replies))

    async def _handle_one(self, message: object) -> tuple[object, int]:
        """Return the reply (None for a notification) and its HTTP status."""
        if not isinstance(message, dict):
            return _error_reply(None, RpcError(INVALID_REQUEST, "Invalid Request object"), is_v2=False), 400
        fields = cast("dict[str, object]", message)
        request_id = fields.get("id")
        is_v2 = fields.get("jsonrpc") == "2.0"
        try:
            name = _method_name(fields)
            result = await self._call(name, fields.get("params"))
        except RpcError as error:
            status = 200 if is_v2 else {INVALID_REQUEST: 400, METHOD_NOT_FOUND: 404}.get(error.code, 500)
            reply = _error_reply(request_id, error, is_v2=is_v2)
        else:
            status = 200
            if is_v2:
                reply = {"jsonrpc": "2.0", "result": result, "id": request_id}
            else:
                reply = {"result": result, "error": None, "id": request_id}
        if is_v2 and "id" not in fields:
            return None, 204
        return reply, status


def _method_name(fields: dict[str, object]) -> str:
    if "method" not in fields:
        raise RpcError(INVALID_REQUEST, "Missing method")
    name = fields["method"]
    if not isinstance(name, str):
        raise RpcError(INVALID_REQUEST, "Method must be a string")
    return name


def _error_reply(request_id: object, error: RpcError, *, is_v2: bool) -> dict[str, object]:
    body = {"code": error.code, "message": error.message}
    if is_v2:
        return {"jsonrpc": "2.0", "error": body, "id": request_id}
    return {"result": None, "error": body, "id": request_id}


def _line(value: object) -> bytes:
    return encode_json(value) + b"\n"
