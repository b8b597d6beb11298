"""Mutants of the output rule: something leaves before the records that it rests on."""

from typing import Any

from leyden.base.errors import StorageUnavailable
from leyden.journal.node_records import BestBlock
from leyden.manager import batches
from tests.mutants.mutant import Hit, early, mutant, unbound

P1 = "P1; promise 8; DESIGN 2 Output rule"


def _asked_and_sent_at_once(original: Any, hit: Hit) -> Any:
    """Neither the request for the secret nor the message that carries it waits for the record."""
    return unbound(early(original, hit), hit)


def _send_free(_original: Any, hit: Hit) -> Any:
    def send(self: Any, peer: bytes, message: bytes, tail: Any) -> None:
        if tail.durable < tail.position:
            hit()
        self.send_free(peer, message)

    return send


def _overtaking(_original: Any, hit: Hit) -> Any:
    def send(self: Any, peer: bytes, message: bytes, tail: Any) -> None:
        line = self.lines.get(peer)
        if line is not None and line.entries and tail.durable >= tail.position:
            hit()
            self.send_free(peer, message)
        elif line is not None:
            _original(self, peer, message, tail)

    return send


def _answering_early(original: Any, hit: Hit) -> Any:
    def when_durable(self: Any, tail: Any, release: Any) -> None:
        if tail.journal == "node" and tail.durable < tail.position:
            hit()
            self._free.append(release)
        else:
            original(self, tail, release)

    return when_durable


def _closes_nothing(_original: Any, _hit: Hit) -> Any:
    return lambda _self, _peer: None


def _goes_on_with_the_old_line(original: Any, hit: Hit) -> Any:
    def open_line(self: Any, peer: bytes) -> Any:
        line = self.lines.get(peer)
        if line is None:
            return original(self, peer)
        if line.entries:
            hit()
        return line

    return open_line


def _publishes_at_once(_original: Any, hit: Hit) -> Any:
    def publish_when_durable(m: Any, slots: Any) -> None:
        hit()
        batches._publish(m, slots)

    return publish_when_durable


def _accepting_refusal(original: Any, hit: Hit) -> Any:
    def on_appended(self: Any, *values: Any) -> None:
        *rest, error = values
        if isinstance(error, StorageUnavailable):
            hit()
            error = None
        original(self, *rest, error)

    return on_appended


def _best_block_at_once(_original: Any, hit: Hit) -> Any:
    def note_best_block(m: Any, height: int, block_hash: bytes) -> None:
        if not m.outbox.is_idle():
            hit()
        m.record(BestBlock(height, block_hash))

    return note_best_block


