"""Addresses: the only place where a person types where money goes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import bech32, script
from leyden.bitcoin.address import decode_address, decode_segwit, encode_address, witness_script_pubkey
from leyden.bitcoin.networks import MAINNET, NETWORKS, REGTEST, SIGNET, TESTNET, Network

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
BIP173 = json.loads((VECTORS / "bip-0173" / "test-vectors.json").read_text())
BIP350 = json.loads((VECTORS / "bip-0350" / "test-vectors.json").read_text())


def network_of(address: str) -> Network:
    return MAINNET if address.lower().startswith("bc1") else TESTNET


@pytest.mark.parametrize("case", BIP350["valid_addresses"], ids=lambda case: case["address"])
def test_valid_address_of_bip350(case: dict[str, str]) -> None:
    """Every version and length that BIP 350 lists, there and back."""
    network = network_of(case["address"])
    assert decode_address(case["address"], network).hex() == case["script_pubkey"]
    assert encode_address(bytes.fromhex(case["script_pubkey"]), network) == case["address"].lower()


@pytest.mark.parametrize("case", BIP173["valid_addresses"], ids=lambda case: case["address"])
def test_valid_address_of_bip173(case: dict[str, str]) -> None:
    """BIP 350 replaced the checksum of versions 1 to 16, so those of BIP 173 decode only below the version rule."""
    network = network_of(case["address"])
    hrp, symbols, constant = bech32.decode(case["address"])
    assert constant == bech32.BECH32_CONST
    assert hrp == network.bech32_hrp
    assert witness_script_pubkey(symbols[0], bech32.bytes_of(symbols[1:])).hex() == case["script_pubkey"]
    if symbols[0] == 0:
        assert decode_address(case["address"], network).hex() == case["script_pubkey"]
        assert encode_address(bytes.fromhex(case["script_pubkey"]), network) == case["address"].lower()
    else:
        with pytest.raises(DecodeError, match="other bech32 kind"):
            decode_address(case["address"], network)


@pytest.mark.parametrize(
    "case", BIP173["invalid_addresses"] + BIP350["invalid_addresses"], ids=lambda case: case["address"]
)
def test_invalid_address_is_refused_on_every_network(case: dict[str, str]) -> None:
    """None of the bad addresses may be payable anywhere."""
    for network in NETWORKS:
        with pytest.raises(DecodeError):
            decode_address(case["address"], network)


@pytest.mark.parametrize(
    ("address", "network", "expected"),
    [
        (
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            MAINNET,
            script.p2pkh(bytes.fromhex("62e907b15cbf27d5425399ebf6f0fb50ebb88f18")),
        ),
        ("39bgKC7RFbpoCRbtD5KEdkYKtNyhpsNa3Z", MAINNET, None),
        ("mpXwg4jMtRhuSpVq4xS3HFHmCmWp9NyGKt", TESTNET, None),
        ("2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", REGTEST, None),
    ],
)
def test_base58_address_round_trips(address: str, network: Network, expected: bytes | None) -> None:
    """Shutdown to old wallets and invoice fallbacks use them."""
    found = decode_address(address, network)
    assert expected in (None, found)
    assert encode_address(found, network) == address


def test_address_of_another_network_is_refused() -> None:
    """Mainnet money must not go to a test address; test networks share the base58 versions."""
    for address in ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"):
        for network in (TESTNET, SIGNET, REGTEST):
            with pytest.raises(DecodeError):
                decode_address(address, network)
    with pytest.raises(DecodeError):
        decode_address("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", REGTEST)


programs = st.one_of(
    st.tuples(st.just(0), st.sampled_from([20, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n))),
    st.tuples(st.integers(1, 16), st.binary(min_size=2, max_size=40)),
)


@given(programs, st.sampled_from(NETWORKS))
def test_any_witness_output_has_an_address(program: tuple[int, bytes], network: Network) -> None:
    """Unknown future versions included, as BIP 350 asks of senders."""
    script_pubkey = witness_script_pubkey(*program)
    address = encode_address(script_pubkey, network)
    assert address is not None
    assert decode_address(address, network) == script_pubkey
    assert decode_segwit(network.bech32_hrp, address.upper()) == program


@pytest.mark.parametrize("raw", [b"", b"\x6a\x01a", script.multisig(1, [b"\x02" + bytes(32)]), b"\x00\x03abc"])
def test_script_without_address_has_none(raw: bytes) -> None:
    """Better none than one that decodes to something else."""
    assert encode_address(raw, MAINNET) is None


@given(
    st.one_of(st.text(max_size=100), st.text("bc1tqpzry9x8gf2tvdw0s3jn54khce6mua7l", max_size=80).map("bc1".__add__))
)
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """A typing error is never more than that."""
    for network in NETWORKS:
        try:
            decode_address(text, network)
        except DecodeError:
            continue
