"""All rules together, as a user runs them."""

from pathlib import Path

from leyden.drivers.storage.memory import MemoryDisk, MemoryStore
from leyden.sim import store_contract
from leyden.sim.store_contract import RULES, Outcome, StoreMaker, Verdict
from tests.sim.store_contract.faulty import FAULTS, Place


class _Memory(StoreMaker):
    def __init__(self, directory: Path) -> None:
        assert list(directory.iterdir()) == []
        (directory / "left behind").touch()
        self._disk = MemoryDisk()

    def store(self) -> MemoryStore:
        return MemoryStore(self._disk)


def test_every_rule_has_a_store_that_breaks_it() -> None:
    """A rule that nothing breaks may check nothing; a fault that no rule knows is a hole in the contract."""
    assert {rule.name for rule in RULES} == set(FAULTS.values())
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_documentation_lists_the_rules() -> None:
    """Whoever writes a store reads the page first."""
    page = (Path(__file__).parents[3] / "docs" / "stores.md").read_text()
    rows = [tuple(row.strip("| ").split(" | ")) for row in page.splitlines() if row.startswith("| `")]
    rules = [(f"`{rule.name}`", rule.promise, *([" ".join(rule.hazards)] if rule.hazards else [])) for rule in RULES]
    assert rows == rules


async def test_check_tells_of_each_rule_and_of_what_it_could_not_try() -> None:
    """A user reads these lines: what was not tried must not look like success."""
    outcomes = await store_contract.check(_Memory)
    assert [outcome.rule for outcome in outcomes] == list(RULES)
    assert not [outcome for outcome in outcomes if outcome.verdict is Verdict.BROKEN]
    skipped = [outcome for outcome in outcomes if outcome.verdict is Verdict.NOT_TRIED]
    assert {outcome.why.split("`")[1] for outcome in skipped} == {"StoreMaker.crashes", "StoreMaker.trouble"}
    assert str(skipped[0]).startswith(f"not tried  {skipped[0].rule.name}\n")
    assert str(outcomes[0]) == "kept       new_place_is_empty"


async def test_check_goes_on_behind_a_broken_rule_and_says_what_to_do() -> None:
    """One fault often hides the next."""
    rules = [rule for rule in RULES if rule.name in ("gap_is_refused", "epoch_rises_with_every_open")]
    broken, kept = await store_contract.check(lambda _directory: Place("takes gaps"), rules)
    assert isinstance(broken, Outcome)
    assert (broken.verdict, kept.verdict) == (Verdict.BROKEN, Verdict.KEPT)
    assert "succeeded, where StorageBroken was due. What to do: refuse an append" in broken.why


async def test_store_without_faults_keeps_every_rule() -> None:
    """The place of these tests can do all that a rule may need."""
    outcomes = await store_contract.check(lambda _directory: Place())
    assert {outcome.verdict for outcome in outcomes} == {Verdict.KEPT}
