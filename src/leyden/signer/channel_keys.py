"""Secrets of one channel and what is derived from them again and again."""

from typing import final

from leyden.crypto.ec import public_key
from leyden.crypto.keys import derive_secret_key, revocation_secret_key
from leyden.crypto.shachain import FIRST_INDEX, per_commitment_secret
from leyden.signer.policy import RevocationPolicy
from leyden.transactions.claim_inputs import ClaimKey
from leyden.transactions.keys import ChannelBasepoints

_CACHED_COMMITMENTS = 8


@final
class ChannelKeys:
    """Secrets of one channel, with its policy and small caches.

    A commitment number is the distance from the first shachain index, which counts down from 2^48 - 1 (BOLT 3,
    "Per-commitment Secret Requirements").
    """

    __slots__ = (
        "_commitment_seed",
        "_commitments",
        "_delayed_payment_base_secret",
        "_htlc_base_secret",
        "_htlc_secrets",
        "_payment_secret",
        "_revocation_base_secret",
        "_revocation_secrets",
        "basepoints",
        "funding_secret",
        "policy",
    )

    def __init__(
        self,
        *,
        funding_secret: bytes,
        revocation_base_secret: bytes,
        payment_secret: bytes,
        delayed_payment_base_secret: bytes,
        htlc_base_secret: bytes,
        commitment_seed: bytes,
    ) -> None:
        self.funding_secret = funding_secret
        self._htlc_base_secret = htlc_base_secret
        self._revocation_base_secret = revocation_base_secret
        self._payment_secret = payment_secret
        self._delayed_payment_base_secret = delayed_payment_base_secret
        self._revocation_secrets: dict[bytes, bytes] = {}
        self._commitment_seed = commitment_seed
        self.policy = RevocationPolicy()
        self.basepoints = ChannelBasepoints(
            funding_public_key=public_key(funding_secret),
            revocation_basepoint=public_key(revocation_base_secret),
            payment_basepoint=public_key(payment_secret),
            delayed_payment_basepoint=public_key(delayed_payment_base_secret),
            htlc_basepoint=public_key(htlc_base_secret),
        )
        self._commitments: dict[int, tuple[bytes, bytes]] = {}
        self._htlc_secrets: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        """Name the channel by a public key."""
        return f"ChannelKeys(funding_public_key={self.basepoints.funding_public_key.hex()})"

    def _commitment(self, commitment_number: int) -> tuple[bytes, bytes]:
        known = self._commitments.get(commitment_number)
        if known is None:
            secret = per_commitment_secret(self._commitment_seed, FIRST_INDEX - commitment_number)
            known = (secret, public_key(secret))
            if len(self._commitments) >= _CACHED_COMMITMENTS:
                del self._commitments[next(iter(self._commitments))]
            self._commitments[commitment_number] = known
        return known

    def per_commitment_point(self, commitment_number: int) -> bytes:
        """Return the 33-byte point of our commitment. Raises ValueError beyond 48 bits."""
        return self._commitment(commitment_number)[1]

    def per_commitment_secret(self, commitment_number: int) -> bytes:
        """Return the 32-byte secret of our commitment, unguarded: `policy` decides. Raises ValueError as above."""
        return self._commitment(commitment_number)[0]

    def htlc_secret(self, per_commitment_point: bytes) -> bytes:
        """Return our HTLC secret (32 bytes) in the commitment, of either side, that has this point (33 bytes)."""
        known = self._htlc_secrets.get(per_commitment_point)
        if known is None:
            known = derive_secret_key(self._htlc_base_secret, per_commitment_point)
            if len(self._htlc_secrets) >= _CACHED_COMMITMENTS:
                del self._htlc_secrets[next(iter(self._htlc_secrets))]
            self._htlc_secrets[per_commitment_point] = known
        return known

    def claim_secret(self, key: ClaimKey, per_commitment: bytes) -> bytes:
        """Return the secret (32 bytes) that spends an output of a published commitment (`InputToSign`)."""
        match key:
            case ClaimKey.REVOCATION:
                known = self._revocation_secrets.get(per_commitment)
                if known is None:
                    # One commitment is punished at a time, hundreds of outputs of it.
                    self._revocation_secrets.clear()
                    known = revocation_secret_key(self._revocation_base_secret, per_commitment)
                    self._revocation_secrets[per_commitment] = known
                return known
            case ClaimKey.DELAYED_PAYMENT:
                return derive_secret_key(self._delayed_payment_base_secret, per_commitment)
            case ClaimKey.HTLC:
                return self.htlc_secret(per_commitment)
            case ClaimKey.PAYMENT:
                return self._payment_secret
            case ClaimKey.FUNDING:
                return self.funding_secret
