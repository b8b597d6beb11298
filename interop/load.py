"""Many payments between nodes of any kind, and what must hold for each of them when all is at rest."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, final

import msgspec

from interop.foreign import ForeignNode, PaymentStatus, PeerFailed, PeerRefused
from interop.scenario import ScenarioFailed
from interop.world import World
from leyden.base.errors import CommandRejected, DriverError
from leyden.demo.processes import DemoNode
from leyden.invoices import bolt11

GONE: Final = (PeerFailed, PeerRefused, DriverError, CommandRejected, OSError)
"""What calls raise while a node is being killed and started."""

SHOWN_MAX: Final = 3
STUCK_SECONDS: Final = 6.0


class Sent(msgspec.Struct, frozen=True):
    """What a payer says of a payment."""

    status: PaymentStatus
    amount_msat: int
    fee_msat: int


class Party(Protocol):
    """A node of any kind, as payer and as payee."""

    @property
    def name(self) -> str:
        """The node's name in its world."""
        ...

    @property
    def is_foreign(self) -> bool:
        """Whether it is not ours."""
        ...

    async def invoice(self, amount_msat: int) -> str:
        """Make an invoice."""
        ...

    async def pay(self, invoice: str) -> None:
        """Start to pay. Raises one of `GONE`."""
        ...

    async def sent(self) -> dict[str, Sent]:
        """Return every payment that it made, by payment hash."""
        ...

    async def status(self, payment_hash: str) -> PaymentStatus:
        """Return how far one of its payments is; raises one of `GONE` when it knows none."""
        ...

    async def received_msat(self, payment_hashes: list[str]) -> dict[str, int]:
        """Return what it has claimed for each hash; 0 for nothing."""
        ...

    async def disowned(self) -> frozenset[str]:
        """See `ForeignNode`."""
        ...


@final
class OurParty:
    """A node of ours."""

    is_foreign = False

    def __init__(self, node: DemoNode) -> None:
        self.node = node
        self.name = node.name
        self._payment_ids: dict[str, str] = {}

    async def invoice(self, amount_msat: int) -> str:
        """See `Party`."""
        return (await self.node.api.create_invoice(amount_msat, "load")).invoice

    async def pay(self, invoice: str) -> None:
        """See `Party`."""
        payment = await self.node.api.pay(invoice)
        self._payment_ids[payment.payment_hash] = payment.payment_id

    async def status(self, payment_hash: str) -> PaymentStatus:
        """See `Party`."""
        payment = await self.node.api.payment(self._payment_ids[payment_hash])
        return "pending" if payment.status == "claimable" else payment.status

    async def sent(self) -> dict[str, Sent]:
        """See `Party`."""
        return {
            one.payment_hash: Sent(
                "pending" if one.status == "claimable" else one.status, one.amount_msat, one.fee_msat
            )
            for one in await self.node.api.payments()
            if one.direction == "outbound"
        }

    async def received_msat(self, payment_hashes: list[str]) -> dict[str, int]:
        """See `Party`."""
        found = dict.fromkeys(payment_hashes, 0)
        for one in await self.node.api.payments():
            if one.direction == "inbound" and one.status == "succeeded" and one.payment_hash in found:
                found[one.payment_hash] += one.amount_msat
        return found

    async def disowned(self) -> frozenset[str]:
        """See `Party`. No payment of ours is."""
        return frozenset()


@final
class TheirParty:
    """A foreign node."""

    is_foreign = True

    def __init__(self, node: ForeignNode) -> None:
        self.node = node
        self.name = node.name

    async def invoice(self, amount_msat: int) -> str:
        """See `Party`."""
        return await self.node.create_invoice(amount_msat, "load")

    async def pay(self, invoice: str) -> None:
        """See `Party`."""
        await self.node.pay(invoice)

    async def status(self, payment_hash: str) -> PaymentStatus:
        """See `Party`."""
        return (await self.node.payment(payment_hash)).status

    async def sent(self) -> dict[str, Sent]:
        """See `Party`."""
        return {one.payment_hash: Sent(one.status, one.amount_msat, one.fee_msat) for one in await self.node.payments()}

    async def received_msat(self, payment_hashes: list[str]) -> dict[str, int]:
        """See `Party`."""
        return {one: await self.node.received_msat(one) for one in payment_hashes}

    async def disowned(self) -> frozenset[str]:
        """See `Party`."""
        return await self.node.disowned()


class Wish(msgspec.Struct):
    """A payment that is to be made. is_accepted: its payer has answered that it pays."""

    payer: Party
    payee: Party
    amount_msat: int
    invoice: str
    payment_hash: str
    is_accepted: bool = False

    def __str__(self) -> str:
        """Name it in a sentence."""
        return f"{self.payer.name} → {self.payee.name}, {self.amount_msat} msat, {self.payment_hash[:16]}"


async def wish(payer: Party, payee: Party, amount_msat: int) -> Wish:
    """Ask the payee for an invoice."""
    invoice = await payee.invoice(amount_msat)
    return Wish(payer, payee, amount_msat, invoice, bolt11.decode(invoice).payment_hash.hex())


