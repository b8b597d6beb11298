"""The chain's side of a closed channel: what closed it, which outputs there are, and what has spent them.

Derived from the fold of the journal; kept only because it is asked for at every block.
"""

from typing import final

from leyden.bitcoin.tx import OutPoint, Transaction
from leyden.channel.build import ChannelKeys, PointOf
from leyden.channel.core import ChannelCore
from leyden.journal.records import FundingSpent, OutputSpent
from leyden.monitor.classify import Spend, classify
from leyden.monitor.watched import WatchedOutput, commitment_outputs, second_stage_script, second_stages


@final
class Seen:
    """A transaction that spends watched outputs. height: of its block. spent: what it spends, by input index. inputs:
    of the same, by outpoint; it may have hundreds.
    """

    __slots__ = ("height", "inputs", "spent", "transaction", "txid")

    def __init__(self, transaction: Transaction, height: int, spent: dict[int, WatchedOutput]) -> None:
        self.transaction = transaction
        self.txid = transaction.txid()
        self.height = height
        self.spent = spent
        self.inputs = {one.outpoint: transaction.inputs[index] for index, one in spent.items()}


@final
class ClosedView:
    """See the module.

    record: the spend of the funding output that this was made of. spend: what it is. outputs: all that are watched, by
    outpoint, second stages included. spenders: what has spent them, in a block. by_htlc: outputs of the commitment that
    hold HTLCs which we offered, by htlc_id.
    """

    __slots__ = ("_seen", "_stage_script", "by_htlc", "outputs", "record", "spend", "spenders")

    def __init__(
        self, core: ChannelCore, keys: ChannelKeys, record: FundingSpent, penalty_log: bytes, own_points: PointOf
    ) -> None:
        """Classify the spend and take in what the journal knows of its outputs.

        Args: penalty_log: what the store has (`Store.penalty_rows`). own_points: from the signer.
        """
        self.record = record
        transaction = Transaction.parse(record.transaction)
        self.spend: Spend = classify(core, keys, transaction, penalty_log, own_points)
        found = commitment_outputs(core, keys, self.spend, record.height, own_points)
        self.outputs: dict[OutPoint, WatchedOutput] = {one.outpoint: one for one in found}
        self.spenders: dict[OutPoint, Seen] = {}
        self.by_htlc: dict[int, list[WatchedOutput]] = {}
        for one in found:
            if one.htlc is not None and one.htlc.offered and one.htlc.htlc_id is not None:
                self.by_htlc.setdefault(one.htlc.htlc_id, []).append(one)
        self._seen = 0
        self._stage_script = second_stage_script(keys, self.spend)
        self.take_in(core)

    def take_in(self, core: ChannelCore) -> list[OutPoint]:
        """Take in spends that the journal has learnt since; return the outpoints that are watched because of them."""
        fresh: list[OutPoint] = []
        for record in core.output_spends[self._seen :]:
            fresh += self._add(record)
        self._seen = len(core.output_spends)
        return fresh

    def _add(self, record: OutputSpent) -> list[OutPoint]:
        transaction = Transaction.parse(record.transaction)
        spent = {
            index: self.outputs[one.prevout]
            for index, one in enumerate(transaction.inputs)
            if one.prevout in self.outputs
        }
        seen = Seen(transaction, record.height, spent)
        for one in spent.values():
            self.spenders[one.outpoint] = seen
        made = second_stages(self.spend, self._stage_script, transaction, seen.txid, record.height, spent)
        for one in made:
            self.outputs[one.outpoint] = one
        return [one.outpoint for one in made]

    def unspent(self) -> list[WatchedOutput]:
        """Return the watched outputs that no block has spent."""
        return [one for outpoint, one in self.outputs.items() if outpoint not in self.spenders]
