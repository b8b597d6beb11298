"""The output rule, entry by entry: what waits for which record, in which order it leaves, what dies unsaid."""

from leyden.journal.batch import Append
from leyden.manager.outbox import Complete, Outbox
from leyden.signer.requests import Answer, CommitmentSecretReleased, ReleaseCommitmentSecret

PEER, OTHER = b"peer", b"other"


def opened() -> Outbox:
    """An outbox with one connection."""
    outbox = Outbox()
    outbox.open_line(PEER)
    return outbox


def messages(outbox: Outbox) -> list[bytes]:
    """What may leave to the peer now."""
    return [raw for peer, raws in outbox.take_messages() if peer == PEER for raw in raws]


def append(outbox: Outbox, journal: str, *records: bytes) -> list[Append]:
    """Append records, and give them to the store."""
    for record in records:
        outbox.append(outbox.tail(journal), record)
    return outbox.take_batch()


def test_message_waits_for_the_records_of_its_journal() -> None:
    """Nothing leaves before every record that its journal held when it was decided is durable (invariant P1)."""
    outbox = opened()
    batch = append(outbox, "x", b"1", b"2")
    outbox.send(PEER, b"message", outbox.tail("x"))
    later = append(outbox, "x", b"3")
    assert messages(outbox) == []
    outbox.on_durable(batch)
    assert messages(outbox) == [b"message"]
    outbox.on_durable(later)
    assert outbox.is_idle()


def test_messages_of_one_connection_keep_their_order() -> None:
    """One that is free waits behind one that is not, whatever journals they rest on (invariant P6)."""
    outbox = opened()
    slow = append(outbox, "slow", b"1")
    outbox.send(PEER, b"first", outbox.tail("slow"))
    outbox.send(PEER, b"second", outbox.tail("fast"))
    assert messages(outbox) == []
    outbox.on_durable(slow)
    assert messages(outbox) == [b"first", b"second"]


def test_pings_overtake() -> None:
    """They rest on no record, and a slow store must not make us look dead (invariant P21)."""
    outbox = opened()
    append(outbox, "x", b"1")
    outbox.send(PEER, b"waits", outbox.tail("x"))
    outbox.send_free(PEER, b"ping")
    assert messages(outbox) == [b"ping"]


def test_messages_die_with_their_connection() -> None:
    """Only what the next connection decides is said on it (invariant P6)."""
    outbox = opened()
    batch = append(outbox, "x", b"1")
    outbox.send(PEER, b"old", outbox.tail("x"))
    outbox.open_line(PEER)
    outbox.on_durable(batch)
    assert messages(outbox) == []
    outbox.close_line(PEER)
    outbox.send(PEER, b"nobody", outbox.tail("x"))
    outbox.send_free(PEER, b"nobody")
    assert messages(outbox) == []


def test_batches_that_become_durable_out_of_order_count_only_without_gaps() -> None:
    """A journal's durable position is that of its prefix (invariant P22)."""
    outbox = opened()
    first, second, third = (append(outbox, "x", raw) for raw in (b"1", b"2", b"3"))
    outbox.send(PEER, b"behind 3", outbox.tail("x"))
    outbox.on_durable(third)
    outbox.on_durable(second)
    assert messages(outbox) == []
    assert outbox.tail("x").durable == 0
    outbox.on_durable(first)
    assert outbox.tail("x").durable == 3
    assert messages(outbox) == [b"behind 3"]


def test_effects_run_in_order_behind_their_position() -> None:
    """Hand-offs and events wait for records only, each journal by itself."""
    outbox, ran = Outbox(), []
    one = append(outbox, "x", b"1")
    outbox.when_durable(outbox.tail("x"), lambda: ran.append("first"))
    two = append(outbox, "x", b"2")
    outbox.when_durable(outbox.tail("x"), lambda: ran.append("second"))
    outbox.when_durable(outbox.tail("y"), lambda: ran.append("free"))
    assert outbox.run_released()
    assert ran == ["free"]
    outbox.on_durable(one)
    outbox.run_released()
    assert ran == ["free", "first"]
    outbox.on_durable(two)
    outbox.run_released()
    assert ran == ["free", "first", "second"]
    assert not outbox.run_released()


def test_answer_of_the_api_waits_for_all_journals() -> None:
    """A read must not show what a crash can take back (invariant P1)."""
    outbox, ran = Outbox(), []
    one, two = append(outbox, "x", b"1"), append(outbox, "y", b"1")
    outbox.when_all_durable(lambda: ran.append("answer"))
    outbox.on_durable(two)
    outbox.run_released()
    assert ran == []
    outbox.on_durable(one)
    outbox.run_released()
    assert ran == ["answer"]
    outbox.when_all_durable(lambda: ran.append("at once"))
    outbox.run_released()
    assert ran == ["answer", "at once"]


def test_batch_holds_all_journals_and_numbers_without_gaps() -> None:
    """Positions count on from what the store holds."""
    outbox = Outbox()
    outbox.tail("x", 7)
    batch = append(outbox, "x", b"8", b"9")
    outbox.append(outbox.tail("y"), b"1")
    assert [(one.journal, one.first, one.records) for one in batch] == [("x", 8, [b"8", b"9"])]
    assert [(one.journal, one.first) for one in outbox.take_batch()] == [("y", 1)]
    assert outbox.take_batch() == []
    assert outbox.queued_bytes == 3
    outbox.on_durable(batch)
    assert outbox.queued_bytes == 1


