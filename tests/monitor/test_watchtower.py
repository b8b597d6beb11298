"""What a watchtower is given: it takes everything of a revoked commitment, and tells nothing before."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from leyden.bitcoin.tx import Transaction, TxOut
from leyden.channel.inputs import Withdraw
from leyden.crypto.hashes import sha256
from leyden.crypto.shachain import index_of_commitment
from leyden.monitor.watchtower import (
    STEP,
    JusticeBlob,
    UnsignedJustice,
    about_to_be_revoked,
    justice_inputs,
    locator_of,
    make_blob,
    open_blob,
    unsigned_justice,
)
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel
from leyden.signer.in_memory import InMemorySigner
from leyden.signer.requests import SignClaim
from leyden.transactions.claim_inputs import ClaimKind
from leyden.transactions.claims import claim_weight, signed_claim, to_sign
from leyden.transactions.commitment import Commitment, OutputKind
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, pending_add
from tests.monitor.ledger import Ledger, secret
from tests.monitor.test_balances import with_htlcs

KINDS = pytest.mark.parametrize("kind", CommitmentFormat, ids=lambda kind: kind.name.lower())
SCRIPT = b"\x00\x14" + b"w" * 20
FEERATES = (253, 5_000)
WEIGHT_MAX = 400_000
"""Nothing heavier relays."""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Bitcoin Core's consensus code."""
    directory: Path = tmp_path_factory.mktemp("kernel")
    one = Kernel(directory)
    yield one
    one.close()


def signed(signer: InMemorySigner, keys_id: bytes, unsigned: UnsignedJustice) -> Transaction:
    """The transaction with its witnesses."""
    answer = signer.answer(SignClaim(1, keys_id, unsigned.transaction, to_sign(unsigned.inputs)))
    return signed_claim(unsigned.transaction, unsigned.inputs, answer.signatures)


def revoke(pair: Pair) -> tuple[tuple[Commitment, ...], bytes]:
    """Let the peer revoke its commitment; return what was about to be revoked, and its secret."""
    core = pair.a.core
    pair.offer(0, pending_add(99))
    commitments = about_to_be_revoked(core, pair.a.state.keys)
    assert core.remote_prior is not None
    number = core.remote_prior.number
    pair.pump()
    assert pair.a.core.remote.number > number
    return commitments, pair.a.core.secrets.get(index_of_commitment(number))


def made(pair: Pair, commitment: Commitment, revealed: bytes, feerates: Sequence[int] = FEERATES) -> list[Transaction]:
    """Everything that is exported for one commitment."""
    inputs = justice_inputs(commitment, pair.a.keys_id, revealed)
    unsigned = unsigned_justice(inputs, SCRIPT, feerates)
    assert {one.txid for one in unsigned} <= {commitment.txid}
    return [signed(pair.a.signer, pair.a.keys_id, one) for one in unsigned]


