"""JSON as bitcoind writes it."""

import pytest

from leyden.bitcoin.script import P2A_SCRIPT, multisig, null_data, p2pkh, p2sh, p2tr, p2wpkh, p2wsh
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.regtest.coins import Coin
from leyden.regtest.views import amount, assembly, difficulty, script_view, transaction_view
from tests.regtest.world import KEY


@pytest.mark.parametrize(
    ("sat", "text"),
    [
        (0, b"0.00000000"),
        (1, b"0.00000001"),
        (123_456_789_012, b"1234.56789012"),
        (2_100_000_000_000_000, b"21000000.00000000"),
    ],
)
def test_amounts_never_have_an_exponent(sat: int, text: bytes) -> None:
    """CLN reads the digits."""
    assert bytes(amount(sat)) == text


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (b"", ""),
        (p2pkh(bytes(20)), "OP_DUP OP_HASH160 " + "00" * 20 + " OP_EQUALVERIFY OP_CHECKSIG"),
        (p2wpkh(bytes(20)), "0 " + "00" * 20),
        (b"\x01\x81", "-1"),
        (b"\x01\x80", "80"),
        (b"\x4f\x51\x60", "-1 1 16"),
        (b"\xb1\xb2\xba\xff", "OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY OP_CHECKSIGADD OP_UNKNOWN"),
        (b"\x61\x05ab", "OP_NOP [error]"),
        (b"\x50", "OP_UNKNOWN"),
    ],
)
def test_scripts_in_words(script: bytes, text: str) -> None:
    """People read it in logs."""
    assert assembly(script) == text


@pytest.mark.parametrize(
    ("script", "kind", "has_address"),
    [
        (p2pkh(bytes(20)), "pubkeyhash", True),
        (p2sh(bytes(20)), "scripthash", True),
        (p2wpkh(bytes(20)), "witness_v0_keyhash", True),
        (p2wsh(bytes(32)), "witness_v0_scripthash", True),
        (p2tr(bytes(32)), "witness_v1_taproot", True),
        (P2A_SCRIPT, "anchor", True),
        (b"\x52\x20" + bytes(32), "witness_unknown", True),
        (null_data(b"x"), "nulldata", False),
        (b"\x51", "nonstandard", False),
        (b"\x21" + KEY + b"\xac", "pubkey", False),
        (multisig(1, [KEY]), "multisig", False),
    ],
)
def test_kinds_of_output(script: bytes, kind: str, has_address: bool) -> None:
    """Clients decide by type and address."""
    view = script_view(script)
    assert (view["type"], "address" in view, view["hex"]) == (kind, has_address, script.hex())


def test_transaction_without_and_with_coins() -> None:
    """The fee is only known with the coins; prevouts are shown on request."""
    tx = Transaction(2, (TxIn(OutPoint(b"\x01" * 32, 1), b"\x51", 5),), (TxOut(700, b"\x51"),), 9)
    plain = transaction_view(tx, None, False)
    assert ("fee" in plain, plain["locktime"], plain["version"]) == (False, 9, 2)
    coin = Coin(1_000, b"\x51", 7, False)
    with_fee = transaction_view(tx, [coin], False)
    assert with_fee["fee"] == amount(300)
    assert "prevout" not in str(with_fee["vin"])
    assert "prevout" in str(transaction_view(tx, [coin], True)["vin"])


def test_difficulty_of_main_and_regtest() -> None:
    """1 at the main chain's first target."""
    assert difficulty(0x1D00FFFF) == 1.0
    assert difficulty(0x1B0404CB) == pytest.approx(16307.420938523983)
    assert difficulty(0x207FFFFF) == pytest.approx(4.656542373906925e-10)
