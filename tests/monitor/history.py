"""Two parties whose every commitment is kept, with what each of its outputs is: the truth that the monitor must find.

The truth comes from the transactions as they were built when they were valid; the monitor gets them back later, with
nothing but a state that was cut by snapshots, the penalty log of those, and the transaction.
"""

from typing import Any

from leyden.bitcoin.tx import Transaction
from leyden.channel.build import ChannelKeys, local_commitment, remote_commitment
from leyden.channel.core import ChannelCore
from leyden.channel.fold import fold
from leyden.channel.snapshot import decode_core, encode_core
from leyden.journal.codec import decode_record
from leyden.journal.records import Withdrawn
from leyden.monitor.classify import Spend, SpendKind, classify
from leyden.monitor.commitments import first_unrevoked
from leyden.monitor.recognise import OutputRole
from leyden.monitor.revoked import RevokedCommitment
from leyden.transactions.commitment import Commitment, OutputKind
from tests.channel.pair import Pair
from tests.channel.play import Party, fold_journal

_ROLES = {
    OutputKind.TO_BROADCASTER: OutputRole.TO_LOCAL,
    OutputKind.TO_COUNTERSIGNATORY: OutputRole.TO_REMOTE,
    OutputKind.BROADCASTER_ANCHOR: OutputRole.LOCAL_ANCHOR,
    OutputKind.COUNTERSIGNATORY_ANCHOR: OutputRole.REMOTE_ANCHOR,
}


def truth_of(commitment: Commitment) -> dict[int, tuple[OutputRole, bytes, bytes]]:
    """Output index -> (role, witness script, payment_hash or empty)."""
    truth = {}
    for kind, role in _ROLES.items():
        index = commitment.output_index(kind)
        if index is not None:
            truth[index] = (role, commitment.witness_script(index), b"")
    for index, htlc in commitment.htlcs:
        role = OutputRole.OFFERED_HTLC if htlc.offered else OutputRole.RECEIVED_HTLC
        truth[index] = (role, commitment.witness_script(index), htlc.payment_hash)
    assert sorted(truth) == list(range(len(commitment.transaction().outputs)))
    return truth


def check_revoked(revoked: RevokedCommitment | None, commitment: Commitment) -> None:
    """Assert that every output of a revoked commitment is recognised as what it was."""
    assert revoked is not None
    found = {
        one.output_index: (one.role, one.witness_script, b"" if one.htlc is None else one.htlc.payment_hash)
        for one in revoked.outputs
    }
    assert found == truth_of(commitment)
    assert revoked.unknown == ()
    assert revoked.keys == commitment.keys
    assert [one.value_sat for one in revoked.outputs] == [
        commitment.output_value_sat(one.output_index) for one in revoked.outputs
    ]


def check_names(revoked: RevokedCommitment | None, commitment: Commitment, core: ChannelCore) -> None:
    """Assert that an HTLC which is still live is named, once and by its amount: hashes and scripts may be equal."""
    assert revoked is not None
    live = [htlc.remote for htlc in core.outbound.values()]
    live += [htlc.remote for key, htlc in core.inbound.items() if 2 * key in core.remote.htlcs]
    amounts = {(htlc.offered, htlc.htlc_id): htlc.amount_msat for htlc in live}
    truth = dict(commitment.htlcs)
    named = []
    for output in revoked.outputs:
        if output.htlc is None:
            continue
        htlc = truth[output.output_index]
        if (htlc.offered, htlc.htlc_id) in amounts:
            assert output.htlc.htlc_id is not None
            assert output.htlc.amount_msat is not None
            assert output.htlc.amount_msat // 1000 == output.value_sat
        if output.htlc.htlc_id is not None:
            named.append((output.htlc.offered, output.htlc.htlc_id))
    assert len(named) == len(set(named))


