"""What may be asked of a signer that can answer later, and its answers: small frozen values.

A request carries an id chosen by its maker; the answer carries it back and names what it is about, so that a late
answer can be matched with what waits for it, or dropped when nothing does (a disconnection came between).
"""

from typing import TypeAlias, final

import msgspec

from leyden.bitcoin.tx import Transaction
from leyden.transactions.claim_inputs import InputToSign
from leyden.transactions.closing import ClosingTransaction
from leyden.transactions.commitment import Commitment


@final
class SignCounterpartyCommitment(msgspec.Struct, frozen=True, gc=False):
    """Sign the counterparty's commitment and its HTLC transactions: the content of `commitment_signed`."""

    request_id: int
    keys_id: bytes
    commitment: Commitment


@final
class SignHolderCommitment(msgspec.Struct, frozen=True, gc=False):
    """Sign our own commitment, to publish it. Its secret can never be released after this."""

    request_id: int
    keys_id: bytes
    commitment: Commitment


@final
class SignClaim(msgspec.Struct, frozen=True, gc=False):
    """Sign the channel's inputs of a transaction that claims outputs of a published commitment.

    Attributes:
        transaction: the whole transaction; other inputs and witnesses do not matter.
        inputs: what to sign of it.
    """

    request_id: int
    keys_id: bytes
    transaction: Transaction
    inputs: tuple[InputToSign, ...]


@final
class ReleaseCommitmentSecret(msgspec.Struct, frozen=True, gc=False):
    """Give out the secret of our commitment `commitment_number`: the content of `revoke_and_ack`."""

    request_id: int
    keys_id: bytes
    commitment_number: int


@final
class SignClosing(msgspec.Struct, frozen=True, gc=False):
    """Sign a cooperative closing transaction: the content of `closing_signed`."""

    request_id: int
    keys_id: bytes
    closing: ClosingTransaction


@final
class SignAnnouncement(msgspec.Struct, frozen=True, gc=False):
    """Sign the 32-byte digest of a channel_announcement: the content of `announcement_signatures`."""

    request_id: int
    keys_id: bytes
    digest: bytes


@final
class CounterpartyCommitmentSigned(msgspec.Struct, frozen=True, gc=False):
    """Answer to `SignCounterpartyCommitment`: 64-byte signatures, those of the HTLCs in output order."""

    request_id: int
    keys_id: bytes
    commitment_txid: bytes
    signature: bytes
    htlc_signatures: tuple[bytes, ...]


@final
class HolderCommitmentSigned(msgspec.Struct, frozen=True, gc=False):
    """Answer to `SignHolderCommitment`: a 64-byte signature."""

    request_id: int
    keys_id: bytes
    commitment_txid: bytes
    signature: bytes


@final
class ClaimSigned(msgspec.Struct, frozen=True, gc=False):
    """Answer to `SignClaim`: 64-byte signatures over SIGHASH_ALL, in the order asked."""

    request_id: int
    keys_id: bytes
    txid: bytes
    signatures: tuple[bytes, ...]


@final
class CommitmentSecretReleased(msgspec.Struct, frozen=True, gc=False):
    """Answer to `ReleaseCommitmentSecret`: what `revoke_and_ack` carries. Not shown by `repr`.

    Attributes:
        per_commitment_secret: 32 bytes, of commitment `commitment_number`.
        next_per_commitment_point: 33 bytes, of commitment `commitment_number + 2`.
    """

    request_id: int
    keys_id: bytes
    commitment_number: int
    per_commitment_secret: bytes
    next_per_commitment_point: bytes

    def __repr__(self) -> str:
        """Show which secret, not the secret: until it is sent it is one."""
        return (
            f"CommitmentSecretReleased(request_id={self.request_id}, keys_id={self.keys_id.hex()}, "
            f"commitment_number={self.commitment_number})"
        )


@final
class ClosingSigned(msgspec.Struct, frozen=True, gc=False):
    """Answer to `SignClosing`: a 64-byte signature over a transaction with this fee."""

    request_id: int
    keys_id: bytes
    closing_txid: bytes
    fee_sat: int
    signature: bytes


@final
class AnnouncementSigned(msgspec.Struct, frozen=True, gc=False):
    """Answer to `SignAnnouncement`: 64-byte signatures by the node's key and by the funding key."""

    request_id: int
    keys_id: bytes
    digest: bytes
    node_signature: bytes
    bitcoin_signature: bytes


Request: TypeAlias = (
    SignCounterpartyCommitment
    | SignHolderCommitment
    | SignClaim
    | ReleaseCommitmentSecret
    | SignClosing
    | SignAnnouncement
)

Answer: TypeAlias = (
    CounterpartyCommitmentSigned
    | HolderCommitmentSigned
    | ClaimSigned
    | CommitmentSecretReleased
    | ClosingSigned
    | AnnouncementSigned
)
