"""One world of real nodes, and the rounds in it: load, `kill -9`, restart, rest, audit."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias, cast, final

import msgspec

from leyden.api.errors import NodeFault
from leyden.base.errors import CommandRejected, DriverError
from leyden.demo.errors import DemoFailed
from leyden.demo.kills import audit, load
from leyden.demo.kills.audit import Chain, Look, Start
from leyden.demo.kills.listener import AWAY_SECONDS, Listener
from leyden.demo.kills.load import Wish
from leyden.demo.world import MINER_ADDRESS, World
from leyden.node.views import ChannelView

Role: TypeAlias = Literal["sender", "forwarder", "receiver", "two at once"]
Block: TypeAlias = Literal["none", "before the kill", "while away"]
BLOCKS: Final[tuple[Block, ...]] = ("none", "before the kill", "while away")
ROLES: Final[tuple[Role, ...]] = ("sender", "forwarder", "receiver", "two at once")

CAPACITY_SAT: Final = 4_000_000
FUNDING_BLOCKS: Final = 101
CONFIRMATIONS: Final = 6
PROBES: Final = (("alice", "carol"), ("carol", "alice"), ("alice", "bob"), ("bob", "carol"))
REST_SECONDS: Final = 80.0
"""A payment in parts that lost one of them waits for the rest for a minute; nothing else takes long."""
HAPPENINGS_MAX: Final = 240
"""Of about 250 answers and events in a round, after how many at most somebody is killed."""
AT_ONCE_SHARE: Final = 0.3
AT_ONCE_SECONDS_MAX: Final = 0.15
"""Or this soon after the first payment was asked for, while others are being asked for or made durable."""
LATER_SECONDS_MAX: Final = 0.03
LEAVE_SHARE: Final = 0.25
KILL_AGAIN_SHARE: Final = 0.25
KILL_AGAIN_SECONDS_MAX: Final = 0.7
ASK_AGAIN_COUNT: Final = 20
AUDIT_TRIES: Final = 5
AUDIT_PAUSE_SECONDS: Final = 0.2


class Plan(msgspec.Struct, frozen=True):
    """Whom a round kills, and when: after so many happenings and so many seconds more, and again while it starts.

    block: when one is mined; whoever is away then finds it at its next start.
    """

    role: Role
    victims: tuple[str, ...]
    after_happenings: int
    after_seconds: float
    again_seconds: float | None
    block: Block


def plan(seed: str, number: int) -> Plan:
    """Return the plan of round `number`; roles come in turn, the rest by chance."""
    chance = random.Random(f"{seed}/{number}/kill")
    role = ROLES[number % len(ROLES)]
    sender, receiver = ("alice", "carol") if number % 2 == 0 else ("carol", "alice")
    victims = {"sender": (sender,), "forwarder": ("bob",), "receiver": (receiver,)}.get(role)
    at_once = chance.random() < AT_ONCE_SHARE
    return Plan(
        role,
        victims or tuple(chance.sample(("alice", "bob", "carol"), 2)),
        0 if at_once else chance.randrange(HAPPENINGS_MAX),
        chance.random() * (AT_ONCE_SECONDS_MAX if at_once else LATER_SECONDS_MAX),
        chance.random() * KILL_AGAIN_SECONDS_MAX if chance.random() < KILL_AGAIN_SHARE else None,
        chance.choice(BLOCKS),
    )


class Round(msgspec.Struct, frozen=True):
    """What happened in one round. in_flight: payments under way at the kill. restart_seconds: of each victim."""

    number: int
    role: Role
    victims: tuple[str, ...]
    kills: int
    in_flight: int
    accepted: int
    sent: int
    failed: int
    left: int
    asked_again: int
    told_again: int
    restart_seconds: list[float]
    seconds: float


class Violation(DemoFailed):
    """The audit of a round found something. sentences: all of it."""

    def __init__(self, number: int, sentences: list[str]) -> None:
        super().__init__(
            f"round {number}: {sentences[0]}" + (f" (and {len(sentences) - 1} more)" * (len(sentences) > 1))
        )
        self.number = number
        self.sentences = sentences


@final
class Rounds:
    """Rounds in one world. wishes: all payments so far."""

    def __init__(self, world: World, seed: str) -> None:
        self.world = world
        self.wishes: list[Wish] = []
        self._seed = seed
        self._start = Start({}, {})
        self._round_wishes: list[Wish] = []
        self._channels: dict[str, list[ChannelView]] = {}
        self.listeners = {
            node.name: Listener(node.name, node.api, random.Random(f"{seed}/{node.name}")) for node in world.nodes
        }

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Rounds"]:
        """Listen to the nodes meanwhile. The reckoning begins here."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(listener.listen()) for listener in self.listeners.values()]
            await self._at_rest()
            for listener in self.listeners.values():
                await listener.acknowledge_rest()
            self._start = audit.start_of(await self._look())
            yield self
            for task in tasks:
                task.cancel()

    # --- one round -----------------------------------------------------------------------------------------------

    async def one(self, number: int) -> Round:
        """Do one round. Raises Violation."""
        begun = time.perf_counter()
        todo = plan(self._seed, number)
        wishes = self._round_wishes = load.draw(self._seed, number)
        await self._prepare(wishes)
        told_before = sum(listener.told_again for listener in self.listeners.values())
        async with asyncio.TaskGroup() as group:
            height = (await self.world.node("bob").api.info()).block_height
            chance = random.Random(f"{self._seed}/{number}/ask")
            for wish in wishes:
                group.create_task(self._ask_until_known(number, wish, height, leaves=chance.random() < LEAVE_SHARE))
            in_flight, away = await self._kill(number, todo)
        await self._settle(number, wishes)
        await self._probe(number, height)
        await self._all_told(number)
        asked = await self._ask_again(number, height)
        await self._at_rest()
        await self._audit(number)
        return Round(
            number=number,
            role=todo.role,
            victims=todo.victims,
            kills=len(todo.victims) + (todo.again_seconds is not None),
            in_flight=in_flight,
            accepted=len([wish for wish in wishes if wish.is_accepted]),
            sent=len([wish for wish in wishes if self._outcome(wish) == "sent"]),
            failed=len([wish for wish in wishes if self._outcome(wish) == "failed"]),
            left=len([wish for wish in wishes if not wish.is_accepted]),
            asked_again=asked,
            told_again=sum(listener.told_again for listener in self.listeners.values()) - told_before,
            restart_seconds=away,
            seconds=time.perf_counter() - begun,
        )

    async def _prepare(self, wishes: list[Wish]) -> None:
        self.wishes += wishes
        for node in self.world.nodes:
            self._channels[node.name] = await node.api.channels()
        async with asyncio.TaskGroup() as group:
            for wish in wishes:
                group.create_task(load.prepare(self.world, wish))
        for wish in wishes:
            if wish.preimage:
                self.listeners[wish.payee].wishes[wish.payment_hash] = wish

    async def _ask_until_known(self, number: int, wish: Wish, height: int, *, leaves: bool) -> None:
        """Ask until the node answers; or, with `leaves`, give up when a crash cuts off the first answer."""
        while True:
            try:
                await load.ask(self.world, wish, self._channels[wish.payer], height)
            except CommandRejected as error:
                why = f"{wish.payer} does not take {wish.kind} {wish.payment_id}: {error}"
                raise Violation(number, [why]) from error
            except (DriverError, NodeFault):
                if leaves:
                    return
                await asyncio.sleep(AWAY_SECONDS)
            else:
                return

    def _outcome(self, wish: Wish) -> str:
        """Return `sent` or `failed` as it was told, or nothing."""
        return next(iter(self.listeners[wish.payer].outcomes.get(wish.payment_id, [])), "").partition("/")[0]

    def _happenings(self) -> int:
        accepted = len([wish for wish in self._round_wishes if wish.is_accepted])
        return accepted + sum(listener.heard for listener in self.listeners.values())

    # --- the kill ------------------------------------------------------------------------------------------------

    async def _kill(self, number: int, todo: Plan) -> tuple[int, list[float]]:
        """Wait for the moment, kill, start again; return how many payments were in flight, and the restarts' times."""
        before, deadline = self._happenings(), time.monotonic() + REST_SECONDS
        while self._happenings() - before < todo.after_happenings and not self._has_ended():
            if time.monotonic() > deadline:
                raise Violation(number, ["the load does not go on", *self._missing(), *await self._wrong()])
            await asyncio.sleep(0.002)
        await asyncio.sleep(todo.after_seconds)
        in_flight = len([wish for wish in self._round_wishes if wish.asks and not self._outcome(wish)])
        if todo.block == "before the kill":
            await self._mine()
        await asyncio.gather(*[self._end(name) for name in todo.victims])
        if todo.block == "while away":
            await self._mine()
        if todo.again_seconds is not None:
            first = todo.victims[0]
            await self.world.node(first).child.start()
            await asyncio.sleep(todo.again_seconds)
            await self._end(first)
        return in_flight, await asyncio.gather(*[self._begin(name) for name in todo.victims])

    async def _mine(self) -> None:
        await self.world.processes.rpc("generatetoaddress", 1, MINER_ADDRESS)

    def _has_ended(self) -> bool:
        return all(self._outcome(wish) for wish in self._round_wishes)

    async def _end(self, name: str) -> None:
        self.listeners[name].life += 1
        await self.world.node(name).child.kill()
        self.world.kills += 1

    async def _begin(self, name: str) -> float:
        begun = time.perf_counter()
        await self.world.node(name).start()
        return time.perf_counter() - begun

    # --- to rest -------------------------------------------------------------------------------------------------

    async def _settle(self, number: int, wishes: list[Wish]) -> None:
        """What was accepted is known. Who asked, got no answer and never asked again, may have a payment or none."""
        for wish in wishes:
            if wish.is_accepted and self._outcome(wish):
                continue
            try:
                view = await self.world.node(wish.payer).api.payment(wish.payment_id)
            except CommandRejected:
                if wish.is_accepted:
                    what = f"{wish.payer} → {wish.payee} {wish.kind} {wish.payment_id}"
                    raise Violation(number, [f"{what}: was accepted and has vanished"]) from None
            else:
                wish.is_accepted = True
                wish.payment_hash = view.payment_hash

    async def _probe(self, number: int, height: int) -> None:
        """Both ways over bob, and to and from him: channels can be used after what has happened."""
        chance = random.Random(f"{self._seed}/{number}/probe")
        await self._until(number, lambda: self._usable(number), ["not all channels are usable again"])
        probes = [
            Wish("invoice", payer, payee, chance.randrange(1_000_000, 2_000_000), chance.randbytes(32).hex())
            for payer, payee in PROBES
        ]
        await self._prepare(probes)
        await asyncio.gather(*[load.ask(self.world, probe, [], height) for probe in probes])

        async def told() -> bool:
            return all(self._outcome(probe) for probe in probes)

        await self._until(number, told, ["a probe does not end"])
        for probe in probes:
            if self._outcome(probe) != "sent":
                payment = await self.world.node(probe.payer).api.payment(probe.payment_id)
                why = f"a probe {probe.payer} → {probe.payee} failed: {payment.reason}: {payment.advice}"
                raise Violation(number, [why])

    async def _usable(self, number: int) -> bool:
        """Return whether all channels are usable. Raises Violation for one that will never be."""
        found = [(node.name, one) for node in self.world.nodes for one in await node.api.channels()]
        for name, one in found:
            if one.state != "normal" or one.halted:
                why = one.close_reason or one.halted
                raise Violation(number, [f"{name}'s channel {one.channel_id[:16]} is {one.state}: {why}"])
        return all(one.is_usable for _, one in found)

    async def _all_told(self, number: int) -> None:
        """Wait until what must be told has been: how payments ended, what was received, what was earned."""

        async def told() -> bool:
            return not self._missing()

        await self._until(number, told, ["not everything is told"])

    def _missing(self) -> list[str]:
        """Return what is not told yet."""
        missing: list[str] = []
        for wish in self._round_wishes:
            outcome = self._outcome(wish)
            if wish.is_accepted and not outcome:
                missing.append(f"{wish.payer} does not tell how {wish.kind} {wish.payment_id} ended")
            if outcome == "sent" and not self.listeners[wish.payee].claims.get(wish.payment_hash):
                missing.append(f"{wish.payee} does not tell that it received {wish.kind} {wish.payment_hash}")
        return missing

    async def _ask_again(self, number: int, height: int) -> int:
        """Ask again for some payments that have ended: the audit sees whether that paid anything."""
        chance = random.Random(f"{self._seed}/{number}/again")
        known = [wish for wish in self._round_wishes if wish.is_accepted]
        again = chance.sample(known, min(ASK_AGAIN_COUNT, len(known)))
        for wish in again:
            view = await load.ask(self.world, wish, self._channels[wish.payer], height)
            if view.payment_id != wish.payment_id or view.status == "pending":
                raise Violation(number, [f"{wish.payer} pays {wish.payment_id} again: {view.status}"])
        return len(again)

    async def _at_rest(self) -> None:
        """Wait until no channel has an HTLC. What is late is for the audit to see."""

        async def quiet() -> bool:
            return all([not (await node.api.info()).htlcs_pending for node in self.world.nodes])

        with contextlib.suppress(DemoFailed):
            await self.world.until(quiet, "no channel has an HTLC any more", REST_SECONDS)

    async def _until(self, number: int, check: Callable[[], Awaitable[bool]], otherwise: list[str]) -> None:
        try:
            await self.world.until(check, "", REST_SECONDS)
        except DemoFailed:
            raise Violation(number, [*otherwise, *self._missing(), *await self._wrong()]) from None

    # --- the audit -----------------------------------------------------------------------------------------------

    async def _look(self) -> dict[str, Look]:
        looks: dict[str, Look] = {}
        for node in self.world.nodes:
            api = node.api
            looks[node.name] = Look(
                await api.info(), await api.balance(), await api.channels(), await api.payments(), await api.events()
            )
        return looks

    async def _wrong(self) -> list[str]:
        rpc = self.world.processes.rpc
        chain = Chain(cast("int", await rpc("getblockcount")), cast("list[str]", await rpc("getrawmempool")))
        return audit.violations(self._start, await self._look(), self.wishes, self.listeners, chain)

    async def _audit(self, number: int) -> None:
        """Look at everything. A moment is left to events that are under way to their listener, no longer."""
        wrong: list[str] = []
        for _ in range(AUDIT_TRIES):
            wrong = await self._wrong()
            if not wrong:
                break
            await asyncio.sleep(AUDIT_PAUSE_SECONDS)
        if wrong:
            raise Violation(number, wrong)
        await asyncio.gather(*[listener.acknowledge_rest() for listener in self.listeners.values()])
        for node in self.world.nodes:
            left = await node.api.events()
            if left:
                raise Violation(number, [f"{node.name} still tells {left[0].event_id}, which was acknowledged"])
        for listener in self.listeners.values():
            listener.forget_acknowledged()


