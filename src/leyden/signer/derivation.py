"""Every secret of a node from one seed of 32 to 64 bytes. Frozen: a changed path loses money.

| secret | path |
| --- | --- |
| on-chain wallet, shutdown script | BIP 32 master of the seed (BIP 39 words give it), accounts of BIP 84 and BIP 86 |
| node key | HKDF-SHA-256, salt `leyden seed v1`, info `node key` |
| inbound payments | the same, info `inbound payments` |
| channels | the same, info `channels`: a key K; then, per channel_keys_id, HKDF with salt `leyden channel v1`, key K, |
| | info = purpose, 0x00, keys_id; purposes: `funding` `revocation` `delayed payment` `htlc` `commitment seed` |
| to_remote (payment key) | as above, purpose `payment`, but one of 1,000: info ends in a number instead of keys_id |

The exception is for whoever has lost everything except the seed: what a peer's force-close pays us (to_remote) goes to
one of 1,000 keys, which can be looked for on chain without knowing any channel. The price is that two channels of a
large node may share this key.
"""

from typing import Final, final

from leyden.bitcoin.bip32 import BIP84_PURPOSE, ExtendedPrivateKey, account_path
from leyden.bitcoin.networks import Network
from leyden.bitcoin.script import p2wpkh_of_key
from leyden.crypto.ec import is_valid_secret
from leyden.crypto.hashes import hkdf_sha256
from leyden.signer.channel_keys import ChannelKeys

SEED_LENGTH_MIN: Final = 32
SEED_LENGTH_MAX: Final = 64
KEYS_ID_LENGTH: Final = 32
PAYMENT_KEY_COUNT: Final = 1000

_SEED_SALT = b"leyden seed v1"
_CHANNEL_SALT = b"leyden channel v1"
_SHUTDOWN_ACCOUNT = 1


def _secret_key(salt: bytes, ikm: bytes, info: bytes) -> bytes:
    secret = hkdf_sha256(salt, ikm, info, 32)
    if not is_valid_secret(secret):
        raise ValueError("this seed has no such key")  # one in 2^127
    return secret


@final
class SeedDerivation:
    """The root secrets of a node; `repr` shows none of them."""

    __slots__ = (
        "_accounts",
        "_channels_key",
        "_master",
        "_network",
        "_shutdown_script_pubkey",
        "inbound_key",
        "node_secret",
    )

    def __init__(self, seed: bytes, network: Network) -> None:
        """Derive from `seed` (32 to 64 bytes). Raises ValueError for another length."""
        if not SEED_LENGTH_MIN <= len(seed) <= SEED_LENGTH_MAX:
            raise ValueError("a seed has 32 to 64 bytes")
        self._network = network
        self._shutdown_script_pubkey = b""
        self._accounts: dict[tuple[int, int], ExtendedPrivateKey] = {}
        self._master = ExtendedPrivateKey.from_seed(seed)
        self._channels_key = hkdf_sha256(_SEED_SALT, seed, b"channels", 32)
        self.node_secret = _secret_key(_SEED_SALT, seed, b"node key")
        self.inbound_key = hkdf_sha256(_SEED_SALT, seed, b"inbound payments", 32)

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return f"SeedDerivation(network={self._network.name})"

    def _channel_secret(self, purpose: bytes, keys_id: bytes) -> bytes:
        return _secret_key(_CHANNEL_SALT, self._channels_key, purpose + b"\x00" + keys_id)

    def payment_secret_key(self, number: int) -> bytes:
        """Return the secret (32 bytes) of one of the payment keys (0 to 999), for recovery from the seed alone."""
        return self._channel_secret(b"payment", number.to_bytes(2, "big"))

    def channel_keys(self, keys_id: bytes) -> ChannelKeys:
        """Return the keys of the channel with this 32-byte id. Raises ValueError for another length."""
        if len(keys_id) != KEYS_ID_LENGTH:
            raise ValueError("a channel_keys_id has 32 bytes")
        number = int.from_bytes(keys_id[:8], "big") % PAYMENT_KEY_COUNT
        return ChannelKeys(
            funding_secret=self._channel_secret(b"funding", keys_id),
            revocation_base_secret=self._channel_secret(b"revocation", keys_id),
            payment_secret=self.payment_secret_key(number),
            delayed_payment_base_secret=self._channel_secret(b"delayed payment", keys_id),
            htlc_base_secret=self._channel_secret(b"htlc", keys_id),
            commitment_seed=hkdf_sha256(_CHANNEL_SALT, self._channels_key, b"commitment seed\x00" + keys_id, 32),
        )

    def wallet_account(self, purpose: int, account: int) -> ExtendedPrivateKey:
        """Return the account `m/purpose'/coin'/account'` of the network's coin type."""
        known = self._accounts.get((purpose, account))
        if known is None:
            known = self._master.derive_path(account_path(purpose, self._network, account))
            self._accounts[purpose, account] = known
        return known

    def shutdown_script_pubkey(self) -> bytes:
        """Return P2WPKH of the first receiving key of BIP 84 account 1: any wallet with the seed finds it."""
        if not self._shutdown_script_pubkey:
            key = self.wallet_account(BIP84_PURPOSE, _SHUTDOWN_ACCOUNT).derive(0).derive(0)
            self._shutdown_script_pubkey = p2wpkh_of_key(key.public_key())
        return self._shutdown_script_pubkey
