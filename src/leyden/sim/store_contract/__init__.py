"""What every store owes a node, as rules that can be tried: `docs/stores.md`.

    class Place(store_contract.StoreMaker):
        def __init__(self, directory: Path) -> None:
            self.directory = directory

        def store(self) -> leyden.Store:
            return MyStore(self.directory)

    for outcome in asyncio.run(store_contract.check(Place)):
        print(outcome)

In a test suite: one test for each of `RULES`, which calls `run_rule` and skips at `NotTried`.
"""

from leyden.sim.store_contract.check import RULES, check
from leyden.sim.store_contract.maker import StoreMaker, Trouble
from leyden.sim.store_contract.rule import ContractBroken, NotTried, Outcome, Rule, Verdict, run_rule

__all__ = [
    "RULES",
    "ContractBroken",
    "NotTried",
    "Outcome",
    "Rule",
    "StoreMaker",
    "Trouble",
    "Verdict",
    "check",
    "run_rule",
]
