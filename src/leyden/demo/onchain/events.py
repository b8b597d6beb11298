"""What the nodes tell their users: each thing that happened once, whatever is killed, and nothing that did not happen.

The user of a node acknowledges one event in two when it hears it, and the others later. An acknowledged one must never
be told again; any other must be told in each life, under the same id and in the same words.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias, cast, final

import msgspec

from leyden.demo.errors import DemoFailed
from leyden.demo.onchain.ledger import Taken
from leyden.demo.onchain.story import HeldPayment, Opened
from leyden.demo.world import World
from leyden.node.views import EventView

QUESTION: Final = "payment_claimable"
"""No fact, so it is not acknowledged but answered."""
_OF_THE_MACHINE: Final = ("store_behind", "store_recovered")
"""What a slow disk makes a node tell is gone with its life, and no fact either."""
_SUBJECTS: Final = {
    QUESTION: "payment_hash",
    "payment_claimed": "payment_hash",
    "payment_sent": "payment_hash",
    "payment_failed": "payment_hash",
    "payment_forwarded": "inbound_channel_id",
    "channel_ready": "channel_id",
    "channel_closed": "channel_id",
}
_OURS_ALONE: Final = ("to_local", "to_remote", "second_stage")

Fact: TypeAlias = tuple[str, str, str]
"""Whom it is told to, type of the event, and what it is about: a payment hash, a channel_id, an output."""


class Told(msgspec.Struct):
    """An event that was told."""

    event: EventView
    is_acknowledged: bool = False


@final
class History:
    """All that one node has told. told_again: events that a new life had to repeat, and did."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: dict[str, Told] = {}
        self.wrong: list[str] = []
        self.told_again = 0

    def copy(self) -> "History":
        """Return what was told up to now, as a copy of the node's data knows it."""
        made = History(self.name)
        made.told = {event_id: Told(one.event, one.is_acknowledged) for event_id, one in self.told.items()}
        return made

    def hear(self, events: Sequence[EventView]) -> None:
        """Take in all that the node tells now: every event that is not acknowledged."""
        for event in events:
            known = self.told.setdefault(event.event_id, Told(event))
            if known.is_acknowledged:
                self.wrong.append(f"{self.name} tells {event.event_id} again, which was acknowledged")
            elif known.event != event:
                self.wrong.append(f"{self.name} tells {event.event_id} again in other words: {event.fields}")

    def missing(self, events: Sequence[EventView]) -> list[str]:
        """Return the ids of what was told, is not acknowledged, and is not among what the node tells now."""
        there = {event.event_id for event in events}
        return [event_id for event_id in self.open() if event_id not in there]

    def open(self) -> list[str]:
        """Return the ids of what the user has not acknowledged."""
        return [
            event_id
            for event_id, one in self.told.items()
            if not one.is_acknowledged and one.event.type not in (QUESTION, *_OF_THE_MACHINE)
        ]

    def facts(self) -> list[Fact]:
        """Return what was told."""
        return [
            (self.name, event.type, subject)
            for event in self._events()
            if event.type not in _OF_THE_MACHINE
            for subject in subjects(event)
        ]

    def payments_msat(self) -> int:
        """Return what payments brought, by what was told."""
        amounts = {"payment_claimed": 1, "payment_sent": -1}
        return sum([amounts.get(event.type, 0) * _amount(event, "amount_msat") for event in self._events()])

    def forwarding_msat(self) -> int:
        """Return what forwarding brought, less what was paid for it, by what was told."""
        fees = {"payment_forwarded": 1, "payment_sent": -1}
        return sum([fees.get(event.type, 0) * _amount(event, "fee_msat") for event in self._events()])

    def counts(self) -> dict[str, int]:
        """Return how many events of each type were told."""
        return dict(Counter([event.type for event in self._events()]))

    def _events(self) -> list[EventView]:
        return [one.event for one in self.told.values()]


def _amount(event: EventView, field: str) -> int:
    return cast("int", event.fields.get(field, 0))


def subjects(event: EventView) -> list[str]:
    """Return what an event is about; an event that tells of many outputs is about each."""
    if event.type == "spendable_outputs":
        return cast("list[str]", event.fields["outputs"])
    field = _SUBJECTS.get(event.type)
    return [str(event.fields) if field is None else cast("str", event.fields[field])]


