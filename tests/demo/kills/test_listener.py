"""The user that hears a node must notice what a node may never do, and must not ask for what it may."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from leyden.api.errors import NodeNotRunning
from leyden.base.errors import CommandRejected
from leyden.demo.kills import listener as module
from leyden.demo.kills.listener import Listener
from leyden.demo.kills.load import Kind, Wish
from leyden.node.control import NodeControl
from leyden.node.views import EventView

HASH = 32 * "ab"
QUESTION = EventView(
    event_id="claimable/1", type="payment_claimable", fields={"payment_hash": HASH, "set_id": "the set"}
)
SENT = EventView(event_id="sent/1", type="payment_sent", fields={"payment_id": "one"})


class FakeNode:
    """A node that tells what a test wants, and writes down what it is asked for. away: it does not answer."""

    def __init__(self) -> None:
        self.tells: list[EventView] = []
        self.asked: list[tuple[str, ...]] = []
        self.after: list[str | None] = []
        self.away = False
        self.refuses = ""

    async def events(self, after_id: str | None, _wait_seconds: int) -> list[EventView]:
        """Tell everything, once at a time."""
        await asyncio.sleep(0)
        self.after.append(after_id)
        if self.away:
            raise NodeNotRunning("away")
        return list(self.tells)

    async def _take(self, *what: str) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise NodeNotRunning("away")
        self.asked.append(what)
        if self.refuses:
            raise CommandRejected("no", code=self.refuses)

    async def claim_payment(self, set_id: str, preimage: str) -> None:
        """See `NodeControl`."""
        await self._take("claim", set_id, preimage)

    async def fail_payment(self, set_id: str) -> None:
        """See `NodeControl`."""
        await self._take("fail", set_id)

    async def acknowledge_event(self, event_id: str) -> None:
        """See `NodeControl`."""
        await self._take("acknowledge", event_id)


class Scene:
    """A listener and its node. share: how many events it acknowledges at once."""

    def __init__(self) -> None:
        self.node = FakeNode()
        self.listener = Listener("bob", cast("NodeControl", self.node), random.Random(1))

    async def hear(self, *events: EventView) -> None:
        """Let the node tell exactly these, until whatever follows has happened."""
        self.node.tells = list(events)
        for _ in range(50):
            await asyncio.sleep(0)

    async def die(self) -> None:
        """Kill the node and start it again."""
        self.listener.life += 1
        await self.hear()


@asynccontextmanager
async def scene(monkeypatch: pytest.MonkeyPatch, *, acknowledges: bool) -> AsyncIterator[Scene]:
    """A listener at work, which answers at once."""
    monkeypatch.setattr(module, "THINK_SECONDS_MAX", 0)
    monkeypatch.setattr(module, "AWAY_SECONDS", 0)
    monkeypatch.setattr(module, "ACKNOWLEDGED_AT_ONCE", int(acknowledges))
    made = Scene()
    task = asyncio.get_running_loop().create_task(made.listener.listen())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def wish(kind: Kind = "hold") -> Wish:
    """A payment whose payee decides."""
    return Wish(kind, "alice", "bob", 1_000, "one", preimage=bytes(32), payment_hash=HASH)


async def test_a_repetition_counts_once_a_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking twice brings the same events twice; only a new life tells them again."""
    async with scene(monkeypatch, acknowledges=False) as made:
        await made.hear(SENT)
        assert (made.listener.heard, made.listener.told_again) == (1, 0)
        await made.die()
        await made.hear(SENT)
        assert (made.listener.heard, made.listener.told_again) == (1, 1)
        assert made.listener.outcomes == {"one": ["sent/1"]}
        assert made.listener.wrong == []


async def test_it_goes_on_behind_the_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each request would bring everything again; but a new life is asked for everything."""
    async with scene(monkeypatch, acknowledges=False) as made:
        await made.hear(SENT)
        assert made.node.after[-1] == "sent/1"
        made.listener.life += 1
        made.node.after.clear()
        await made.hear()
        assert made.node.after[-1] is None


async def test_another_content_under_the_same_id_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has dealt with an event trusts its id."""
    async with scene(monkeypatch, acknowledges=False) as made:
        await made.hear(SENT)
        await made.hear(EventView(event_id="sent/1", type="payment_sent", fields={"payment_id": "two"}))
        assert "with other contents" in made.listener.wrong[0]


