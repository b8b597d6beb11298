"""Failing scenarios become small ones."""

import pytest

from leyden.manager import handoff
from leyden.manager.manager import Manager
from leyden.sim import commands as cmd
from leyden.sim.oracles import Violation
from leyden.sim.random_world import RandomWorld
from leyden.sim.script import Script, format_script, parse_script
from leyden.sim.shrink import shrink, violation_of

TEXT = """# Much goes on.
channel alice bob 1000000 500000000

@2 pay alice bob 5000 one parts=2
@9 tick 4
@12 cut alice bob
@15 crash bob alice-bob=1 node=2
@17 unlink alice bob
@19 kill alice node=1
@30 tick 9
"""


def needs(script: Script) -> bool:
    """A fault that a crash of bob, some time after a payment, brings about."""
    kinds = [type(timed.command) for timed in script.commands]
    return cmd.Pay in kinds and cmd.Crash in kinds and kinds.index(cmd.Pay) < kinds.index(cmd.Crash)


def test_what_does_not_matter_is_left_out_made_earlier_and_simpler() -> None:
    """What is left is the story."""
    small = shrink(parse_script(TEXT), needs)
    assert format_script(small).splitlines()[-2:] == ["@0 pay alice bob 5000 one", "@0 crash bob"]


def test_steps_keep_the_order_that_matters() -> None:
    """A fault that needs ten steps between two commands keeps them."""

    def apart(script: Script) -> bool:
        steps = [timed.step for timed in script.commands]
        return len(steps) >= 2 and steps[-1] - steps[0] >= 10

    small = shrink(parse_script(TEXT), apart)
    assert [timed.step for timed in small.commands] == [0, 10]


def test_what_repairs_and_judges_stays() -> None:
    """A closed channel that nobody mines for is unsettled, whatever else is wrong."""
    text = TEXT + "@idle repair\n@rest fees 253 minimum=1\n@rest resolve\n@rest probe\n"
    small = shrink(parse_script(text), needs)
    assert format_script(small).splitlines()[-6:] == [
        "@0 pay alice bob 5000 one",
        "@0 crash bob",
        *text.splitlines()[-4:],
    ]


def test_number_of_runs_is_bounded() -> None:
    """And what was found by then is returned."""
    runs: list[Script] = []

    def fails(script: Script) -> bool:
        runs.append(script)
        return needs(script)

    assert needs(shrink(parse_script(TEXT), fails, runs_max=5))
    assert len(runs) == 5


def test_scenario_without_a_fault_violates_nothing() -> None:
    """The product works."""
    assert violation_of(parse_script(TEXT + "@idle repair\n@rest probe\n")) is None


def test_real_fault_of_a_random_world_becomes_a_scenario_of_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found at random, replayed without its seed, and small enough to be understood."""

    def forget(m: Manager, event_id: str) -> None:
        m.events.pop(event_id, None)

    monkeypatch.setattr(handoff, "acknowledge_event", forget)
    world = RandomWorld("0")
    with pytest.raises(Violation):
        world.run()
    script = world.script()
    assert violation_of(script) is not None
    small = shrink(script, lambda one: isinstance(violation_of(one), Violation))
    assert len(small.commands) <= 3 + len(world.end)
    assert isinstance(violation_of(small), Violation)
