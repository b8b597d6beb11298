"""Keys of the wallet: accounts of BIP 84 and BIP 86, the scripts that are watched, and the seam to whoever signs.

Only extended public keys are held here. A script is watched when its index is less than the gap limit above the last
one used or issued, as wallets that restore from the seed alone do.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol, final

import msgspec

from leyden.bitcoin.bip32 import BIP84_PURPOSE, BIP86_PURPOSE, ExtendedPrivateKey, ExtendedPublicKey
from leyden.bitcoin.networks import Network
from leyden.bitcoin.script import p2tr, p2wpkh_of_key
from leyden.bitcoin.taproot import output_key, tweak_secret
from leyden.crypto.ec import sign_ecdsa_low_r
from leyden.crypto.schnorr import sign_schnorr
from leyden.journal.wallet_records import KeyPath

GAP_LIMIT = 20
RECEIVE_BRANCH = 0
CHANGE_BRANCH = 1
WALLET_ACCOUNT = 0
SHUTDOWN_ACCOUNT = 1
"""Cooperative closes pay to the first key of this BIP 84 account unless a channel names another script (`signer`)."""

_AUX_RAND = bytes(32)


class Keychain(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A row of keys that differ in their index only."""

    purpose: int
    account: int
    branch: int

    def path(self, index: int) -> KeyPath:
        """Return the path of the key with this index."""
        return KeyPath(self.purpose, self.account, self.branch, index)


def keychain_of(path: KeyPath) -> Keychain:
    """Return the row that a key belongs to."""
    return Keychain(path.purpose, path.account, path.branch)


RECEIVE_P2WPKH = Keychain(BIP84_PURPOSE, WALLET_ACCOUNT, RECEIVE_BRANCH)
CHANGE_P2WPKH = Keychain(BIP84_PURPOSE, WALLET_ACCOUNT, CHANGE_BRANCH)
RECEIVE_P2TR = Keychain(BIP86_PURPOSE, WALLET_ACCOUNT, RECEIVE_BRANCH)
CHANGE_P2TR = Keychain(BIP86_PURPOSE, WALLET_ACCOUNT, CHANGE_BRANCH)
SHUTDOWN_P2WPKH = Keychain(BIP84_PURPOSE, SHUTDOWN_ACCOUNT, RECEIVE_BRANCH)

KEYCHAINS = (RECEIVE_P2WPKH, CHANGE_P2WPKH, RECEIVE_P2TR, CHANGE_P2TR, SHUTDOWN_P2WPKH)
ACCOUNTS = ((BIP84_PURPOSE, WALLET_ACCOUNT), (BIP86_PURPOSE, WALLET_ACCOUNT), (BIP84_PURPOSE, SHUTDOWN_ACCOUNT))


class SignRequest(msgspec.Struct, frozen=True, gc=False):
    """One input to be signed: the key, and the 32-byte digest of BIP 143 (purpose 84) or BIP 341 (purpose 86)."""

    path: KeyPath
    digest: bytes


class WalletSigner(Protocol):
    """Whoever holds the wallet's secrets."""

    def account_public_key(self, purpose: int, account: int) -> ExtendedPublicKey:
        """Return the extended public key of `m/purpose'/coin'/account'`."""
        ...

    def sign(self, requests: Sequence[SignRequest]) -> list[bytes]:
        """Return a signature (64 bytes) for each request, in order.

        Purpose 84: ECDSA with a low R and a low S, compact. Purpose 86: BIP 340 by the tweaked key of BIP 86.
        """
        ...


@final
class AccountSigner:
    """A `WalletSigner` over a signer that gives out account keys, which are asked for anew each time and never kept.

    wallet_account: `signer.InMemorySigner.wallet_account`, (purpose, account) to the extended private key.
    """

    __slots__ = ("_wallet_account",)

    def __init__(self, wallet_account: Callable[[int, int], ExtendedPrivateKey]) -> None:
        self._wallet_account = wallet_account

    def account_public_key(self, purpose: int, account: int) -> ExtendedPublicKey:
        """Return the extended public key of `m/purpose'/coin'/account'`."""
        return self._wallet_account(purpose, account).neuter()

    def sign(self, requests: Sequence[SignRequest]) -> list[bytes]:
        """Return a signature (64 bytes) for each request, in order; see `WalletSigner`."""
        accounts = {
            (purpose, account): self._wallet_account(purpose, account)
            for purpose, account in dict.fromkeys((r.path.purpose, r.path.account) for r in requests)
        }
        return [_sign_one(accounts[request.path.purpose, request.path.account], request) for request in requests]


