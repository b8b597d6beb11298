"""What spends the funding output: told apart whatever happened to the channel before."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.bitcoin.tx import Transaction, TxIn, TxOut
from leyden.channel.build import closing_parameters
from leyden.channel.inputs import StartShutdown
from leyden.monitor.classify import SpendKind, classify
from leyden.monitor.commitments import CommitmentSource, possible_commitments
from leyden.monitor.recognise import OutputRole
from leyden.monitor.revoked import revoked_keys
from leyden.transactions.closing import build_closing
from leyden.wire.channel_type import ChannelType, CommitmentFormat
from tests.channel.pair import Pair, failure, fulfil, pending_add, ready_pair
from tests.channel.play import fold_journal
from tests.monitor.balances import OnchainKind, onchain_balance, possible_balance
from tests.monitor.history import Witness, check_revoked, witnesses
from tests.monitor.moves import Life, histories

STATIC = ChannelType(CommitmentFormat.STATIC_REMOTEKEY)


def check_balances(witness: Witness) -> None:
    """Every millisatoshi of ours in a commitment that may confirm is in an output, lost or paid as a fee."""
    core = witness.journal.load()
    points = witness.party.signer.per_commitment_point
    views = {
        CommitmentSource.LOCAL: core.local,
        CommitmentSource.REMOTE: core.remote,
        CommitmentSource.REMOTE_PRIOR: core.remote_prior,
    }
    everything = possible_commitments(core, witness.keys, points)
    taken_back = [one.number for one in everything if one.source is CommitmentSource.REMOTE_WITHDRAWN]
    assert taken_back == [one.number for one in core.withdrawn]
    for possible in everything:
        view = views.get(possible.source)
        if view is None:
            assert possible.source is CommitmentSource.REMOTE_WITHDRAWN
            continue
        balance = possible_balance(core, witness.keys, possible, None)
        here_sat = balance.sum_sat(OnchainKind.BALANCE, OnchainKind.HTLC_REFUND)
        assert (here_sat + balance.fee_sat) * 1000 + balance.lost_msat == view.local_msat + view.offered_msat
        assert balance.lost_msat >= 0


def check_money(both: tuple[Witness, Witness]) -> None:
    """Each output of a commitment belongs to one of the two, or is an HTLC and known to both."""
    for own, other in (both, both[::-1]):
        transaction = own.local[own.party.core.local.number].transaction()
        shares = []
        for witness in (own, other):
            core = witness.journal.load()
            spend = witness.classify(transaction, core)
            shares.append(onchain_balance(core, witness.keys, spend, 200))
        if other.classify(transaction).kind is SpendKind.REMOTE_REVOKED:
            continue  # the other has the secret, and all of it
        owned = [output.output_index for share in shares for output in share.outputs if output.htlc_id is None]
        htlcs = [sorted(o.output_index for o in share.outputs if o.htlc_id is not None) for share in shares]
        assert htlcs[0] == htlcs[1]
        assert sorted(owned + htlcs[0]) == list(range(len(transaction.outputs)))


@settings(max_examples=25)
@given(st.sampled_from(CommitmentFormat), st.sampled_from([354, 1_000]), histories, st.integers(1, 99))
def test_every_commitment_of_any_history_is_known_for_what_it_is(
    kind: CommitmentFormat, dust: int, history: list[Any], percent: int
) -> None:
    """A revoked one taken for a current one, or an output of it not found, is a theft that goes unpunished."""
    life = Life(kind, dust)
    for move in history:
        life.move(*move)
        if move[0] == "rest":
            look(life.witnesses)
    look(life.witnesses)
    for witness in life.witnesses:
        witness.check_old_copy(max(1, len(witness.party.journal) * percent // 100))
        witness.journal.compact()
    look(life.witnesses)


def look(both: tuple[Witness, Witness]) -> None:
    """Each party would know each transaction now, and all money is accounted for."""
    for witness in both:
        witness.check()
        check_balances(witness)
    check_money(both)


def agreed_pair(**request: Any) -> Pair:
    """Two parties that have agreed on a closing transaction after a payment."""
    pair = ready_pair(**request)
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    pair.give(0, StartShutdown(pair.a.signer.shutdown_script_pubkey(), 1_500))
    pair.pump()
    return pair


def spend_of(pair: Pair, transaction: Transaction, **changes: Any) -> Any:
    """What the opener says of a transaction; `changes` are made to its state first."""
    party = pair.a
    for name, value in changes.items():
        setattr(party.core, name, value)
    log = b"".join(party.core.penalty_rows)
    return classify(party.core, party.state.keys, transaction, log, party.signer.per_commitment_point)


def test_the_closing_transaction_that_both_signed_is_a_mutual_close() -> None:
    """The usual end; our output is the wallet's at once."""
    pair = agreed_pair()
    agreed = pair.a.core.close_agreed
    assert agreed is not None
    spend = spend_of(pair, Transaction.parse(agreed.transaction))
    assert (spend.kind, spend.number, spend.is_agreed) == (SpendKind.MUTUAL_CLOSE, None, True)
    balance = onchain_balance(pair.a.core, pair.a.state.keys, spend, 300)
    (output,) = balance.outputs
    assert (output.kind, output.spendable_height, output.deadline_height) == (OnchainKind.CLOSE, 300, None)
    assert balance.certain_sat == output.amount_sat == 5_990_000 - agreed.fee_satoshis