async def fulfil(one: Wish) -> None:
    """Let the payer start to pay; when it dies meanwhile, nobody knows whether it does."""
    try:
        await one.payer.pay(one.invoice)
    except GONE:
        return
    one.is_accepted = True


def amount_msat(chance: random.Random, largest_msat: int) -> int:
    """Draw an amount: as often small as large, down to what has no output of its own."""
    return int(1000 * (largest_msat / 1000) ** chance.random())


class Sums(msgspec.Struct):
    """What became of payments.

    stuck: pending for ever, by payer. disowned: failed by their payee, which tells them as received; they are among the
    sent or the failed ones, and moved nothing. moved_msat: by node, received less sent. fees_msat: by node, paid on top
    """

    sent: int = 0
    failed: int = 0
    stuck: dict[str, int] = {}
    unknown: int = 0
    disowned: int = 0
    moved_msat: dict[str, int] = {}
    fees_msat: dict[str, int] = {}

    @property
    def in_words(self) -> str:
        """For the matrix."""
        never = f", {self.unknown} never begun" if self.unknown else ""
        stuck = "".join(f", {count} pending at {payer}" for payer, count in self.stuck.items())
        disowned = f", {self.disowned} of them told as received and sent back" if self.disowned else ""
        count = self.sent + self.failed + sum(self.stuck.values()) + self.unknown
        return f"{count} payments: {self.sent} sent, {self.failed} failed{stuck}{never}{disowned}"


async def _pending(wishes: list[Wish]) -> list[Wish]:
    """Return the payments that have not ended for their payers."""
    sent = await _sent(wishes)
    return [one for one in wishes if _status(one, sent) == "pending"]


async def until_ended(world: World, wishes: list[Wish], quiet: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait until every payment has ended for its payer, or is one of a foreign payer that can end no more.

    quiet: whether no channel has an HTLC. When that is so for a while, a payment that is pending has nothing to wait
    for.
    """
    open_ones: list[Wish] = []
    quiet_since = 0.0

    async def ended() -> bool:
        nonlocal quiet_since
        open_ones[:] = await _pending(wishes)
        if not open_ones:
            return True
        if not await quiet():
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > STUCK_SECONDS and all(one.payer.is_foreign for one in open_ones)

    quiet_since = time.monotonic()
    try:
        await world.until(ended, "every payment has ended for its payer", seconds)
    except ScenarioFailed as error:
        shown = "; ".join(map(str, open_ones[:SHOWN_MAX]))
        raise ScenarioFailed(f"{error}: {len(open_ones)} have not: {shown}") from None


async def audit(wishes: list[Wish]) -> tuple[Sums, list[str]]:
    """Compare what payers say with what payees say. Returns the sums, and what is wrong, in sentences."""
    sent = await _sent(wishes)
    received: dict[str, int] = {}
    disowned: set[str] = set()
    for payee in _parties([one.payee for one in wishes]):
        hashes = [one.payment_hash for one in wishes if one.payee.name == payee.name]
        received.update(await payee.received_msat(hashes))
        disowned |= await payee.disowned()
    sums, wrong = Sums(), list[str]()
    for one in wishes:
        status = _status(one, sent)
        has_msat = received[one.payment_hash]
        paid_msat = one.amount_msat if status == "succeeded" else 0
        if status in ("failed", "succeeded") and has_msat and one.payment_hash in disowned:
            # The payer may have the proof and its money back: an unsigned update_fulfill_htlc, then the failure.
            sums.disowned += 1
            has_msat = paid_msat = 0
        if has_msat != paid_msat:
            wrong.append(f"{one}: {status} for its payer, its payee has {has_msat} msat")
        if status == "unknown" and one.is_accepted:
            wrong.append(f"{one}: its payer took it on and knows nothing of it")
        sums.sent += status == "succeeded"
        sums.failed += status == "failed"
        if status == "pending":
            _add(sums.stuck, one.payer.name, 1)
        sums.unknown += status == "unknown"
        _add(sums.moved_msat, one.payee.name, has_msat)
        _add(sums.moved_msat, one.payer.name, -paid_msat)
        if status == "succeeded":
            _add(sums.fees_msat, one.payer.name, sent[(one.payer.name, one.payment_hash)].fee_msat)
    return sums, wrong


def _add(sums: dict[str, int], name: str, amount: int) -> None:
    sums[name] = sums.get(name, 0) + amount


def _status(one: Wish, sent: dict[tuple[str, str], Sent]) -> str:
    found = sent.get((one.payer.name, one.payment_hash))
    return "unknown" if found is None else found.status


def _parties(parties: list[Party]) -> list[Party]:
    return list({one.name: one for one in parties}.values())


async def _sent(wishes: list[Wish]) -> dict[tuple[str, str], Sent]:
    payers = _parties([one.payer for one in wishes])
    answers = await asyncio.gather(*[payer.sent() for payer in payers])
    return {
        (payer.name, payment_hash): one
        for payer, answer in zip(payers, answers, strict=True)
        for payment_hash, one in answer.items()
    }
