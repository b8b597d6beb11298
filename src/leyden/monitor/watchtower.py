"""Justice for a peer's commitment, made when it is revoked, for somebody else to publish while we are away.

A watchtower gets `JusticeBlob`s: signed transactions that it can read only once the commitment they punish is on the
chain. Until then it knows neither the channel nor the amounts. The locator is half of the commitment's txid; the key is
made of all of it, of which the other half, 128 bits, is nowhere but in the commitment.

What a second stage of the peer has moved on is out of reach: those transactions are not known before they are
published. So there is one transaction that takes everything and one that takes to_local alone, for the case that an
HTLC was moved first.

Spec: BOLT 5, "Revoked Transaction Close Handling", "Penalty Transactions Weight Calculation".
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from leyden.bitcoin.tx import OutPoint, Transaction, TxOut
from leyden.channel.build import ChannelKeys, remote_commitment
from leyden.channel.core import ChannelCore
from leyden.crypto.chacha import aead_decrypt, aead_encrypt
from leyden.crypto.hashes import hmac_sha256, sha256
from leyden.monitor.commitments import withdrawn_possible
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.claims import build_claim, claim_weight
from leyden.transactions.commitment import Commitment, OutputKind
from leyden.transactions.fees import dust_limit_for_script_sat

LOCATOR_LENGTH: Final = 16
NONCE_LENGTH: Final = 12
STEP: Final = 1024
"""Transactions are padded to multiples of this many bytes, so that a blob's length tells little of how many HTLCs."""


class JusticeBlob(msgspec.Struct, frozen=True, gc=False):
    """A signed transaction that takes a revoked commitment, closed to whoever has not seen that commitment.

    Attributes:
        locator: first 16 bytes of the commitment's txid, internal order.
        ciphertext: nonce (12 bytes), then ChaCha20-Poly1305 of the padded transaction.
    """

    locator: bytes
    ciphertext: bytes


class UnsignedJustice(msgspec.Struct, frozen=True):
    """A transaction that takes outputs of one revoked commitment. txid: of that commitment, internal order."""

    txid: bytes
    inputs: tuple[ClaimInput, ...]
    transaction: Transaction


def locator_of(txid: bytes) -> bytes:
    """Return what a tower looks for: 16 bytes of a txid (32 bytes, internal order)."""
    return txid[:LOCATOR_LENGTH]


def make_blob(txid: bytes, transaction: Transaction) -> JusticeBlob:
    """Close a transaction with the txid (32 bytes, internal order) of the commitment that it takes.

    The same transaction makes the same blob. The nonce is made of what it closes: a commitment has several blobs with
    one key, and two of them under one nonce would open each other.
    """
    key, raw = sha256(txid), transaction.serialize()
    plain = len(raw).to_bytes(4, "big") + raw
    plain += bytes(-len(plain) % STEP)
    nonce = hmac_sha256(key, plain)[:NONCE_LENGTH]
    return JusticeBlob(locator_of(txid), nonce + aead_encrypt(key, nonce, b"", plain))


def open_blob(txid: bytes, blob: JusticeBlob) -> Transaction:
    """Return the transaction of a blob. txid: of a transaction on the chain, 32 bytes, internal order.

    Raises: ValueError when the blob is for another commitment or damaged; DecodeError when it holds no transaction.
    """
    nonce, sealed = blob.ciphertext[:NONCE_LENGTH], blob.ciphertext[NONCE_LENGTH:]
    if len(nonce) < NONCE_LENGTH or blob.locator != locator_of(txid):
        raise ValueError("the blob is for another commitment")
    plain = aead_decrypt(sha256(txid), nonce, b"", sealed)
    if plain is None:
        raise ValueError("the blob does not open with this transaction")
    return Transaction.parse(plain[4 : 4 + int.from_bytes(plain[:4], "big")])


def about_to_be_revoked(core: ChannelCore, keys: ChannelKeys) -> tuple[Commitment, ...]:
    """Return the peer's commitments whose secret comes with its next revocation; none while none is awaited.

    Amounts of a revoked commitment are not stored, so this is asked before the revocation is folded. Those with the
    same number that were signed and taken back are among them: nobody should have their signatures.
    """
    prior = core.remote_prior
    if prior is None:
        return ()
    back = [one.commitment for one in withdrawn_possible(core, keys) if one.number == prior.number]
    return (remote_commitment(keys, prior, core.remote_prior_point), *back)


def justice_inputs(commitment: Commitment, keys_id: bytes, secret: bytes) -> tuple[ClaimInput, ...]:
    """Return what the revocation key takes of a commitment: to_local, then the HTLCs in output order.

    keys_id: channel_keys_id of the channel. secret: per-commitment secret of the commitment, 32 bytes.
    """

    def one(kind: ClaimKind, index: int, public_key: bytes) -> ClaimInput:
        return ClaimInput(
            kind=kind,
            keys_id=keys_id,
            outpoint=OutPoint(commitment.txid, index),
            value_sat=commitment.output_value_sat(index),
            witness_script=commitment.witness_script(index),
            sequence=SEQUENCE_REPLACEABLE,
            locktime=0,
            per_commitment=secret,
            preimage=b"",
            paired_output=None,
            paired_signature=b"",
            anchors=commitment.parameters.anchors,
            public_key=public_key,
        )

    to_local = commitment.output_index(OutputKind.TO_BROADCASTER)
    found = [] if to_local is None else [one(ClaimKind.REVOKED_TO_LOCAL, to_local, b"")]
    for index, htlc in commitment.htlcs:
        kind = ClaimKind.REVOKED_OFFERED if htlc.offered else ClaimKind.REVOKED_RECEIVED
        found.append(one(kind, index, commitment.keys.revocation_public_key))
    return tuple(found)


def unsigned_justice(
    inputs: Sequence[ClaimInput], script_pubkey: bytes, feerates_per_kw: Sequence[int]
) -> list[UnsignedJustice]:
    """Return transactions that take `inputs` of one commitment to `script_pubkey`, for each feerate.

    For each feerate one takes everything (with all slots used just what still relays) and, where there are HTLCs, one
    takes to_local alone. What a fee would eat is left out.
    """
    groups = [inputs] if inputs else []
    if len(inputs) > 1 and inputs[0].kind is ClaimKind.REVOKED_TO_LOCAL:
        groups.append(inputs[:1])
    made: list[UnsignedJustice] = []
    for feerate_per_kw in feerates_per_kw:
        for group in groups:
            weight = claim_weight(group, [script_pubkey])
            left_sat = sum([one.value_sat for one in group]) - -(-weight * feerate_per_kw // 1000)
            if left_sat >= dust_limit_for_script_sat(script_pubkey):
                transaction = build_claim(group, [TxOut(left_sat, script_pubkey)])
                made.append(UnsignedJustice(group[0].outpoint.txid, tuple(group), transaction))
    return made
