"""JSON-RPC as bitcoind speaks it: codes, statuses, batches, both versions, authentication."""

import base64
import json
from decimal import Decimal

import pytest

from leyden.regtest.http_server import HttpRequest, HttpResponse
from leyden.regtest.rpc import BATCH_MAX, RpcServer, decode_json, encode_json
from leyden.regtest.rpc_errors import METHOD_NOT_FOUND, RpcError


async def call(name: str, params: object) -> object:
    """Answer with the call, or fail as told."""
    if name == "fail":
        raise RpcError(-5, "Block not found")
    if name == "unknown":
        raise RpcError(METHOD_NOT_FOUND, "Method not found")
    return [name, params]


SERVER = RpcServer(call, [b"__cookie__:abc", b"user:pass:word"])


async def post(body: object, credentials: bytes = b"__cookie__:abc", method: str = "POST") -> tuple[int, object]:
    """Send a value, or bytes as they are; return status and decoded answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": "Basic " + base64.b64encode(credentials).decode()}
    response: HttpResponse = await SERVER.handle(HttpRequest(method, "/", "HTTP/1.1", headers, raw))
    return response.status, json.loads(response.body) if response.body[:1] in b"{[" and response.body else None


@pytest.mark.parametrize(
    ("request_object", "status", "reply"),
    [
        ({"id": 1, "method": "echo", "params": [1]}, 200, {"result": ["echo", [1]], "error": None, "id": 1}),
        ({"method": "echo"}, 200, {"result": ["echo", None], "error": None, "id": None}),
        (
            {"jsonrpc": "1.0", "id": "x", "method": "fail"},
            500,
            {"result": None, "error": {"code": -5, "message": "Block not found"}, "id": "x"},
        ),
        (
            {"id": 1, "method": "unknown"},
            404,
            {"result": None, "error": {"code": -32601, "message": "Method not found"}, "id": 1},
        ),
        (
            {"jsonrpc": "2.0", "id": 2, "method": "echo", "params": {"a": 1}},
            200,
            {"jsonrpc": "2.0", "result": ["echo", {"a": 1}], "id": 2},
        ),
        (
            {"jsonrpc": "2.0", "id": 2, "method": "unknown"},
            200,
            {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": 2},
        ),
        ({"jsonrpc": "2.0", "method": "echo"}, 204, None),
        ({"id": 1}, 400, {"result": None, "error": {"code": -32600, "message": "Missing method"}, "id": 1}),
        (
            {"id": 1, "method": 5},
            400,
            {"result": None, "error": {"code": -32600, "message": "Method must be a string"}, "id": 1},
        ),
        ("text", 400, {"result": None, "error": {"code": -32600, "message": "Invalid Request object"}, "id": None}),
    ],
)
async def test_single_requests(request_object: object, status: int, reply: object) -> None:
    """Version 1 answers errors with an HTTP status, version 2 in the body only."""
    assert await post(request_object) == (status, reply)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 5_000, b"\xff", b'{"id": 1e999999}'])
async def test_bodies_that_are_not_json(body: bytes) -> None:
    """Parse errors have their own code and do no harm."""
    status, reply = await post(body)
    assert status in {400, 500}
    assert isinstance(reply, dict)


async def test_batches_keep_their_order() -> None:
    """lnd polls its mempool with arrays and matches answers by id."""
    status, replies = await post([{"id": n, "method": "fail" if n == 1 else "echo"} for n in range(3)])
    assert status == 200
    assert isinstance(replies, list)
    assert [(reply["id"], reply["error"] is None) for reply in replies] == [(0, True), (1, False), (2, True)]


async def test_odd_batches() -> None:
    """Empty, only notifications, not objects, too long."""
    assert await post([]) == (200, [])
    assert await post([{"jsonrpc": "2.0", "method": "echo"}]) == (204, None)
    status, replies = await post([5])
    assert status == 200
    assert isinstance(replies, list)
    assert replies[0]["error"]["code"] == -32600
    assert (await post([1] * (BATCH_MAX + 1)))[0] == 400


@pytest.mark.parametrize(
    ("credentials", "status"),
    [(b"__cookie__:abc", 200), (b"user:pass:word", 200), (b"user:pass", 401), (b"", 401), (b"__cookie__:abd", 401)],
)
async def test_authentication(credentials: bytes, status: int) -> None:
    """Cookie and password both, nothing else."""
    assert (await post({"id": 1, "method": "echo"}, credentials))[0] == status


@pytest.mark.parametrize("header", ["", "Bearer abc", "Basic !!!", "Basic"])
async def test_malformed_authentication(header: str) -> None:
    """No header is no access, and says which scheme is wanted."""
    response = await SERVER.handle(HttpRequest("POST", "/", "HTTP/1.1", {"authorization": header}, b"{}"))
    assert response.status == 401
    assert response.headers == (("WWW-Authenticate", 'Basic realm="jsonrpc"'),)


async def test_only_post() -> None:
    """A browser that wanders in gets nothing."""
    assert (await post({}, method="GET"))[0] == 405


def test_numbers_with_a_fraction_stay_exact() -> None:
    """0.1 bitcoin must not become 0.1000000000000000055."""
    assert decode_json(b"0.1") == Decimal("0.1")
    assert encode_json(Decimal("0.10000000")) == b"0.10000000"
