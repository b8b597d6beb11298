"""Methods about unconfirmed transactions: results and error texts as lnd, LDK and CLN match them."""

import pytest

from leyden.bitcoin.script import null_data
from leyden.bitcoin.tx import Transaction, TxIn, TxOut, txid_to_hex
from tests.regtest.rpc_client import RpcClient
from tests.regtest.test_rpc_chain import UNKNOWN, unspent_coin
from tests.regtest.world import ANCHOR, SCRIPT, outputs_of, spend


def hexed(tx: Transaction) -> str:
    """Return a transaction as RPC wants it."""
    return tx.serialize().hex()


def test_sending(rpc: RpcClient) -> None:
    """Twice is a success, confirmed is its own error."""
    tx = spend([unspent_coin(rpc)])
    txid = txid_to_hex(tx.txid())
    assert rpc("sendrawtransaction", hexed(tx), 0.1) == txid
    assert rpc("sendrawtransaction", hexed(tx), 0) == txid
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")
    assert rpc.error("sendrawtransaction", hexed(tx)) == (-27, "Transaction outputs already in utxo set")


def test_refusals_of_sending(rpc: RpcClient) -> None:
    """lnd maps these texts to what it does next."""
    money = unspent_coin(rpc)
    orphan = spend(outputs_of(spend([money])))
    assert rpc.error("sendrawtransaction", hexed(orphan)) == (-25, "bad-txns-inputs-missingorspent")
    assert rpc.error("sendrawtransaction", "00") == (-22, "TX decode failed. Make sure the tx has at least one input.")
    assert rpc.error("sendrawtransaction", "zz")[0] == -22
    assert rpc.error("sendrawtransaction", "20 ")[0] == -22
    poor = spend([money], fee_sat=1)
    assert rpc.error("sendrawtransaction", hexed(poor)) == (-26, "min relay fee not met, 1 < 11")
    rich = spend([money], fee_sat=5_000_000)
    code, message = rpc.error("sendrawtransaction", hexed(rich))
    assert (code, message.startswith("Fee exceeds maximum configured by user")) == (-25, True)
    late = spend([money], locktime=100_000)
    assert rpc.error("sendrawtransaction", hexed(late)) == (-26, "non-final")
    burn = spend([money], [TxOut(1_000, null_data(b"x")), TxOut(money.value_sat - 10_000, SCRIPT)])
    code, message = rpc.error("sendrawtransaction", hexed(burn))
    assert (code, "maxburnamount" in message) == (-25, True)
    rpc("sendrawtransaction", hexed(burn), 0.1, 0.00001)
    same = spend([money], [TxOut(money.value_sat - 9_000, SCRIPT)])
    assert rpc.error("sendrawtransaction", hexed(same))[1].startswith("insufficient fee, rejecting replacement")
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")


def test_testing(rpc: RpcClient) -> None:
    """lnd asks before every broadcast."""
    money = unspent_coin(rpc)
    tx = spend([money])
    (view,) = rpc("testmempoolaccept", [hexed(tx)], 0)
    assert (view["txid"], view["allowed"], view["vsize"]) == (txid_to_hex(tx.txid()), True, tx.vsize())
    assert view["fees"]["base"] == 0.00001
    assert view["fees"]["effective-includes"] == [txid_to_hex(tx.wtxid())]
    assert rpc("getrawmempool") == []
    orphan = spend(outputs_of(tx))
    (view,) = rpc("testmempoolaccept", [hexed(orphan)])
    assert (view["allowed"], view["reject-reason"]) == (False, "missing-inputs")
    (view,) = rpc("testmempoolaccept", [hexed(spend([money], fee_sat=5_000_000))])
    assert (view["allowed"], view["reject-reason"]) == (False, "max-fee-exceeded")
    (view,) = rpc("testmempoolaccept", [hexed(spend([money], fee_sat=1))])
    assert (view["reject-reason"], view["reject-details"]) == ("min relay fee not met", "min relay fee not met, 1 < 11")
    views = rpc("testmempoolaccept", [hexed(tx), hexed(orphan)])
    assert [v["allowed"] for v in views] == [True, True]
    views = rpc("testmempoolaccept", [hexed(orphan), hexed(tx)])
    assert [v["package-error"] for v in views] == ["package-not-sorted"] * 2
    views = rpc("testmempoolaccept", [hexed(spend([money], fee_sat=1)), hexed(spend([unspent_coin(rpc)]))][::-1][:1])
    assert views[0]["allowed"]
    assert rpc.error("testmempoolaccept", [])[0] == -8
    assert rpc.error("testmempoolaccept", ["00"])[0] == -22
    assert rpc.error("testmempoolaccept", [1])[0] == -3


