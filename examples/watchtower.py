"""A tiny watchtower: publishes what punishes a cheating peer while the node that it belongs to is away.

The node writes to a file, with `watchtower.file` in its configuration; this program reads the file on whatever machine
it was brought to. It learns nothing of any channel before somebody publishes a revoked commitment of it.
"""

import asyncio
import sys
from pathlib import Path

from leyden.bitcoin.networks import REGTEST
from leyden.bitcoin.tx import Transaction
from leyden.drivers.chain.bitcoind import BitcoindChainSource, BitcoindSettings
from leyden.drivers.chain.rpc import CookieFile
from leyden.monitor.watchtower import JusticeBlob, locator_of, open_blob
from leyden.node.justice import blob_of
from leyden.ports.chain import BlockConnected, ChainSource

TARGET_BLOCKS = 6


class Tower:
    """Keeps blobs by their locator, and looks at every transaction of every block."""

    def __init__(self, chain: ChainSource, file: Path) -> None:
        self._chain = chain
        self._file = file
        self._read = 0
        self._blobs: dict[bytes, list[JusticeBlob]] = {}
        self._breaches: dict[bytes, list[tuple[int, Transaction]]] = {}

    def take_in(self) -> None:
        """Read what was added to the file; half a line is read when the rest of it is there."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                blob = blob_of(line.decode())
                known = self._blobs.setdefault(blob.locator, [])
                if blob not in known:
                    known.append(blob)

    async def run(self) -> None:
        """Follow the chain from where it is now."""
        tip = await self._chain.tip()
        print(f"watching: from block {tip.height} on")
        async for event in self._chain.follow(tip.height, tip.hash):
            if not isinstance(event, BlockConnected):
                continue
            self.take_in()
            for txid, transaction in zip(event.block.txids, event.block.transactions, strict=True):
                if locator_of(txid) in self._blobs:
                    self._on_breach(txid, transaction)
                self._on_spend(transaction)
            for txid in self._breaches:
                await self._publish(txid)

    def _on_breach(self, txid: bytes, commitment: Transaction) -> None:
        """A commitment that should never have been published: now its blobs can be read."""
        found: list[tuple[int, Transaction]] = []
        for blob in self._blobs[locator_of(txid)]:
            try:
                justice = open_blob(txid, blob)
            except ValueError:
                continue  # for another commitment, or damaged
            taken_sat = sum([commitment.outputs[one.prevout.vout].value_sat for one in justice.inputs])
            fee_sat = taken_sat - sum([output.value_sat for output in justice.outputs])
            found.append((fee_sat * 1000 // justice.weight(), justice))
        if found:
            print(f"breach: {txid[::-1].hex()}")
            self._breaches[txid] = found

    def _on_spend(self, transaction: Transaction) -> None:
        """What is taken from a breach in a block need not be taken again; what is left may be."""
        spent = {one.prevout for one in transaction.inputs}
        for txid in list(self._breaches):
            left = [one for one in self._breaches[txid] if spent.isdisjoint([each.prevout for each in one[1].inputs])]
            if len(left) < len(self._breaches[txid]):
                print(f"taken: {transaction.txid()[::-1].hex()}")
            self._breaches[txid] = left
            if not left:
                del self._breaches[txid]

    async def _publish(self, txid: bytes) -> None:
        """Publish the fullest transaction that pays enough, and again at each block until one is in a block."""
        wanted_per_kw = (await self._chain.estimate_fee(TARGET_BLOCKS)).feerate_per_kw

        def order(one: tuple[int, Transaction]) -> tuple[int, bool, int]:
            feerate_per_kw, justice = one
            enough = feerate_per_kw >= wanted_per_kw
            return -len(justice.inputs), not enough, feerate_per_kw if enough else -feerate_per_kw

        for _feerate, justice in sorted(self._breaches[txid], key=order):
            if (await self._chain.broadcast(justice.serialize())).accepted:
                print(f"published: {justice.txid()[::-1].hex()}")
                return


def chain_of(url: str, cookie_file: Path) -> ChainSource:
    """The chain service at a URL."""
    host, _, port = url.removeprefix("http://").partition(":")
    settings = BitcoindSettings(host=host, port=int(port), credentials=CookieFile(cookie_file), network=REGTEST)
    return BitcoindChainSource(settings, lambda _works, why: print(why, file=sys.stderr))


async def main(file: Path, url: str, cookie_file: Path) -> None:
    """Watch until Ctrl-C."""
    chain = chain_of(url, cookie_file)
    try:
        await Tower(chain, file).run()
    finally:
        await chain.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), "http://127.0.0.1:18443", Path(sys.argv[2])))
