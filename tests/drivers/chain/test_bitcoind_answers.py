"""Answers of a service that are wrong in form: said, never believed."""

import msgspec
import pytest

from leyden.base.errors import ChainUnavailable
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut, txid_to_hex
from leyden.drivers.chain.bitcoind import BitcoindChainSource, BitcoindSettings
from leyden.drivers.chain.rpc import UserPassword
from leyden.ports.chain import FeeSource
from tests.drivers.chain.raw_server import RawServer, error, raw_server, result

COIN = {"value": 1, "confirmations": 3, "coinbase": False, "scriptPubKey": {"hex": "51"}}


def source_of(server: RawServer) -> BitcoindChainSource:
    """A driver of a server."""
    settings = BitcoindSettings(port=server.port, credentials=UserPassword("a", "b"), network=REGTEST, timeout_s=5)
    source = BitcoindChainSource(settings, lambda _ok, _why: None)
    server.adopt(source)
    return source


@pytest.mark.parametrize(
    "answer",
    [
        7,
        "x",
        [],
        {},
        COIN | {"value": "1"},
        COIN | {"value": -1},
        COIN | {"value": 0.123456789},
        COIN | {"value": 21_000_001},
        COIN | {"confirmations": None},
        COIN | {"scriptPubKey": "51"},
        COIN | {"scriptPubKey": {"hex": "5"}},
    ],
)
async def test_outputs_that_are_none(answer: object) -> None:
    """A channel is announced, or a theft noticed, on the word of gettxout."""
    async with raw_server(result(answer)) as server:
        with pytest.raises(ChainUnavailable):
            await source_of(server).get_txout(OutPoint(bytes(32), 0), include_mempool=True)


async def test_estimates_that_are_none() -> None:
    """Fees go on without a usable estimate."""
    async with raw_server(result([]), result(None), result({"feerate": "much"}), result({})) as server:
        source = source_of(server)
        for _ in range(2):
            assert (await source.estimate_fee(6)).source is FeeSource.FALLBACK


@pytest.mark.parametrize(
    ("code", "message", "known"),
    [
        (-27, "Transaction outputs already in utxo set", True),
        (-27, "Transaction already in block chain", True),
        (-26, "txn-already-in-mempool", True),
        (-26, "txn-already-known", True),
        (-26, "txn-mempool-conflict", False),
        (-25, "bad-txns-inputs-missingorspent", False),
        (-22, "TX decode failed", False),
    ],
)
async def test_verdicts_by_code_and_words(code: int, message: str, known: bool) -> None:
    """Known before is as good as accepted; the words differ between versions of the service."""
    async with raw_server(error(code, message)) as server:
        source = source_of(server)
        for verdict in (await source.broadcast(b"\x01"), await source.broadcast_package([b"\x01", b"\x02"])):
            assert (verdict.accepted, verdict.already_known) == (known, known)
            assert verdict.reject_reason == ("" if known else message)


@pytest.mark.parametrize("answer", [error(-28, "Loading block index"), error(-32601, "Method not found"), result(7)])
async def test_a_service_that_cannot_judge_gives_no_verdict(answer: bytes) -> None:
    """A warming-up service has not refused the transaction: it must be offered again."""
    async with raw_server(answer) as server:
        with pytest.raises(ChainUnavailable):
            await source_of(server).broadcast_package([b"\x01", b"\x02"])


async def test_a_package_that_fails_says_why_for_each_member() -> None:
    """The user needs to know whether parent or child is at fault."""
    answer = {"package_msg": "transaction failed", "tx-results": {"a": {"txid": "b", "error": "dust"}, "c": 1}}
    async with raw_server(result(answer)) as server:
        verdict = await source_of(server).broadcast_package([b"\x01", b"\x02"])
        assert (verdict.accepted, verdict.reject_reason) == (False, "transaction failed: dust")


SPENT = Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (TxOut(1, b"\x51"),), 0)
SPENDING = {"txid": "00" * 32, "vout": 0, "spendingtxid": txid_to_hex(SPENT.txid())}
OTHER = msgspec.structs.replace(SPENT, locktime=7)


async def test_a_service_that_cannot_look_into_its_mempool_tells_no_spends() -> None:
    """Old services lack the method: the node goes on with blocks alone."""
    async with raw_server(error(-32601, "Method not found")) as server:
        assert await source_of(server).mempool_spends([OutPoint(bytes(32), 0)]) == []


@pytest.mark.parametrize(
    "answers",
    [
        [result(None)],
        [result([5, {}])],
        [result([SPENDING | {"blockhash": "00" * 32}])],
        [result([SPENDING]), error(-5, "No such mempool transaction")],
    ],
)
async def test_spends_that_are_not_in_the_mempool_are_left_out(answers: list[bytes]) -> None:
    """What is in a block comes with it, and what has left is no news."""
    async with raw_server(*answers) as server:
        assert await source_of(server).mempool_spends([OutPoint(bytes(32), 0)]) == []


@pytest.mark.parametrize(
    "answers",
    [
        [error(-28, "Loading block index")],
        [result([SPENDING]), error(-1, "something else")],
        [result([SPENDING]), result("00")],
        [result([SPENDING]), result(OTHER.serialize().hex())],
    ],
)
async def test_spends_are_only_believed_whole(answers: list[bytes]) -> None:
    """Another transaction than the one asked for could carry anything."""
    async with raw_server(*answers) as server:
        with pytest.raises(ChainUnavailable):
            await source_of(server).mempool_spends([OutPoint(bytes(32), 0)])