MUTANTS = (
    mutant(
        "message before its record",
        "manager.outbox:Outbox.send",
        _send_free,
        why="the peer knows of a shutdown, an alias or an update that a crash forgets",
        guards=P1,
        scenarios=("close", "open", "both ways"),
    ),
    mutant(
        "commitment_signed before its record",
        "manager.effects:HANDLERS[fx.SendCommitmentSigned]",
        unbound,
        ("manager.effects:HANDLERS[fx.SendMessage]", unbound),
        why="after a crash another commitment with the same number is signed",
        guards=P1,
        scenarios=("direct", "both ways"),
    ),
    mutant(
        "revoke_and_ack before its record",
        "manager.effects:HANDLERS[fx.SendRevokeAndAck]",
        _asked_and_sent_at_once,
        why="the secret of a commitment is out that is ours again after a crash",
        guards=f"{P1}; S2",
        scenarios=("direct", "both ways"),
    ),
    mutant(
        "funding_signed before the channel is durable",
        "manager.peers:_SESSION[FundingCreated]",
        unbound,
        why="the opener publishes a funding that the other side does not know after a crash",
        guards="P1; P19; promise 9; DESIGN 4 Birth",
        scenarios=("open",),
    ),
    mutant(
        "funding published before the channel is durable",
        "manager.batches:publish_when_durable",
        _publishes_at_once,
        why="the money is in an output that a crash has made unknown",
        guards="P1; P19; promise 9; DESIGN 4 Birth",
        scenarios=("open",),
    ),
    mutant(
        "HTLC forwarded before it is durable here",
        "manager.receiving:judge",
        early,
        why="a forward names a source that its journal has lost",
        guards="P1; P7; promise 5; DESIGN 2 Hand-off rule 1",
        scenarios=("forward", "forward behind a late journal"),
    ),
    mutant(
        "outcome handed on before it is durable",
        "manager.effects:HANDLERS[fx.OutcomesKnown]",
        early,
        why="the failure of an HTLC is passed back that is still there after a crash",
        guards="P1; P7; promise 5; DESIGN 2 Hand-off rule 1",
        scenarios=("tests.mutants.stories:nothing_is_failed_back_on_a_fact_that_may_be_lost",),
    ),
    mutant(
        "payment told as sent before that is durable",
        "manager.sending:on_preimage",
        early,
        why="the user acts on an outcome that a crash takes back",
        guards="P1; P12; promise 7",
        scenarios=("direct",),
    ),
    mutant(
        "payment told as failed before that is durable",
        "manager.sending:_fail",
        early,
        why="the user is told of a failure, and after a crash the payment goes on",
        guards="P1; promise 7",
        scenarios=("failure",),
    ),
    mutant(
        "claim told before node knows that it was whole",
        "manager.claiming:_whole",
        early,
        why="one part forgets the claim, and at the next start the others give it up",
        guards="P1; P11; promise 2",
        scenarios=("hold two parts", "two parts"),
    ),
    mutant(
        "forward told before it is durable",
        "manager.handoff:on_forwarded",
        early,
        why="a fee is reported that the node does not know of after a crash",
        guards="P1; promise 7",
        scenarios=("forward",),
    ),
    mutant(
        "question asked before the verdict is durable",
        "manager.claiming:_show",
        early,
        why="what the user was asked about is judged anew after a crash",
        guards="P1; P5; P10; promise 3; DESIGN 1 Promises",
        scenarios=("asked behind a late journal",),
    ),
    mutant(
        "answer of the API before it is durable",
        "manager.outbox:Outbox.when_durable",
        _answering_early,
        why="a payment that was accepted is unknown after a crash",
        guards="P1; P13; promise 6; DESIGN 2 Payments",
        scenarios=("direct",),
    ),
    mutant(
        "own commitment published before Closing is durable",
        "manager.effects:HANDLERS[fx.PublishCommitment]",
        early,
        why="after a crash the channel goes on and reveals the secret of what was published",
        guards="P1; S1; DESIGN 2 Broadcast rule; DESIGN 7.6",
        scenarios=("tests.mutants.stories:a_forced_close_that_a_crash_forgets",),
    ),
    mutant(
        "closing transaction published before it is durable",
        "manager.effects:HANDLERS[fx.PublishClose]",
        early,
        why="a transaction is out that the journal does not know",
        guards=P1,
        scenarios=("close",),
    ),
    mutant(
        "best block noted before what it brought",
        "manager.chain:note_best_block",
        _best_block_at_once,
        why="a confirmation that a crash forgot is never looked for again",
        guards="P1; promise 11; DESIGN 4 Chain",
        scenarios=("funding confirms",),
    ),
    mutant(
        "message outlives its connection",
        "manager.outbox:Outbox.close_line",
        _closes_nothing,
        ("manager.outbox:Outbox.open_line", _goes_on_with_the_old_line),
        why="what was decided for one connection leaves on the next",
        guards="P6; promise 10; DESIGN 7.15",
        scenarios=("both ways",),
    ),
    mutant(
        "message overtakes one that waits for its signature",
        "manager.outbox:Outbox.send",
        _overtaking,
        why="the peer sees an order that was never decided",
        guards="P6; DESIGN 2 Output rule",
        scenarios=("close with late signers",),
    ),
    mutant(
        "effects leave although the store refused their records",
        "node.runtime:Runtime._on_appended",
        _accepting_refusal,
        why="what the peer was told is not in the journal",
        guards="P1; P24; promise 12; DESIGN 7.7",
        scenarios=("store refuses",),
    ),
)
