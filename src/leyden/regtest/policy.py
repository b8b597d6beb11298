"""What a node relays: the rules that a transaction can be held to by itself or with the coins it spends.

Reject reasons are bitcoind's, word for word: other programs match them. The figures are those of Bitcoin Core's
default policy (version 31). Rules about the mempool's shape stand in `topology`, about scripts in `script_policy`.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from leyden.base.errors import CommandRejected, DecodeError
from leyden.bitcoin.script import (
    OP_1,
    OP_16,
    OP_CHECKMULTISIG,
    P2A_SCRIPT,
    ScriptType,
    classify,
    is_push_only,
    operations,
    witness_program,
)
from leyden.bitcoin.tx import MAX_MONEY_SAT, OutPoint, Transaction, TxIn, TxOut, compact_size
from leyden.regtest.coins import Coin, is_unspendable

TX_VERSION_MAX: Final = 3
TRUC_VERSION: Final = 3
WEIGHT_MAX: Final = 400_000
BLOCK_WEIGHT_MAX: Final = 4_000_000
NON_WITNESS_SIZE_MIN: Final = 65
SCRIPT_SIG_SIZE_MAX: Final = 1650
SIGOP_COST_MAX: Final = 16_000
BYTES_PER_SIGOP: Final = 20
P2SH_SIGOPS_MAX: Final = 15
P2WSH_SCRIPT_SIZE_MAX: Final = 3600
P2WSH_STACK_ITEMS_MAX: Final = 100
STACK_ITEM_SIZE_MAX: Final = 80
DUST_OUTPUTS_MAX: Final = 1
_ANNEX_TAG: Final = 0x50
_TAPSCRIPT_LEAF: Final = 0xC0
_LOCKTIME_THRESHOLD: Final = 500_000_000
_SEQUENCE_FINAL: Final = 0xFFFFFFFF
_SEQUENCE_DISABLE: Final = 1 << 31
_SEQUENCE_TIME: Final = 1 << 22
_SEQUENCE_MASK: Final = 0xFFFF
_SEQUENCE_GRANULARITY: Final = 9
NULL_OUTPOINT: Final = OutPoint(bytes(32), 0xFFFFFFFF)


class PolicySettings(Struct, frozen=True):
    """The settings of a mempool; feerates in satoshi per 1,000 virtual bytes.

    Attributes:
        min_relay_feerate: the floor for a transaction or a package (bitcoind's `-minrelaytxfee`).
        incremental_feerate: what a replacement must add to the fees it replaces (`-incrementalrelayfee`).
        dust_feerate: what an output must be worth spending at (`-dustrelayfee`).
        datacarrier_size_max: bytes of all OP_RETURN scripts of a transaction (`-datacarriersize`).
        pool_vsize_max: virtual bytes at which the cheapest transactions are evicted.
        fallback_feerate: what `estimatesmartfee` answers before anybody sets an estimate.
    """

    min_relay_feerate: int = 100
    incremental_feerate: int = 100
    dust_feerate: int = 3000
    datacarrier_size_max: int = 100_000
    pool_vsize_max: int = 20_000_000
    fallback_feerate: int = 5000


class TransactionRejected(CommandRejected):
    """A transaction that the mempool does not take.

    Args:
        reason: bitcoind's reject reason, e.g. `min relay fee not met`.
        detail: what bitcoind adds after a comma, may be empty.
        missing_inputs: an input is unknown or spent: the parent may come later.
        too_cheap: it fails by its fee only, so that a child may still pay for it.
    """

    def __init__(self, reason: str, detail: str = "", *, missing_inputs: bool = False, too_cheap: bool = False) -> None:
        super().__init__(f"{reason}, {detail}" if detail else reason, code="transaction_rejected")
        self.reason = reason
        self.detail = detail
        self.missing_inputs = missing_inputs
        self.too_cheap = too_cheap


def fee_at(feerate: int, vsize: int) -> int:
    """Return the fee in satoshi of `vsize` virtual bytes at `feerate` sat/kvB, rounded up as bitcoind does."""
    return -(-feerate * vsize // 1000)


def virtual_size(weight: int, sigop_cost: int) -> int:
    """Return the virtual size that fees are measured by: a transaction heavy in signature checks counts as larger."""
    return (max(weight, sigop_cost * BYTES_PER_SIGOP) + 3) // 4


def check_transaction(tx: Transaction) -> None:
    """Hold a transaction to the consensus rules that need nothing else. Raises TransactionRejected."""
    if not tx.inputs:
        raise TransactionRejected("bad-txns-vin-empty")
    if not tx.outputs:
        raise TransactionRejected("bad-txns-vout-empty")
    if len(tx.serialize_no_witness()) * 4 > BLOCK_WEIGHT_MAX:
        raise TransactionRejected("bad-txns-oversize")
    if sum(output.value_sat for output in tx.outputs) > MAX_MONEY_SAT:
        raise TransactionRejected("bad-txns-txouttotal-toolarge")
    if len(dict.fromkeys(tx_in.prevout for tx_in in tx.inputs)) != len(tx.inputs):
        raise TransactionRejected("bad-txns-inputs-duplicate")
    if len(tx.inputs) == 1 and tx.inputs[0].prevout == NULL_OUTPOINT:
        if not 2 <= len(tx.inputs[0].script_sig) <= 100:
            raise TransactionRejected("bad-cb-length")
        raise TransactionRejected("coinbase")
    if any(tx_in.prevout == NULL_OUTPOINT for tx_in in tx.inputs):
        raise TransactionRejected("bad-txns-prevout-null")


def check_standard(tx: Transaction, settings: PolicySettings) -> None:
    """Hold a transaction to the standardness rules that need no coins. Raises TransactionRejected."""
    if not 1 <= tx.version <= TX_VERSION_MAX:
        raise TransactionRejected("version")
    if tx.weight() > WEIGHT_MAX:
        raise TransactionRejected("tx-size")
    for tx_in in tx.inputs:
        if len(tx_in.script_sig) > SCRIPT_SIG_SIZE_MAX:
            raise TransactionRejected("scriptsig-size")
        if not is_push_only(tx_in.script_sig):
            raise TransactionRejected("scriptsig-not-pushonly")
    _check_outputs(tx.outputs, settings)
    if len(dust_outputs(tx, settings.dust_feerate)) > DUST_OUTPUTS_MAX:
        raise TransactionRejected("dust")


def check_size(tx: Transaction) -> None:
    """Refuse a transaction that could pose as an inner node of a merkle tree. Raises TransactionRejected."""
    if len(tx.serialize_no_witness()) < NON_WITNESS_SIZE_MIN:
        raise TransactionRejected("tx-size-small")


def _check_outputs(outputs: Sequence[TxOut], settings: PolicySettings) -> None:
    data_left = settings.datacarrier_size_max
    for output in outputs:
        script = output.script_pubkey
        kind = classify(script)
        if kind is ScriptType.NULL_DATA:
            if len(script) > data_left:
                raise TransactionRejected("datacarrier")
            data_left -= len(script)
        elif not _is_standard_output(script, kind):
            raise TransactionRejected("scriptpubkey")


def _is_standard_output(script: bytes, kind: ScriptType) -> bool:
    if kind is ScriptType.P2PK:
        return _is_key(script[1:-1])
    return kind is not ScriptType.NON_STANDARD or multisig_keys(script) in {1, 2, 3}


def _is_key(key: bytes) -> bool:
    """Tell whether the first byte of a public key fits its length."""
    return len(key) == {2: 33, 3: 33, 4: 65, 6: 65, 7: 65}.get(key[0] if key else 0, 0)


def multisig_keys(script: bytes) -> int:
    """Return the number of keys of a bare multisig script, 0 for any other script."""
    try:
        ops = list(operations(script))
    except DecodeError:
        return 0
    if len(ops) < 4 or ops[-1][0] != OP_CHECKMULTISIG:
        return 0
    threshold, total = ops[0][0] - OP_1 + 1, ops[-2][0] - OP_1 + 1
    keys = [data for _, data in ops[1:-2]]
    if not (OP_1 <= ops[0][0] <= OP_16 and OP_1 <= ops[-2][0] <= OP_16 and threshold <= total == len(keys)):
        return 0
    return total if all(key is not None and _is_key(key) for key in keys) else 0


def dust_threshold(output: TxOut, feerate: int) -> int:
    """Return the satoshis below which an output costs more to spend than it is worth, at `feerate` sat/kvB."""
    script = output.script_pubkey
    if is_unspendable(script):
        return 0
    size = 8 + len(compact_size(len(script))) + len(script)
    size += 67 if witness_program(script) is not None else 148
    return fee_at(feerate, size)


def dust_outputs(tx: Transaction, feerate: int) -> list[int]:
    """Return the indexes of the outputs that are dust at `feerate` sat/kvB."""
    return [index for index, output in enumerate(tx.outputs) if output.value_sat < dust_threshold(output, feerate)]


def is_final(tx: Transaction, height: int, median_time: int) -> bool:
    """Tell whether the lock time allows the transaction in a block at `height` after one with `median_time`."""
    if tx.locktime == 0:
        return True
    limit = height if tx.locktime < _LOCKTIME_THRESHOLD else median_time
    return tx.locktime < limit or all(tx_in.sequence == _SEQUENCE_FINAL for tx_in in tx.inputs)


def relative_lock(tx_in: TxIn, coin_height: int, coin_median_time: int) -> tuple[int, int]:
    """Return the last height and the last median time at which BIP 68 still locks an input (-1: not at all).

    Args: coin_height: that of the block with the coin; coin_median_time: median time of the block before it.
    """
    sequence = tx_in.sequence
    if sequence & _SEQUENCE_DISABLE:
        return -1, -1
    value = sequence & _SEQUENCE_MASK
    if sequence & _SEQUENCE_TIME:
        return -1, coin_median_time + (value << _SEQUENCE_GRANULARITY) - 1
    return coin_height + value - 1, -1


def check_amounts(tx: Transaction, spent: Sequence[Coin]) -> int:
    """Return the fee in satoshi. Raises TransactionRejected when the transaction makes money."""
    value_in = sum(coin.value_sat for coin in spent)
    value_out = sum(output.value_sat for output in tx.outputs)
    if value_in > MAX_MONEY_SAT:
        raise TransactionRejected("bad-txns-inputvalues-outofrange")
    if value_in < value_out:
        raise TransactionRejected("bad-txns-in-belowout", f"value in ({btc(value_in)}) < value out ({btc(value_out)})")
    return value_in - value_out


def btc(value_sat: int) -> str:
    """Return an amount in bitcoin with eight decimals."""
    sign = "-" if value_sat < 0 else ""
    whole, part = divmod(abs(value_sat), 100_000_000)
    return f"{sign}{whole}.{part:08d}"


def check_inputs_standard(tx: Transaction, spent: Sequence[Coin]) -> None:
    """Hold inputs to the standardness rules about coins and witnesses. Raises TransactionRejected."""
    for index, (tx_in, coin) in enumerate(zip(tx.inputs, spent, strict=True)):
        if not _is_standard_spend(tx_in, coin.script_pubkey):
            raise TransactionRejected("bad-txns-nonstandard-inputs", f"input {index}")
    for tx_in, coin in zip(tx.inputs, spent, strict=True):
        if tx_in.witness and not _is_standard_witness(tx_in, coin.script_pubkey):
            raise TransactionRejected("bad-witness-nonstandard")


def _is_standard_spend(tx_in: TxIn, script: bytes) -> bool:
    kind = classify(script)
    if kind in {ScriptType.UNKNOWN_WITNESS, ScriptType.NON_STANDARD}:
        return multisig_keys(script) > 0
    if kind is ScriptType.P2SH:
        return redeem_script(tx_in) is not None
    return kind is not ScriptType.P2PK or _is_key(script[1:-1])


def redeem_script(tx_in: TxIn) -> bytes | None:
    """Return what a push-only scriptSig leaves on top of the stack, None for an empty or malformed one."""
    try:
        ops = list(operations(tx_in.script_sig))
    except DecodeError:
        return None
    if not ops:
        return None
    opcode, data = ops[-1]
    if data is not None:
        return data
    return bytes((opcode - OP_1 + 1,)) if OP_1 <= opcode <= OP_16 else b"\x81"


def _is_standard_witness(tx_in: TxIn, script: bytes) -> bool:
    if script == P2A_SCRIPT:
        return False
    nested = classify(script) is ScriptType.P2SH
    inner = redeem_script(tx_in) if nested else script
    program = witness_program(inner) if inner is not None else None
    if program is None:
        return False
    version, content = program
    stack = tx_in.witness
    if version == 0 and len(content) == 32:
        items = stack[:-1]
        return (
            len(stack[-1]) <= P2WSH_SCRIPT_SIZE_MAX
            and len(items) <= P2WSH_STACK_ITEMS_MAX
            and all(len(item) <= STACK_ITEM_SIZE_MAX for item in items)
        )
    if version == 1 and len(content) == 32 and not nested:
        return _is_standard_taproot_witness(stack)
    return True


def _is_standard_taproot_witness(stack: Sequence[bytes]) -> bool:
    if len(stack) < 2:
        return True
    control_block = stack[-1]
    if not control_block or control_block[0] == _ANNEX_TAG:
        return False
    if control_block[0] & 0xFE != _TAPSCRIPT_LEAF:
        return True
    return all(len(item) <= STACK_ITEM_SIZE_MAX for item in stack[:-2])