def _released(number: int) -> CommitmentSecretReleased:
    return CommitmentSecretReleased(number, b"k" * 32, number, b"s" * 32, b"p" * 33)


def test_later_messages_wait_for_a_slow_signer() -> None:
    """The order is that of the decisions; a late answer completes its own entry and no other."""
    outbox = opened()
    for number in (1, 2):
        request = ReleaseCommitmentSecret(outbox.next_request_id(), b"k" * 32, number)
        outbox.send_signed(PEER, outbox.tail("x"), request, lambda answer: b"revoke %d" % answer.commitment_number)  # type: ignore[union-attr]
    outbox.send(PEER, b"last", outbox.tail("x"))
    first, second = outbox.take_requests()
    for signing in (first, second):
        outbox.wait_for_signer(signing)
    outbox.on_late_answer(second.request.request_id, _released(2))
    assert messages(outbox) == []
    outbox.on_late_answer(first.request.request_id, _released(1))
    assert messages(outbox) == [b"revoke 1", b"revoke 2", b"last"]
    outbox.on_late_answer(first.request.request_id, _released(1))
    assert messages(outbox) == []


def test_a_secret_is_asked_for_behind_its_records() -> None:
    """A signer that remembers must not give it to a life that may lose them; and not for a connection that is gone."""
    outbox = opened()
    tail = outbox.tail("x")
    for open_again in (False, True):
        outbox.append(tail, b"record")
        request = ReleaseCommitmentSecret(outbox.next_request_id(), b"k" * 32, 1)
        outbox.send_signed(PEER, tail, request, lambda _answer: b"revoke", asks_behind=True)
        outbox.send(PEER, b"later", tail)
        assert outbox.take_requests() == []
        if open_again:
            outbox.open_line(PEER)
        outbox.on_durable(outbox.take_batch())
        outbox.run_released()
        requests = outbox.take_requests()
        assert [one.request for one in requests] == ([] if open_again else [request])
        for signing in requests:
            assert messages(outbox) == []
            outbox.on_answer(signing, _released(1))
            assert messages(outbox) == [b"revoke", b"later"]


def test_answer_that_nothing_waits_for_is_dropped() -> None:
    """It names its connection, and that is gone."""
    outbox = opened()
    request = ReleaseCommitmentSecret(outbox.next_request_id(), b"k" * 32, 1)
    outbox.send_signed(PEER, outbox.tail("x"), request, lambda _answer: b"revoke")
    [signing] = outbox.take_requests()
    outbox.wait_for_signer(signing)
    outbox.open_line(PEER)
    outbox.on_late_answer(request.request_id, _released(1))
    outbox.on_answer(signing, _released(1))
    assert messages(outbox) == []


def test_message_that_its_signature_does_not_fit_is_left_out() -> None:
    """What the signer signed is no longer what is to be said: the rest goes on."""
    outbox = opened()
    request = ReleaseCommitmentSecret(outbox.next_request_id(), b"k" * 32, 1)
    outbox.send_signed(PEER, outbox.tail("x"), request, lambda _answer: None)
    outbox.send(PEER, b"next", outbox.tail("x"))
    [signing] = outbox.take_requests()
    outbox.on_answer(signing, _released(1))
    assert messages(outbox) == [b"next"]


def test_signature_waits_for_the_record_too() -> None:
    """A fast signer does not make the store durable."""
    outbox = opened()
    batch = append(outbox, "x", b"1")
    request = ReleaseCommitmentSecret(outbox.next_request_id(), b"k" * 32, 1)
    outbox.send_signed(PEER, outbox.tail("x"), request, lambda _answer: b"revoke")
    [signing] = outbox.take_requests()
    outbox.on_answer(signing, _released(1))
    assert messages(outbox) == []
    outbox.on_durable(batch)
    assert messages(outbox) == [b"revoke"]


def _noting(answered: list[bytes | None], line_of: bytes | None) -> Complete:
    def complete(_answer: Answer) -> None:
        answered.append(line_of)

    return complete


def test_question_to_the_signer_dies_with_the_connection_it_was_asked_for() -> None:
    """A closing signature belongs to one negotiation; a signature for the chain belongs to none."""
    outbox, answered = opened(), list[bytes | None]()
    for line_of in (PEER, None):
        request = ReleaseCommitmentSecret(outbox.next_request_id(), b"k" * 32, 1)
        outbox.ask_signer(request, _noting(answered, line_of), line_of)
    asked = outbox.take_requests()
    outbox.close_line(PEER)
    for signing in asked:
        outbox.on_answer(signing, _released(1))
    assert answered == [None]


def test_what_waits_is_counted_by_journal() -> None:
    """Records, effects and messages: what the user sees of a slow store, and since when."""
    outbox = opened()
    for now_us in (5, 8):
        outbox.append(outbox.tail("x"), b"record")
        outbox.take_batch(now_us)
    outbox.when_durable(outbox.tail("x"), lambda: None)
    for _ in range(2):
        outbox.send(PEER, b"message", outbox.tail("x"))
    [(journal, waiting)] = outbox.waiting().items()
    assert journal == "x"
    assert (waiting.records, waiting.effects, waiting.since_us) == (2, 3, 5)
    assert outbox.oldest_us() == 5


def test_record_that_the_store_has_not_been_given_waits_since_no_time() -> None:
    """It is the next batch's; the store cannot be slow with it yet."""
    outbox = opened()
    outbox.append(outbox.tail("x"), b"record")
    assert (outbox.waiting()["x"].records, outbox.waiting()["x"].since_us) == (1, None)
    assert outbox.oldest_us() is None
