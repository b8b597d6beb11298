"""Methods about blocks: every field that lnd, LDK, CLN and eclair read, over real HTTP."""

import pytest

from leyden.bitcoin.block import Block, BlockHeader
from leyden.bitcoin.tx import Transaction, TxOut, txid_to_hex
from tests.regtest.rpc_client import RpcClient
from tests.regtest.running_node import Node
from tests.regtest.world import SCRIPT, Money, outputs_of, spend

UNKNOWN = "ab" * 32


def coin(rpc: RpcClient, height: int) -> Money:
    """Return the coinbase output of a block, as a foreign client would find it."""
    block = Block.parse(bytes.fromhex(rpc("getblock", rpc("getblockhash", height), 0)))
    return outputs_of(block.transactions[0])[0]


def unspent_coin(rpc: RpcClient) -> Money:
    """Return a mature coinbase output that no test has spent."""
    for height in range(1, rpc("getblockcount") - 99):
        money = coin(rpc, height)
        if rpc("gettxout", txid_to_hex(money.outpoint.txid), 0) is not None:
            return money
    raise AssertionError("all spent")


def confirmed(rpc: RpcClient) -> tuple[Transaction, str]:
    """Send a transaction, mine it, return it and its block."""
    money = unspent_coin(rpc)
    tx = spend([money], [TxOut(600_000, SCRIPT), TxOut(money.value_sat - 601_000, SCRIPT)])
    rpc("sendrawtransaction", tx.serialize().hex())
    return tx, rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")[0]


def test_state_of_the_chain(rpc: RpcClient) -> None:
    """lnd reads blocks, bestblockhash and pruned; LDK chainwork; eclair the progress."""
    info = rpc("getblockchaininfo")
    assert info["chain"] == "regtest"
    assert info["blocks"] == info["headers"] == rpc("getblockcount")
    assert info["bestblockhash"] == rpc("getbestblockhash") == rpc("getblockhash", info["blocks"])
    assert (info["pruned"], info["initialblockdownload"], info["verificationprogress"]) == (False, False, 1)
    assert info["difficulty"] == pytest.approx(4.656542373906925e-10)
    assert rpc("getdifficulty") == info["difficulty"]


def test_soft_forks(rpc: RpcClient) -> None:
    """lnd wants taproot."""
    info = rpc("getdeploymentinfo")
    assert info["deployments"]["taproot"]["active"]
    assert "TAPROOT" in info["script_flags"]
    assert rpc("getdeploymentinfo", rpc("getblockhash", 3))["height"] == 3


def test_header_in_both_forms(rpc: RpcClient) -> None:
    """LDK recomputes the hash from the verbose fields."""
    block_hash = rpc("getblockhash", 7)
    view = rpc("getblockheader", block_hash)
    header = BlockHeader.parse(bytes.fromhex(rpc("getblockheader", block_hash, False)))
    again = BlockHeader(
        int(view["versionHex"], 16),
        bytes.fromhex(view["previousblockhash"])[::-1],
        bytes.fromhex(view["merkleroot"])[::-1],
        view["time"],
        int(view["bits"], 16),
        view["nonce"],
    )
    assert again == header
    assert txid_to_hex(header.hash()) == view["hash"] == block_hash
    assert int(view["chainwork"], 16) == 8 * 2
    assert (view["height"], view["nTx"]) == (7, 1)
    assert view["confirmations"] == rpc("getblockcount") - 6
    assert view["nextblockhash"] == rpc("getblockhash", 8)
    assert view["mediantime"] <= view["time"]
    assert "nextblockhash" not in rpc("getblockheader", rpc("getbestblockhash"), True)


def test_block_in_all_forms(rpc: RpcClient) -> None:
    """Hex, ids, transactions, prevouts."""
    tx, block_hash = confirmed(rpc)
    raw = bytes.fromhex(rpc("getblock", block_hash, 0))
    ids, full, deep = (rpc("getblock", block_hash, level) for level in (1, 2, 3))
    assert rpc("getblock", block_hash) == ids == rpc("getblock", block_hash, True)
    assert ids["tx"][1] == txid_to_hex(tx.txid())
    assert (ids["size"], ids["weight"]) == (len(raw), ids["strippedsize"] * 3 + len(raw))
    assert full["tx"][1]["hex"] == tx.serialize().hex()
    assert full["tx"][1]["fee"] == 0.00001
    assert "prevout" not in full["tx"][1]["vin"][0]
    assert deep["tx"][1]["vin"][0]["prevout"]["scriptPubKey"]["hex"] == SCRIPT.hex()
    assert deep["tx"][1]["vin"][0]["prevout"]["generated"] is True
    assert full["tx"][0]["vin"][0]["coinbase"]


def test_genesis_block(rpc: RpcClient) -> None:
    """Height 0 tells lnd the network."""
    genesis = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    assert rpc("getblockhash", 0) == genesis
    view = rpc("getblock", genesis, 2)
    assert "previousblockhash" not in view
    assert rpc("getblockheader", genesis)["height"] == 0
    code, message = rpc.error("getrawtransaction", view["tx"][0]["txid"])
    assert (code, "genesis block coinbase" in message) == (-5, True)


