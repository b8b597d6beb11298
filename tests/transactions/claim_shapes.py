"""Outputs of every kind that can be claimed, with any expiry and delay, from the keys of two in-memory signers."""

from msgspec.structs import replace

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.script import p2wpkh_of_key, p2wsh_of_script
from leyden.bitcoin.sighash import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_SINGLE, Bip143Midstate, sighash_v0
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.ec import sign_ecdsa
from leyden.crypto.hashes import hash160
from leyden.signer.derivation import SeedDerivation
from leyden.transactions.claim_inputs import SEQUENCE_REPLACEABLE, ClaimInput, ClaimKind
from leyden.transactions.claims import HOLDER_KINDS
from leyden.transactions.fees import htlc_fee_sat
from leyden.transactions.keys import derive_commitment_keys
from leyden.transactions.scripts import (
    ANCHOR_CSV_BLOCKS,
    anchor_script,
    htlc_scripts,
    revocable_script,
    to_remote_anchors_script,
)
from tests.signer.two_signers import KEYS_ID, PEER_KEYS_ID, peer_signer, signer

PREIMAGE = bytes(range(32))
ANCHOR_KINDS = (ClaimKind.ANCHOR, ClaimKind.ANCHOR_OF_ANYONE)

_OURS, _THEIRS = signer().channel_basepoints(KEYS_ID), peer_signer().channel_basepoints(PEER_KEYS_ID)
_PEER = SeedDerivation(b"\x02" * 64, REGTEST).channel_keys(PEER_KEYS_ID)
_LOCAL = derive_commitment_keys(_OURS, _THEIRS, signer().per_commitment_point(KEYS_ID, 5))
_REMOTE = derive_commitment_keys(_THEIRS, _OURS, _PEER.per_commitment_point(8))
PEER_SECRET = _PEER.per_commitment_secret(8)

_DELAYED = (ClaimKind.TO_LOCAL, ClaimKind.SECOND_STAGE)
_REVOKED_DELAYED = (ClaimKind.REVOKED_TO_LOCAL, ClaimKind.REVOKED_SECOND_STAGE)
_REVOKED_HTLCS = (ClaimKind.REVOKED_OFFERED, ClaimKind.REVOKED_RECEIVED)
_WITH_PREIMAGE = (ClaimKind.HOLDER_SUCCESS, ClaimKind.COUNTERPARTY_PREIMAGE)


def script_of(kind: ClaimKind, *, anchors: bool, expiry: int, delay: int) -> bytes:
    """The witness script of an output; empty for a to_remote that is P2WPKH."""
    if kind in ANCHOR_KINDS:
        return anchor_script(_OURS.funding_public_key)
    if kind is ClaimKind.TO_REMOTE:
        return to_remote_anchors_script(_OURS.payment_basepoint) if anchors else b""
    keys = _LOCAL if kind in (*_DELAYED, *HOLDER_KINDS) else _REMOTE
    if kind in (*_DELAYED, *_REVOKED_DELAYED):
        return revocable_script(keys.revocation_public_key, delay, keys.broadcaster_delayed_public_key)
    scripts = htlc_scripts(keys, anchors)
    if kind in (ClaimKind.HOLDER_TIMEOUT, ClaimKind.COUNTERPARTY_PREIMAGE, ClaimKind.REVOKED_OFFERED):
        return scripts.offered(hash160(PREIMAGE))
    return scripts.received(hash160(PREIMAGE), expiry)


def _sequence(kind: ClaimKind, *, anchors: bool, delay: int) -> int:
    if kind in _DELAYED:
        return delay
    if kind is ClaimKind.ANCHOR_OF_ANYONE:
        return ANCHOR_CSV_BLOCKS
    if kind in HOLDER_KINDS:
        return int(anchors)
    waits = kind in (ClaimKind.TO_REMOTE, ClaimKind.COUNTERPARTY_TIMEOUT, ClaimKind.COUNTERPARTY_PREIMAGE)
    return 1 if anchors and waits else SEQUENCE_REPLACEABLE


def _per_commitment(kind: ClaimKind) -> bytes:
    if kind in (*_REVOKED_DELAYED, *_REVOKED_HTLCS):
        return PEER_SECRET
    if kind in (*_DELAYED, *HOLDER_KINDS):
        return _LOCAL.per_commitment_point
    if kind in (ClaimKind.COUNTERPARTY_TIMEOUT, ClaimKind.COUNTERPARTY_PREIMAGE):
        return _REMOTE.per_commitment_point
    return b""


def _paired(claim: ClaimInput, delay: int) -> tuple[TxOut, bytes]:
    """The output of an HTLC transaction, and the peer's signature on both."""
    fee_sat = htlc_fee_sat(claim.kind is ClaimKind.HOLDER_TIMEOUT, 1_000, claim.anchors)
    script = revocable_script(_LOCAL.revocation_public_key, delay, _LOCAL.broadcaster_delayed_public_key)
    output = TxOut(claim.value_sat - fee_sat, p2wsh_of_script(script))
    bare = Transaction(2, (TxIn(claim.outpoint, b"", claim.sequence),), (output,), claim.locktime)
    sighash_type = SIGHASH_SINGLE | SIGHASH_ANYONECANPAY if claim.anchors else SIGHASH_ALL
    digest = sighash_v0(bare, 0, claim.witness_script, claim.value_sat, sighash_type, Bip143Midstate(bare))
    return output, sign_ecdsa(_PEER.htlc_secret(_LOCAL.per_commitment_point), digest)


def shape(
    kind: ClaimKind, number: int, *, anchors: bool = True, value_sat: int = 50_000, expiry: int = 500, delay: int = 144
) -> ClaimInput:
    """A claim of output `number` of some transaction; the signers of `two_signers` can sign it."""
    public_key = b""
    if kind in _REVOKED_HTLCS:
        public_key = _REMOTE.revocation_public_key
    elif kind is ClaimKind.TO_REMOTE and not anchors:
        public_key = _OURS.payment_basepoint
    claim = ClaimInput(
        kind=kind,
        keys_id=KEYS_ID,
        outpoint=OutPoint(b"\x21" * 32, number),
        value_sat=value_sat,
        witness_script=script_of(kind, anchors=anchors, expiry=expiry, delay=delay),
        sequence=_sequence(kind, anchors=anchors, delay=delay),
        locktime=expiry if kind in (ClaimKind.HOLDER_TIMEOUT, ClaimKind.COUNTERPARTY_TIMEOUT) else 0,
        per_commitment=_per_commitment(kind),
        preimage=PREIMAGE if kind in _WITH_PREIMAGE else b"",
        paired_output=None,
        paired_signature=b"",
        anchors=anchors,
        public_key=public_key,
    )
    if kind not in HOLDER_KINDS:
        return claim
    output, signature = _paired(claim, delay)
    return replace(claim, paired_output=output, paired_signature=signature)


def spent_output(claim: ClaimInput) -> tuple[int, bytes]:
    """Value and script of what a claim spends."""
    script = claim.witness_script
    return claim.value_sat, p2wsh_of_script(script) if script else p2wpkh_of_key(claim.public_key)
