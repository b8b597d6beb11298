"""Keys of one commitment from basepoints and the per-commitment point.

Spec: BOLT 3, "Key Derivation".
"""

import hashlib

from leyden.crypto.ec import point_add, point_add_scalar, point_mul, public_key, secret_add, secret_mul

_sha256 = hashlib.sha256


def derive_public_key(basepoint: bytes, per_commitment_point: bytes) -> bytes:
    """Return the key (33 bytes) for one commitment: local_htlcpubkey, remote_htlcpubkey, delayed keys.

    Args:   both 33 bytes.
    Raises: ValueError for an invalid point.
    Spec:   BOLT 3, "`localpubkey`, `local_htlcpubkey`, `remote_htlcpubkey`, `local_delayedpubkey`, and
            `remote_delayedpubkey` Derivation".
    """
    return point_add_scalar(basepoint, _sha256(per_commitment_point + basepoint).digest())


def derive_secret_key(base_secret: bytes, per_commitment_point: bytes) -> bytes:
    """Return the secret (32 bytes) of `derive_public_key` of the same basepoint.

    Args:   base_secret: 32 bytes; per_commitment_point: 33 bytes.
    Raises: ValueError for an invalid secret.
    Spec:   BOLT 3, "`localpubkey`, `local_htlcpubkey`, `remote_htlcpubkey`, `local_delayedpubkey`, and
            `remote_delayedpubkey` Derivation".
    """
    return secret_add(base_secret, _sha256(per_commitment_point + public_key(base_secret)).digest())


def revocation_public_key(revocation_basepoint: bytes, per_commitment_point: bytes) -> bytes:
    """Return revocationpubkey (33 bytes); its secret needs both the basepoint's and the commitment's secret.

    Args:   both 33 bytes.
    Raises: ValueError for an invalid point.
    Spec:   BOLT 3, "`revocationpubkey` Derivation".
    """
    base_weight = _sha256(revocation_basepoint + per_commitment_point).digest()
    commitment_weight = _sha256(per_commitment_point + revocation_basepoint).digest()
    return point_add(point_mul(revocation_basepoint, base_weight), point_mul(per_commitment_point, commitment_weight))


def revocation_secret_key(revocation_base_secret: bytes, per_commitment_secret: bytes) -> bytes:
    """Return the secret (32 bytes) of revocationpubkey once the commitment's secret is known.

    Args:   both 32 bytes.
    Raises: ValueError for an invalid secret.
    Spec:   BOLT 3, "`revocationpubkey` Derivation".
    """
    revocation_basepoint = public_key(revocation_base_secret)
    per_commitment_point = public_key(per_commitment_secret)
    base_weight = _sha256(revocation_basepoint + per_commitment_point).digest()
    commitment_weight = _sha256(per_commitment_point + revocation_basepoint).digest()
    return secret_add(
        secret_mul(revocation_base_secret, base_weight), secret_mul(per_commitment_secret, commitment_weight)
    )
