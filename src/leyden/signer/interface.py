"""The seam between the core and whatever holds the keys.

Two protocols, usually one object. What is asked through `answer` may be answered later, so a signer may be a process
or a device elsewhere; the core waits with that one message and goes on with everything else. Everything else here is
answered at once: a remote signer's local half knows public keys and derives or caches them, and holds the node key
(a node cannot finish a handshake without it).
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias, overload

from leyden.bitcoin.bip32 import ExtendedPrivateKey
from leyden.signer.inbound import InboundPayment, OpenedPayment
from leyden.signer.requests import (
    AnnouncementSigned,
    Answer,
    ClaimSigned,
    ClosingSigned,
    CommitmentSecretReleased,
    CounterpartyCommitmentSigned,
    HolderCommitmentSigned,
    ReleaseCommitmentSecret,
    Request,
    SignAnnouncement,
    SignClaim,
    SignClosing,
    SignCounterpartyCommitment,
    SignHolderCommitment,
)
from leyden.transactions.keys import ChannelBasepoints

OnAnswer: TypeAlias = Callable[[int, Answer], None]
"""Called with (request_id, answer) for every answer that comes later, from the thread that drives the core."""


class ChannelSigner(Protocol):
    """Keys of all channels; a channel is named by its 32-byte channel_keys_id.

    Commitment numbers count up from 0. A request that the policy forbids raises `policy.SignerRefused`.
    """

    def channel_basepoints(self, keys_id: bytes) -> ChannelBasepoints:
        """Return the public keys for open_channel or accept_channel."""
        ...

    def per_commitment_point(self, keys_id: bytes, commitment_number: int) -> bytes:
        """Return the 33-byte point of our commitment; points are no secrets and may be asked for in any order."""
        ...

    def on_answer(self, callback: OnAnswer) -> None:
        """Register the one receiver of later answers; a second call replaces the first."""
        ...

    @overload
    def answer(self, request: SignCounterpartyCommitment) -> CounterpartyCommitmentSigned | None: ...
    @overload
    def answer(self, request: SignHolderCommitment) -> HolderCommitmentSigned | None: ...
    @overload
    def answer(self, request: SignClaim) -> ClaimSigned | None: ...
    @overload
    def answer(self, request: ReleaseCommitmentSecret) -> CommitmentSecretReleased | None: ...
    @overload
    def answer(self, request: SignClosing) -> ClosingSigned | None: ...
    @overload
    def answer(self, request: SignAnnouncement) -> AnnouncementSigned | None: ...
    @overload
    def answer(self, request: Request) -> Answer | None: ...
    def answer(self, request: Request) -> Answer | None:
        """Answer at once, or return None and call the receiver later."""
        ...


class KeysManager(Protocol):
    """Keys of the node itself."""

    @property
    def node_id(self) -> bytes:
        """The 33-byte public key of the node."""
        ...

    def ecdh(self, point: bytes) -> bytes:
        """Return SHA-256 (32 bytes) of the node key times `point` (33 bytes). Raises ValueError for a bad point."""
        ...

    def sign_node(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest with the node key (gossip): 64 bytes."""
        ...

    def sign_invoice(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest with the node key, recoverable (BOLT 11): 64 bytes and the recovery id."""
        ...

    def shutdown_script_pubkey(self) -> bytes:
        """Return the script that cooperative closes pay to when the wallet names none."""
        ...

    def new_inbound_payment(self, nonce: bytes, metadata: bytes) -> InboundPayment:
        """Make hash and secret of a payment that needs no storage; see `inbound`."""
        ...

    def inbound_payment_secret(self, payment_hash: bytes, metadata: bytes) -> bytes:
        """Make the secret for a hash whose preimage somebody else knows; see `inbound`."""
        ...

    def open_inbound_payment(self, payment_hash: bytes, payment_secret: bytes) -> OpenedPayment | None:
        """Recognise a payment by its hash and secret, or return None; see `inbound`."""
        ...

    def wallet_account(self, purpose: int, account: int) -> ExtendedPrivateKey:
        """Return an account of the on-chain wallet (BIP 84, BIP 86)."""
        ...
