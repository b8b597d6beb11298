"""Scripts under policy: what nodes relay is narrower than what blocks may hold.

Consensus is the library's verdict (`kernel`). Over it stand low S, null failed signatures, minimal pushes and
conditions, a clean stack and room for upgrades; those are checked by btclib's port of the script interpreter, which
also knows the sentence that bitcoind says for each failure.
"""

from collections.abc import Sequence
from typing import Final

from btclib.exceptions import BTClibException, ScriptError
from btclib.script.engine import sig_op_cost, verify_transaction
from btclib.script.engine.flags import ScriptFlag
from btclib.script.sig_ops import sig_op_count
from btclib.tx.tx import Tx
from btclib.tx.tx_out import TxOut as LibraryTxOut

from leyden.bitcoin.script import ScriptType, classify
from leyden.bitcoin.tx import Transaction
from leyden.regtest.coins import Coin
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel
from leyden.regtest.policy import P2SH_SIGOPS_MAX, SIGOP_COST_MAX, TransactionRejected, redeem_script

CONSENSUS_FLAGS: Final = (
    ScriptFlag.P2SH
    | ScriptFlag.DERSIG
    | ScriptFlag.NULLDUMMY
    | ScriptFlag.CHECKLOCKTIMEVERIFY
    | ScriptFlag.CHECKSEQUENCEVERIFY
    | ScriptFlag.WITNESS
    | ScriptFlag.TAPROOT
)
STANDARD_FLAGS: Final = (
    CONSENSUS_FLAGS
    | ScriptFlag.STRICTENC
    | ScriptFlag.MINIMALDATA
    | ScriptFlag.DISCOURAGE_UPGRADABLE_NOPS
    | ScriptFlag.CLEANSTACK
    | ScriptFlag.MINIMALIF
    | ScriptFlag.NULLFAIL
    | ScriptFlag.LOW_S
    | ScriptFlag.DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM
    | ScriptFlag.WITNESS_PUBKEYTYPE
    | ScriptFlag.CONST_SCRIPTCODE
    | ScriptFlag.DISCOURAGE_UPGRADABLE_TAPROOT_VERSION
    | ScriptFlag.DISCOURAGE_OP_SUCCESS
    | ScriptFlag.DISCOURAGE_UPGRADABLE_PUBKEYTYPE
)
_REASON: Final = "mempool-script-verify-flag-failed"


class PolicyTransaction:
    """A transaction and its coins in the form that the interpreter wants, made once for both questions.

    Args of the constructor: raw: serialised with witness; spent: one coin per input, in input order.
    """

    def __init__(self, raw: bytes, tx: Transaction, spent: Sequence[Coin]) -> None:
        self._raw = raw
        self._tx = tx
        self._spent = spent
        self._library_tx = Tx.parse(raw, check_validity=False)
        self._prevouts = [LibraryTxOut(coin.value_sat, coin.script_pubkey, check_validity=False) for coin in spent]

    def sigop_cost(self) -> int:
        """Return the signature check cost. Raises TransactionRejected when it is above a relay limit."""
        for index, (tx_in, coin) in enumerate(zip(self._tx.inputs, self._spent, strict=True)):
            redeem = redeem_script(tx_in) if classify(coin.script_pubkey) is ScriptType.P2SH else None
            if redeem is not None and sig_op_count(redeem, accurate=True) > P2SH_SIGOPS_MAX:
                raise TransactionRejected("bad-txns-nonstandard-inputs", f"input {index}")
        cost = sig_op_cost(self._prevouts, self._library_tx, STANDARD_FLAGS)
        if cost > SIGOP_COST_MAX:
            raise TransactionRejected("bad-txns-too-many-sigops", str(cost))
        return cost

    def check_scripts(self, kernel: Kernel) -> None:
        """Run all scripts under policy, and under consensus by the library. Raises TransactionRejected."""
        problem = self._policy_problem()
        bad_input = kernel.first_bad_input(
            self._raw, [(coin.value_sat, coin.script_pubkey) for coin in self._spent], VERIFY_CONSENSUS
        )
        if bad_input is None and problem is None:
            return
        raise TransactionRejected(f"{_REASON} ({problem or 'unknown error'})", self._place(bad_input))

    def _policy_problem(self) -> str | None:
        try:
            verify_transaction(self._prevouts, self._library_tx, STANDARD_FLAGS, check_amounts=False)
        except ScriptError as error:
            return error.code.description
        except BTClibException as error:
            return str(error)
        return None

    def _place(self, bad_input: int | None) -> str:
        if bad_input is None:
            return ""
        return f"input {bad_input} of {self._tx.txid()[::-1].hex()}, spending {self._tx.inputs[bad_input].prevout}"
