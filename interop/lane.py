"""Runs scenarios against one kind of peer: in one world, as long as it goes well; after a failure in a fresh one."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, final

import msgspec

from interop.foreign import NotOffered, PeerFailed, PeerRefused
from interop.scenario import Extent, Outcome, PeerAtFault, Scenario, ScenarioFailed
from interop.world import PeerMaker, World
from leyden.base.errors import LeydenError
from leyden.demo.processes import Processes

START_SECONDS: Final = 120.0
UNKNOWN_VERSION: Final = "?"
"""Of a peer that has not been started."""


class Result(msgspec.Struct, frozen=True):
    """One cell of the matrix. reason: why it is not `pass`; of a pass, what there is to say of it, mostly nothing.

    is_long: of the long lane, where the scenario does more.
    """

    scenario: str
    peer: str
    version: str
    outcome: Outcome
    reason: str
    seconds: float
    is_long: bool = False


@final
class Lane:
    """The scenarios of one peer. logs: folder that gets the logs of what fails. keep: gets each result at once."""

    def __init__(
        self,
        kind: str,
        makers: Mapping[str, PeerMaker],
        logs: Path,
        say: Callable[[str], None],
        extent: Extent,
        keep: Callable[[Result], None],
    ) -> None:
        self._kind = kind
        self._makers = makers
        self._logs = logs
        self._say = say
        self._extent = extent
        self._keep = keep
        self._world: World | None = None
        self._version = UNKNOWN_VERSION

    async def run(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """Run the scenarios in order; each gives one result."""
        results: list[Result] = []
        try:
            for number, scenario in enumerate(scenarios, 1):
                result = await self._run_one(scenario)
                results.append(result)
                self._keep(result)
                reason = f": {result.reason}" if result.reason else ""
                self._say(
                    f"{self._kind} {number}/{len(scenarios)} {scenario.key}: "
                    f"{result.outcome} ({result.seconds:.1f} s){reason}"
                )
        finally:
            await self._end_world(None)
        return results

    async def _run_one(self, scenario: Scenario) -> Result:
        if scenario.alone:
            await self._end_world(None)
        begun = time.monotonic()
        outcome, reason = await self._outcome(scenario)
        seconds = round(time.monotonic() - begun, 1)
        if outcome == "fail" or scenario.alone:
            await self._end_world(scenario.key if outcome == "fail" else None)
        is_long = self._extent.is_long and (scenario.grows or scenario.long)
        return Result(scenario.key, self._kind, self._version, outcome, reason, seconds, is_long)

    async def _outcome(self, scenario: Scenario) -> tuple[Outcome, str]:
        try:
            world = await self._started_world()
            world.notes.clear()
            async with asyncio.timeout(scenario.seconds_max * self._extent.factor()):
                await scenario.run(world)
        except NotOffered as error:
            return "not offered", str(error)
        except PeerAtFault as error:
            return "peer's fault", str(error)
        except (ScenarioFailed, PeerFailed, PeerRefused, LeydenError) as error:
            return "fail", _sentence(error)
        except TimeoutError:
            return "fail", f"it took more than {scenario.seconds_max * self._extent.factor():g} s"
        except Exception as error:  # noqa: BLE001 - a mistake in a scenario must not hide the results of the others
            return "fail", _sentence(error)
        return "pass", "; ".join(world.notes)

    async def _started_world(self) -> World:
        if self._world is None:
            self._world = World(Processes(), self._kind, self._makers, self._extent)
            async with asyncio.timeout(START_SECONDS):
                await self._world.start()
            self._version = (await self._world.peer.info()).version
        return self._world

    async def _end_world(self, failed: str | None) -> None:
        """End every process; keep the logs when a scenario has failed, and remove the rest."""
        world, self._world = self._world, None
        if world is None:
            return
        try:
            await world.close()
        finally:
            world.processes.kill_left_over()
            if failed is not None:
                self._keep_logs(world, failed)
            world.processes.remove_folder()

    def _keep_logs(self, world: World, scenario: str) -> None:
        folder = self._logs / f"{self._kind}-{scenario}"
        shutil.rmtree(folder, ignore_errors=True)
        for path in world.log_paths:
            if path.exists():
                to = folder / path.relative_to(world.processes.folder)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
        self._say(f"logs are kept in {folder}")


def _sentence(error: Exception) -> str:
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return " ".join(f"{type(inner).__name__}: {inner}".split())