def test_package(rpc: RpcClient) -> None:
    """A zero-fee parent with an ephemeral anchor and the child that pays."""
    money = unspent_coin(rpc)
    parent = spend([money], [TxOut(money.value_sat, SCRIPT), ANCHOR], version=3)
    child = spend(outputs_of(parent), version=3)
    outcome = rpc("submitpackage", [hexed(parent), hexed(child)], 0)
    assert outcome["package_msg"] == "success"
    results = outcome["tx-results"]
    assert results[txid_to_hex(parent.wtxid())]["fees"]["base"] == 0
    assert results[txid_to_hex(child.wtxid())]["vsize"] == child.vsize()
    assert len(results[txid_to_hex(child.wtxid())]["fees"]["effective-includes"]) == 2
    assert outcome["replaced-transactions"] == []
    bump = spend(outputs_of(parent), version=3, fee_sat=9_000)
    again = rpc("submitpackage", [hexed(parent), hexed(bump)])
    assert again["replaced-transactions"] == [txid_to_hex(child.txid())]
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")


def test_package_refusals(rpc: RpcClient) -> None:
    """Shape, and members that fail."""
    money = unspent_coin(rpc)
    parent = spend([money], [TxOut(money.value_sat, SCRIPT), ANCHOR], version=3)
    child = spend(outputs_of(parent), version=3, fee_sat=1)
    outcome = rpc("submitpackage", [hexed(parent), hexed(child)])
    assert outcome["package_msg"] == "transaction failed"
    assert "min relay fee not met" in str(outcome["tx-results"])
    assert rpc.error("submitpackage", [hexed(child), hexed(parent)])[0] == -25
    assert rpc.error("submitpackage", [])[0] == -8
    twisted = Transaction(
        3, (TxIn(parent.inputs[0].prevout, b"", 0xFFFFFFFD, (*parent.inputs[0].witness, b"x")),), parent.outputs, 0
    )
    assert (
        rpc("submitpackage", [hexed(parent), hexed(spend(outputs_of(parent), version=3))])["package_msg"] == "success"
    )
    outcome = rpc("submitpackage", [hexed(twisted), hexed(spend(outputs_of(parent), version=3))])
    assert outcome["tx-results"][txid_to_hex(twisted.wtxid())]["other-wtxid"] == txid_to_hex(parent.wtxid())
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")


def test_looking_at_the_pool(rpc: RpcClient) -> None:
    """Listing, entries, relatives."""
    parent = spend([unspent_coin(rpc)])
    child = spend(outputs_of(parent), fee_sat=2_000)
    ids = [rpc("sendrawtransaction", hexed(tx)) for tx in (parent, child)]
    assert rpc("getrawmempool") == rpc("getrawmempool", False) == ids
    assert rpc("getrawmempool", False, True)["txids"] == ids
    verbose = rpc("getrawmempool", True)
    entry = rpc("getmempoolentry", ids[1])
    assert verbose[ids[1]] == entry
    assert (entry["vsize"], entry["weight"], entry["wtxid"]) == (
        child.vsize(),
        child.weight(),
        txid_to_hex(child.wtxid()),
    )
    assert (entry["depends"], entry["spentby"]) == ([ids[0]], [])
    assert (entry["ancestorcount"], entry["descendantcount"]) == (2, 1)
    assert entry["fees"] == {"base": 0.00002, "modified": 0.00002, "ancestor": 0.00003, "descendant": 0.00002}
    assert rpc("getmempoolancestors", ids[1]) == [ids[0]]
    assert list(rpc("getmempooldescendants", ids[0], True)) == [ids[1]]
    assert rpc.error("getmempoolentry", UNKNOWN) == (-5, "Transaction not in mempool")
    info = rpc("getmempoolinfo")
    assert (info["size"], info["bytes"], info["total_fee"]) == (2, parent.vsize() + child.vsize(), 0.00003)
    assert info["mempoolminfee"] == info["minrelaytxfee"] == 0.000001
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")


