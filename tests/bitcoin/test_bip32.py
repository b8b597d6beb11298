"""BIP 32 keys and the accounts of BIP 84 and BIP 86: restoring from the seed words must find every coin."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyden.base.errors import DecodeError
from leyden.bitcoin import base58
from leyden.bitcoin.address import encode_address
from leyden.bitcoin.bip32 import (
    BIP84_PURPOSE,
    BIP86_PURPOSE,
    HARDENED,
    ExtendedPrivateKey,
    ExtendedPublicKey,
    account_path,
    parse_extended_key,
    parse_path,
)
from leyden.bitcoin.bip39 import seed_from_mnemonic
from leyden.bitcoin.networks import MAINNET, NETWORKS, REGTEST
from leyden.bitcoin.script import p2tr, p2wpkh_of_key
from leyden.bitcoin.taproot import output_key

VECTORS = Path(__file__).parent.parent / "vectors" / "bips"
BIP32 = json.loads((VECTORS / "bip-0032" / "test-vectors.json").read_text())
BIP84 = json.loads((VECTORS / "bip-0084" / "test-vectors.json").read_text())
BIP86 = json.loads((VECTORS / "bip-0086" / "test-vectors.json").read_text())
XPRV, XPUB = MAINNET.bip32_private, MAINNET.bip32_public
ZPRV, ZPUB = bytes.fromhex("04b2430c"), bytes.fromhex("04b24746")

CHAINS = [(vector["seed"], step) for vector in BIP32["valid"] for step in vector["chain"]]


@pytest.mark.parametrize(("seed", "step"), CHAINS)
def test_bip32_chain(seed: str, step: dict[str, str]) -> None:
    """All 17 keys of the four seeds, private and public, as text and back; seeds 3 and 4 have leading zeros."""
    key = ExtendedPrivateKey.from_seed(bytes.fromhex(seed)).derive_path(parse_path(step["path"]))
    assert key.serialize(XPRV) == step["xprv"]
    assert key.neuter().serialize(XPUB) == step["xpub"]
    assert parse_extended_key(step["xprv"], XPRV, XPUB) == key
    assert parse_extended_key(step["xpub"], XPRV, XPUB) == key.neuter()


@pytest.mark.parametrize("case", BIP32["invalid"], ids=lambda case: case["reason"])
def test_bip32_bad_key_is_refused(case: dict[str, str]) -> None:
    """A damaged backup must be refused, not turned into another wallet; the key never shows in the error."""
    for network in NETWORKS:
        with pytest.raises(DecodeError) as error:
            parse_extended_key(case["key"], network.bip32_private, network.bip32_public)
        assert case["key"] not in str(error.value)


def test_bip84_account() -> None:
    """The P2WPKH wallet, from the words to the addresses."""
    master = ExtendedPrivateKey.from_seed(seed_from_mnemonic(BIP84["mnemonic"], ""))
    assert master.serialize(ZPRV) == BIP84["rootpriv"]
    assert master.neuter().serialize(ZPUB) == BIP84["rootpub"]
    assert parse_path("m/84'/0'/0'") == account_path(BIP84_PURPOSE, MAINNET, 0)
    for entry in BIP84["keys"]:
        key = master.derive_path(parse_path(entry["path"]))
        if "xpub" in entry:
            assert key.serialize(ZPRV) == entry["xpriv"]
            assert key.neuter().serialize(ZPUB) == entry["xpub"]
            continue
        assert base58.decode_check(entry["privkey"]) == bytes((MAINNET.wif_version,)) + key.secret + b"\x01"
        assert key.public_key().hex() == entry["pubkey"]
        assert encode_address(p2wpkh_of_key(key.public_key()), MAINNET) == entry["address"]


def test_bip86_account() -> None:
    """The taproot wallet, from the words to the addresses."""
    master = ExtendedPrivateKey.from_seed(seed_from_mnemonic(BIP86["mnemonic"], ""))
    assert master.serialize(XPRV) == BIP86["rootpriv"]
    assert master.neuter().serialize(XPUB) == BIP86["rootpub"]
    assert parse_path("m/86'/0'/0'") == account_path(BIP86_PURPOSE, MAINNET, 0)
    for entry in BIP86["keys"]:
        key = master.derive_path(parse_path(entry["path"]))
        assert (key.serialize(XPRV), key.neuter().serialize(XPUB)) == (entry["xprv"], entry["xpub"])
        if "output_key" in entry:
            internal_key = key.public_key()[1:]
            output, _ = output_key(internal_key, None)
            assert (internal_key.hex(), output.hex()) == (entry["internal_key"], entry["output_key"])
            assert p2tr(output).hex() == entry["scriptPubKey"]
            assert encode_address(p2tr(output), MAINNET) == entry["address"]


@given(st.binary(min_size=16, max_size=64), st.lists(st.integers(0, HARDENED - 1), max_size=3))
def test_public_derivation_equals_private_derivation(seed: bytes, path: list[int]) -> None:
    """A watch-only wallet must see the addresses of the wallet with keys."""
    private = ExtendedPrivateKey.from_seed(seed)
    public = private.neuter()
    for index in path:
        private, public = private.derive(index), public.derive(index)
    assert private.neuter() == public
    assert parse_extended_key(private.serialize(XPRV), XPRV, XPUB) == private


MASTER = ExtendedPrivateKey.from_seed(bytes(32))


def test_impossible_derivations_are_refused() -> None:
    """A public key has no hardened children, and 255 is the last depth that can be written down."""
    with pytest.raises(ValueError, match="hardened"):
        MASTER.neuter().derive(HARDENED)
    with pytest.raises(ValueError, match="out of range"):
        MASTER.derive(2 * HARDENED)
    deepest = ExtendedPrivateKey(MASTER.secret, MASTER.chain_code, 255, bytes(4), 0)
    for key in (deepest, deepest.neuter()):
        with pytest.raises(ValueError, match="depth 255"):
            key.derive(0)
    for length in (15, 65):
        with pytest.raises(ValueError, match="16 to 64"):
            ExtendedPrivateKey.from_seed(bytes(length))


def test_secret_is_not_in_the_repr() -> None:
    """Keys end up in logs and test output through repr."""
    shown = f"{MASTER!r} {MASTER}"
    assert MASTER.secret.hex() not in shown
    assert repr(MASTER.secret) not in shown
    assert MASTER.serialize(XPRV) not in shown
    assert MASTER.fingerprint() == MASTER.neuter().fingerprint()


@pytest.mark.parametrize(
    "text", ["", "84'", "m/", "m/x", "m/-1", "m/2147483648", "m/1''", "m/٣", "m/ 1", "n/1", "m//1", "m/1_0"]
)
def test_malformed_path_is_refused(text: str) -> None:
    """A path misread leads to keys that nobody finds again."""
    with pytest.raises(DecodeError):
        parse_path(text)


def test_paths_read_both_marks() -> None:
    """Wallets write hardened steps either way."""
    assert parse_path("m/84h/1'/2147483647") == (84 + HARDENED, 1 + HARDENED, HARDENED - 1)
    assert parse_path("m") == ()
    assert account_path(BIP84_PURPOSE, REGTEST, 2) == parse_path("m/84'/1'/2'")


@given(st.one_of(st.text(max_size=130), st.binary(max_size=90).map(base58.encode_check)))
def test_any_text_raises_nothing_but_decode_error(text: str) -> None:
    """Keys are pasted by people."""
    try:
        found = parse_extended_key(text, XPRV, XPUB)
    except DecodeError:
        return
    assert isinstance(found, ExtendedPrivateKey | ExtendedPublicKey)


@given(st.binary(min_size=74, max_size=74), st.sampled_from([XPRV, XPUB]))
def test_any_key_of_the_right_length_is_read_or_refused(body: bytes, version: bytes) -> None:
    """What is accepted encodes back to the same text."""
    text = base58.encode_check(version + body)
    try:
        found = parse_extended_key(text, XPRV, XPUB)
    except DecodeError:
        return
    assert found.serialize(version) == text
