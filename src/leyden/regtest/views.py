"""Blocks and transactions as bitcoind shows them in JSON."""

from collections.abc import Sequence
from typing import Final

from msgspec import Raw

from leyden.base.errors import DecodeError
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import OP_1, OP_16, ScriptType, classify, operations, parse_script_num
from leyden.bitcoin.tx import Transaction, TxIn, TxOut, txid_to_hex
from leyden.regtest.chain import BlockEntry, BlockTree
from leyden.regtest.chainstate import Chainstate, ParsedBlock
from leyden.regtest.coins import Coin
from leyden.regtest.mempool import Mempool, PoolEntry
from leyden.regtest.policy import btc, multisig_keys

Json = dict[str, object]

_TYPE_NAMES: Final = {
    ScriptType.P2PK: "pubkey",
    ScriptType.P2PKH: "pubkeyhash",
    ScriptType.P2SH: "scripthash",
    ScriptType.P2WPKH: "witness_v0_keyhash",
    ScriptType.P2WSH: "witness_v0_scripthash",
    ScriptType.P2TR: "witness_v1_taproot",
    ScriptType.P2A: "anchor",
    ScriptType.UNKNOWN_WITNESS: "witness_unknown",
    ScriptType.NULL_DATA: "nulldata",
    ScriptType.NON_STANDARD: "nonstandard",
}
_OPCODE_NAMES: Final = (
    "NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER 2ROT 2SWAP"
    " IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND OR XOR EQUAL"
    " EQUALVERIFY RESERVED1 RESERVED2 1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT"
    " BOOLAND BOOLOR NUMEQUAL NUMEQUALVERIFY NUMNOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN"
    " MAX WITHIN RIPEMD160 SHA1 SHA256 HASH160 HASH256 CODESEPARATOR CHECKSIG CHECKSIGVERIFY CHECKMULTISIG"
    " CHECKMULTISIGVERIFY NOP1 CHECKLOCKTIMEVERIFY CHECKSEQUENCEVERIFY NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD"
)
_OPCODES_FROM_97: Final = _OPCODE_NAMES.split(" ")
_SCRIPT_NUM_LENGTH: Final = 4


def amount(value_sat: int) -> Raw:
    """Return an amount as the JSON number that bitcoind writes: bitcoin with eight decimals."""
    return Raw(btc(value_sat).encode())


def assembly(script: bytes) -> str:
    """Return a script in the words of bitcoind's `asm`."""
    words: list[str] = []
    try:
        words.extend(_word(opcode, data) for opcode, data in operations(script))
    except DecodeError:
        words.append("[error]")
    return " ".join(words)


def _word(opcode: int, data: bytes | None) -> str:
    if data is not None:
        if len(data) > _SCRIPT_NUM_LENGTH:
            return data.hex()
        try:
            return str(parse_script_num(data, _SCRIPT_NUM_LENGTH))
        except DecodeError:
            return data.hex()
    if OP_1 <= opcode <= OP_16:
        return str(opcode - OP_1 + 1)
    if opcode == OP_1 - 2:
        return "-1"
    place = opcode - 97
    return f"OP_{_OPCODES_FROM_97[place]}" if 0 <= place < len(_OPCODES_FROM_97) else "OP_UNKNOWN"


def script_view(script: bytes) -> Json:
    """Return the `scriptPubKey` object."""
    view: Json = {"asm": assembly(script), "hex": script.hex()}
    address = encode_address(script, REGTEST)
    if address is not None:
        view["address"] = address
    view["type"] = "multisig" if multisig_keys(script) else _TYPE_NAMES[classify(script)]
    return view


def output_view(index: int, output: TxOut) -> Json:
    """Return an element of `vout`."""
    return {"value": amount(output.value_sat), "n": index, "scriptPubKey": script_view(output.script_pubkey)}


def _input_view(tx_in: TxIn, coin: Coin | None) -> Json:
    view: Json = {
        "txid": txid_to_hex(tx_in.prevout.txid),
        "vout": tx_in.prevout.vout,
        "scriptSig": {"asm": assembly(tx_in.script_sig), "hex": tx_in.script_sig.hex()},
    }
    if tx_in.witness:
        view["txinwitness"] = [item.hex() for item in tx_in.witness]
    if coin is not None:
        view["prevout"] = {
            "generated": coin.is_coinbase,
            "height": coin.height,
            "value": amount(coin.value_sat),
            "scriptPubKey": script_view(coin.script_pubkey),
        }
    view["sequence"] = tx_in.sequence
    return view


def _coinbase_input_view(tx_in: TxIn) -> Json:
    view: Json = {"coinbase": tx_in.script_sig.hex()}
    if tx_in.witness:
        view["txinwitness"] = [item.hex() for item in tx_in.witness]
    view["sequence"] = tx_in.sequence
    return view


def is_coinbase(tx: Transaction) -> bool:
    """Tell whether a transaction makes new coins."""
    return len(tx.inputs) == 1 and tx.inputs[0].prevout.txid == bytes(32)


