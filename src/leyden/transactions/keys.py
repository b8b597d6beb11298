"""Public keys of a channel and of one of its commitments.

Spec: BOLT 3, "Keys".
"""

import msgspec

from leyden.crypto.keys import derive_public_key, revocation_public_key


class ChannelBasepoints(msgspec.Struct, frozen=True, gc=False):
    """The public keys one side names in open_channel or accept_channel, 33 bytes each."""

    funding_public_key: bytes
    revocation_basepoint: bytes
    payment_basepoint: bytes
    delayed_payment_basepoint: bytes
    htlc_basepoint: bytes


class CommitmentKeys(msgspec.Struct, frozen=True, gc=False):
    """The public keys in the scripts of one commitment transaction, 33 bytes each.

    Attributes:
        per_commitment_point: the broadcaster's point for this commitment.
        revocation_public_key: revocationpubkey, which the countersignatory can use once the secret is out.
        broadcaster_delayed_public_key: local_delayedpubkey.
        broadcaster_htlc_public_key: local_htlcpubkey.
        countersignatory_htlc_public_key: remote_htlcpubkey.
        countersignatory_payment_point: remotepubkey, the countersignatory's payment_basepoint unchanged.
        broadcaster_funding_public_key, countersignatory_funding_public_key: keys of the funding output and anchors.
    """

    per_commitment_point: bytes
    revocation_public_key: bytes
    broadcaster_delayed_public_key: bytes
    broadcaster_htlc_public_key: bytes
    countersignatory_htlc_public_key: bytes
    countersignatory_payment_point: bytes
    broadcaster_funding_public_key: bytes
    countersignatory_funding_public_key: bytes


def derive_commitment_keys(
    broadcaster: ChannelBasepoints, countersignatory: ChannelBasepoints, per_commitment_point: bytes
) -> CommitmentKeys:
    """Derive the keys of the commitment that `per_commitment_point` (33 bytes, the broadcaster's) belongs to.

    About 0.2 ms of curve arithmetic: keep the result as long as the commitment.

    Raises: ValueError when a point is invalid; whoever received it checks first.
    Spec:   BOLT 3, "Key Derivation".
    """
    return CommitmentKeys(
        per_commitment_point=per_commitment_point,
        revocation_public_key=revocation_public_key(countersignatory.revocation_basepoint, per_commitment_point),
        broadcaster_delayed_public_key=derive_public_key(broadcaster.delayed_payment_basepoint, per_commitment_point),
        broadcaster_htlc_public_key=derive_public_key(broadcaster.htlc_basepoint, per_commitment_point),
        countersignatory_htlc_public_key=derive_public_key(countersignatory.htlc_basepoint, per_commitment_point),
        countersignatory_payment_point=countersignatory.payment_basepoint,
        broadcaster_funding_public_key=broadcaster.funding_public_key,
        countersignatory_funding_public_key=countersignatory.funding_public_key,
    )