# --- the world ----------------------------------------------------------------------------------------------------


async def build(world: World, store_delay_ms: int) -> None:
    """Start a chain and three nodes, and open two channels alice - bob and two bob - carol, half on either side."""
    processes = world.processes
    await processes.start_chain()
    await world.mine(1)
    settings = f"\n[store]\ndelay_ms = {store_delay_ms}\n"
    async with asyncio.TaskGroup() as group:
        for name in ("alice", "bob", "carol"):
            group.create_task(processes.add_node(name, settings).start())
    alice, bob, carol = world.nodes
    for node in (alice, bob, carol):  # each keeps a reserve for its channels with anchors
        await processes.rpc("generatetoaddress", 1, (await node.api.new_address()).address)
    await world.mine(FUNDING_BLOCKS - 1)
    for one, other in ((alice, bob), (bob, carol), (carol, bob), (bob, alice)):
        # Both ways, so that each knows where to find the other after a restart.
        await one.api.connect(other.node_id, "127.0.0.1", other.port)
        if (one, other) in ((alice, bob), (bob, carol)):
            await one.api.disconnect(other.node_id)
    await bob.api.connect(carol.node_id, "127.0.0.1", carol.port)
    await alice.api.connect(bob.node_id, "127.0.0.1", bob.port)
    txids: list[str] = []
    for opener, other in ((alice, bob), (alice, bob), (bob, carol), (bob, carol)):
        opening = await opener.api.open_channel(other.node_id, CAPACITY_SAT, CAPACITY_SAT * 1000 // 2)
        txids.append(opening.funding_txid)
    await world.wait_for_transactions(txids)
    await world.mine(CONFIRMATIONS)
    await world.until_usable(sum(audit.ENDS.values()))
