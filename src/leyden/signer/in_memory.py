"""The signer inside the process: everything from one seed, every answer at once."""

from collections.abc import Sequence
from typing import final, overload

from leyden.bitcoin.bip32 import ExtendedPrivateKey
from leyden.bitcoin.networks import Network
from leyden.bitcoin.script import p2wpkh_script_code
from leyden.bitcoin.sighash import SIGHASH_ALL, Bip143Midstate, sighash_v0
from leyden.bitcoin.tx import SEQUENCE_FINAL, Transaction
from leyden.crypto.ec import ecdh, public_key, sign_ecdsa, sign_ecdsa_low_r, sign_ecdsa_many, sign_recoverable
from leyden.crypto.hashes import hash160
from leyden.signer.channel_keys import ChannelKeys
from leyden.signer.derivation import SeedDerivation
from leyden.signer.inbound import InboundKeys, InboundPayment, OpenedPayment
from leyden.signer.interface import OnAnswer
from leyden.signer.policy import SignerRefused, check_claim_script
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
from leyden.transactions.claim_inputs import InputToSign
from leyden.transactions.closing import ClosingTransaction
from leyden.transactions.commitment import Commitment
from leyden.transactions.keys import ChannelBasepoints


@final
class InMemorySigner:
    """`KeysManager` and `ChannelSigner` in one, deterministic: the same seed signs the same bytes alike, always."""

    __slots__ = ("_channels", "_derivation", "_inbound", "_node_id", "_node_secret")

    def __init__(self, seed: bytes, network: Network) -> None:
        """Derive the node's keys from `seed` (32 to 64 bytes). Raises ValueError for another length."""
        self._derivation = SeedDerivation(seed, network)
        self._node_secret = self._derivation.node_secret
        self._node_id = public_key(self._node_secret)
        self._inbound = InboundKeys(self._derivation.inbound_key)
        self._channels: dict[bytes, ChannelKeys] = {}

    def __repr__(self) -> str:
        """Name the node, show no secret."""
        return f"InMemorySigner(node_id={self._node_id.hex()})"

    # ---------------------------------------------------------------------------------------------------- node keys

    @property
    def node_id(self) -> bytes:
        """The 33-byte public key of the node."""
        return self._node_id

    def ecdh(self, point: bytes) -> bytes:
        """Return SHA-256 (32 bytes) of the node key times `point` (33 bytes). Raises ValueError for a bad point."""
        return ecdh(self._node_secret, point)

    def sign_node(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest with the node key: 64 bytes."""
        return sign_ecdsa(self._node_secret, digest)

    def sign_invoice(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest with the node key, recoverable: 64 bytes and the recovery id."""
        return sign_recoverable(self._node_secret, digest)

    def shutdown_script_pubkey(self) -> bytes:
        """Return the script that cooperative closes pay to when the wallet names none (`derivation`)."""
        return self._derivation.shutdown_script_pubkey()

    def wallet_account(self, purpose: int, account: int) -> ExtendedPrivateKey:
        """Return an account of the on-chain wallet: purpose 84 or 86 (`bitcoin.bip32`)."""
        return self._derivation.wallet_account(purpose, account)

    def new_inbound_payment(self, nonce: bytes, metadata: bytes) -> InboundPayment:
        """Make hash and secret of a payment (`nonce`: 16 random bytes, `metadata`: 15 bytes)."""
        return self._inbound.new_payment(nonce, metadata)

    def inbound_payment_secret(self, payment_hash: bytes, metadata: bytes) -> bytes:
        """Make the 32-byte secret for a foreign hash (32 bytes, `metadata`: 15 bytes)."""
        return self._inbound.secret_for(payment_hash, metadata)

    def open_inbound_payment(self, payment_hash: bytes, payment_secret: bytes) -> OpenedPayment | None:
        """Recognise a payment by its hash and secret (32 bytes each), or return None."""
        return self._inbound.open(payment_hash, payment_secret)

    # ------------------------------------------------------------------------------------------------- channel keys

    def _channel(self, keys_id: bytes) -> ChannelKeys:
        keys = self._channels.get(keys_id)
        if keys is None:
            keys = self._channels[keys_id] = self._derivation.channel_keys(keys_id)
        return keys

    def channel_basepoints(self, keys_id: bytes) -> ChannelBasepoints:
        """Return the public keys of a channel (`keys_id`: 32 bytes)."""
        return self._channel(keys_id).basepoints

    def per_commitment_point(self, keys_id: bytes, commitment_number: int) -> bytes:
        """Return the 33-byte point of our commitment; numbers count up from 0."""
        return self._channel(keys_id).per_commitment_point(commitment_number)

    def release_commitment_secret(self, keys_id: bytes, commitment_number: int) -> bytes:
        """Return the 32-byte secret of our commitment. Raises SignerRefused as `policy.RevocationPolicy` says."""
        keys = self._channel(keys_id)
        secret = keys.per_commitment_secret(commitment_number)
        keys.policy.secret_released(commitment_number)
        return secret

    def sign_counterparty_commitment(self, keys_id: bytes, commitment: Commitment) -> tuple[bytes, list[bytes]]:
        """Return our signature (64 bytes) and those of the HTLCs, in output order, on the counterparty's commitment.

        Raises: SignerRefused when the commitment is not one that we countersign.
        Spec:   BOLT 2, "Committing Updates So Far: commitment_signed".
        """
        keys = self._channel(keys_id)
        if commitment.keys.countersignatory_funding_public_key != keys.basepoints.funding_public_key:
            raise SignerRefused("the counterparty's commitment does not carry our funding key")
        signature = sign_ecdsa(keys.funding_secret, commitment.digest())
        digests = commitment.htlc_digests(commitment.htlc_sighash_type)
        if not digests:
            return signature, []
        return signature, sign_ecdsa_many(keys.htlc_secret(commitment.keys.per_commitment_point), digests)

    def sign_holder_commitment(self, keys_id: bytes, commitment: Commitment) -> bytes:
        """Return our signature (64 bytes) on our own commitment, to publish it.

        Raises: SignerRefused when it is not ours or its secret has been released in this life.
        """
        keys = self._channel(keys_id)
        number = commitment.commitment_number
        if (
            commitment.keys.broadcaster_funding_public_key != keys.basepoints.funding_public_key
            or commitment.keys.per_commitment_point != keys.per_commitment_point(number)
        ):
            raise SignerRefused(f"holder commitment {number} does not carry our keys")
        keys.policy.holder_commitment_signed(number)
        return sign_ecdsa(keys.funding_secret, commitment.digest())

    def sign_claim(self, keys_id: bytes, transaction: Transaction, inputs: Sequence[InputToSign]) -> list[bytes]:
        """Return our signatures (64 bytes each, SIGHASH_ALL, low R) on inputs of a transaction.

        It spends outputs of a commitment that is published, never the funding output.

        Raises: SignerRefused when a key does not belong to a script, before anything is signed.
        Spec:   BOLT 3, "Key Derivation"; BOLT 5, "Unilateral Close Handling".
        """
        keys = self._channel(keys_id)
        for one in inputs:
            check_claim_script(keys.basepoints, one)
        midstate = Bip143Midstate(transaction)
        signatures: list[bytes] = []
        for one in inputs:
            script_code = one.witness_script or p2wpkh_script_code(hash160(keys.basepoints.payment_basepoint))
            digest = sighash_v0(transaction, one.index, script_code, one.value_sat, SIGHASH_ALL, midstate)
            signatures.append(sign_ecdsa_low_r(keys.claim_secret(one.key, one.per_commitment), digest))
        return signatures

    def sign_closing(self, keys_id: bytes, closing: ClosingTransaction) -> bytes:
        """Return our signature (64 bytes) on a cooperative closing transaction.

        Raises: SignerRefused for the locktime or sequence of another transaction: a commitment hides its number there.
        Spec:   BOLT 3, "Legacy Closing Transaction".
        """
        transaction = closing.transaction
        if transaction.locktime or [tx_in.sequence for tx_in in transaction.inputs] != [SEQUENCE_FINAL]:
            raise SignerRefused("the transaction is not one of a cooperative close")
        return sign_ecdsa(self._channel(keys_id).funding_secret, closing.digest())

    def sign_announcement(self, keys_id: bytes, digest: bytes) -> tuple[bytes, bytes]:
        """Return the signatures (64 bytes each) of node key and funding key on a channel_announcement's digest.

        Spec: BOLT 7, "The announcement_signatures Message".
        """
        return sign_ecdsa(self._node_secret, digest), sign_ecdsa(self._channel(keys_id).funding_secret, digest)

    # ----------------------------------------------------------------------------------------------------- requests

    def on_answer(self, callback: OnAnswer) -> None:
        """Do nothing: every answer is given at once."""

    @overload
    def answer(self, request: SignCounterpartyCommitment) -> CounterpartyCommitmentSigned: ...
    @overload
    def answer(self, request: SignHolderCommitment) -> HolderCommitmentSigned: ...
    @overload
    def answer(self, request: SignClaim) -> ClaimSigned: ...
    @overload
    def answer(self, request: ReleaseCommitmentSecret) -> CommitmentSecretReleased: ...
    @overload
    def answer(self, request: SignClosing) -> ClosingSigned: ...
    @overload
    def answer(self, request: SignAnnouncement) -> AnnouncementSigned: ...
    @overload
    def answer(self, request: Request) -> Answer: ...
    def answer(self, request: Request) -> Answer:
        """Answer a request at once. Raises SignerRefused as the operation itself."""
        request_id, keys_id = request.request_id, request.keys_id
        match request:
            case SignCounterpartyCommitment(commitment=commitment):
                signature, htlc_signatures = self.sign_counterparty_commitment(keys_id, commitment)
                return CounterpartyCommitmentSigned(
                    request_id, keys_id, commitment.txid, signature, tuple(htlc_signatures)
                )
            case ReleaseCommitmentSecret(commitment_number=number):
                secret = self.release_commitment_secret(keys_id, number)
                next_point = self.per_commitment_point(keys_id, number + 2)
                return CommitmentSecretReleased(request_id, keys_id, number, secret, next_point)
            case SignHolderCommitment(commitment=commitment):
                signature = self.sign_holder_commitment(keys_id, commitment)
                return HolderCommitmentSigned(request_id, keys_id, commitment.txid, signature)
            case SignClaim(transaction=transaction, inputs=inputs):
                signatures = self.sign_claim(keys_id, transaction, inputs)
                return ClaimSigned(request_id, keys_id, transaction.txid(), tuple(signatures))
            case SignClosing(closing=closing):
                signature = self.sign_closing(keys_id, closing)
                return ClosingSigned(request_id, keys_id, closing.transaction.txid(), closing.fee_sat, signature)
            case SignAnnouncement(digest=digest):
                node_signature, bitcoin_signature = self.sign_announcement(keys_id, digest)
                return AnnouncementSigned(request_id, keys_id, digest, node_signature, bitcoin_signature)
