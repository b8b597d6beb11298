"""The stores under `examples/` keep the contract of stores, and a careless one is caught."""

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

import leyden
from leyden.sim import store_contract
from leyden.sim.store_contract import Outcome, StoreMaker, Verdict
from tests.examples.market import config, market, open_channel
from tests.examples.test_examples import example


def broken(outcomes: list[Outcome]) -> list[str]:
    """The rules that were broken, with what was seen."""
    return [str(one) for one in outcomes if one.verdict is Verdict.BROKEN]


def not_tried(outcomes: list[Outcome]) -> set[str]:
    """The rules for which the place was not enough."""
    return {one.rule.name for one in outcomes if one.verdict is Verdict.NOT_TRIED}


class _Directory(StoreMaker):
    def __init__(self, module: ModuleType, directory: Path) -> None:
        self._module = module
        self._directory = directory
        self._copies = 0

    def store(self) -> leyden.Store:
        store: leyden.Store = self._module.DirectoryStore(self._directory / "batches")
        return store

    def crashes(self) -> Iterable[StoreMaker]:
        self._copies += 1
        into = self._directory / f"crash-{self._copies}"
        (into / "batches").mkdir(parents=True)
        for file in sorted((self._directory / "batches").glob("*.batch")):
            shutil.copy(file, into / "batches")
        (into / "batches" / "000000099.half").write_bytes(b"the end was never written")
        return [_Directory(self._module, into)]


@pytest.mark.parametrize(
    "rules",
    [store_contract.RULES[::3], pytest.param(store_contract.RULES, marks=pytest.mark.slow)],
    ids=["some", "all"],
)
async def test_store_in_a_directory_keeps_the_contract(rules: tuple[store_contract.Rule, ...]) -> None:
    """Who copies an example copies its faults. Each write syncs twice, so all of it takes a while."""
    module = example("custom_store")
    outcomes = await store_contract.check(lambda directory: _Directory(module, directory), rules)
    assert not broken(outcomes)
    assert not_tried(outcomes) <= {
        "append_under_way_never_lands_behind_the_next_open", "load_is_not_disturbed_by_the_older_store",
        "transient_failure_can_be_repeated", "nothing_overtakes_a_refused_append", "final_failure_is_final",
    }  # fmt: skip


def test_store_over_keys_and_values_says_that_it_keeps_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    """The program is what a user runs first on a store of their own."""
    example("key_value_store").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("not tried")] == ["not tried  final_failure_is_final"]
    assert not [line for line in lines if line.startswith("BROKEN")]
    assert sum(line.startswith("kept") for line in lines) == len(store_contract.RULES) - 1


async def test_fence_that_reads_before_it_writes_is_caught() -> None:
    """It is the first thing that a careful person would write, and it loses money (hazard H150)."""
    module = example("key_value_store")

    class Careless(module.Table):  # type: ignore[misc,name-defined]
        values: dict[str, bytes]

        async def write(self, changes: dict[str, bytes | None], key: str, value: bytes | None) -> bool:
            if (await self.read()).get(key) != value:
                return False
            for _ in range(5):  # a service is slow at times
                await asyncio.sleep(0)
            values: dict[str, bytes | None] = {**self.values, **changes}
            self.values = {name: new for name, new in values.items() if new is not None}
            return True

    def place(directory: Path) -> StoreMaker:
        made: StoreMaker = module.Place(directory)
        made.table = Careless()  # type: ignore[attr-defined]
        return made

    outcomes = await store_contract.check(place)
    assert {one.rule.name for one in outcomes if one.verdict is Verdict.BROKEN} >= {
        "append_under_way_never_lands_behind_the_next_open", "concurrent_openers_get_different_epochs",
    }  # fmt: skip


async def test_store_over_keys_and_values_keeps_a_node(tmp_path: Path) -> None:
    """The rules are about stores; in the end a node must pay on one, and start again."""
    module = example("key_value_store")
    table = module.Table()
    async with market(tmp_path) as (chain, customer):
        settings = config(tmp_path / "shop", chain)
        async with leyden.Node(settings, store=module.KeyValueStore(table)) as shop:
            await open_channel(chain, customer, shop)
            invoice = (await shop.create_invoice(10_000_000, "coffee")).invoice
            assert (await customer.wait_payment((await customer.pay(invoice)).payment_id)).status == "succeeded"
        async with leyden.Node(settings, store=module.KeyValueStore(table)) as shop:
            assert [one.local_msat for one in await shop.channels()] == [10_000_000]
