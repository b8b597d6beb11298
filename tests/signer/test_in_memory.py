"""The in-memory signer: what it signs verifies against the channel's keys, and what must not leave does not."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from leyden.bitcoin.networks import REGTEST
from leyden.crypto.ec import ecdh, public_key, recover, verify_ecdsa, verify_ecdsa_many
from leyden.crypto.hashes import sha256
from leyden.signer.in_memory import InMemorySigner
from leyden.signer.policy import SignerRefused
from leyden.signer.requests import (
    ReleaseCommitmentSecret,
    Request,
    SignAnnouncement,
    SignClaim,
    SignClosing,
    SignCounterpartyCommitment,
    SignHolderCommitment,
)
from leyden.transactions.claim_inputs import ClaimKey, InputToSign
from leyden.transactions.closing import ClosingParameters, ClosingTransaction, build_closing
from leyden.transactions.commitment import Commitment
from tests.signer.two_signers import FUNDING_VALUE_SAT, KEYS_ID, PEER_KEYS_ID, commitment, peer_signer, signer


def closing() -> ClosingTransaction:
    """Return a closing transaction of the channel."""
    params = commitment(0, ours=True).parameters
    return build_closing(
        ClosingParameters(
            params.funding_outpoint, FUNDING_VALUE_SAT, params.funding_script, 500_000_000, 500_000_000,
            signer().shutdown_script_pubkey(), peer_signer().shutdown_script_pubkey(), 354,
        ),
        300,
    )  # fmt: skip


def test_same_seed_is_the_same_node_and_another_is_not() -> None:
    """A restart must sign with the same keys."""
    assert signer().node_id == signer().node_id
    assert signer().channel_basepoints(KEYS_ID) == signer().channel_basepoints(KEYS_ID)
    assert signer().node_id != peer_signer().node_id
    assert signer().channel_basepoints(KEYS_ID) != signer().channel_basepoints(PEER_KEYS_ID)


def test_node_key_signs_gossip_and_invoices_and_agrees_on_secrets() -> None:
    """Peers and payers know the node by this key only."""
    us, digest = signer(), sha256(b"message")
    assert verify_ecdsa(us.node_id, digest, us.sign_node(digest))
    assert recover(us.sign_invoice(digest), digest) == us.node_id
    other_secret = sha256(b"other")
    assert us.ecdh(public_key(other_secret)) == ecdh(other_secret, us.node_id)


@pytest.mark.parametrize("anchors", [False, True])
@pytest.mark.parametrize("htlcs", [0, 4])
def test_peer_can_verify_and_publish_what_we_countersign(anchors: bool, htlcs: int) -> None:
    """`commitment_signed` with one wrong signature ends the channel."""
    theirs = commitment(5, ours=False, anchors=anchors, htlcs=htlcs)
    signature, htlc_signatures = signer().sign_counterparty_commitment(KEYS_ID, theirs)
    assert verify_ecdsa(theirs.keys.countersignatory_funding_public_key, theirs.digest(), signature)
    digests = theirs.htlc_digests(theirs.htlc_sighash_type)
    assert len(htlc_signatures) == htlcs
    assert verify_ecdsa_many(theirs.keys.countersignatory_htlc_public_key, digests, htlc_signatures) is None
    own = peer_signer().sign_holder_commitment(PEER_KEYS_ID, theirs)
    assert theirs.signed_transaction(own, signature).txid() == theirs.txid


def test_closing_and_announcement_are_signed_with_the_funding_key() -> None:
    """Both prove control of the funding output."""
    us = signer()
    funding_key = us.channel_basepoints(KEYS_ID).funding_public_key
    assert verify_ecdsa(funding_key, closing().digest(), us.sign_closing(KEYS_ID, closing()))
    node_signature, bitcoin_signature = us.sign_announcement(KEYS_ID, sha256(b"announcement"))
    assert verify_ecdsa(us.node_id, sha256(b"announcement"), node_signature)
    assert verify_ecdsa(funding_key, sha256(b"announcement"), bitcoin_signature)


def test_revoked_holder_commitment_is_not_signed() -> None:
    """Whoever published it would lose everything in the channel."""
    us, ours = signer(), commitment(5, ours=True)
    secret = us.release_commitment_secret(KEYS_ID, 5)
    assert public_key(secret) == us.per_commitment_point(KEYS_ID, 5)
    with pytest.raises(SignerRefused, match="is revoked"):
        us.sign_holder_commitment(KEYS_ID, ours)
    us.sign_holder_commitment(KEYS_ID, commitment(6, ours=True))
    with pytest.raises(SignerRefused, match="may be published"):
        us.release_commitment_secret(KEYS_ID, 6)


@pytest.fixture(scope="module")
def ours_by_number() -> list[Commitment]:
    """Our commitments without HTLCs, by number."""
    return [commitment(number, ours=True, htlcs=0) for number in range(4)]


@pytest.mark.parametrize("key", list(ClaimKey))
def test_a_claim_never_signs_the_funding_output(key: ClaimKey, ours_by_number: list[Commitment]) -> None:
    """What publishes our own commitment is asked for as such, and refused once that is revoked."""
    us, ours = signer(), ours_by_number[2]
    derived_with = b"\x07" * 32 if key is ClaimKey.REVOCATION else ours.keys.per_commitment_point
    spend = InputToSign(0, key, derived_with, ours.parameters.funding_script, FUNDING_VALUE_SAT)
    signature = b""
    with contextlib.suppress(SignerRefused):
        (signature,) = us.sign_claim(KEYS_ID, ours.transaction(), [spend])
    funding_key = us.channel_basepoints(KEYS_ID).funding_public_key
    assert not signature or not verify_ecdsa(funding_key, ours.digest(), signature)


@given(st.lists(st.tuples(st.sampled_from(["sign", "claim", "close", "release"]), st.integers(0, 3)), max_size=12))
@settings(max_examples=50)
def test_no_sequence_of_requests_gets_both_signature_and_secret(
    ours_by_number: list[Commitment], requests: list[tuple[str, int]]
) -> None:
    """The one thing that must never happen, through whatever door the signature is asked for."""
    us = signer()
    funding_key = us.channel_basepoints(KEYS_ID).funding_public_key
    signed: list[int] = []
    released: list[int] = []
    for what, number in requests:
        ours = ours_by_number[number]
        spend = InputToSign(0, ClaimKey.FUNDING, b"", ours.parameters.funding_script, FUNDING_VALUE_SAT)
        try:
            if what == "release":
                us.answer(ReleaseCommitmentSecret(1, KEYS_ID, number))
                released.append(number)
                continue
            if what == "sign":
                signature = us.answer(SignHolderCommitment(1, KEYS_ID, ours)).signature
            elif what == "close":
                signature = us.answer(
                    SignClosing(1, KEYS_ID, replace(closing(), transaction=ours.transaction()))
                ).signature
            else:
                (signature,) = us.answer(SignClaim(1, KEYS_ID, ours.transaction(), (spend,))).signatures
        except SignerRefused:
            continue
        if verify_ecdsa(funding_key, ours.digest(), signature):
            signed.append(number)
    if signed and released:
        assert min(signed) > max(released)


def test_a_close_in_the_form_of_a_commitment_is_not_signed() -> None:
    """Both spend the funding output; locktime and sequence tell them apart (BOLT 3)."""
    bare = closing()
    (spend,) = bare.transaction.inputs
    for transaction in (
        commitment(2, ours=True).transaction(),
        replace(bare.transaction, locktime=1),
        replace(bare.transaction, inputs=(replace(spend, sequence=0x80000000),)),
    ):
        with pytest.raises(SignerRefused, match="not one of a cooperative close"):
            signer().sign_closing(KEYS_ID, replace(bare, transaction=transaction))


def test_policy_is_kept_per_channel() -> None:
    """One channel that closes must not stop another."""
    us = signer()
    us.sign_holder_commitment(KEYS_ID, commitment(0, ours=True))
    assert us.release_commitment_secret(PEER_KEYS_ID, 0)


def test_commitments_of_others_are_not_signed() -> None:
    """Sides mixed up would sign what can be published against us."""
    us = signer()
    with pytest.raises(SignerRefused, match="our keys"):
        us.sign_holder_commitment(KEYS_ID, commitment(5, ours=False))
    with pytest.raises(SignerRefused, match="our funding key"):
        us.sign_counterparty_commitment(KEYS_ID, commitment(5, ours=True))


def test_answers_carry_what_the_operations_return() -> None:
    """The core speaks in requests; both ways must lead to the same bytes."""
    us, ours, theirs = signer(), commitment(5, ours=True), commitment(8, ours=False)
    asked = us.answer(SignCounterpartyCommitment(1, KEYS_ID, theirs))
    signature, htlc_signatures = us.sign_counterparty_commitment(KEYS_ID, theirs)
    assert (asked.request_id, asked.keys_id, asked.commitment_txid) == (1, KEYS_ID, theirs.txid)
    assert (asked.signature, asked.htlc_signatures) == (signature, tuple(htlc_signatures))

    released = us.answer(ReleaseCommitmentSecret(2, KEYS_ID, 4))
    assert (released.request_id, released.commitment_number) == (2, 4)
    assert released.per_commitment_secret == signer().release_commitment_secret(KEYS_ID, 4)
    assert released.next_per_commitment_point == us.per_commitment_point(KEYS_ID, 6)

    signed = us.answer(SignHolderCommitment(3, KEYS_ID, ours))
    assert signed.signature == us.sign_holder_commitment(KEYS_ID, ours)
    closed = us.answer(SignClosing(5, KEYS_ID, closing()))
    assert (closed.fee_sat, closed.signature) == (300, us.sign_closing(KEYS_ID, closing()))
    assert closed.closing_txid == closing().transaction.txid()
    announced = us.answer(SignAnnouncement(6, KEYS_ID, bytes(32)))
    assert (announced.node_signature, announced.bitcoin_signature) == us.sign_announcement(KEYS_ID, bytes(32))


def test_refusal_comes_through_requests_too() -> None:
    """A guard on one door only is none."""
    us = signer()
    us.answer(ReleaseCommitmentSecret(1, KEYS_ID, 5))
    refused: list[Request] = [
        SignHolderCommitment(2, KEYS_ID, commitment(5, ours=True)),
        ReleaseCommitmentSecret(3, KEYS_ID, 7),
    ]
    for request in refused:
        with pytest.raises(SignerRefused):
            us.answer(request)


def test_inbound_payments_open_with_the_same_seed_only() -> None:
    """Invoices outlive a restart, and nobody else's payments are taken for ours."""
    payment = signer().new_inbound_payment(bytes(16), b"terms of 15 bytes"[:15])
    opened = signer().open_inbound_payment(payment.payment_hash, payment.payment_secret)
    assert opened is not None
    assert peer_signer().open_inbound_payment(payment.payment_hash, payment.payment_secret) is None
    foreign = signer().inbound_payment_secret(bytes(32), bytes(15))
    assert signer().open_inbound_payment(bytes(32), foreign) is not None


def test_repr_shows_the_node_and_no_secret() -> None:
    """What is printed ends up in logs and reports."""
    seed = b"\x01" * 32
    us = InMemorySigner(seed, REGTEST)
    us.channel_basepoints(KEYS_ID)
    assert repr(us) == f"InMemorySigner(node_id={us.node_id.hex()})"
