"""JSON-RPC: answers, errors and credentials."""

from decimal import Decimal
from pathlib import Path

import pytest

from leyden.base.errors import ChainUnavailable
from leyden.drivers.chain.rpc import CookieFile, CredentialsRefused, RpcClient, RpcRefused, UserPassword, member
from tests.drivers.chain.raw_server import RawServer, error, http, raw_server, result

ALICE = UserPassword("alice", "secret")


def client_of(server: RawServer, credentials: UserPassword | CookieFile = ALICE) -> RpcClient:
    """A client of a server."""
    return RpcClient(server.client(), credentials)


async def test_a_call() -> None:
    """Amounts are decimal fractions and must not be rounded on the way."""
    async with raw_server(http(b'{"result":{"value":20999999.99999999,"n":3},"error":null,"id":0}')) as server:
        answer = await client_of(server).call("m", 1, "two", [3])
        assert member(answer, "value") == Decimal("20999999.99999999")
        assert member(answer, "n") == 3
        assert member(answer, "absent") is None
        assert member(7, "n") is None
        head, body = server.requests[0].split(b"\r\n\r\n")
        assert b"Authorization: Basic YWxpY2U6c2VjcmV0" in head
        assert body == b'{"jsonrpc":"1.0","id":0,"method":"m","params":[1,"two",[3]]}'


async def test_errors_keep_code_and_words() -> None:
    """The node tells a pruned block from an unknown one by the code and the words."""
    async with raw_server(error(-5, "Block not found")) as server:
        with pytest.raises(RpcRefused, match=r"getblock: Block not found \(code -5\)") as refused:
            await client_of(server).call("getblock", "00")
        assert (refused.value.code, refused.value.message) == (-5, "Block not found")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"<html>"), "HTTP status 200 without a JSON-RPC answer"),
        (http(b"", 404), "HTTP status 404 without"),
        (http(b'{"result": "\xff\xfe"}'), "without a JSON-RPC answer"),
        (http(b"[]"), "without a JSON-RPC answer"),
        (http(b'{"error": 7}'), "without a JSON-RPC answer"),
        (http(b"[" * 100_000), "without a JSON-RPC answer"),
        (http(b"Work queue depth exceeded", 503), "too busy"),
    ],
)
async def test_answers_that_are_none(answer: bytes, why: str) -> None:
    """A proxy's error page, a wrong port: said in words, never a crash."""
    async with raw_server(answer) as server:
        with pytest.raises(ChainUnavailable, match=why):
            await client_of(server).call("m")


async def test_batches_are_matched_by_id() -> None:
    """A server may answer a batch in any order; a missing answer must not shift the others."""
    two = b'[{"result":"b","error":null,"id":1},{"result":"a","error":null,"id":0}]'
    short = b'[{"result":"b","error":null,"id":1}]'
    bad = b'[{"result":null,"error":{"code":-8,"message":"out of range"},"id":0},{"result":"b","error":null,"id":1}]'
    async with raw_server(http(two), http(short), http(bad)) as server:
        client = client_of(server)
        assert await client.batch("m", [[1], [2]]) == ["a", "b"]
        with pytest.raises(ChainUnavailable, match="do not match"):
            await client.batch("m", [[1], [2]])
        with pytest.raises(RpcRefused, match="out of range"):
            await client.batch("m", [[1], [2]])


async def test_a_refused_cookie_is_read_again_once(tmp_path: Path) -> None:
    """The service writes a new cookie at each start, and the node must not be restarted for it."""
    cookie = tmp_path / "cookie"
    cookie.write_text("__cookie__:one\n")
    async with raw_server(result(1), http(b"", 401), result(2), http(b"", 401), http(b"", 403)) as server:
        client = client_of(server, CookieFile(cookie))
        assert await client.call("m") == 1
        cookie.write_text("__cookie__:two")
        assert await client.call("m") == 2
        assert server.requests[0] != server.requests[2]
        with pytest.raises(CredentialsRefused, match="cookie file"):
            await client.call("m")
        with pytest.raises(CredentialsRefused, match="cookie file"):
            await client.call("m")


async def test_a_cookie_that_is_not_there(tmp_path: Path) -> None:
    """No cookie means no service yet, which is nothing final."""
    async with raw_server(result(1)) as server:
        with pytest.raises(ChainUnavailable, match="No such file or directory: is the chain service running"):
            await client_of(server, CookieFile(tmp_path / "none")).call("m")
        assert server.requests == []
