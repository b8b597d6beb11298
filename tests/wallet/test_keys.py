"""Keys, scripts and signatures of the wallet."""

from leyden.bitcoin.address import encode_address
from leyden.bitcoin.bip32 import ExtendedPrivateKey, account_path
from leyden.bitcoin.bip39 import seed_from_mnemonic
from leyden.bitcoin.networks import MAINNET, REGTEST
from leyden.crypto.ec import verify_ecdsa
from leyden.crypto.schnorr import verify_schnorr
from leyden.signer.in_memory import InMemorySigner
from leyden.wallet.keys import (
    CHANGE_P2TR,
    CHANGE_P2WPKH,
    GAP_LIMIT,
    KEYCHAINS,
    RECEIVE_P2TR,
    RECEIVE_P2WPKH,
    SHUTDOWN_P2WPKH,
    AccountSigner,
    Keyring,
    SignRequest,
    keychain_of,
)
from tests.wallet.wallet_world import SEED, wallet_signer

WORDS = "abandon " * 11 + "about"


def keyring_of_words() -> Keyring:
    """The keyring of the words that BIP 84 and BIP 86 use."""
    master = ExtendedPrivateKey.from_seed(seed_from_mnemonic(WORDS, ""))
    return Keyring(AccountSigner(lambda purpose, account: master.derive_path(account_path(purpose, MAINNET, account))))


def test_addresses_are_those_of_bip_84_and_bip_86() -> None:
    """Any other wallet must find the coins with the words alone."""
    keyring = keyring_of_words()
    expected = {
        RECEIVE_P2WPKH.path(0): "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
        RECEIVE_P2WPKH.path(1): "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
        CHANGE_P2WPKH.path(0): "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el",
        RECEIVE_P2TR.path(0): "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
        RECEIVE_P2TR.path(1): "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
        CHANGE_P2TR.path(0): "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
    }
    for path, address in expected.items():
        script_pubkey = keyring.script_pubkey(path)
        assert encode_address(script_pubkey, MAINNET) == address
        assert keyring.find(script_pubkey) == path
        assert path in (chain.path(path.index) for chain in KEYCHAINS)
        assert keychain_of(path).path(path.index) == path


def test_the_window_of_watched_keys_moves_on() -> None:
    """A key beyond the window is not seen, a key inside is, and the window never shrinks."""
    keyring = Keyring(wallet_signer())
    far = RECEIVE_P2WPKH.path(GAP_LIMIT)
    script_pubkey = keyring.script_pubkey(far)
    assert keyring.find(script_pubkey) is None
    assert keyring.watch(RECEIVE_P2WPKH, GAP_LIMIT + 1)
    assert keyring.find(script_pubkey) == far
    assert not keyring.watch(RECEIVE_P2WPKH, 5)
    assert keyring.find(script_pubkey) == far


def test_the_script_of_cooperative_closes_is_watched() -> None:
    """What a close pays to the default script of the signer is the wallet's money."""
    signer = InMemorySigner(SEED, REGTEST)
    keyring = Keyring(AccountSigner(signer.wallet_account))
    assert keyring.find(signer.shutdown_script_pubkey()) == SHUTDOWN_P2WPKH.path(0)


def test_signatures_verify_and_have_a_low_r() -> None:
    """A high R is a byte more than the fee was computed for."""
    signer = wallet_signer()
    keyring = Keyring(signer)
    requests = [
        SignRequest(chain.path(index), bytes([index + 1]) * 32) for chain in KEYCHAINS for index in range(0, 40, 7)
    ]
    signatures = signer.sign(requests)
    for request, signature in zip(requests, signatures, strict=True):
        if request.path.purpose == 86:
            assert verify_schnorr(keyring.script_pubkey(request.path)[2:], request.digest, signature)
        else:
            assert verify_ecdsa(keyring.public_key(request.path), request.digest, signature)
            assert signature[0] < 0x80
    assert signer.sign(requests) == signatures
    assert signer.sign([]) == []


def test_descriptors_can_be_imported_elsewhere() -> None:
    """The last resort of a user is another wallet; it wants descriptors with their checksums, and no secret in them."""
    descriptors = keyring_of_words().descriptors(MAINNET)
    assert len(descriptors) == len(KEYCHAINS)
    assert all("#" in text and "xprv" not in text for text in descriptors)
    assert descriptors[0].startswith(
        "wpkh(xpub6CatWdiZiodmUeTDp8LT5or8nmbKNcuyvz7WyksVFkKB4RHwCD3XyuvPEbvqAQY3rAPshWcMLoP2fMFMKHPJ4ZeZXYVUhLv1VMrjPC7PW6V/0/*)#"
    )
    assert descriptors[2].startswith(
        "tr(xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ/0/*)#"
    )
