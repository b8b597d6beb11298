"""Standardness: our rules against a table, and against btclib's port of Core's policy on generated transactions."""

from collections.abc import Callable

import pytest
from btclib import policy as oracle
from btclib.exceptions import BTClibValueError
from btclib.fee import dust_threshold as oracle_dust_threshold
from btclib.tx.tx import Tx as OracleTx
from btclib.tx.tx_out import TxOut as OracleTxOut
from hypothesis import given
from hypothesis import strategies as st

from leyden.bitcoin.script import (
    P2A_SCRIPT,
    multisig,
    null_data,
    p2pkh,
    p2sh,
    p2sh_of_script,
    p2tr,
    p2wpkh,
    p2wsh,
    push_data,
)
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.regtest.coins import Coin
from leyden.regtest.policy import (
    NULL_OUTPOINT,
    PolicySettings,
    TransactionRejected,
    btc,
    check_amounts,
    check_inputs_standard,
    check_size,
    check_standard,
    check_transaction,
    dust_outputs,
    dust_threshold,
    fee_at,
    is_final,
    redeem_script,
    relative_lock,
    virtual_size,
)
from tests.regtest.world import KEY

SETTINGS = PolicySettings()
SOMEWHERE = OutPoint(b"\x01" * 32, 0)
PLAIN = TxOut(10_000, p2wpkh(bytes(20)))


def tx_of(
    *outputs: TxOut,
    script_sig: bytes = b"",
    witness: tuple[bytes, ...] = (b"\x01",),
    version: int = 2,
    locktime: int = 0,
) -> Transaction:
    """Return a transaction with one input."""
    return Transaction(version, (TxIn(SOMEWHERE, script_sig, 0, witness),), outputs or (PLAIN,), 0)


def reason_of(check: Callable[[], object]) -> str:
    """Return the reject reason, empty when there is none."""
    try:
        check()
    except TransactionRejected as rejection:
        return rejection.reason
    return ""


def money_out(value_sat: int) -> TxOut:
    """Return a plain output."""
    return TxOut(value_sat, p2wpkh(bytes(20)))


@pytest.mark.parametrize(
    ("reason", "tx"),
    [
        ("", tx_of()),
        ("bad-txns-vin-empty", Transaction(2, (), (PLAIN,), 0)),
        ("bad-txns-vout-empty", Transaction(2, (TxIn(SOMEWHERE, b"", 0),), (), 0)),
        ("bad-txns-txouttotal-toolarge", tx_of(money_out(20_999_999 * 10**8), money_out(2 * 10**8))),
        ("bad-txns-inputs-duplicate", Transaction(2, (TxIn(SOMEWHERE, b"", 0),) * 2, (PLAIN,), 0)),
        ("coinbase", Transaction(2, (TxIn(NULL_OUTPOINT, b"\x01\x02", 0),), (PLAIN,), 0)),
        ("bad-cb-length", Transaction(2, (TxIn(NULL_OUTPOINT, b"", 0),), (PLAIN,), 0)),
        (
            "bad-txns-prevout-null",
            Transaction(2, (TxIn(SOMEWHERE, b"", 0), TxIn(NULL_OUTPOINT, b"", 0)), (PLAIN,), 0),
        ),
        ("bad-txns-oversize", tx_of(TxOut(0, bytes(1_000_001)))),
    ],
)
def test_rules_of_consensus_without_context(reason: str, tx: Transaction) -> None:
    """These come before anything is looked up."""
    assert reason_of(lambda: check_transaction(tx)) == reason


