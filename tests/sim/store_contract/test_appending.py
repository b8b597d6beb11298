"""Each rule of `append` catches a store that breaks it."""

import pytest

from leyden.sim.store_contract.appending import RULES
from leyden.sim.store_contract.rule import ContractBroken, Rule, run_rule
from tests.sim.store_contract.faulty import FAULTS, Place

CAUGHT = [(fault, rule) for rule in RULES for fault, name in FAULTS.items() if name == rule.name]


@pytest.mark.parametrize("rule", RULES, ids=str)
async def test_rule_passes_a_store_that_keeps_it(rule: Rule) -> None:
    """A rule that blames the innocent is worth nothing either."""
    await run_rule(rule, Place())


@pytest.mark.parametrize(("fault", "rule"), CAUGHT, ids=str)
async def test_rule_catches_a_store_that_breaks_it(fault: str, rule: Rule) -> None:
    """A check that cannot fail is no check."""
    with pytest.raises(ContractBroken, match=f"^{rule.name}: .*What to do: "):
        await run_rule(rule, Place(fault))
