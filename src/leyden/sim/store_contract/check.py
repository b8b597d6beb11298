"""All rules, tried one after the other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from leyden.sim.store_contract import appending, compacting, crashing, failing, fencing
from leyden.sim.store_contract.maker import StoreMaker
from leyden.sim.store_contract.rule import ContractBroken, NotTried, Outcome, Rule, Verdict, run_rule

RULES: tuple[Rule, ...] = (*appending.RULES, *compacting.RULES, *fencing.RULES, *crashing.RULES, *failing.RULES)


async def check(make: Callable[[Path], StoreMaker], rules: Sequence[Rule] = RULES) -> list[Outcome]:
    """Try each rule on a place of its own and return what became of it.

    make: returns a place with nothing on it; it is given an empty directory, which goes when the rule is done.
    """
    outcomes: list[Outcome] = []
    for rule in rules:
        with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            try:
                await run_rule(rule, make(Path(directory)))
            except ContractBroken as failure:
                outcomes.append(Outcome(rule, Verdict.BROKEN, f"{failure.what}. What to do: {failure.advice}"))
            except NotTried as reason:
                outcomes.append(Outcome(rule, Verdict.NOT_TRIED, str(reason)))
            else:
                outcomes.append(Outcome(rule, Verdict.KEPT))
    return outcomes