@pytest.mark.parametrize(
    ("reason", "tx"),
    [
        ("", tx_of()),
        ("version", tx_of(version=0)),
        ("version", tx_of(version=4)),
        ("", tx_of(version=3)),
        ("tx-size", tx_of(witness=(bytes(400_000),))),
        ("scriptsig-size", tx_of(script_sig=push_data(bytes(1_650)))),
        ("scriptsig-not-pushonly", tx_of(script_sig=b"\x61")),
        ("scriptpubkey", tx_of(TxOut(10_000, b"\x51"))),
        ("scriptpubkey", tx_of(TxOut(10_000, multisig(1, [KEY] * 4)))),
        ("", tx_of(TxOut(10_000, multisig(2, [KEY] * 3)))),
        ("", tx_of(TxOut(0, null_data(bytes(80))), TxOut(0, null_data(bytes(80))))),
        ("dust", tx_of(money_out(1), money_out(1))),
        ("", tx_of(money_out(0))),
        ("", tx_of(TxOut(0, P2A_SCRIPT))),
    ],
)
def test_standardness(reason: str, tx: Transaction) -> None:
    """Commitment and HTLC transactions must meet these on mainnet, so tests must meet them too."""
    assert reason_of(lambda: check_standard(tx, SETTINGS)) == reason


def test_data_outputs_share_one_limit() -> None:
    """Several OP_RETURN outputs count together."""
    tx = tx_of(TxOut(0, null_data(bytes(40))), TxOut(0, null_data(bytes(40))))
    assert reason_of(lambda: check_standard(tx, PolicySettings(datacarrier_size_max=84))) == ""
    assert reason_of(lambda: check_standard(tx, PolicySettings(datacarrier_size_max=83))) == "datacarrier"


def test_transaction_of_64_bytes_is_refused() -> None:
    """It could pose as an inner node of a merkle tree."""
    small = tx_of(TxOut(0, b"\x6a\x02ab"))
    assert len(small.serialize_no_witness()) == 64
    assert reason_of(lambda: check_size(small)) == "tx-size-small"
    assert reason_of(lambda: check_size(tx_of(TxOut(0, b"\x6a\x03abc")))) == ""


SCRIPTS = st.sampled_from(
    [
        p2pkh(bytes(20)), p2sh(bytes(20)), p2wpkh(bytes(20)), p2wsh(bytes(32)), p2tr(bytes(32)), P2A_SCRIPT,
        b"\x52\x20" + bytes(32), b"\x00\x05" + bytes(5), null_data(b"x"), b"\x6a\xff", b"\x51", b"",
        multisig(1, [KEY]), multisig(2, [KEY] * 3), multisig(3, [KEY] * 4), push_data(KEY) + b"\xac",
        b"\x21\x09" + bytes(32) + b"\xac", bytes(10_001), null_data(bytes(200)), b"\x60\x02ab",
    ]
)  # fmt: skip
WITNESS_ITEMS = st.sampled_from([b"", bytes(80), bytes(81), b"\x50ab", b"\xc0" + bytes(32), b"\xc2", bytes(3_601)])
OUTPUTS = st.builds(TxOut, st.sampled_from([0, 1, 239, 240, 293, 294, 329, 330, 545, 546, 600, 10_000]), SCRIPTS)
SCRIPT_SIGS = st.sampled_from(
    [b"", b"\x01a", b"\x61", push_data(bytes(1_649)), push_data(bytes(1_640)), b"\x05a", b"\x60"]
)


@given(st.lists(OUTPUTS, min_size=1, max_size=4), SCRIPT_SIGS, st.integers(0, 5))
def test_standardness_agrees_with_a_port_of_core(outputs: list[TxOut], script_sig: bytes, version: int) -> None:
    """Same verdict and same reason as a port of Core's policy.cpp."""
    tx = tx_of(*outputs, script_sig=script_sig, version=version)
    expected = ""
    try:
        oracle.assert_standard_tx(OracleTx.parse(tx.serialize(), check_validity=False), max_datacarrier_bytes=100_000)
    except BTClibValueError as error:
        expected = str(error)
    assert reason_of(lambda: check_standard(tx, SETTINGS)) == expected


@given(OUTPUTS)
def test_dust_threshold_agrees_with_a_port_of_core(output: TxOut) -> None:
    """One satoshi off and our commitment outputs are trimmed differently from what relays."""
    assert dust_threshold(output, 3000) == oracle_dust_threshold(output.script_pubkey)


