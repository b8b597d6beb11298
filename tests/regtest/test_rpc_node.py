"""Methods about the service: how clients recognise bitcoind and its version."""

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from tests.regtest.rpc_client import RpcClient
from tests.regtest.world import SCRIPT

ADDRESS = encode_address(SCRIPT, REGTEST)


def test_version_serves_everybody(rpc: RpcClient) -> None:
    """lnd compares the subversion as text, eclair the number."""
    info = rpc("getnetworkinfo")
    assert info["version"] >= 310_000
    assert info["subversion"] >= "/Satoshi:28.0.0/"
    assert (info["relayfee"], info["incrementalfee"], info["warnings"]) == (0.000001, 0.000001, [])


def test_methods_that_say_nothing(rpc: RpcClient) -> None:
    """No peers, no queue, no ZMQ."""
    for method in ("getpeerinfo", "getzmqnotifications", "getnodeaddresses"):
        assert rpc(method) == []
    assert rpc("getconnectioncount") == 0
    assert rpc("ping") is None
    assert rpc("syncwithvalidationinterfacequeue") is None
    assert rpc("uptime") >= 0


def test_time_can_be_set(rpc: RpcClient) -> None:
    """Tests of time locks move the clock; blocks follow within what consensus allows."""
    now = rpc("getblockheader", rpc("getbestblockhash"))["time"]
    rpc("setmocktime", now + 3_600)
    (block_hash,) = rpc("generatetoaddress", 1, ADDRESS)
    assert rpc("getblockheader", block_hash)["time"] == now + 3_600
    rpc("setmocktime", 0)
    rpc("invalidateblock", block_hash)
    assert rpc.error("setmocktime", -1)[0] == -8


def test_echo(rpc: RpcClient) -> None:
    """CLN tries the connection with it."""
    assert rpc("echo") == []
    assert rpc("echo", "a", 1, None, [2.5], None) == ["a", 1, None, [2.5]]


def test_unknown_methods(rpc: RpcClient) -> None:
    """lnd tells bitcoind from btcd by `getinfo`; there is no wallet."""
    for method in ("getinfo", "listwallets", "getnewaddress", "nonsense"):
        assert rpc.error(method) == (-32601, "Method not found")


def test_indexes_and_addresses(rpc: RpcClient) -> None:
    """The transaction index is there; addresses are checked for this network."""
    assert rpc("getindexinfo")["txindex"]["synced"] is True
    assert rpc("getindexinfo", "other") == {}
    good = rpc("validateaddress", ADDRESS)
    assert (good["isvalid"], good["iswitness"], good["witness_version"]) == (True, True, 0)
    assert rpc("validateaddress", "nonsense")["isvalid"] is False


def test_help_lists_everything(rpc: RpcClient) -> None:
    """A reader finds the names."""
    names = rpc("help").split("\n")
    assert {"getblock", "generatetoaddress", "setfeeestimate", "stop"} <= set(names)
    assert names == sorted(names)
