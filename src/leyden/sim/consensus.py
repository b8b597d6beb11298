"""Bitcoin Core's consensus code looks at every transaction that simulated nodes publish."""

from pathlib import Path

from leyden.bitcoin.tx import Transaction
from leyden.drivers.chain.memory import MemoryChain
from leyden.regtest.kernel import VERIFY_CONSENSUS, Kernel


class InvalidTransaction(AssertionError):
    """A transaction that no node of the network would take. The text says which input fails."""


class Consensus:
    """For `World.validate`. valid: how many times it has found a transaction valid."""

    def __init__(self, directory: Path) -> None:
        self._kernel = Kernel(directory)
        self.valid = 0

    def __call__(self, chain: MemoryChain, transaction: Transaction) -> None:
        """Run the scripts of all inputs whose outputs are there. Raises: InvalidTransaction."""
        txid = transaction.txid()
        spent: list[tuple[int, bytes]] = []
        for one in transaction.inputs:
            mined = chain.unspent(one.prevout, include_mempool=False)
            output = mined or chain.unspent(one.prevout, include_mempool=True)
            if output is None:
                return  # it conflicts with what is mined, or its parent is not there: the mempool says so
            spent.append((output.value_sat, output.script_pubkey))
        if sum([value for value, _ in spent]) < sum([output.value_sat for output in transaction.outputs]):
            raise InvalidTransaction(f"{txid[::-1].hex()} pays out more than it takes in")
        bad = self._kernel.first_bad_input(transaction.serialize(), spent, VERIFY_CONSENSUS)
        if bad is not None:
            raise InvalidTransaction(f"{txid[::-1].hex()}: the script of input {bad} fails")
        self.valid += 1

    def close(self) -> None:
        """Free what the library holds."""
        self._kernel.close()
