"""What all steps of the demo share: the nodes, the chain, and how to wait for something."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast, final

from leyden.base.errors import DriverError
from leyden.demo.errors import DemoFailed
from leyden.demo.processes import DemoNode, Processes
from leyden.node.views import EventView, PaymentView

MINER_ADDRESS: Final = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
"""Gets what the demo's later blocks pay: the on-chain fees are counted there."""
PAY_SECONDS: Final = 30
LOOK_SECONDS: Final = 0.02
BREATH_SECONDS: Final = 0.15


@final
class World:
    """The running demo."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.put_in_msat: dict[str, int] = {}
        self.gifts_msat: dict[str, int] = {}
        self.kills = 0

    def node(self, name: str) -> DemoNode:
        """Return a node by name."""
        return self.processes.nodes[name]

    @property
    def nodes(self) -> list[DemoNode]:
        """All nodes, in order."""
        return list(self.processes.nodes.values())

    # --- the chain ----------------------------------------------------------------------------------------------------

    async def mine(self, count: int, address: str = MINER_ADDRESS) -> None:
        """Mine blocks and wait until every node has seen them."""
        await self.processes.rpc("generatetoaddress", count, address)
        await self.until_seen(cast("int", await self.processes.rpc("getblockcount")))

    async def until_seen(self, height: int) -> None:
        """Wait until every node has seen the block at this height."""

        async def seen() -> bool:
            return all([(await node.api.info()).block_height >= height for node in self.nodes])

        await self.until(seen, f"every node has seen block {height}")

    async def breathe(self) -> None:
        """Let the nodes publish what the last block asks for."""
        await asyncio.sleep(BREATH_SECONDS)

    async def wait_for_transactions(self, txids: list[str]) -> None:
        """Wait until the chain service has these in its mempool."""

        async def there() -> bool:
            pool = cast("list[str]", await self.processes.rpc("getrawmempool"))
            return all(txid in pool for txid in txids)

        await self.until(there, "the transactions are published")

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def until(self, check: Callable[[], Awaitable[bool]], what: str, seconds: float = PAY_SECONDS) -> None:
        """Wait until `check` holds. Raises DemoFailed: `what` did not happen in time."""
        deadline = time.monotonic() + seconds
        while not await self._holds(check):
            if time.monotonic() > deadline:
                raise DemoFailed(f"waited {seconds:g} s in vain until {what}")
            await asyncio.sleep(LOOK_SECONDS)

    @staticmethod
    async def _holds(check: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await check()
        except DriverError:
            return False  # a node that starts, or was just killed

    async def until_quiet(self) -> None:
        """Wait until no channel has an HTLC."""

        async def quiet() -> bool:
            return all([(await node.api.info()).htlcs_pending == 0 for node in self.nodes])

        await self.until(quiet, "no channel has an HTLC any more")

    async def until_usable(self, count: int) -> None:
        """Wait until that many ends of channels can be used."""

        async def usable() -> bool:
            return sum([len([c for c in await node.api.channels() if c.is_usable]) for node in self.nodes]) == count

        await self.until(usable, f"{count} ends of channels are usable")

    # --- paying -------------------------------------------------------------------------------------------------------

    async def pay(self, payer: str, payee: str, amount_msat: int, description: str) -> PaymentView:
        """Pay an invoice and return how that ended."""
        invoice = await self.node(payee).api.create_invoice(amount_msat, description)
        api = self.node(payer).api
        payment = await api.pay(invoice.invoice)
        return await api.wait_payment(payment.payment_id, PAY_SECONDS)

    async def pay_well(self, payer: str, payee: str, amount_msat: int, description: str) -> PaymentView:
        """Pay an invoice; it must succeed, and the payee must have exactly that."""
        payment = await self.pay(payer, payee, amount_msat, description)
        if payment.status != "succeeded":
            raise DemoFailed(f"{payer} -> {payee}: {payment.status}: {payment.reason}: {payment.advice}")
        received = await self.received(payee, payment.payment_hash)
        if received != amount_msat:
            raise DemoFailed(f"{payee} was to receive {amount_msat} msat, and has {received}")
        return payment

    async def received(self, payee: str, payment_hash: str) -> int | None:
        """Return what a node has received for a hash, in msat; None when nothing."""
        for payment in await self.node(payee).api.payments():
            if payment.direction == "inbound" and payment.payment_hash == payment_hash:
                return payment.amount_msat
        return None

    async def events(self, name: str, kind: str) -> list[EventView]:
        """Return the events of one kind that a node has told."""
        return [event for event in await self.node(name).api.events() if event.type == kind]

    # --- crashes ------------------------------------------------------------------------------------------------------

    async def kill_and_restart(self, name: str) -> float:
        """`kill -9` a node and start it again; return how long it was away, in seconds."""
        node = self.node(name)
        begun = time.monotonic()
        await node.child.kill()
        self.kills += 1
        await node.start()
        return time.monotonic() - begun
