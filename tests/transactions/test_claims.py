"""Every way to claim an output, judged by Bitcoin Core's consensus code, and its weight as predicted and as made."""

from collections.abc import Sequence

import pytest

from leyden.bitcoin.script import p2wsh_of_script
from leyden.bitcoin.tx import Transaction, TxOut
from leyden.monitor.claimable import ClaimTerms, claims_now, swept_now
from leyden.monitor.commitments import CommitmentSource
from leyden.monitor.watched import second_stage_script
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel
from leyden.signer.requests import SignClaim
from leyden.transactions.claim_inputs import ClaimInput, ClaimKind
from leyden.transactions.claims import HOLDER_KINDS, build_claim, claim_weight, input_weight, signed_claim, to_sign
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, pending_add, ready_pair
from tests.monitor.history import Witness
from tests.monitor.spends import ClosedChannel, commitment_of
from tests.monitor.test_balances import with_htlcs

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)
WALLET_SCRIPT = b"\x00\x14" + b"w" * 20


def spent_of(inputs: Sequence[ClaimInput], parents: Sequence[Transaction]) -> list[tuple[int, bytes]]:
    """What inputs spend, from the transactions that made it."""
    by_txid = {parent.txid(): parent for parent in parents}
    outputs = [by_txid[one.outpoint.txid].outputs[one.outpoint.vout] for one in inputs]
    return [(output.value_sat, output.script_pubkey) for output in outputs]


def claimed(pair: Pair, inputs: Sequence[ClaimInput], who: int = 0) -> Transaction:
    """The signed transaction that claims these."""
    paired = [one.paired_output for one in inputs if one.paired_output is not None]
    outputs = paired or [TxOut(max(sum([one.value_sat for one in inputs]) - 1_000, 300), WALLET_SCRIPT)]
    unsigned = build_claim(inputs, outputs)
    party = pair.parties[who]
    needs = to_sign(inputs)
    answer = party.signer.answer(SignClaim(1, party.keys_id, unsigned, needs))
    return signed_claim(unsigned, inputs, answer.signatures)


def check(kernel: Kernel, pair: Pair, inputs: Sequence[ClaimInput], *parents: Transaction) -> Transaction:
    """Assert that a claim is valid and was weighed rightly; return it."""
    signed = claimed(pair, inputs)
    assert kernel.first_bad_input(signed.serialize(), spent_of(inputs, parents), VERIFY_CONSENSUS) is None
    predicted = claim_weight(inputs, [output.script_pubkey for output in signed.outputs])
    assert 0 <= predicted - signed.weight() <= len(inputs)
    return signed


def all_claims(channel: ClosedChannel) -> list[ClaimInput]:
    """Everything that can be claimed or swept, at any height."""
    terms = ClaimTerms(lambda htlc_id: channel.core.inbound[htlc_id].preimage, lambda _htlc_id: None)
    urgent = claims_now(channel.core, channel.keys, channel.view, 1_000, terms)
    return [claim.input for claim in (*urgent, *swept_now(channel.core, channel.keys, channel.view, channel.points))]


@pytest.mark.parametrize("anchors", [True, False])
@pytest.mark.parametrize("source", [CommitmentSource.LOCAL, CommitmentSource.REMOTE])
def test_each_output_of_a_commitment_can_be_claimed(kernel: Kernel, source: CommitmentSource, *, anchors: bool) -> None:
    """BOLT 3 and 5, all kinds of both channel types, each alone."""
    pair = with_htlcs() if anchors else with_htlcs(channel_type=STATIC)
    transaction = commitment_of(pair, source)
    inputs = all_claims(ClosedChannel(pair, transaction))
    kinds = {one.kind for one in inputs}
    expected = (
        {ClaimKind.TO_LOCAL, ClaimKind.HOLDER_TIMEOUT, ClaimKind.HOLDER_SUCCESS}
        if source is CommitmentSource.LOCAL
        else {ClaimKind.TO_REMOTE, ClaimKind.COUNTERPARTY_TIMEOUT, ClaimKind.COUNTERPARTY_PREIMAGE}
    )
    assert kinds == expected | ({ClaimKind.ANCHOR_OF_ANYONE} if anchors else set())
    for one in inputs:
        check(kernel, pair, [one], transaction)