async def test_what_was_acknowledged_must_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node has answered, so it was durable."""
    async with scene(monkeypatch, acknowledges=True) as made:
        await made.hear(SENT)
        assert made.node.asked == [("acknowledge", "sent/1")]
        await made.die()
        await made.hear(SENT)
        assert "which was acknowledged" in made.listener.wrong[0]


async def test_an_acknowledgement_without_an_answer_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node died meanwhile: it may tell the event again, and is told again that it was dealt with."""
    async with scene(monkeypatch, acknowledges=False) as made:
        await made.hear(SENT)
        made.node.away = True
        await made.listener.acknowledge("sent/1")
        await made.die()
        made.node.away = False
        await made.hear(SENT)
        assert made.listener.wrong == []
        await made.listener.acknowledge_rest()
        assert made.node.asked == [("acknowledge", "sent/1")]
        made.listener.forget_acknowledged()
        assert made.listener.told == {}


async def test_an_event_that_was_forgotten_counts_twice_when_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done with is dropped, but not out of the reckoning."""
    async with scene(monkeypatch, acknowledges=False) as made:
        await made.hear(SENT)
        made.node.tells = []
        await made.listener.acknowledge_rest()
        made.listener.forget_acknowledged()
        await made.hear(SENT)
        assert made.listener.outcomes == {"one": ["sent/1", "sent/1"]}


@pytest.mark.parametrize(
    ("kind", "asked", "answered"),
    [("hold", ("claim", "the set", 32 * "00"), "claimed"), ("refuse", ("fail", "the set"), "failed")],
)
async def test_a_question_is_answered_as_wished_in_each_life(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, asked: tuple[str, ...], answered: str
) -> None:
    """Once in each life that asks; what the node has confirmed is remembered."""
    async with scene(monkeypatch, acknowledges=False) as made:
        wanted = made.listener.wishes[HASH] = wish(kind)
        made.node.away = True
        await made.hear(QUESTION)
        made.node.away = False
        await made.hear(QUESTION)
        assert made.node.asked == [asked]
        assert wanted.answered == answered
        await made.die()
        made.node.refuses = "unknown_claimable"
        await made.hear(QUESTION)
        assert made.node.asked == [asked, asked]
        assert made.listener.wrong == []


@pytest.mark.parametrize(
    ("event", "refuses", "sentence"),
    [
        (QUESTION, "too_late", "does not take the answer"),
        (
            EventView(event_id="2", type="payment_claimable", fields={"payment_hash": "?", "set_id": ""}),
            "",
            "nobody wants",
        ),
        (EventView(event_id="3", type="channel_closed", fields={"reason": "why not"}), "", "channel_closed"),
    ],
)
async def test_what_must_not_happen_is_noted(
    monkeypatch: pytest.MonkeyPatch, event: EventView, refuses: str, sentence: str
) -> None:
    """A deadline that passed, a payment that nobody made, a channel that closed."""
    async with scene(monkeypatch, acknowledges=False) as made:
        made.listener.wishes[HASH] = wish()
        made.node.refuses = refuses
        await made.hear(event)
        assert sentence in made.listener.wrong[0]


async def test_events_are_sorted_by_what_they_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Earned fees, and receipts by hash."""
    async with scene(monkeypatch, acknowledges=False) as made:
        fields: dict[str, Any] = {"payment_hash": HASH}
        await made.hear(
            EventView(event_id="a", type="payment_claimed", fields=fields),
            EventView(event_id="b", type="payment_forwarded", fields={"fee_msat": 7}),
            EventView(event_id="c", type="channel_ready", fields={}),
            EventView(event_id="d", type="payment_failed", fields={"payment_id": "two"}),
        )
        assert made.listener.claims == {HASH: ["a"]}
        assert made.listener.fees_earned_msat == 7
        assert made.listener.outcomes == {"two": ["d"]}
        assert made.listener.wrong == []
