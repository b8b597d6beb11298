"""Claims of a published commitment: one request signs all inputs of a channel, each with its own key."""

import time
from collections.abc import Sequence

import pytest

from leyden.bitcoin.script import p2wpkh_script_code
from leyden.bitcoin.sighash import SIGHASH_ALL, Bip143Midstate, sighash_v0
from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.crypto.ec import signature_to_der, verify_ecdsa
from leyden.crypto.hashes import hash160
from leyden.signer.later import LateSigner
from leyden.signer.policy import SignerRefused
from leyden.signer.requests import Answer, SignClaim
from leyden.transactions.claim_inputs import ClaimKey, InputToSign
from leyden.transactions.commitment import Commitment, OutputKind
from tests.signer.two_signers import KEYS_ID, PEER_KEYS_ID, commitment, peer_signer, signer


def spending(count: int) -> Transaction:
    """A transaction of so many inputs."""
    inputs = tuple([TxIn(OutPoint(b"\x33" * 32, index), b"", 1) for index in range(count)])
    return Transaction(2, inputs, (TxOut(1_000, b"\x51"),), 700)


def spend_of(
    index: int, key: ClaimKey, per_commitment: bytes, published: Commitment, output: OutputKind | int
) -> InputToSign:
    """Input `index` spends an output of a commitment, or its HTLC at a position."""
    found = published.output_index(output) if isinstance(output, OutputKind) else published.htlcs[output][0]
    assert found is not None
    return InputToSign(index, key, per_commitment, published.witness_script(found), published.output_value_sat(found))


def every_key() -> list[tuple[InputToSign, bytes]]:
    """An input for every key, and one for a to_remote that is P2WPKH, with the public keys in their scripts."""
    ours, theirs = commitment(5, ours=True), commitment(8, ours=False)
    static = commitment(8, ours=False, anchors=False)
    secret = peer_signer().release_commitment_secret(PEER_KEYS_ID, 8)
    point, their_point = ours.keys.per_commitment_point, theirs.keys.per_commitment_point
    broadcaster, other = OutputKind.TO_BROADCASTER, OutputKind.TO_COUNTERSIGNATORY
    payment_key = theirs.keys.countersignatory_payment_point
    return [
        (spend_of(0, ClaimKey.DELAYED_PAYMENT, point, ours, broadcaster), ours.keys.broadcaster_delayed_public_key),
        (spend_of(1, ClaimKey.HTLC, point, ours, 1), ours.keys.broadcaster_htlc_public_key),
        (spend_of(2, ClaimKey.HTLC, their_point, theirs, 1), theirs.keys.countersignatory_htlc_public_key),
        (spend_of(3, ClaimKey.REVOCATION, secret, theirs, broadcaster), theirs.keys.revocation_public_key),
        (spend_of(4, ClaimKey.PAYMENT, b"", theirs, other), payment_key),
        (spend_of(5, ClaimKey.PAYMENT, b"", static, other), payment_key),
        (
            spend_of(6, ClaimKey.FUNDING, b"", ours, OutputKind.BROADCASTER_ANCHOR),
            ours.keys.broadcaster_funding_public_key,
        ),
    ]


def digests(transaction: Transaction, spends: Sequence[InputToSign], payment_key: bytes) -> list[bytes]:
    """What each signature must cover (BIP 143); without a witness script it is P2WPKH of the payment key."""
    p2wpkh, midstate = p2wpkh_script_code(hash160(payment_key)), Bip143Midstate(transaction)
    return [
        sighash_v0(transaction, one.index, one.witness_script or p2wpkh, one.value_sat, SIGHASH_ALL, midstate)
        for one in spends
    ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5, 6), (6, 3, 5, 0, 4, 1), (2,)])
def test_every_key_signs_its_input_and_answers_come_in_the_order_asked(order: tuple[int, ...]) -> None:
    """A signature in the place of another one makes the whole transaction invalid."""
    every = every_key()
    asked = [every[index] for index in order]
    transaction, spends = spending(len(every)), tuple([spend for spend, _ in asked])
    answer = signer().answer(SignClaim(4, KEYS_ID, transaction, spends))
    assert (answer.request_id, answer.keys_id, answer.txid) == (4, KEYS_ID, transaction.txid())
    assert answer.signatures == tuple(signer().sign_claim(KEYS_ID, transaction, spends))
    payment_key = signer().channel_basepoints(KEYS_ID).payment_basepoint
    expected = digests(transaction, spends, payment_key)
    for (_, key), digest, signature in zip(asked, expected, answer.signatures, strict=True):
        assert verify_ecdsa(key, digest, signature)
        assert len(signature_to_der(signature)) <= 70


