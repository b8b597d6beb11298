"""Derivation of every secret from the seed: frozen, since a changed path loses money."""

import pytest

from leyden.bitcoin.bip32 import ExtendedPrivateKey
from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.bitcoin.script import p2wpkh_of_key
from leyden.crypto.ec import public_key
from leyden.crypto.hashes import sha256
from leyden.signer.derivation import PAYMENT_KEY_COUNT, SeedDerivation

SEED = bytes(range(64))


def test_derived_keys_never_change() -> None:
    """The figures were printed by version 0.1.0; whoever changes them loses the users' money."""
    derivation = SeedDerivation(SEED, REGTEST)
    keys = derivation.channel_keys(b"\x05" * 32)
    points = keys.basepoints
    fingerprint = sha256(
        b"".join(
            (
                points.funding_public_key,
                points.revocation_basepoint,
                points.payment_basepoint,
                points.delayed_payment_basepoint,
                points.htlc_basepoint,
                keys.per_commitment_point(0),
                keys.per_commitment_point(1000),
                derivation.shutdown_script_pubkey(),
                sha256(derivation.inbound_key),
            )
        )
    )
    assert (
        public_key(derivation.node_secret).hex() == "0295b18c71dec705e85a48d6c88b753f71f83ee3529b5f4df5cfcd1866e3a03e66"
    )
    assert fingerprint.hex() == "b2eb7e42667041c799dd97386daa8c60a45f4790fa20f4b483f3c518ab9af793"


def test_different_seeds_channels_and_purposes_share_nothing() -> None:
    """A key used twice links channels, or lets one peer revoke another's commitment."""
    seen: list[bytes] = []
    for seed in (SEED, SEED[:32], SEED[:63]):
        derivation = SeedDerivation(seed, REGTEST)
        seen += [public_key(derivation.node_secret), derivation.inbound_key]
        for keys_id in (bytes(32), b"\x01" * 32):
            keys = derivation.channel_keys(keys_id)
            points = keys.basepoints
            seen += [
                points.funding_public_key,
                points.revocation_basepoint,
                points.payment_basepoint,
                points.delayed_payment_basepoint,
                points.htlc_basepoint,
                keys.per_commitment_point(0),
            ]
    assert len(seen) == len(set(seen))


def test_payment_keys_can_be_found_from_the_seed_alone() -> None:
    """Whoever lost everything but the seed still finds what a peer's force-close paid."""
    derivation = SeedDerivation(SEED, REGTEST)
    for keys_id in (b"\x05" * 32, sha256(b"any")):
        number = int.from_bytes(keys_id[:8], "big") % PAYMENT_KEY_COUNT
        found = public_key(derivation.payment_secret_key(number))
        assert derivation.channel_keys(keys_id).basepoints.payment_basepoint == found


def test_wallet_accounts_are_those_of_bip_84_and_86() -> None:
    """Any wallet with the same words finds the coins."""
    master = ExtendedPrivateKey.from_seed(SEED)
    derivation = SeedDerivation(SEED, MAINNET)
    hardened = 1 << 31
    for purpose in (84, 86):
        assert derivation.wallet_account(purpose, 2) == master.derive_path((purpose + hardened, hardened, 2 + hardened))
    on_regtest = SeedDerivation(SEED, REGTEST).wallet_account(84, 0)
    assert on_regtest == master.derive_path((84 + hardened, 1 + hardened, hardened))
    shutdown_key = master.derive_path((84 + hardened, hardened, 1 + hardened, 0, 0))
    assert derivation.shutdown_script_pubkey() == p2wpkh_of_key(shutdown_key.public_key())


@pytest.mark.parametrize("length", [0, 31, 65])
def test_seed_of_another_length_is_refused(length: int) -> None:
    """A short seed can be guessed; a cut one is another node."""
    with pytest.raises(ValueError, match="32 to 64"):
        SeedDerivation(bytes(length), REGTEST)


def test_channel_id_of_another_length_is_refused() -> None:
    """It would derive keys that nobody finds again."""
    with pytest.raises(ValueError, match="32 bytes"):
        SeedDerivation(SEED, REGTEST).channel_keys(bytes(31))


def test_repr_shows_no_secret() -> None:
    """What is printed ends up in logs and reports."""
    derivation = SeedDerivation(SEED, REGTEST)
    assert repr(derivation) == "SeedDerivation(network=regtest)"
    keys = derivation.channel_keys(bytes(32))
    assert repr(keys) == f"ChannelKeys(funding_public_key={keys.basepoints.funding_public_key.hex()})"
