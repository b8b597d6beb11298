"""A channel of `test_balances.with_htlcs` whose commitment is in a block, as its monitor sees it; and spends of it."""

from leyden.bitcoin.tx import OutPoint, Transaction, TxIn, TxOut
from leyden.channel.build import ChannelKeys, PointOf
from leyden.channel.core import ChannelCore
from leyden.channel.fold import fold
from leyden.channel.snapshot import decode_core, encode_core
from leyden.journal.records import FundingSpent, OutputsDisconnected, OutputSpent
from leyden.monitor.closed import ClosedView
from leyden.monitor.commitments import CommitmentSource, possible_commitments
from leyden.monitor.watched import WatchedKind, WatchedOutput
from tests.channel.pair import Pair
from tests.channel.play import fold_journal

HEIGHT = 450
BLOCK = b"b" * 32


class ClosedChannel:
    """One party's view of a closed channel."""

    def __init__(
        self, pair: Pair, transaction: Transaction, who: int = 0, penalty_log: bytes = b"", records: int = 0
    ) -> None:
        """records: how many of the journal are kept; 0: all."""
        party = pair.parties[who]
        kept = fold_journal(party.journal[:records]) if records else party.core
        self.core: ChannelCore = decode_core(encode_core(kept))
        self.keys: ChannelKeys = party.state.keys
        self.points: PointOf = party.signer.per_commitment_point
        self.penalty_log = penalty_log
        fold(self.core, FundingSpent(transaction.serialize(), HEIGHT, BLOCK))
        self.view = self.viewed()

    def viewed(self) -> ClosedView:
        """The view as a start makes it."""
        record = self.core.spent
        assert record is not None
        return ClosedView(self.core, self.keys, record, self.penalty_log, self.points)

    def htlc(self, htlc_id: int, *, offered: bool) -> WatchedOutput:
        """The output of an HTLC."""
        (found,) = [
            one
            for one in self.view.outputs.values()
            if one.kind in (WatchedKind.HTLC, WatchedKind.REVOKED_HTLC)
            and one.htlc is not None
            and (one.htlc.offered, one.htlc.htlc_id) == (offered, htlc_id)
        ]
        return found

    def of_kind(self, kind: WatchedKind) -> WatchedOutput:
        """The only output of a kind."""
        (found,) = [one for one in self.view.outputs.values() if one.kind is kind]
        return found

    def spend(self, output: WatchedOutput, height: int, *witness: bytes, outputs: tuple[TxOut, ...] = ()) -> bytes:
        """Let a block spend an output with this witness; return the txid."""
        spending = spending_of(output.outpoint, *witness, outputs=outputs)
        fold(self.core, OutputSpent(spending.serialize(), height, BLOCK))
        self.view.take_in(self.core)
        return spending.txid()

    def disconnect(self, fork_height: int) -> None:
        """Undo blocks."""
        fold(self.core, OutputsDisconnected(fork_height))
        self.view = self.viewed()


def spending_of(outpoint: OutPoint, *witness: bytes, outputs: tuple[TxOut, ...] = ()) -> Transaction:
    """A transaction that spends an output; scripts are not looked at."""
    paid = outputs or (TxOut(1_000, b"\x00\x14" + bytes(20)),)
    return Transaction(2, (TxIn(outpoint, b"", 0, tuple(witness)),), paid, 0)


def commitment_of(pair: Pair, source: CommitmentSource, who: int = 0) -> Transaction:
    """A commitment that may confirm, without signatures, as `who` knows it."""
    party = pair.parties[who]
    possible = possible_commitments(party.core, party.state.keys, party.signer.per_commitment_point)
    (found,) = [one for one in possible if one.source is source]
    return found.commitment.transaction()