@KINDS
def test_everything_that_the_peer_forfeits_is_taken(kernel: Kernel, kind: CommitmentFormat) -> None:
    """Bitcoin Core's consensus says that it may be; each feerate is paid, and not more."""
    pair = with_htlcs(channel_type=ChannelType(kind))
    (commitment,), revealed = revoke(pair)
    parent = commitment.transaction()
    kept = [OutputKind.TO_COUNTERSIGNATORY, OutputKind.BROADCASTER_ANCHOR, OutputKind.COUNTERSIGNATORY_ANCHOR]
    forfeited = {*range(len(parent.outputs))} - {commitment.output_index(one) for one in kept}
    to_local = commitment.output_index(OutputKind.TO_BROADCASTER)
    assert len(forfeited) > 4
    kinds = {one.outpoint.vout: one.kind for one in justice_inputs(commitment, pair.a.keys_id, revealed)}
    assert [kinds[index] for index, _htlc in commitment.htlcs] == [
        ClaimKind.REVOKED_OFFERED if htlc.offered else ClaimKind.REVOKED_RECEIVED for _index, htlc in commitment.htlcs
    ]
    transactions = made(pair, commitment, revealed)
    taken = [{one.prevout.vout for one in transaction.inputs} for transaction in transactions]
    assert taken == [forfeited, {to_local}] * len(FEERATES)
    for place, transaction in enumerate(transactions):
        spent = [parent.outputs[one.prevout.vout] for one in transaction.inputs]
        assert all(one.prevout.txid == parent.txid() for one in transaction.inputs)
        raw = [(one.value_sat, one.script_pubkey) for one in spent]
        assert kernel.first_bad_input(transaction.serialize(), raw, VERIFY_CONSENSUS) is None
        (output,) = transaction.outputs
        assert output.script_pubkey == SCRIPT
        fee_sat = sum([one.value_sat for one in spent]) - output.value_sat
        asked = FEERATES[place // 2] * transaction.weight() / 1000
        assert asked <= fee_sat <= asked * 1.02 + 1


def test_nothing_is_about_to_be_revoked_while_no_revocation_is_awaited() -> None:
    """A `revoke_and_ack` out of turn is the peer's fault and gives nothing away."""
    pair = with_htlcs()
    assert about_to_be_revoked(pair.a.core, pair.a.state.keys) == ()


def test_what_a_fee_would_eat_is_left_out() -> None:
    """A transaction that pays out dust does not relay."""
    pair = with_htlcs()
    (commitment,), revealed = revoke(pair)
    assert made(pair, commitment, revealed, [1_000_000_000]) == []
    assert len(made(pair, commitment, revealed, [1_000_000_000, 253])) == 2
    alone = justice_inputs(commitment, pair.a.keys_id, revealed)[:1]
    dust_sat, value_sat = 294, alone[0].value_sat
    weight = claim_weight(alone, [SCRIPT])
    for left_sat, kept in ((dust_sat - 20, 0), (dust_sat + 20, 1)):
        assert len(unsigned_justice(alone, SCRIPT, [(value_sat - left_sat) * 1000 // weight])) == kept


def test_commitment_with_all_slots_used_is_taken_by_a_transaction_that_relays() -> None:
    """483 HTLCs each way, and a commitment without any."""
    ledger = Ledger()
    plain = justice_inputs(ledger.remote[0], ledger.keys_id, secret(0))
    assert [len(one.inputs) for one in unsigned_justice(plain, SCRIPT, [253])] == [1]
    ledger.receive([ledger.add(n, 5_000_000) for n in range(483)], [])
    ledger.send([ledger.add(n, 5_000_001) for n in range(483)], [])
    full = ledger.keep()
    whole, to_local = unsigned_justice(justice_inputs(full, ledger.keys_id, secret(1)), SCRIPT, [253])
    assert (len(whole.inputs), len(to_local.inputs)) == (967, 1)
    assert signed(ledger.signer, ledger.keys_id, whole).weight() <= WEIGHT_MAX


def test_commitment_that_was_taken_back_is_punished_too(kernel: Kernel) -> None:
    """Nobody should have its signature; who has it all the same must not gain by it."""
    pair = with_htlcs()
    core = pair.a.core
    pair.offer(0, pending_add(50))
    number = core.remote.number
    pair.disconnect()
    pair.give(0, Withdraw(number))
    pair.reconnect()
    pair.pump()
    assert (core.remote.number, [one.number for one in core.withdrawn]) == (number, [number])
    commitments, revealed = revoke(pair)
    assert [one.commitment_number for one in commitments] == [number, number]
    assert len({one.txid for one in commitments}) == 2
    for commitment in commitments:
        whole, _to_local = made(pair, commitment, revealed, [253])
        outputs = commitment.transaction().outputs
        spent = [outputs[one.prevout.vout] for one in whole.inputs]
        raw = [(one.value_sat, one.script_pubkey) for one in spent]
        assert kernel.first_bad_input(whole.serialize(), raw, VERIFY_CONSENSUS) is None


def blobs() -> tuple[bytes, bytes, list[Transaction]]:
    """The txids of two commitments with the same locator, and transactions of the first."""
    pair = with_htlcs()
    (commitment,), revealed = revoke(pair)
    return commitment.txid, commitment.txid[:16] + bytes(16), made(pair, commitment, revealed)


def test_blob_opens_with_the_whole_txid_only() -> None:
    """A tower knows half of it from the start, and must learn nothing by that."""
    txid, other, transactions = blobs()
    for transaction in transactions:
        blob = make_blob(txid, transaction)
        assert blob.locator == locator_of(txid) == txid[:16]
        assert open_blob(txid, blob) == transaction
        assert transaction.serialize()[:40] not in blob.ciphertext
        assert txid not in blob.ciphertext
        for wrong, what in ((other, "does not open"), (sha256(b"x"), "another commitment")):
            with pytest.raises(ValueError, match=what):
                open_blob(wrong, blob)
        for place in (0, 12, len(blob.ciphertext) - 1):
            damaged = bytearray(blob.ciphertext)
            damaged[place] ^= 1
            with pytest.raises(ValueError, match="does not open"):
                open_blob(txid, JusticeBlob(blob.locator, bytes(damaged)))
        with pytest.raises(ValueError, match="another commitment"):
            open_blob(txid, JusticeBlob(blob.locator, blob.ciphertext[:11]))


def test_blobs_of_one_commitment_have_nonces_of_their_own() -> None:
    """One key closes them all: under one nonce any two would open each other."""
    txid, _other, transactions = blobs()
    made_blobs = [make_blob(txid, one) for one in transactions]
    assert len({one.ciphertext[:12] for one in made_blobs}) == len(transactions) == 4
    assert [make_blob(txid, one) for one in transactions] == made_blobs


def test_length_tells_little() -> None:
    """How many HTLCs a payment node has in flight is its own business."""
    txid, _other, transactions = blobs()
    lengths = [len(make_blob(txid, one).ciphertext) for one in transactions]
    assert {length % STEP for length in lengths} == {12 + 16}
    few = Transaction(2, transactions[1].inputs, (TxOut(1, SCRIPT),), 0)
    assert len(make_blob(txid, few).ciphertext) == lengths[1]