@final
class Heard:
    """The users of all nodes."""

    def __init__(self, world: World, names: Sequence[str]) -> None:
        self._world = world
        self.histories = {name: History(name) for name in names}

    async def listen(self, name: str, *, acknowledge_all: bool = False) -> None:
        """Hear a node out, and acknowledge some of what is new, or everything."""
        history, api = self.histories[name], self._world.node(name).api
        events = await api.events()
        gone = history.missing(events)
        if gone:
            raise DemoFailed(f"{name} does not tell any more: {gone}")
        known = len(history.told)
        history.hear(events)
        if history.wrong:
            raise DemoFailed("; ".join(history.wrong))
        fresh = list(history.told)[known::2]
        for event_id in history.open():
            if acknowledge_all or event_id in fresh:
                await api.acknowledge_event(event_id)
                history.told[event_id].is_acknowledged = True

    async def listen_to_all(self, *, acknowledge_all: bool = False) -> None:
        """Hear all nodes out."""
        for node in self._world.nodes:
            await self.listen(node.name, acknowledge_all=acknowledge_all)

    async def kill(self, name: str) -> None:
        """`kill -9`, after hearing the node out."""
        await self.listen(name)
        await self._world.node(name).child.kill()
        self._world.kills += 1

    async def start(self, name: str) -> None:
        """Start a node; it must tell again whatever was not acknowledged."""
        history, node = self.histories[name], self._world.node(name)
        await node.start()

        async def told_again() -> bool:
            return not history.missing(await node.api.events())

        await self._world.until(told_again, f"{name} tells again what nobody has acknowledged")
        history.told_again += len(history.open())

    async def restart(self, name: str) -> None:
        """Kill a node and start it again."""
        await self.kill(name)
        await self.start(name)

    def put_back(self, copy: History, lost_name: str) -> None:
        """An old copy of the data is put back: its user knows what the copy knows; what was told since stays apart."""
        lost = self.histories[copy.name]
        lost.name = lost_name
        self.histories[lost_name] = lost
        self.histories[copy.name] = copy


def check_told(histories: Iterable[History], expected: Iterable[Fact]) -> None:
    """Raise DemoFailed, with all that is wrong, unless each expected fact was told once and no other was."""
    everyone = list(histories)
    wrong = [sentence for history in everyone for sentence in history.wrong]
    told = Counter([fact for history in everyone for fact in history.facts()])
    wanted = Counter(expected)
    for fact in dict.fromkeys([*wanted, *told]):
        if told[fact] != wanted[fact]:
            name, kind, subject = fact
            wrong.append(f"{name} tells {kind} {told[fact]} times instead of {wanted[fact]}: {subject}")
    if wrong:
        raise DemoFailed("the events are not what happened: " + "; ".join(wrong))


def of_channels(opened: Sequence[Opened]) -> list[Fact]:
    """Both ends tell that a channel is ready, and that it is closed."""
    return [
        (name, kind, one.channel_id)
        for one in opened
        for name in (one.opener, one.other)
        for kind in ("channel_ready", "channel_closed")
    ]


def of_payment(one: HeldPayment) -> list[Fact]:
    """The payee is asked, and told when it has claimed; the payer is told how it ended."""
    ended: list[Fact] = [(one.payer, "payment_sent" if one.is_claimed else "payment_failed", one.payment_hash)]
    if one.is_claimed:
        ended.append((one.payee, "payment_claimed", one.payment_hash))
    return [(one.payee, QUESTION, one.payment_hash), *ended]


def of_outputs(taken: Iterable[Taken]) -> list[Fact]:
    """Each output that only its owner could take, and has taken."""
    return [
        (one.by, "spendable_outputs", one.outpoint)
        for one in taken
        if one.kind in _OURS_ALONE and not one.by_revocation
    ]


def check_amounts(history: History, taken: Iterable[Taken]) -> None:
    """Raise DemoFailed unless the sums that were told of outputs are what these hold."""
    values_sat = {one.outpoint: one.value_sat for one in taken}
    for one in history.told.values():
        if one.event.type == "spendable_outputs":
            held_sat = sum([values_sat.get(outpoint, 0) for outpoint in subjects(one.event)])
            if held_sat != one.event.fields["amount_sat"]:
                raise DemoFailed(f"{history.name} tells of {one.event.fields['amount_sat']} sat, it is {held_sat}")
