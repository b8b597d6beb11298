"""The output rule: nothing leaves before every record its journal held when it was decided is durable (invariant P1).

Two queues do it. Messages of one connection leave in the order they were decided, each behind a position of the journal
that decided it; everything else waits in the journal's own queue. No task, future or callback object stands behind an
entry.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from leyden.journal.batch import Append
from leyden.signer.requests import Answer, Request

Complete: TypeAlias = Callable[[Answer], bytes | None]
"""From the signer's answer to the message it completes; None drops the entry."""

Release: TypeAlias = Callable[[], None]
"""What runs when records are durable. One for a batch of facts, never one for an HTLC."""


class Tail(msgspec.Struct, gc=False):
    """The end of one journal: its name, how many records it holds, how many of them are durable, and what waits.

    given: what the store has and is not durable, in runs: the last position of each, and when it was given.
    unsent: the peer's commitment that was signed in this life and whose signature has not left yet; 0: none.
    """

    journal: str
    position: int
    durable: int
    records: list[bytes] = []
    waiting: deque[tuple[int, Release]] = msgspec.field(default_factory=deque)
    queued_bytes: int = 0
    given: list[tuple[int, int]] = []
    unsent: int = 0


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """What of one journal waits for the store. since_us: when the oldest was given to it; None: it has none.

    effects: messages, hand-offs, events and answers that are held back.
    """

    records: int = 0
    bytes: int = 0
    effects: int = 0
    since_us: int | None = None


class Entry(msgspec.Struct, gc=False):
    """A message of one connection. `message` is empty while the signer has not answered. signs: a commitment."""

    tail: Tail
    position: int
    message: bytes
    dropped: bool = False
    signs: bool = False


class Line(msgspec.Struct, gc=False):
    """The outgoing messages of one connection. `ready`: free to be written, in order."""

    peer: bytes
    entries: deque[Entry] = msgspec.field(default_factory=deque)
    ready: list[bytes] = []
    open: bool = True


class Signing(msgspec.Struct, gc=False):
    """A request to the signer, and the entry that waits for it (None: the answer goes elsewhere)."""

    request: Request
    entry: Entry | None
    line: Line | None
    complete: Complete