def test_who_spends_an_output(rpc: RpcClient) -> None:
    """lnd asks for every watched outpoint."""
    money = unspent_coin(rpc)
    funding = {"txid": txid_to_hex(money.outpoint.txid), "vout": 0}
    assert rpc("gettxspendingprevout", [funding]) == [funding]
    txid = rpc("sendrawtransaction", hexed(spend([money])))
    other = {"txid": UNKNOWN, "vout": 3}
    assert rpc("gettxspendingprevout", [funding, other]) == [funding | {"spendingtxid": txid}, other]
    for bad in ([], [5], [{"txid": UNKNOWN}], [{"txid": UNKNOWN, "vout": -1}], [{"txid": "ab", "vout": 1}]):
        assert rpc.error("gettxspendingprevout", bad)[0] == -8
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")


def test_decoding(rpc: RpcClient) -> None:
    """Without touching the pool."""
    tx = spend([unspent_coin(rpc)])
    view = rpc("decoderawtransaction", hexed(tx))
    assert (view["txid"], view["hash"]) == (txid_to_hex(tx.txid()), txid_to_hex(tx.wtxid()))
    assert (view["vin"][0]["sequence"], view["vout"][0]["n"], "hex" in view) == (0xFFFFFFFD, 0, False)
    assert view["vin"][0]["txinwitness"] == [item.hex() for item in tx.inputs[0].witness]
    assert rpc.error("decoderawtransaction", "00")[0] == -22


def test_fee_estimates_can_be_set(rpc: RpcClient) -> None:
    """Tests drive fee changes; without an estimate the fallback answers."""
    assert rpc("estimatesmartfee", 6, "CONSERVATIVE") == {"feerate": 0.00005, "blocks": 6}
    rpc("setfeeestimate", 0.0002)
    assert rpc("estimatesmartfee", 2)["feerate"] == 0.0002
    rpc("setfeeestimate", 0.0001, 6)
    assert [rpc("estimatesmartfee", target)["feerate"] for target in (1, 5, 6, 144)] == [0.0002, 0.0002, 0.0001, 0.0001]
    rpc("setfeeestimate", 0)
    assert rpc("estimatesmartfee", 6)["errors"] == ["Insufficient data or no feerate found"]
    rpc("setfeeestimate", 0.00000001)
    assert rpc("estimatesmartfee", 6)["feerate"] == 0.000001
    rpc("setfeeestimate", None, 1)
    rpc("setfeeestimate", 0.0003, 10)
    assert rpc("estimatesmartfee", 3)["feerate"] == 0.0003
    rpc("setfeeestimate")
    assert rpc("estimatesmartfee", 6, "ECONOMICAL")["feerate"] == 0.00005
    for bad in ((0,), (1009,), (6, "SOON")):
        assert rpc.error("estimatesmartfee", *bad)[0] == -8
    assert rpc.error("setfeeestimate", 0.1, 0)[0] == -8


@pytest.mark.parametrize("amount", [0.1, 0.00001])
def test_amounts_on_the_wire_have_eight_decimals(rpc: RpcClient, amount: float) -> None:
    """CLN reads the digits themselves; an exponent would break it."""
    rpc("setfeeestimate", amount)
    body = '{"id": 1, "method": "estimatesmartfee", "params": [6]}'
    rpc.connection.request("POST", "/", body, rpc.headers)
    assert f'"feerate":{amount:.8f}' in rpc.connection.getresponse().read().decode()
    rpc("setfeeestimate")