def test_many_outputs_go_in_one_transaction(kernel: Kernel) -> None:
    """Claims on the peer's commitment are batched; HTLC transactions with anchors join if their locktimes are equal."""
    pair = with_htlcs()
    remote = commitment_of(pair, CommitmentSource.REMOTE)
    check(kernel, pair, all_claims(ClosedChannel(pair, remote)), remote)
    local = commitment_of(pair, CommitmentSource.LOCAL)
    holders = [one for one in all_claims(ClosedChannel(pair, local)) if one.kind in HOLDER_KINDS]
    by_locktime = {one.locktime: [other for other in holders if other.locktime == one.locktime] for one in holders}
    for group in by_locktime.values():
        check(kernel, pair, group, local)
    with pytest.raises(AssertionError, match="covers the locktime"):
        claimed(pair, holders)


def test_second_stages_of_ours_and_of_a_cheater_can_be_claimed(kernel: Kernel) -> None:
    """After our delay with our key; at once with the revocation key."""
    pair = ready_pair()
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000, 460))
    old = witness.remote[max(witness.remote)].transaction()
    pair.offered(1, pending_add(4, 50_000_000, 460))
    revoked = ClosedChannel(pair, old, 0, witness.journal.penalty_log)
    local_transaction = commitment_of(pair, CommitmentSource.LOCAL)
    local = ClosedChannel(pair, local_transaction)
    for channel, kind in ((revoked, ClaimKind.REVOKED_SECOND_STAGE), (local, ClaimKind.SECOND_STAGE)):
        script = second_stage_script(channel.keys, channel.view.spend)
        channel.spend(channel.htlc(0, offered=True), 461, outputs=(TxOut(19_000, p2wsh_of_script(script)),))
        stage = Transaction.parse(channel.core.output_spends[-1].transaction)
        (one,) = [one for one in all_claims(channel) if one.kind is kind]
        check(kernel, pair, [one], stage)


@pytest.mark.parametrize("anchors", [True, False])
def test_a_revoked_commitment_is_taken_whole_with_the_weights_of_bolt_5(kernel: Kernel, *, anchors: bool) -> None:
    """BOLT 5, "Penalty Transactions Weight Calculation": 324, 407 and 413, counted without anchors."""
    pair = ready_pair() if anchors else ready_pair(channel_type=STATIC)
    witness = Witness(pair.a)
    pair.offered(0, pending_add(1, 20_000_000, 460))
    pair.offered(1, pending_add(3, 40_000_000, 460))
    old = witness.remote[max(witness.remote)].transaction()
    pair.offered(1, pending_add(4, 50_000_000, 460))
    channel = ClosedChannel(pair, old, 0, witness.journal.penalty_log)
    inputs = [one for one in all_claims(channel) if one.kind.value.startswith("revoked")]
    assert len(inputs) == 3
    check(kernel, pair, inputs, old)
    if not anchors:
        # BOLT 5 counts signatures of 73 bytes (ours have 71), an expiry of three (here two) and a delay of eight.
        weights = {one.kind: input_weight(one) for one in inputs}
        assert weights[ClaimKind.REVOKED_OFFERED] == 407 - 2
        assert weights[ClaimKind.REVOKED_RECEIVED] == 413 - 2 - 1
        assert 324 - 8 < weights[ClaimKind.REVOKED_TO_LOCAL] <= 324 - 2


def test_the_wrong_secret_or_preimage_is_refused_by_the_network(kernel: Kernel) -> None:
    """The check of this file can fail."""
    pair = with_htlcs()
    remote = commitment_of(pair, CommitmentSource.REMOTE)
    (one,) = [one for one in all_claims(ClosedChannel(pair, remote)) if one.kind is ClaimKind.COUNTERPARTY_PREIMAGE]
    good = claimed(pair, [one])
    spent = spent_of([one], [remote])
    assert kernel.first_bad_input(good.serialize(), spent, VERIFY_CONSENSUS) is None
    bad = signed_claim(good, [one], [bytes(range(1, 65))])
    assert kernel.first_bad_input(bad.serialize(), spent, VERIFY_CONSENSUS) == 0