class Journal:
    """One party's journal as a store keeps it: a snapshot, the records after it, and the penalty log."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.state = encode_core(fold_journal(party.journal[:1]))
        self.covered = 1
        self.penalty_log = b""

    def load(self) -> ChannelCore:
        """The state as after a restart."""
        core = decode_core(self.state)
        for encoded in self.party.journal[self.covered :]:
            fold(core, decode_record(encoded))
        return core

    def compact(self, times: int = 1) -> None:
        """Replace the records so far by a snapshot; its penalty rows reach the log, perhaps twice."""
        core = self.load()
        self.penalty_log += b"".join(core.penalty_rows) * times
        self.state, self.covered = encode_core(core), len(self.party.journal)


class Witness:
    """Keeps every commitment of both sides that was ever valid, as one party sees it. remote, local: by number.

    withdrawn: those of the peer that were signed and taken back.
    """

    def __init__(self, party: Party) -> None:
        self.party = party
        self.journal = Journal(party)
        self.remote: dict[int, Commitment] = {}
        self.local: dict[int, Commitment] = {}
        self.withdrawn: list[Commitment] = []
        evolve, crash = party._evolve, party.crash

        def evolve_and_note(record: Any) -> None:
            evolve(record)
            if isinstance(record, Withdrawn):
                self.withdrawn.append(self.remote.pop(record.number))
            self.note()

        def crash_and_note(lost: int = 0) -> None:
            crash(lost)
            core = party.core
            self.remote = {number: one for number, one in self.remote.items() if number <= core.remote.number}
            self.local = {number: one for number, one in self.local.items() if number <= core.local.number}
            del self.withdrawn[sum(isinstance(record, Withdrawn) for record in party.records) :]
            self.note()

        party._evolve, party.crash = evolve_and_note, crash_and_note  # type: ignore[method-assign]
        self.note()

    @property
    def keys(self) -> ChannelKeys:
        """The constants of the channel's transactions."""
        keys: ChannelKeys = self.party.state.keys
        return keys

    def note(self) -> None:
        """Keep both latest commitments."""
        core, keys, party = self.party.core, self.keys, self.party
        number = core.local.number
        if core.remote.number not in self.remote:
            self.remote[core.remote.number] = remote_commitment(keys, core.remote, core.remote_point)
        if number not in self.local:
            point = party.signer.per_commitment_point(party.keys_id, number)
            self.local[number] = local_commitment(keys, core.local, point, number)

    def classify(self, transaction: Transaction, core: ChannelCore | None = None) -> Spend:
        """What the monitor says after a restart, or with an older state."""
        known = self.journal.load() if core is None else core
        return classify(known, self.keys, transaction, self.journal.penalty_log, self.party.signer.per_commitment_point)

    def check(self) -> None:
        """Assert that the monitor knows every commitment for what it is."""
        core = self.journal.load()
        prior = None if core.remote_prior is None else core.remote_prior.number
        for number, commitment in self.remote.items():
            spend = self.classify(commitment.transaction(), core)
            expected = {core.remote.number: SpendKind.REMOTE, prior: SpendKind.REMOTE_PRIOR}
            assert spend.kind is expected.get(number, SpendKind.REMOTE_REVOKED)
            assert spend.number == number
            if spend.kind is SpendKind.REMOTE_REVOKED:
                check_revoked(spend.revoked, commitment)
                check_names(spend.revoked, commitment, core)
            else:
                assert spend.possible is not None
                assert spend.possible.commitment == commitment
        self._check_withdrawn(core)
        for number, commitment in self.local.items():
            spend = self.classify(commitment.transaction(), core)
            assert spend.number == number
            assert spend.kind is (SpendKind.LOCAL if number == core.local.number else SpendKind.LOCAL_REVOKED)

    def _check_withdrawn(self, core: ChannelCore) -> None:
        """Assert that what was taken back stays in view, until its number is revoked like any other."""
        for commitment in self.withdrawn:
            number = commitment.commitment_number
            again = self.remote.get(number)
            if again is not None and again.txid == commitment.txid:
                continue  # the same was signed once more
            spend = self.classify(commitment.transaction(), core)
            if number < first_unrevoked(core):
                assert spend.kind is SpendKind.REMOTE_REVOKED
                check_revoked(spend.revoked, commitment)
            else:
                assert spend.kind is SpendKind.REMOTE_WITHDRAWN
                assert spend.possible is not None
                assert spend.possible.commitment == commitment
                assert {htlc.key for htlc in spend.possible.htlcs} == {
                    (not htlc.offered, htlc.htlc_id) for _index, htlc in commitment.htlcs
                } | {htlc.key for htlc in spend.possible.trimmed()}

    def check_old_copy(self, records: int) -> None:
        """Assert that a state which lost all but the first `records` records knows what it does not know."""
        core = fold_journal(self.party.journal[:records])
        twice = [commitment.commitment_number for commitment in self.withdrawn]
        for number, commitment in self.remote.items():
            if number in twice:
                continue  # the copy may know the other one of that number
            kind = self.classify(commitment.transaction(), core).kind
            assert (kind is SpendKind.REMOTE_UNKNOWN) == (number > core.remote.number)
        for number, commitment in self.local.items():
            kind = self.classify(commitment.transaction(), core).kind
            assert (kind is SpendKind.LOCAL_FUTURE) == (number > core.local.number)


def witnesses(pair: Pair) -> tuple[Witness, Witness]:
    """One witness for each party. Both keep the same transactions: what one signs the other holds."""
    return Witness(pair.a), Witness(pair.b)
