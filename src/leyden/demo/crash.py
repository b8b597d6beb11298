"""200 payments through bob, who is killed with `kill -9` twice: on their way there and on their way back.

Carol holds what has come until all have, so that they are in flight at once. Then she claims most and refuses some. A
payment that bob has when he starts again, and cannot forward yet because carol is not back, he fails back to alice.
Whatever bob's disk held at either moment: each payment must end, and the same way at both ends.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

import msgspec

from leyden.demo.errors import DemoFailed
from leyden.demo.screen import Screen, Step
from leyden.demo.world import PAY_SECONDS, World
from leyden.node.views import PaymentView

COUNT: Final = 200
REFUSE_EVERY: Final = 10
KILL_AT_ARRIVED: Final = 70
KILL_AT_DECIDED: Final = 60
AT_ONCE: Final = 20


class Held(msgspec.Struct):
    """One payment: what carol asked for, and what became of it."""

    preimage: bytes
    payment_hash: str
    amount_msat: int
    invoice: str
    is_refused: bool
    set_id: str = ""
    payment_id: str = ""


class CrashReport(msgspec.Struct, frozen=True):
    """How it ended. seconds_away: how long bob was away, for each kill."""

    payments: int
    succeeded: int
    refused: int
    failed_on_the_way: int
    kills: int
    arrived_at_first_kill: int
    decided_at_second_kill: int
    seconds_away: list[float]


async def pay_through_crashes(world: World, screen: Screen) -> CrashReport:
    """See the module."""
    with screen.step(f"{COUNT} payments in flight over bob, and kill -9 for bob") as step:
        step.now("carol makes invoices")
        held = [await _hold(world, number) for number in range(COUNT)]
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            paying = group.create_task(_pay_all(world, held))
            arrived = await _until_arrived(world, step, held, KILL_AT_ARRIVED)
            step.now("kill -9 bob, on their way there")
            away = [await world.kill_and_restart("bob")]
            await paying
        await _until_arrived(world, step, held, COUNT)
        decided: list[Held] = []
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_decide_all(world, held, decided, enough))
            await enough.wait()
            decided_at_kill = len(decided)
            step.now("kill -9 bob, on their way back")
            away.append(await world.kill_and_restart("bob"))
        ended = await _until_ended(world, step, held)
        await world.until_quiet()
        report = await _compare(world, held, ended, away, arrived, decided_at_kill)
        step.say(f"killed on their way there, {arrived} had reached carol; back after {away[0]:.1f} s")
        step.say(f"killed on their way back, {decided_at_kill} were decided; back after {away[1]:.1f} s")
        step.say(_ending(report))
        step.say(f"alice and carol agree on each of them, {time.perf_counter() - begun:.1f} s after the first was sent")
        return report


def _ending(report: CrashReport) -> str:
    ending = f"{report.succeeded} succeeded, {report.refused} were refused by carol"
    if report.failed_on_the_way:
        ending += f", {report.failed_on_the_way} were failed back by bob before carol was back"
    return ending


async def _hold(world: World, number: int) -> Held:
    """Make an invoice whose payment waits until carol decides."""
    preimage = secrets.token_bytes(32)
    payment_hash = hashlib.sha256(preimage).hexdigest()
    amount_msat = 10_000_000 + number * 1_001
    made = await world.node("carol").api.create_invoice(amount_msat, f"number {number}", payment_hash=payment_hash)
    return Held(preimage, payment_hash, amount_msat, made.invoice, number % REFUSE_EVERY == REFUSE_EVERY - 1)


async def _pay_all(world: World, held: list[Held]) -> None:
    async def pay(one: Held) -> None:
        started = await world.node("alice").api.pay(one.invoice, deadline_seconds=2 * PAY_SECONDS)
        one.payment_id = started.payment_id

    await _each(held, pay)


async def _each(held: list[Held], work: Callable[[Held], Awaitable[None]]) -> None:
    """Do the work for each payment, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one_of_them(one: Held) -> None:
        async with room:
            await work(one)

    async with asyncio.TaskGroup() as group:
        for one in held:
            group.create_task(one_of_them(one))