@given(
    SCRIPTS,
    st.sampled_from([b"", b"\x51", push_data(b"\x51"), push_data(p2wsh(bytes(32))), b"\x4f", b"\x05a"]),
    st.lists(WITNESS_ITEMS, max_size=4),
)
def test_inputs_agree_with_a_port_of_core(script: bytes, script_sig: bytes, witness: list[bytes]) -> None:
    """What may be spent, and with which witness."""
    if len(script) > 10_000 or script_sig == b"\x05a":
        return
    tx = tx_of(script_sig=script_sig, witness=tuple(witness))
    coin = Coin(1_000, script, 1, False)
    oracle_tx = OracleTx.parse(tx.serialize(), check_validity=False)
    prevouts = [OracleTxOut(1_000, script, check_validity=False)]
    expected = ""
    if not oracle.are_inputs_standard(prevouts, oracle_tx):
        expected = "bad-txns-nonstandard-inputs"
    elif not oracle.is_witness_standard(prevouts, oracle_tx):
        expected = "bad-witness-nonstandard"
    assert reason_of(lambda: check_inputs_standard(tx, [coin])) == expected


def test_many_witness_items_are_not_standard() -> None:
    """At most 100 beside the script."""
    coin = Coin(1_000, p2wsh(bytes(32)), 1, False)
    assert reason_of(lambda: check_inputs_standard(tx_of(witness=(b"",) * 101), [coin])) == ""
    too_many = tx_of(witness=(b"",) * 102)
    assert reason_of(lambda: check_inputs_standard(too_many, [coin])) == "bad-witness-nonstandard"


@pytest.mark.parametrize(
    ("locktime", "sequence", "final"),
    [
        (0, 0, True),
        (99, 0, True),
        (100, 0, False),
        (100, 0xFFFFFFFF, True),
        (1_600_000_000, 0, False),
        (1_500_000_000, 0, True),
    ],
)
def test_absolute_lock_time(locktime: int, sequence: int, final: bool) -> None:
    """Heights against the next block's, times against the median."""
    tx = Transaction(2, (TxIn(SOMEWHERE, b"", sequence),), (PLAIN,), locktime)
    assert is_final(tx, 100, 1_550_000_000) is final


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (0xFFFFFFFF, (-1, -1)),
        (1 << 31, (-1, -1)),
        (0, (49, -1)),
        (144, (193, -1)),
        ((1 << 22) | 2, (-1, 1_000 + 1_024 - 1)),
    ],
)
def test_relative_lock_time(sequence: int, expected: tuple[int, int]) -> None:
    """The last height or time at which BIP 68 still forbids the spend."""
    assert relative_lock(TxIn(SOMEWHERE, b"", sequence), 50, 1_000) == expected


def test_amounts() -> None:
    """The fee is what is left; money cannot be made."""
    assert check_amounts(tx_of(money_out(9_000)), [Coin(10_000, b"", 1, False)]) == 1_000
    short = Coin(8_999, b"", 1, False)
    with pytest.raises(TransactionRejected, match=r"value in \(0.00008999\) < value out \(0.00009000\)"):
        check_amounts(tx_of(money_out(9_000)), [short])
    rich = [Coin(20_999_999 * 10**8, b"", 1, False)] * 2
    assert reason_of(lambda: check_amounts(tx_of(), rich)) == "bad-txns-inputvalues-outofrange"


def test_small_arithmetic() -> None:
    """Fees round up, sizes round up, signature checks weigh."""
    assert fee_at(1_001, 1_000) == 1_001
    assert fee_at(100, 141) == 15
    assert virtual_size(401, 0) == 101
    assert virtual_size(400, 30) == 150
    assert btc(-1) == "-0.00000001"
    assert dust_outputs(tx_of(money_out(293), money_out(294)), 3000) == [0]


def test_redeem_script_of_a_push() -> None:
    """P2SH takes the last push as its script."""
    assert redeem_script(TxIn(SOMEWHERE, push_data(b"\x51\x51"), 0)) == b"\x51\x51"
    assert redeem_script(TxIn(SOMEWHERE, b"", 0)) is None
    nested = Coin(1_000, p2sh_of_script(b"\x51"), 1, False)
    assert reason_of(lambda: check_inputs_standard(tx_of(witness=()), [nested])) == "bad-txns-nonstandard-inputs"
