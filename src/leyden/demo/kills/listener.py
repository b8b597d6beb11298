"""The user of one node: hears its events, answers its questions, acknowledges some events at once and others late.

It notes what was told, in which life of the node, and sees at once when a repetition differs from the first time.
"""

import asyncio
import random
import time
from typing import Final, cast, final

import msgspec

from leyden.api.errors import NodeFault
from leyden.base.errors import CommandRejected, DriverError
from leyden.demo.kills.load import Wish
from leyden.node.control import NodeControl
from leyden.node.views import EventView

WAIT_SECONDS: Final = 1
AWAY_SECONDS: Final = 0.03
THINK_SECONDS_MAX: Final = 0.3
ACKNOWLEDGED_AT_ONCE: Final = 0.35
QUESTION: Final = "payment_claimable"
_ANSWERED: Final = ("unknown_claimable", "already_claimed")
"""The node's answer to an answer that it has already."""


class Told(msgspec.Struct):
    """An event that was told. lives: of the node, in which. acknowledged_at: when the node had confirmed that."""

    event: EventView
    lives: list[int]
    is_acknowledging: bool = False
    acknowledged_at: float | None = None


@final
class Listener:
    """See the module.

    life: counted up whenever the node is killed. wishes: by payment hash, those whose payee decides. outcomes: payment
    id to the ids of the events that ended it; claims: payment hash to those that told it as received.
    """

    def __init__(self, name: str, api: NodeControl, chance: random.Random) -> None:
        self.name = name
        self.life = 1
        self.told: dict[str, Told] = {}
        self.wishes: dict[str, Wish] = {}
        self.outcomes: dict[str, list[str]] = {}
        self.claims: dict[str, list[str]] = {}
        self.wrong: list[str] = []
        self.told_again = 0
        self.fees_earned_msat = 0
        self._api = api
        self._chance = chance
        self._group = asyncio.TaskGroup()

    @property
    def heard(self) -> int:
        """How many events were told, each counted once."""
        return len(self.told)

    async def listen(self) -> None:
        """Hear the node's events until cancelled."""
        async with self._group:
            while True:
                life, begun = self.life, time.monotonic()
                try:
                    events = await self._api.events(self._last_unacknowledged(), WAIT_SECONDS)
                except (DriverError, NodeFault):
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
                for event in events:
                    self._hear(event, life, begun)

    def _last_unacknowledged(self) -> str | None:
        """Return the event behind which the node shall go on. One that it does not know would bring all again."""
        for event_id, told in reversed(self.told.items()):
            if told.lives[-1] == self.life and not told.is_acknowledging and told.event.type != QUESTION:
                return event_id
        return None

    def _hear(self, event: EventView, life: int, begun: float) -> None:
        """Take in what was told in answer to a request made at `begun`, seconds."""
        told = self.told.get(event.event_id)
        if told is None:
            self.told[event.event_id] = told = Told(event, [life])
            self._first(event)
        else:
            if told.event != event:
                self.wrong.append(f"{self.name} tells {event.event_id} again with other contents: {event.fields}")
            if told.acknowledged_at is not None and told.acknowledged_at < begun:
                self.wrong.append(f"{self.name} tells {event.event_id} again, which was acknowledged")
            if told.lives[-1] == life:
                return
            told.lives.append(life)
            self.told_again += 1
            self.told[event.event_id] = self.told.pop(event.event_id)  # in the order of this life
        if event.type == QUESTION:
            self._group.create_task(self._answer(event))
        elif not told.is_acknowledging and self._chance.random() < ACKNOWLEDGED_AT_ONCE:
            self._group.create_task(self.acknowledge(event.event_id))

    def _first(self, event: EventView) -> None:
        fields = event.fields
        match event.type:
            case "payment_sent" | "payment_failed":
                self.outcomes.setdefault(cast("str", fields["payment_id"]), []).append(event.event_id)
            case "payment_claimed":
                self.claims.setdefault(cast("str", fields["payment_hash"]), []).append(event.event_id)
            case "payment_forwarded":
                self.fees_earned_msat += cast("int", fields["fee_msat"])
            case "payment_claimable" | "channel_ready":
                pass
            case _:
                self.wrong.append(f"{self.name} tells of {event.type}: {fields}")

    async def _answer(self, event: EventView) -> None:
        """Decide as the wish says, after a while. An answer that a crash cuts off is given when it is asked again."""
        wish = self.wishes.get(cast("str", event.fields["payment_hash"]))
        if wish is None:
            self.wrong.append(f"{self.name} asks about a payment that nobody wants: {event.fields}")
            return
        set_id = cast("str", event.fields["set_id"])
        await asyncio.sleep(self._chance.random() * THINK_SECONDS_MAX)
        try:
            if wish.kind == "refuse":
                await self._api.fail_payment(set_id)
                wish.answered = "failed"
            else:
                await self._api.claim_payment(set_id, wish.preimage.hex())
                wish.answered = "claimed"
        except CommandRejected as error:
            if error.code not in _ANSWERED:
                self.wrong.append(f"{self.name} does not take the answer to {event.event_id}: {error}")
        except (DriverError, NodeFault):
            pass

    async def acknowledge(self, event_id: str) -> None:
        """Acknowledge an event; whether that was kept is not known when the node dies meanwhile."""
        told = self.told[event_id]
        told.is_acknowledging = True
        try:
            await self._api.acknowledge_event(event_id)
        except (DriverError, NodeFault):
            return
        told.acknowledged_at = time.monotonic()

    async def acknowledge_rest(self) -> None:
        """Acknowledge whatever is not yet; an acknowledgement that a crash cut off is made again."""
        open_ids = [
            event_id
            for event_id, told in self.told.items()
            if told.acknowledged_at is None and told.event.type != QUESTION
        ]
        await asyncio.gather(*[self.acknowledge(event_id) for event_id in open_ids])

    def forget_acknowledged(self) -> None:
        """At rest: drop what is done with, so that a long run stays fast. Ids stay known in `outcomes` and `claims`."""
        self.told = {
            event_id: told
            for event_id, told in self.told.items()
            if told.acknowledged_at is None and told.event.type != QUESTION
        }