def transaction_view(tx: Transaction, spent: Sequence[Coin] | None, with_prevouts: bool) -> Json:
    """Return a transaction as `getrawtransaction` and `getblock` show it, without its block.

    Args: spent: its coins when known, for the fee; with_prevouts: show them.
    """
    coins: Sequence[Coin | None] = spent if spent is not None and with_prevouts else [None] * len(tx.inputs)
    coinbase = is_coinbase(tx)
    raw = tx.serialize()
    view: Json = {
        "txid": txid_to_hex(tx.txid()),
        "hash": txid_to_hex(tx.wtxid()),
        "version": tx.version,
        "size": len(raw),
        "vsize": tx.vsize(),
        "weight": tx.weight(),
        "locktime": tx.locktime,
        "vin": [
            _coinbase_input_view(tx_in) if coinbase else _input_view(tx_in, coin)
            for tx_in, coin in zip(tx.inputs, coins, strict=True)
        ],
        "vout": [output_view(index, output) for index, output in enumerate(tx.outputs)],
    }
    if spent is not None and not coinbase:
        paid = sum(coin.value_sat for coin in spent) - sum(output.value_sat for output in tx.outputs)
        view["fee"] = amount(paid)
    view["hex"] = raw.hex()
    return view


def difficulty(bits: int) -> float:
    """Return the difficulty that bitcoind shows for compact `bits`."""
    shift = bits >> 24
    value = 0x0000FFFF / (bits & 0x00FFFFFF)
    while shift < 29:
        value *= 256.0
        shift += 1
    while shift > 29:
        value /= 256.0
        shift -= 1
    return value


def confirmations(tree: BlockTree, entry: BlockEntry) -> int:
    """Return how deep a block lies, 1 for the tip, -1 off the active branch."""
    return tree.height - entry.height + 1 if tree.is_active(entry) else -1


def header_view(tree: BlockTree, entry: BlockEntry) -> Json:
    """Return what `getblockheader` shows."""
    header = entry.header
    view: Json = {
        "hash": txid_to_hex(entry.hash),
        "confirmations": confirmations(tree, entry),
        "height": entry.height,
        "version": header.version,
        "versionHex": f"{header.version:08x}",
        "merkleroot": txid_to_hex(header.merkle_root),
        "time": header.time,
        "mediantime": entry.median_time,
        "nonce": header.nonce,
        "bits": f"{header.bits:08x}",
        "target": f"{header.target():064x}",
        "difficulty": difficulty(header.bits),
        "chainwork": f"{entry.work:064x}",
        "nTx": entry.transaction_count,
    }
    if entry.height:
        view["previousblockhash"] = txid_to_hex(header.previous_hash)
    if tree.is_active(entry) and entry.height < tree.height:
        view["nextblockhash"] = txid_to_hex(tree.at(entry.height + 1).hash)
    return view


def spent_by_transaction(chain: Chainstate, parsed: ParsedBlock) -> list[list[Coin]] | None:
    """Return the coins of each transaction of a block (none for the coinbase); None off the active branch."""
    if not chain.tree.is_active(parsed.entry):
        return None
    coins = iter(chain.undo_of(parsed.entry))
    spent: list[list[Coin]] = [[]]
    spent.extend([next(coins)[1] for _ in tx.inputs] for tx in parsed.block.transactions[1:])
    return spent


def block_view(chain: Chainstate, parsed: ParsedBlock, verbosity: int) -> Json:
    """Return what `getblock` shows at verbosity 1 (txids), 2 (transactions) or 3 (with prevouts)."""
    block = parsed.block
    size = parsed.entry.length
    stripped = 80 + sum(len(tx.serialize_no_witness()) for tx in block.transactions)
    stripped += 1 if len(block.transactions) < 0xFD else 3
    view = header_view(chain.tree, parsed.entry)
    view |= {"strippedsize": stripped, "size": size, "weight": stripped * 3 + size}
    if verbosity <= 1:
        view["tx"] = [txid_to_hex(txid) for txid in parsed.txids]
        return view
    spent = spent_by_transaction(chain, parsed)
    view["tx"] = [
        transaction_view(tx, None if spent is None or not index else spent[index], verbosity >= 3)
        for index, tx in enumerate(block.transactions)
    ]
    return view


def pool_entry_view(pool: Mempool, entry: PoolEntry) -> Json:
    """Return what `getmempoolentry` shows."""
    ancestors = [*pool.ancestors(entry.tx), entry]
    descendants = pool.descendants(entry)
    return {
        "vsize": entry.vsize,
        "weight": entry.weight,
        "time": entry.time,
        "height": entry.height,
        "descendantcount": len(descendants),
        "descendantsize": sum(other.vsize for other in descendants),
        "ancestorcount": len(ancestors),
        "ancestorsize": sum(other.vsize for other in ancestors),
        "wtxid": txid_to_hex(entry.wtxid),
        "fees": {
            "base": amount(entry.fee_sat),
            "modified": amount(entry.fee_sat),
            "ancestor": amount(sum(other.fee_sat for other in ancestors)),
            "descendant": amount(sum(other.fee_sat for other in descendants)),
        },
        "depends": [txid_to_hex(other.txid) for other in pool.parents(entry.tx)],
        "spentby": [txid_to_hex(other.txid) for other in pool.children(entry)],
        "bip125-replaceable": True,
        "unbroadcast": False,
    }
