"""Mutants of what stands around the store: its promises, its fence, a store that is behind, what goes for good."""

from typing import Any

from leyden.base.errors import CommandRejected
from leyden.channel.inputs import Withdraw
from leyden.journal.batch import Append
from leyden.journal.node_records import JournalArchived
from leyden.manager import archive, withdrawing
from tests.mutants.mutant import Hit, answering, early, mutant, nothing

ARCHIVE = "P26; promise 14; DESIGN 4 Archive"
STORIES = "tests.mutants.stories:"


def _batches_are_atomic(original: Any, hit: Hit) -> Any:
    """What was given together counts as durable together."""

    def on_durable(self: Any, batch: Any) -> None:
        original(self, batch)
        for tail in self.tails.values():
            given = tail.position - len(tail.records)
            if tail.durable < given:
                hit()
                original(self, [Append(tail.journal, tail.durable + 1, [b""] * (given - tail.durable))])

    return on_durable


def _any_epoch(_original: Any, hit: Hit) -> Any:
    """The epoch was looked at before, and is not part of the write."""

    def insert(self: Any, seq: int, blob: bytearray, epoch: int) -> None:
        if epoch != self.epoch:
            hit()
        self._connection.execute("insert into log(seq, blob) values (?, ?)", (seq, blob))

    return insert


def _answers_at_once(_original: Any, hit: Hit) -> Any:
    async def durable(_self: Any, tails: Any) -> None:
        if any(tail.durable < tail.position for tail in tails):
            hit()

    return durable


def _claims_wait(original: Any, hit: Hit) -> Any:
    def claim_payment(m: Any, set_id: bytes, preimage: bytes) -> Any:
        if m.forward_hold:
            hit()
            raise CommandRejected("the store is behind", code="store_behind")
        return original(m, set_id, preimage)

    return claim_payment


def _takes_back_what_left(_original: Any, hit: Hit) -> Any:
    def on_time(m: Any) -> None:
        for slot in m.channels.values():
            core = slot.state.core
            if core.awaiting_revocation and withdrawing.stays_away(m, slot):
                if not slot.tail.unsent:
                    hit()
                m.guarded(slot, Withdraw(core.remote.number))
                slot.tail.unsent = 0

    return on_time


def _goes_before_node_says_so(_original: Any, hit: Hit) -> Any:
    def archiving(m: Any, slot: Any) -> Any:
        def run() -> None:
            hit()
            m.record(JournalArchived(slot.tail.journal))
            archive._forget(m, slot)

        return run

    return archiving


MUTANTS = (
    mutant(
        "batch taken as durable when one of its journals is",
        "manager.outbox:Outbox.on_durable",
        _batches_are_atomic,
        why="the store keeps a prefix of each journal, and no two of them agree on a moment",
        guards="P1; P22; promise 12; DESIGN 6",
        scenarios=("direct", "two parts"),
    ),
    mutant(
        "fence ignored",
        "drivers.storage.sqlite_file:SqliteFile._insert",
        _any_epoch,
        why="two copies of a node write the same journals",
        guards="P23; promise 12; DESIGN 6 Fence; DESIGN 7.8",
        scenarios=(f"{STORIES}the_fence_is_part_of_the_write",),
    ),
    mutant(
        "answer of the API shows what is not durable",
        "node.core:NodeCore.durable",
        _answers_at_once,
        why="the caller acts on what a crash makes undone",
        guards="P1; promise 8; DESIGN 2 Output rule; DESIGN 7.16",
        scenarios=(f"{STORIES}an_answer_and_a_read_wait_for_what_they_show",),
    ),
    mutant(
        "claims held back while the store is behind",
        "manager.claiming:claim_payment",
        _claims_wait,
        why="a preimage that waits is money that may be lost",
        guards="P21; promise 12; DESIGN 6",
        scenarios=(f"{STORIES}claims_pass_and_payments_wait_while_the_store_is_behind",),
    ),
    mutant(
        "payments taken while the store is behind",
        "manager.manager:Manager.require_room",
        nothing,
        why="what waits for the store grows without a bound",
        guards="P21; P20; promise 12; DESIGN 6",
        scenarios=(f"{STORIES}claims_pass_and_payments_wait_while_the_store_is_behind",),
    ),
    mutant(
        "signature taken back that may have left",
        "manager.withdrawing:on_time",
        _takes_back_what_left,
        why="the peer has it, and the HTLC is offered elsewhere as well",
        guards="P18; DESIGN 2 Output rule",
        scenarios=("tests.manager.test_withdrawing:test_signature_that_left_stays[arrives=True]",),
    ),
    mutant(
        "sources return before the withdrawal is durable",
        "manager.effects:HANDLERS[fx.AddsWithdrawn]",
        early,
        why="a crash brings the signature back beside the HTLC that replaced it",
        guards="P1; P18; DESIGN 2 Output rule",
        scenarios=(f"{STORIES}a_withdrawal_that_may_be_lost_returns_nothing",),
    ),
    mutant(
        "journal dropped while an event of it waits",
        "manager.archive:_has_facts",
        answering(False),
        why="the event is lost with it",
        guards=f"{ARCHIVE}; promise 7",
        scenarios=("tests.manager.test_archive:test_event_that_nobody_acknowledged_keeps_it",),
    ),
    mutant(
        "journal dropped while another one names it",
        "manager.archive:_named",
        answering({}),
        why="whoever asks for it takes silence for an answer",
        guards=ARCHIVE,
        scenarios=("tests.manager.test_archive:test_nothing_elsewhere_may_name_it[what='a claim that waits for it']",),
    ),
    mutant(
        "journal dropped before its spend is irrevocable",
        "manager.archive:is_resolved",
        answering(True),
        why="a reorganisation finds nobody who watches",
        guards=ARCHIVE,
        scenarios=("tests.manager.test_archive:test_journal_goes_when_the_close_is_irrevocable",),
    ),
    mutant(
        "journal dropped before node says that it is archived",
        "manager.archive:_archiving",
        _goes_before_node_says_so,
        why="a journal that is gone and not archived is a lost one: the node does not start",
        guards=ARCHIVE,
        scenarios=(f"{STORIES}nothing_is_dropped_before_node_says_so",),
    ),
)