async def _until_arrived(world: World, step: Step, held: list[Held], count: int) -> int:
    """Wait until so many payments wait for carol's decision, or have come back to alice; return how many wait."""
    by_hash = {one.payment_hash: one for one in held}

    async def arrived() -> bool:
        for event in await world.events("carol", "payment_claimable"):
            one = by_hash.get(cast("str", event.fields["payment_hash"]))
            if one is not None:
                one.set_id = cast("str", event.fields["set_id"])
        step.progress("in flight to carol", _count_arrived(held), len(held))
        return _count_arrived(held) + await _count_failed(world, held) >= count

    await world.until(arrived, f"{count} payments have reached carol")
    return _count_arrived(held)


def _count_arrived(held: list[Held]) -> int:
    return len([one for one in held if one.set_id])


async def _count_failed(world: World, held: list[Held]) -> int:
    """Return how many came back without having reached carol."""
    under_way = {one.payment_id for one in held if one.payment_id and not one.set_id}
    if not under_way:
        return 0
    payments = await world.node("alice").api.payments()
    return len([one for one in payments if one.payment_id in under_way and one.status == "failed"])


async def _decide_all(world: World, held: list[Held], decided: list[Held], enough: asyncio.Event) -> None:
    """Let carol claim and refuse; `enough` is set when some are decided and others are not."""
    api = world.node("carol").api

    async def decide(one: Held) -> None:
        if one.is_refused:
            await api.fail_payment(one.set_id)
        else:
            await api.claim_payment(one.set_id, one.preimage.hex())
        decided.append(one)
        if len(decided) >= KILL_AT_DECIDED:
            enough.set()

    await _each([one for one in held if one.set_id], decide)
    enough.set()


async def _until_ended(world: World, step: Step, held: list[Held]) -> list[PaymentView]:
    """Wait until alice knows how each payment ended; return them in the order of `held`."""
    ended: dict[str, PaymentView] = {}

    async def all_ended() -> bool:
        for payment in await world.node("alice").api.payments():
            if payment.direction == "outbound" and payment.status != "pending":
                ended[payment.payment_id] = payment
        done = len([one for one in held if one.payment_id in ended])
        step.progress("resolved", done, len(held))
        return done == len(held)

    await world.until(all_ended, "all payments are resolved")
    return [ended[one.payment_id] for one in held]


async def _compare(
    world: World, held: list[Held], ended: list[PaymentView], away: list[float], arrived: int, decided: int
) -> CrashReport:
    """Compare both ends of each payment. Raises DemoFailed when they differ, or differ from what carol decided."""
    received = {
        payment.payment_hash: payment.amount_msat
        for payment in await world.node("carol").api.payments()
        if payment.direction == "inbound"
    }
    wrong: list[str] = []
    for one, payment in zip(held, ended, strict=True):
        has = received.get(one.payment_hash)
        wanted = None if one.is_refused or not one.set_id else one.amount_msat
        paid = payment.amount_msat if payment.status == "succeeded" else None
        if not (has == wanted == paid) or (paid is not None and payment.preimage != one.preimage.hex()):
            wrong.append(f"{one.payment_hash}: alice {payment.status} {payment.reason or ''}, carol has {has}")
    if wrong:
        raise DemoFailed(f"{len(wrong)} of {len(held)} payments ended differently; the first: {wrong[0]}")
    succeeded = len([payment for payment in ended if payment.status == "succeeded"])
    refused = len([one for one in held if one.is_refused and one.set_id])
    if succeeded * 2 < len(held):
        raise DemoFailed(f"only {succeeded} of {len(held)} payments succeeded")
    return CrashReport(
        payments=len(held),
        succeeded=succeeded,
        refused=refused,
        failed_on_the_way=len(held) - succeeded - refused,
        kills=len(away),
        arrived_at_first_kill=arrived,
        decided_at_second_kill=decided,
        seconds_away=[round(one, 2) for one in away],
    )
