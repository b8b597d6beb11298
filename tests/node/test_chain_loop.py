"""Fee estimates from a service that is sound, absurd, or away."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leyden.base.errors import ChainUnavailable, StorageBroken, StorageFenced
from leyden.manager import fees
from leyden.node import chain_loop
from leyden.node.chain_loop import ask_fees
from leyden.node.core import NodeCore
from leyden.ports.chain import FeeEstimate, FeeSource
from tests.manager.stage import Stage
from tests.sim import topologies


class Service:
    """Answers with a feerate for each target, or not at all."""

    def __init__(self, **answers: int) -> None:
        self.answers = {int(target.removeprefix("t")): rate for target, rate in answers.items()}
        self.why = ""

    async def estimate_fee(self, target_blocks: int) -> FeeEstimate:
        """See `ChainSource`."""
        if target_blocks not in self.answers:
            raise ChainUnavailable("the service is away")
        return FeeEstimate(self.answers[target_blocks], FeeSource.ESTIMATE, self.why)


def core_over(service: Service) -> NodeCore:
    """As much of a node as the question needs."""
    alice = Stage(topologies.direct())["alice"]
    made = SimpleNamespace(manager=alice.manager, runtime=alice.runtime, chain=service, alarms={})
    return cast(NodeCore, made)


def sound() -> Service:
    """Estimates as they should be."""
    return Service(t1=9_000, t2=8_000, t3=7_000, t6=3_000, t12=2_000, t24=1_000, t144=300)


async def test_estimates_reach_the_manager() -> None:
    """Each target is asked for; nothing is wrong, so nothing is said."""
    core = core_over(sound())
    core.alarms["fees"] = "of before"
    assert await ask_fees(core)
    assert core.manager.feerates == sound().answers
    assert (core.manager.env.feerate_per_kw, core.manager.env.closing_feerate_per_kw) == (3_000, 2_000)
    assert core.alarms == {}


@pytest.mark.parametrize("absurd", [0, -1, 10**9])
async def test_what_is_absurd_is_said_and_not_used(absurd: int) -> None:
    """The others stay in use."""
    service = sound()
    service.answers[6] = absurd
    core = core_over(service)
    assert await ask_fees(core)
    assert core.manager.env.feerate_per_kw == 7_000
    assert f"{absurd} sat/kw for 6 blocks is absurd" in core.alarms["fees"]


async def test_reasons_of_the_service_are_said_once() -> None:
    """Seven targets with the same reason are one sentence."""
    service = sound()
    service.why = "no estimate yet: 253 sat/kw are used instead"
    core = core_over(service)
    assert await ask_fees(core)
    assert core.alarms["fees"] == service.why


async def test_service_that_is_away_leaves_the_last_estimates() -> None:
    """Blocks go on costing what they cost a minute ago."""
    core = core_over(sound())
    await ask_fees(core)
    cast("Service", core.chain).answers = {}
    assert not await ask_fees(core)
    assert core.manager.feerates == sound().answers
    assert "3000 sat/kw are used for 6 blocks" in core.alarms["fees"]
    assert "the service is away" in core.alarms["fees"]
    cast("Service", core.chain).answers = sound().answers
    assert await ask_fees(core)
    assert core.alarms == {}


async def test_claims_hear_of_fees_without_a_store() -> None:
    """Channels are left alone, and nothing ends."""
    core = core_over(sound())
    core.runtime.broken = StorageBroken("gone")
    before = core.manager.env.feerate_per_kw
    assert await ask_fees(core)
    assert fees.feerate_for(core.manager, 1) == 9_000
    assert core.manager.env.feerate_per_kw == before


@pytest.mark.parametrize(
    ("lost", "goes_on"), [(None, True), (StorageBroken("gone"), True), (StorageFenced("taken over"), False)]
)
async def test_what_waits_for_a_block_is_published_again_by_who_has_the_store(
    lost: StorageBroken | None, monkeypatch: pytest.MonkeyPatch, *, goes_on: bool
) -> None:
    """A disk that is gone stops neither that nor the questions for fees; a life behind this one does it itself."""
    core, asked, published = core_over(sound()), list[int](), list[object]()
    estimate = core.chain.estimate_fee

    async def count(target_blocks: int) -> FeeEstimate:
        asked.append(target_blocks)
        return await estimate(target_blocks)

    async def broadcast(raw: bytes) -> None:
        published.append(raw)

    made = cast(Any, core)
    made.chain = SimpleNamespace(estimate_fee=count, broadcast=broadcast)
    made.wallet = SimpleNamespace(unconfirmed_transactions=lambda: [b"ours"])
    made.is_synced = True
    made.spawn = lambda work, _name: asyncio.ensure_future(work)
    core.runtime.broken = lost
    monkeypatch.setattr(chain_loop, "FEE_INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(chain_loop, "REBROADCAST_INTERVAL_SECONDS", 0.001)
    watching = asyncio.ensure_future(chain_loop.watch_fees(core))
    while len(asked) < 3 * len(fees.TARGETS_BLOCKS) and not watching.done():  # noqa: ASYNC110 - no event says it
        await asyncio.sleep(0.001)
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert bool(published) is goes_on


def test_log_tells_how_far_a_long_way_has_come(caplog: pytest.LogCaptureFixture) -> None:
    """After a long absence blocks are many, and channels wait for them: a line every 250 of them, none at the tip."""
    caplog.set_level(logging.INFO, logger="leyden.chain")
    for height in range(100, 801):
        chain_loop.tell_progress(cast(NodeCore, SimpleNamespace(best_height=height, blocks_behind=800 - height)))
    assert [one.getMessage() for one in caplog.records] == [
        f"block {height}, {800 - height} blocks behind" for height in (300, 550)
    ]