def test_holder_htlc_is_signed_whole_with_the_inputs_that_pay_its_fee() -> None:
    """With anchors the fee comes from inputs added at publication; our signature covers them."""
    ours = commitment(5, ours=True)
    for position in range(len(ours.htlcs)):
        bare = ours.htlc_transaction(position).transaction
        fee_input, change = TxIn(OutPoint(b"\x33" * 32, 0), b"", 0), TxOut(1_000, b"\x51")
        full = Transaction(2, (*bare.inputs, fee_input), (*bare.outputs, change), bare.locktime)
        spend = spend_of(0, ClaimKey.HTLC, ours.keys.per_commitment_point, ours, position)
        (signature,) = signer().sign_claim(KEYS_ID, full, [spend])
        key = ours.keys.broadcaster_htlc_public_key
        assert verify_ecdsa(key, digests(full, [spend], key)[0], signature)
        assert not verify_ecdsa(key, digests(bare, [spend], key)[0], signature)


def test_one_input_that_is_refused_refuses_the_request() -> None:
    """A claim is of use whole or not at all."""
    published = commitment(5, ours=True)
    good = spend_of(0, ClaimKey.FUNDING, b"", published, OutputKind.BROADCASTER_ANCHOR)
    theirs = spend_of(1, ClaimKey.FUNDING, b"", published, OutputKind.COUNTERSIGNATORY_ANCHOR)
    assert signer().sign_claim(KEYS_ID, spending(2), [good])
    with pytest.raises(SignerRefused, match="input 1: the funding key"):
        signer().answer(SignClaim(1, KEYS_ID, spending(2), (good, theirs)))


def test_requests_show_no_secret() -> None:
    """A per-commitment secret in a log is the peer's money, or ours (invariant S5)."""
    secret = bytes(range(0x41, 0x61))
    spend = InputToSign(0, ClaimKey.REVOCATION, secret, b"\x51", 1_000)
    shown = repr(SignClaim(1, KEYS_ID, spending(1), (spend,)))
    assert "InputToSign(index=0, key=revocation, value_sat=1000)" in shown
    assert secret.hex() not in shown
    assert secret[:8].decode() not in shown


def test_late_answers_equal_those_given_at_once_and_refusals_leave_the_queue() -> None:
    """A claim waits for a signer elsewhere like everything else."""
    inbox: list[tuple[int, Answer]] = []
    late = LateSigner(signer())
    late.on_answer(lambda request_id, answer: inbox.append((request_id, answer)))
    spends = tuple([spend for spend, _ in every_key()])
    refused = SignClaim(7, KEYS_ID, spending(1), (InputToSign(0, ClaimKey.FUNDING, b"", b"\x51", 1_000),))
    good = SignClaim(8, KEYS_ID, spending(7), spends)
    assert late.answer(refused) is None
    assert late.answer(good) is None
    assert inbox == []
    with pytest.raises(SignerRefused):
        late.deliver_next()
    assert late.deliver_all() == 1
    assert inbox == [(8, signer().answer(good))]


def test_hundreds_of_inputs_are_signed_in_one_request() -> None:
    """All 483 HTLCs of a revoked commitment; the time is printed (a few hundredths of a second)."""
    published = commitment(8, ours=False)
    secret = peer_signer().release_commitment_secret(PEER_KEYS_ID, 8)
    spends = tuple([spend_of(index, ClaimKey.REVOCATION, secret, published, index % 4) for index in range(483)])
    us, transaction = signer(), spending(483)
    start = time.perf_counter()
    answer = us.answer(SignClaim(1, KEYS_ID, transaction, spends))
    print(f"{len(spends)} inputs signed in {time.perf_counter() - start:.3f} s")
    key = published.keys.revocation_public_key
    expected = digests(transaction, spends, key)
    assert all(
        verify_ecdsa(key, digest, signature) for digest, signature in zip(expected, answer.signatures, strict=True)
    )