class Outbox:
    """All queues of one node. The driver takes batches from it and tells it what became durable."""

    def __init__(self) -> None:
        self.tails: dict[str, Tail] = {}
        self.lines: dict[bytes, Line] = {}
        self._dirty: dict[str, Tail] = {}
        self._touched: dict[bytes, Line] = {}
        self._waiting: dict[bytes, Line] = {}
        self._to_sign: list[Signing] = []
        self._waiting_signer: dict[int, Signing] = {}
        self._free: deque[Release] = deque()
        self._early: dict[str, list[tuple[int, int]]] = {}
        self._next_request = 0
        self.queued_bytes = 0

    # --- records -------------------------------------------------------------------------------------------------

    def tail(self, journal: str, position: int = 0) -> Tail:
        """Return the tail of a journal; a new one starts durable at `position` (what the store holds)."""
        tail = self.tails.get(journal)
        if tail is None:
            tail = self.tails[journal] = Tail(journal, position, position)
        return tail

    def close_tail(self, tail: Tail) -> None:
        """The journal goes: nothing of it is under way, and nothing is appended any more."""
        assert not tail.waiting, "what waits for a journal is over before it goes"
        assert tail.durable == tail.position, "a journal goes when all of it is durable"
        del self.tails[tail.journal]

    def append(self, tail: Tail, encoded: bytes) -> None:
        """Append one encoded record."""
        tail.position += 1
        tail.records.append(encoded)
        tail.queued_bytes += len(encoded)
        self.queued_bytes += len(encoded)
        self._dirty[tail.journal] = tail

    def has_batch(self) -> bool:
        """Return whether records were appended since the last batch."""
        return bool(self._dirty)

    def take_batch(self, now_us: int = 0) -> list[Append]:
        """Return all records appended since the last call, for the store. now_us: microseconds on any clock that never
        steps back.
        """
        batch = [
            Append(tail.journal, tail.position - len(tail.records) + 1, tail.records) for tail in self._dirty.values()
        ]
        for tail in self._dirty.values():
            tail.records = []
            tail.given.append((tail.position, now_us))
        self._dirty = {}
        return batch

    def on_durable(self, batch: Iterable[Append]) -> None:
        """The store has made `batch` durable. Batches of one journal may be reported in any order.

        A journal's durable position moves only over a prefix without gaps.
        """
        for append in batch:
            tail = self.tails[append.journal]
            last = append.first + len(append.records) - 1
            size = sum(map(len, append.records))
            tail.queued_bytes -= size
            self.queued_bytes -= size
            if append.first > tail.durable + 1:
                self._early.setdefault(append.journal, []).append((append.first, last))
                continue
            tail.durable = max(tail.durable, last)
            self._close_gaps(tail)
            given = tail.given
            while given and given[0][0] <= tail.durable:
                given.pop(0)
            waiting = tail.waiting
            while waiting and waiting[0][0] <= tail.durable:
                self._free.append(waiting.popleft()[1])
        for peer, line in list(self._waiting.items()):
            self._drain(line)
            if not line.entries:
                del self._waiting[peer]

    def _close_gaps(self, tail: Tail) -> None:
        early = self._early.get(tail.journal)
        if not early:
            return
        early.sort()
        while early and early[0][0] <= tail.durable + 1:
            tail.durable = max(tail.durable, early.pop(0)[1])

    def when_durable(self, tail: Tail, release: Release) -> None:
        """Run `release` once every record that `tail` holds now is durable."""
        if tail.durable >= tail.position:
            self._free.append(release)
        else:
            tail.waiting.append((tail.position, release))

    def when_all_durable(self, release: Release) -> None:
        """Run `release` once every record that any journal holds now is durable (answers of the API, invariant P1)."""
        self.when_these_durable(self.tails.values(), release)

    def when_these_durable(self, tails: Iterable[Tail], release: Release) -> None:
        """Run `release` once every record that these journals hold now is durable."""
        behind = [tail for tail in tails if tail.durable < tail.position]
        if not behind:
            self._free.append(release)
            return
        left = len(behind)

        def one() -> None:
            nonlocal left
            left -= 1
            if not left:
                release()

        for tail in behind:
            tail.waiting.append((tail.position, one))

    def run_released(self) -> bool:
        """Run what is free; return whether anything ran. What it appends may free more only after the next commit."""
        ran = False
        while self._free:
            ran = True
            self._free.popleft()()
        return ran

    # --- messages ------------------------------------------------------------------------------------------------

    def open_line(self, peer: bytes) -> Line:
        """A connection to `peer` (node_id) begins; messages of an older one die."""
        self.close_line(peer)
        line = self.lines[peer] = Line(peer)
        return line

    def close_line(self, peer: bytes) -> None:
        """The connection is gone, and every message decided in it (DESIGN section 2, "Output rule")."""
        line = self.lines.pop(peer, None)
        self._touched.pop(peer, None)
        self._waiting.pop(peer, None)
        if line is None:
            return
        line.open = False
        line.entries.clear()
        line.ready = []
        for request_id in [key for key, signing in self._waiting_signer.items() if signing.line is line]:
            del self._waiting_signer[request_id]

    def send(self, peer: bytes, message: bytes, tail: Tail) -> None:
        """Queue a message that a journal decided."""
        line = self.lines.get(peer)
        if line is None:
            return
        if not line.entries and tail.durable >= tail.position:
            line.ready.append(message)
            self._touched[peer] = line
        else:
            line.entries.append(Entry(tail, tail.position, message))
            self._waiting[peer] = line

    def send_free(self, peer: bytes, message: bytes) -> None:
        """Send a message that rests on no record and may overtake: pings, pongs, `init`, gossip of others."""
        line = self.lines.get(peer)
        if line is not None:
            line.ready.append(message)
            self._touched[peer] = line

    def send_signed(
        self,
        peer: bytes,
        tail: Tail,
        request: Request,
        complete: Complete,
        *,
        signs: bool = False,
        asks_behind: bool = False,
    ) -> None:
        """Queue a message that the signer completes; later messages of the connection wait behind it.

        signs: it is our signature on a commitment, which may be taken back while it has not left (invariant P18).
        asks_behind: the request itself waits for the records. A secret that was given out to a life which lost them is
        out: a signer that remembers would refuse the commitment that the next life may have to publish.
        """
        line = self.lines.get(peer)
        if line is None:
            return
        entry = Entry(tail, tail.position, b"", signs=signs)
        line.entries.append(entry)
        self._waiting[peer] = line
        signing = Signing(request, entry, line, complete)
        if asks_behind:
            self.when_durable(tail, partial(self._ask, signing))
        else:
            self._to_sign.append(signing)

    def _ask(self, signing: Signing) -> None:
        if signing.line is None or signing.line.open:
            self._to_sign.append(signing)

    def ask_signer(self, request: Request, complete: Complete, line_of: bytes | None = None) -> None:
        """Ask the signer for something that is no message; the answer dies with the connection of `line_of`."""
        line = None if line_of is None else self.lines.get(line_of)
        self._to_sign.append(Signing(request, None, line, complete))

    def next_request_id(self) -> int:
        """Return an id for a request to the signer."""
        self._next_request += 1
        return self._next_request

    def take_requests(self) -> Sequence[Signing]:
        """Return the requests to be put to the signer, in order. They are put while the store is at work."""
        requests, self._to_sign = self._to_sign, []
        return requests

    def wait_for_signer(self, signing: Signing) -> None:
        """The signer answers later."""
        self._waiting_signer[signing.request.request_id] = signing

    def on_late_answer(self, request_id: int, answer: Answer) -> None:
        """The signer's late answer; dropped when nothing waits for it."""
        signing = self._waiting_signer.pop(request_id, None)
        if signing is not None:
            self.on_answer(signing, answer)

    def on_answer(self, signing: Signing, answer: Answer) -> None:
        """Complete what waited for the signer."""
        if signing.line is not None and not signing.line.open:
            return
        message = signing.complete(answer)
        entry, line = signing.entry, signing.line
        if entry is None or line is None:
            return
        entry.message = message or b""
        entry.dropped = message is None
        self._drain(line)

    def _drain(self, line: Line) -> None:
        entries, ready = line.entries, line.ready
        while entries:
            entry = entries[0]
            if entry.tail.durable < entry.position or not (entry.message or entry.dropped):
                break
            entries.popleft()
            if not entry.dropped:
                ready.append(entry.message)
                if entry.signs:
                    entry.tail.unsent = 0
        if ready:
            self._touched[line.peer] = line

    def take_messages(self) -> list[tuple[bytes, list[bytes]]]:
        """Return what may be written now, per peer, in order."""
        if not self._touched:
            return []
        out: list[tuple[bytes, list[bytes]]] = []
        for peer, line in self._touched.items():
            if line.ready:
                out.append((peer, line.ready))
                line.ready = []
        self._touched = {}
        return out

    # --- what waits ------------------------------------------------------------------------------------------------

    def oldest_us(self) -> int | None:
        """Return when the oldest record that is not durable was given to the store; None: it has made all durable."""
        return min([tail.given[0][1] for tail in self.tails.values() if tail.given], default=None)

    def waiting(self) -> dict[str, Waiting]:
        """Return what waits for the store, by journal; journals of which nothing waits are left out."""
        effects: dict[str, int] = {}
        for line in self.lines.values():
            for entry in line.entries:
                effects[entry.tail.journal] = effects.get(entry.tail.journal, 0) + 1
        return {
            name: Waiting(
                tail.position - tail.durable,
                tail.queued_bytes,
                len(tail.waiting) + effects.get(name, 0),
                tail.given[0][1] if tail.given else None,
            )
            for name, tail in self.tails.items()
            if tail.durable < tail.position or tail.waiting or name in effects
        }

    def is_idle(self) -> bool:
        """Return whether nothing waits for the store."""
        return all(tail.durable >= tail.position for tail in self.tails.values())