def test_transactions_are_found_without_and_with_their_block(rpc: RpcClient) -> None:
    """Pool, index, named block; the fields that lnd reads."""
    money = unspent_coin(rpc)
    tx = spend([money])
    txid = rpc("sendrawtransaction", tx.serialize().hex())
    pooled = rpc("getrawtransaction", txid, 1)
    assert (pooled["hex"], "blockhash" in pooled) == (tx.serialize().hex(), False)
    assert rpc("getrawtransaction", txid, 2)["fee"] == 0.00001
    block_hash = rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})#anything")[0]
    assert rpc("getrawtransaction", txid) == rpc("getrawtransaction", txid, 0, block_hash) == tx.serialize().hex()
    view = rpc("getrawtransaction", txid, True)
    assert (view["blockhash"], view["confirmations"]) == (block_hash, 1)
    assert rpc("getrawtransaction", txid, 2)["vin"][0]["prevout"]["height"] > 0
    named = rpc("getrawtransaction", txid, 1, block_hash)
    assert named["in_active_chain"] is True


def test_unknown_things(rpc: RpcClient) -> None:
    """Codes and words that clients match."""
    assert rpc.error("getrawtransaction", UNKNOWN)[0] == -5
    assert rpc.error("getrawtransaction", UNKNOWN)[1].startswith("No such mempool")
    assert rpc.error("getrawtransaction", UNKNOWN, 1, UNKNOWN) == (-5, "Block hash not found")
    best = rpc("getbestblockhash")
    assert rpc.error("getrawtransaction", UNKNOWN, 1, best)[1].startswith("No such transaction found in the provided")
    for method in ("getblock", "getblockheader", "getdeploymentinfo"):
        assert rpc.error(method, UNKNOWN) == (-5, "Block not found")
    assert rpc.error("getblockhash", 10**6) == (-8, "Block height out of range")
    assert rpc.error("getblockhash", -1) == (-8, "Block height out of range")


def test_unspent_output(rpc: RpcClient) -> None:
    """lnd checks channel announcements with it, and spends of its own."""
    tx, _ = confirmed(rpc)
    txid = txid_to_hex(tx.txid())
    view = rpc("gettxout", txid, 0, False)
    assert (view["value"], view["scriptPubKey"]["hex"], view["confirmations"]) == (0.006, SCRIPT.hex(), 1)
    assert view["scriptPubKey"]["type"] == "witness_v0_keyhash"
    assert view["bestblock"] == rpc("getbestblockhash")
    child = spend(outputs_of(tx)[:1])
    child_id = rpc("sendrawtransaction", child.serialize().hex())
    assert rpc("gettxout", txid, 0) is None
    assert rpc("gettxout", txid, 0, False) is not None
    assert rpc("gettxout", child_id, 0)["confirmations"] == 0
    assert rpc("gettxout", child_id, 0, False) is None
    assert rpc("gettxout", UNKNOWN, 0) is None
    assert rpc.error("gettxout", txid, -1)[0] == -8
    rpc("generatetodescriptor", 1, f"raw({SCRIPT.hex()})")
    assert rpc("gettxout", txid, 0, False) is None


def test_figures_of_a_block(rpc: RpcClient) -> None:
    """`getblockstats`, by hash, height and choice."""
    _, block_hash = confirmed(rpc)
    stats = rpc("getblockstats", block_hash)
    assert stats == rpc("getblockstats", stats["height"])
    assert (stats["txs"], stats["totalfee"], stats["ins"], stats["outs"]) == (2, 1_000, 1, 4)
    assert rpc("getblockstats", block_hash, ["txs"]) == {"txs": 2}
    assert rpc.error("getblockstats", block_hash, ["nothing"])[0] == -8
    assert rpc.error("getblockstats", 10**6)[0] == -8
    assert rpc.error("getblockstats", -1)[0] == -8
    assert rpc("getblockstats", 1)["totalfee"] == 0


def test_branch_ends(node: Node, rpc: RpcClient) -> None:
    """Active, and what was left."""
    tip = rpc("getbestblockhash")
    rpc("invalidateblock", tip)
    tips = {view["hash"]: view for view in rpc("getchaintips")}
    assert tips[tip]["status"] == "invalid"
    rpc("generatetodescriptor", 2, f"raw({SCRIPT.hex()})")
    rpc("reconsiderblock", tip)
    tips = {view["hash"]: view for view in rpc("getchaintips")}
    assert (tips[tip]["status"], tips[tip]["branchlen"]) == ("valid-fork", 1)
    assert tips[rpc("getbestblockhash")]["status"] == "active"
    assert rpc("getblockheader", tip)["confirmations"] == -1
    assert rpc.error("getblockstats", tip)[0] == -8
    assert "fee" not in rpc("getblock", tip, 2)["tx"][0]
    assert node.service.failure is None
