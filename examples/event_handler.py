"""One method for each kind of event: an event handler of one's own, with the node's questions answered by it.

Here with `auto_claim = false`: the node asks before it takes a payment (`PaymentClaimable`), and this program takes
only what it expects. A question is asked again after each start until it is answered.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import leyden


class EventHandler:
    """Write `on_<Event>` methods. An event is acknowledged when its method returns; if it raises, it comes again."""

    def __init__(self, node: leyden.Node) -> None:
        self.node = node

    async def run(self) -> None:
        """Handle events until cancelled."""
        async for handle in self.node.events_iterator():
            method: Callable[[leyden.Event], Awaitable[None]] = getattr(
                self, f"on_{type(handle.event).__name__}", self.on_other
            )
            await method(handle.event)
            handle.acknowledge()

    async def on_other(self, event: leyden.Event) -> None:
        """Every event that has no method of its own."""


class Cashier(EventHandler):
    """Takes round sums only."""

    def __init__(self, node: leyden.Node, finished: Callable[[leyden.Event], None]) -> None:
        super().__init__(node)
        self._finished = finished

    async def on_PaymentClaimable(self, event: leyden.PaymentClaimable) -> None:  # noqa: N802 - named for the event
        """Decide: take it or send it back. Both calls return when the decision is durable."""
        if event.amount_msat % 1_000_000 == 0:
            await self.node.claim_payment(event.set_id.hex())
        else:
            print(f"{event.amount_msat} msat is no round sum: sent back")
            await self.node.fail_payment(event.set_id.hex())

    async def on_PaymentClaimed(self, event: leyden.PaymentClaimed) -> None:  # noqa: N802
        """The money is ours, whatever happens now."""
        print(f"took {event.amount_msat} msat")
        self._finished(event)

    async def on_PaymentForwarded(self, event: leyden.PaymentForwarded) -> None:  # noqa: N802
        """Somebody else's payment went through us."""
        print(f"earned {event.fee_msat} msat")

    async def on_ChannelReady(self, event: leyden.ChannelReady) -> None:  # noqa: N802
        """A channel can be used."""
        print(f"channel {event.channel_id.hex()[:16]} is ready")


async def main(config: leyden.NodeConfig) -> None:
    """Run until Ctrl-C."""
    async with leyden.Node(config) as node:
        await Cashier(node, lambda _event: None).run()


if __name__ == "__main__":
    asyncio.run(
        main(
            leyden.NodeConfig(
                data_dir=sys.argv[1],
                bitcoind=leyden.BitcoindSettings(url="http://127.0.0.1:18443", cookie_file=sys.argv[2]),
                payments=leyden.PaymentSettings(auto_claim=False),
            )
        )
    )