def _sign_one(account: ExtendedPrivateKey, request: SignRequest) -> bytes:
    path = request.path
    secret = account.derive(path.branch).derive(path.index).secret
    if path.purpose == BIP86_PURPOSE:
        return sign_schnorr(tweak_secret(secret, None), request.digest, _AUX_RAND)
    return sign_ecdsa_low_r(secret, request.digest)


@lru_cache(maxsize=2048)
def _key_and_script(branch: ExtendedPublicKey, purpose: int, index: int) -> tuple[bytes, bytes]:
    """Return a key of a branch and its script; a simulated world starts the same wallet over and over."""
    key = branch.derive(index).public_key
    return key, script_of_key(purpose, key)


@lru_cache(maxsize=128)
def _branch(account_key: ExtendedPublicKey, branch: int) -> ExtendedPublicKey:
    return account_key.derive(branch)


def script_of_key(purpose: int, public_key: bytes) -> bytes:
    """Return the output script of a 33-byte key: P2WPKH for purpose 84, P2TR with a key path only for 86."""
    if purpose == BIP86_PURPOSE:
        return p2tr(output_key(public_key[1:], None)[0])
    return p2wpkh_of_key(public_key)


@final
class Keyring:
    """The wallet's public keys and the scripts it watches. Volatile: made again from the account keys at each start."""

    __slots__ = ("_branches", "_keys", "_scripts", "_watched", "account_keys")

    def __init__(self, signer: WalletSigner) -> None:
        accounts = {(p, a): signer.account_public_key(p, a) for p, a in ACCOUNTS}
        self.account_keys = accounts
        self._branches = {chain: _branch(accounts[chain.purpose, chain.account], chain.branch) for chain in KEYCHAINS}
        self._keys: dict[KeyPath, bytes] = {}
        self._scripts: dict[bytes, KeyPath] = {}
        self._watched: dict[Keychain, int] = dict.fromkeys(KEYCHAINS, 0)
        for chain in KEYCHAINS:
            self.watch(chain, GAP_LIMIT)

    def public_key(self, path: KeyPath) -> bytes:
        """Return the 33-byte key at a path."""
        key = self._keys.get(path)
        if key is None:
            key = self._branches[keychain_of(path)].derive(path.index).public_key
        return key

    def script_pubkey(self, path: KeyPath) -> bytes:
        """Return the output script that pays to the key at a path."""
        return script_of_key(path.purpose, self.public_key(path))

    def watch(self, chain: Keychain, end: int) -> bool:
        """Watch the keys of `chain` with an index below `end`; tell whether any is new."""
        start = self._watched[chain]
        if end <= start:
            return False
        branch = self._branches[chain]
        for index in range(start, end):
            path = chain.path(index)
            self._keys[path], script = _key_and_script(branch, chain.purpose, index)
            self._scripts[script] = path
        self._watched[chain] = end
        return True

    def find(self, script_pubkey: bytes) -> KeyPath | None:
        """Return the path of the key that a watched script pays to, or None."""
        return self._scripts.get(script_pubkey)

    def descriptors(self, network: Network) -> list[str]:
        """Return the output descriptors of the watched rows, with their checksums (BIP 380)."""
        from btclib_wallet.descriptors import add_checksum

        plain = [
            f"{'tr' if c.purpose == BIP86_PURPOSE else 'wpkh'}"
            f"({self.account_keys[c.purpose, c.account].serialize(network.bip32_public)}/{c.branch}/*)"
            for c in KEYCHAINS
        ]
        return [add_checksum(text) for text in plain]
