"""Bad input of a caller: each with its own code, and a sentence that says what to do."""

import pytest

from leyden.base.errors import CommandRejected
from leyden.bitcoin.networks import MAINNET, REGTEST, SIGNET, TESTNET, Network
from leyden.bitcoin.script import null_data, p2pkh, p2tr, p2wpkh, p2wsh
from leyden.wallet.checks import check_feerate, check_output, parse_destination

BC_P2WPKH = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
BCRT_P2WPKH = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
TB_P2WPKH = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
KEY_HASH = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")


@pytest.mark.parametrize(
    ("text", "network", "script"),
    [
        (BC_P2WPKH, MAINNET, p2wpkh(KEY_HASH)),
        (f"  {BC_P2WPKH.upper()}\n", MAINNET, p2wpkh(KEY_HASH)),
        (BCRT_P2WPKH, REGTEST, p2wpkh(KEY_HASH)),
        (TB_P2WPKH, SIGNET, p2wpkh(KEY_HASH)),
        ("1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", MAINNET, p2pkh(KEY_HASH)),
    ],
)
def test_addresses(text: str, network: Network, script: bytes) -> None:
    """Pasted text comes with blanks and in capitals."""
    assert parse_destination(text, network) == script


@pytest.mark.parametrize(
    ("text", "network", "code"),
    [
        ("", REGTEST, "invalid_address"),
        ("   ", REGTEST, "invalid_address"),
        ("hello", REGTEST, "invalid_address"),
        (BCRT_P2WPKH[:-1], REGTEST, "invalid_address"),
        (BCRT_P2WPKH[:-1] + "q", REGTEST, "invalid_address"),
        ("bcrt1" + "q" * 500, REGTEST, "invalid_address"),
        ("lnbcrt1pvjluezpp5qqqsyq", REGTEST, "invalid_address"),
        ("🙂" * 20, REGTEST, "invalid_address"),
        (BC_P2WPKH, REGTEST, "wrong_network"),
        (TB_P2WPKH, REGTEST, "wrong_network"),
        (BCRT_P2WPKH, MAINNET, "wrong_network"),
        (BCRT_P2WPKH, TESTNET, "wrong_network"),
        ("1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", REGTEST, "wrong_network"),
    ],
)
def test_addresses_that_are_none(text: str, network: Network, code: str) -> None:
    """Money sent to a mistyped address or to another network is gone."""
    with pytest.raises(CommandRejected) as refused:
        parse_destination(text, network)
    assert refused.value.code == code


def test_the_network_of_an_address_is_named() -> None:
    """The user must see at once which of the two is the wrong one."""
    with pytest.raises(CommandRejected, match="an address of mainnet, and the wallet is on regtest"):
        parse_destination(BC_P2WPKH, REGTEST)


@pytest.mark.parametrize(
    ("amount_sat", "script", "code"),
    [
        (0, p2wpkh(KEY_HASH), "amount_not_positive"),
        (-1, p2wpkh(KEY_HASH), "amount_not_positive"),
        (0, null_data(b"x"), "amount_not_positive"),
        (1, p2wpkh(KEY_HASH), "amount_below_dust"),
        (293, p2wpkh(KEY_HASH), "amount_below_dust"),
        (329, p2wsh(bytes(32)), "amount_below_dust"),
        (329, p2tr(bytes(32)), "amount_below_dust"),
        (545, p2pkh(KEY_HASH), "amount_below_dust"),
        (2_100_000_000_000_001, p2wpkh(KEY_HASH), "amount_too_large"),
    ],
)
def test_amounts_that_are_none(amount_sat: int, script: bytes, code: str) -> None:
    """Nothing may be signed that nobody relays."""
    with pytest.raises(CommandRejected) as refused:
        check_output(amount_sat, script)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("amount_sat", "script"), [(294, p2wpkh(KEY_HASH)), (330, p2wsh(bytes(32))), (546, p2pkh(KEY_HASH))]
)
def test_the_smallest_amounts(amount_sat: int, script: bytes) -> None:
    """Exactly at the limit relays."""
    check_output(amount_sat, script)


@pytest.mark.parametrize(
    ("feerate_per_kw", "code"),
    [(249, "feerate_too_low"), (0, "feerate_too_low"), (-5, "feerate_too_low"), (250_001, "feerate_too_high")],
)
def test_feerates_out_of_range(feerate_per_kw: int, code: str) -> None:
    """A feerate in the wrong unit would burn the wallet."""
    with pytest.raises(CommandRejected) as refused:
        check_feerate(feerate_per_kw)
    assert refused.value.code == code