def test_any_closing_transaction_to_the_scripts_of_both_is_a_mutual_close() -> None:
    """The peer may publish any fee that we signed on the way, or a version without its own small output."""
    pair = agreed_pair()
    form = build_closing(closing_parameters(pair.a.core, pair.a.state.keys), 4_321).transaction
    spend = spend_of(pair, form, close_agreed=None)
    assert (spend.kind, spend.is_agreed) == (SpendKind.MUTUAL_CLOSE, False)
    alone = msgspec.structs.replace(form, outputs=form.outputs[:1])
    assert spend_of(pair, alone).kind is SpendKind.MUTUAL_CLOSE
    elsewhere = msgspec.structs.replace(form.outputs[0], script_pubkey=b"\x00\x14" + bytes(20))
    assert spend_of(pair, msgspec.structs.replace(form, outputs=(elsewhere,))).kind is SpendKind.OTHER


def test_a_spend_to_known_scripts_before_any_shutdown_is_no_mutual_close() -> None:
    """An empty script matches nothing; what we did not agree to is told as unknown."""
    pair = agreed_pair()
    agreed = pair.a.core.close_agreed
    assert agreed is not None
    spend = spend_of(
        pair,
        Transaction.parse(agreed.transaction),
        close_agreed=None,
        local_shutdown_script=b"",
        remote_shutdown_script=b"",
    )
    assert spend.kind is SpendKind.OTHER
    assert onchain_balance(pair.a.core, pair.a.state.keys, spend, 300).outputs == ()
    anyone = msgspec.structs.replace(spend.transaction, outputs=(TxOut(1_000, b""),))
    assert spend_of(pair, anyone).kind is SpendKind.OTHER


def test_a_shutdown_script_cannot_disguise_a_revoked_commitment() -> None:
    """A peer may choose the script of its own old to_local as shutdown script: the close still is a theft."""
    pair = ready_pair(channel_type=STATIC)
    witness, _ = witnesses(pair)
    pair.offered(0, pending_add(1))
    pair.resolve(1, fulfil(0, 1))
    pair.pump()
    old = witness.remote[0]
    scripts = {role: old.transaction().outputs[index].script_pubkey for index, role in roles(witness, 0).items()}
    spend = spend_of(
        pair,
        old.transaction(),
        remote_shutdown_script=scripts[OutputRole.TO_LOCAL],
        local_shutdown_script=scripts[OutputRole.TO_REMOTE],
    )
    assert spend.kind is SpendKind.REMOTE_REVOKED
    check_revoked(spend.revoked, old)


def roles(witness: Witness, number: int) -> dict[int, OutputRole]:
    """The role of each output of a revoked commitment, as the monitor sees it."""
    revoked = witness.classify(witness.remote[number].transaction()).revoked
    assert revoked is not None
    return {output.output_index: output.role for output in revoked.outputs}


def test_a_transaction_with_the_marks_that_nobody_knows_is_the_peers_unknown_one() -> None:
    """We signed it, or it could not spend the output, so it is a commitment that this state has forgotten."""
    pair = ready_pair()
    witness, _ = witnesses(pair)
    pair.offered(0, pending_add(1))
    future = witness.remote[pair.a.core.remote.number].transaction()
    pair.a.journal[:] = pair.a.journal[:-4]
    pair.a.crash()
    spend = spend_of(pair, future)
    assert spend.kind is SpendKind.REMOTE_UNKNOWN
    balance = onchain_balance(pair.a.core, pair.a.state.keys, spend, 300)
    (output,) = balance.outputs
    assert (output.kind, output.spendable_height) == (OnchainKind.BALANCE, 301)
    two_inputs = msgspec.structs.replace(future, inputs=(*future.inputs, TxIn(future.inputs[0].prevout, b"", 0, ())))
    assert spend_of(pair, two_inputs).kind is SpendKind.OTHER


def test_another_commitment_with_a_number_that_is_not_revoked_is_unknown() -> None:
    """There is no secret for it, so nothing is made of it: the number alone proves nothing."""
    pair = ready_pair()
    witness, _ = witnesses(pair)
    pair.offer(0, pending_add(1))
    core = pair.a.core
    assert core.remote_prior is not None
    for number in (core.remote_prior.number, core.remote.number):
        real = witness.remote[number].transaction()
        other = msgspec.structs.replace(real, outputs=real.outputs[1:])
        assert spend_of(pair, other).kind is SpendKind.REMOTE_UNKNOWN


def test_the_secret_of_a_commitment_that_is_not_revoked_is_refused() -> None:
    """Asking for it would be a bug: justice has no claim on it."""
    pair = ready_pair()
    for number in (pair.a.core.remote.number, -1):
        with pytest.raises(ValueError, match="not revoked"):
            revoked_keys(pair.a.core, pair.a.state.keys, number)


def test_no_secret_is_in_what_is_printed() -> None:
    """A log line with the secret of a commitment would be worth its money (invariant S5)."""
    pair = ready_pair()
    witness, _ = witnesses(pair)
    pair.offered(0, pending_add(1))
    pair.resolve(1, failure(0))
    pair.pump()
    spend = witness.classify(witness.remote[0].transaction())
    assert spend.revoked is not None
    secret = spend.revoked.per_commitment_secret
    assert len(secret) == 32
    assert repr(secret) not in repr(spend)
    assert secret.hex() not in repr(spend)


def test_an_unknown_commitment_without_our_output_is_still_the_peers() -> None:
    """Anchors are on both sides' commitments; they alone do not make it one of ours."""
    pair = ready_pair(push_msat=0)
    theirs = Witness(pair.b)
    pair.offered(0, pending_add(1))
    future = theirs.remote[pair.b.core.remote.number].transaction()
    core = fold_journal(pair.b.journal[:4])
    assert core.remote.number == 0
    assert theirs.classify(future, core).kind is SpendKind.REMOTE_UNKNOWN
