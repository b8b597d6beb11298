"""Methods that make blocks or choose branches."""

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.block import Block
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import txid_to_hex
from tests.regtest.rpc_client import RpcClient
from tests.regtest.running_node import Node
from tests.regtest.test_rpc_chain import UNKNOWN, unspent_coin
from tests.regtest.world import SCRIPT, outputs_of, spend

ADDRESS = encode_address(SCRIPT, REGTEST)
RAW = f"raw({SCRIPT.hex()})"


def test_mining_to_an_address(rpc: RpcClient) -> None:
    """Every harness begins with this."""
    before = rpc("getblockcount")
    hashes = rpc("generatetoaddress", 25, ADDRESS)
    assert [rpc("getblockhash", before + 1 + n) for n in range(25)] == hashes
    view = rpc("getblock", hashes[-1], 2)
    assert view["tx"][0]["vout"][0]["scriptPubKey"]["address"] == ADDRESS
    assert rpc("generatetoaddress", 0, ADDRESS) == []
    assert len(rpc("generatetodescriptor", 1, f"addr({ADDRESS})")) == 1
    assert rpc.error("generatetoaddress", 1, "nonsense")[0] == -5
    assert rpc.error("generatetoaddress", 1, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")[0] == -5
    assert rpc.error("generatetoaddress", -1, ADDRESS)[0] == -8
    assert rpc.error("generatetoaddress", 10**6, ADDRESS)[0] == -8
    assert rpc.error("generatetodescriptor", 1, "raw(zz)")[0] == -5


def test_mining_chosen_transactions(rpc: RpcClient) -> None:
    """Tests decide what confirms, and what does not."""
    money = unspent_coin(rpc)
    first = spend([money])
    second = spend(outputs_of(first))
    txid = rpc("sendrawtransaction", first.serialize().hex())
    result = rpc("generateblock", ADDRESS, [txid, second.serialize().hex()])
    assert rpc("getblock", result["hash"])["tx"][1:] == [txid, txid_to_hex(second.txid())]
    made = rpc("generateblock", RAW, [], False)
    assert txid_to_hex(Block.parse(bytes.fromhex(made["hex"])).header.hash()) == made["hash"]
    assert rpc("submitblock", made["hex"]) is None
    assert rpc("getbestblockhash") == made["hash"]
    code, message = rpc.error("generateblock", RAW, [first.serialize().hex()])
    assert (code, "bad-txns-inputs-missingorspent" in message or "bad-txns-BIP30" in message) == (-25, True)
    assert rpc.error("generateblock", RAW, [UNKNOWN]) == (-5, f"Transaction {UNKNOWN} not in mempool.")
    assert rpc.error("generateblock", RAW, ["z" * 64])[0] == -5
    assert rpc.error("generateblock", RAW, ["00"])[0] == -22


def test_submitting_blocks(rpc: RpcClient) -> None:
    """The answers of BIP 22."""
    made = rpc("generateblock", RAW, [], False)["hex"]
    rival = rpc("generateblock", RAW, [], False)["hex"]
    assert rpc("submitblock", made) is None
    assert rpc("submitblock", made) == "duplicate"
    assert rpc("submitblock", rival) == "inconclusive"
    assert rpc("submitblock", made[:72] + "00" * 32 + made[136:]) in {"high-hash", "bad-txnmrklroot"}
    assert rpc.error("submitblock", made[:-2]) == (-22, "Block decode failed")
    assert rpc.error("submitblock", made + "00") == (-22, "Block decode failed")
    assert rpc.error("submitblock", "zz") == (-22, "Block decode failed")


def test_choosing_branches(node: Node, rpc: RpcClient) -> None:
    """A reorganisation as a harness makes it; the height goes up again for lnd to see."""
    base = rpc("getblockcount")
    old = rpc("generatetoaddress", 3, ADDRESS)
    money = unspent_coin(rpc)
    txid = rpc("sendrawtransaction", spend([money]).serialize().hex())
    rpc("generatetoaddress", 1, ADDRESS)
    assert rpc("invalidateblock", old[0]) is None
    assert rpc("getblockcount") == base
    assert rpc("getrawmempool") == [txid]
    new = rpc("generatetoaddress", 5, ADDRESS)
    assert rpc("getrawtransaction", txid, 1)["blockhash"] == new[0]
    assert rpc("reconsiderblock", old[0]) is None
    assert rpc("getbestblockhash") == new[-1]
    for method in ("invalidateblock", "reconsiderblock"):
        assert rpc.error(method, UNKNOWN) == (-5, "Block not found")
    assert rpc.error("invalidateblock", rpc("getblockhash", 0))[0] == -25
    assert node.service.failure is None
