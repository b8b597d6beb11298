"""A shop that takes payments: it asks for money, and hands the goods over exactly once, whatever crashes when.

An event stays in the node until it is acknowledged. So the shop first writes down what it did, then acknowledges: if it
dies in between, the event comes again, and the shop sees in its own book that there is nothing left to do.
"""

import asyncio
import json
import sys
from pathlib import Path

import leyden


class OrderBook:
    """The shop's own memory: which orders are paid. A real shop has a database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.paid: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def hand_over(self, payment_hash: str, amount_msat: int) -> bool:
        """Note that an order is paid; False when it was noted before."""
        if payment_hash in self.paid:
            return False
        self.paid[payment_hash] = amount_msat
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self.paid))
        temporary.replace(self._path)
        return True


async def serve(node: leyden.Node, book: OrderBook, orders: int) -> None:
    """Hand goods over until so many orders are paid."""
    async for handle in node.events_iterator():
        event = handle.event
        if isinstance(event, leyden.PaymentClaimed) and book.hand_over(event.payment_hash.hex(), event.amount_msat):
            print(f"paid: {event.amount_msat} msat for {event.payment_hash.hex()[:16]}: here are the goods")
        handle.acknowledge()
        if len(book.paid) >= orders:
            return


async def main(directory: Path, config: leyden.NodeConfig, prices_msat: list[int]) -> None:
    """Ask for a payment for each price and wait until all are paid."""
    async with leyden.Node(config) as node:
        for price_msat in prices_msat:
            invoice = await node.create_invoice(price_msat, "one coffee", expiry_seconds=600)
            print(invoice.invoice, flush=True)
        await serve(node, OrderBook(directory / "orders.json"), len(prices_msat))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    settings = leyden.NodeConfig(
        data_dir=str(place),
        bitcoind=leyden.BitcoindSettings(url="http://127.0.0.1:18443", cookie_file=str(Path(sys.argv[2]))),
    )
    asyncio.run(main(place, settings, [25_000_000, 10_000_000]))
