"""Runs of scenario files."""

import pytest

from leyden.sim.oracles import Violation
from leyden.sim.play import Play, scenario_of
from leyden.sim.scenario import outline, replay
from leyden.sim.schedules import Fair
from leyden.sim.script import parse_script

DIRECT = "# Direct.\nchannel alice bob 1000000 500000000\n\npay alice bob 5000000 one\n"


def played(*lines: str) -> Play:
    """Run it with more lines."""
    play = Play(parse_script(DIRECT + "\n".join(lines)))
    play.run()
    return play


def test_run_is_checked_and_the_same_each_time() -> None:
    """Whatever goes wrong in it."""
    one = played("@5 crash bob alice-bob=1", "@9 cut alice bob")
    other = played("@5 crash bob alice-bob=1", "@9 cut alice bob")
    assert one.world.trace == other.world.trace
    assert "crash bob" in "\n".join(one.world.trace)


def test_close_and_open_may_cost_chain_fees_and_no_more() -> None:
    """And their channels are closed and open at the end."""
    play = played("@rest open alice bob 300000", "@rest close alice alice-bob", "@rest mine 6", "@rest probe")
    assert play.books.fees_msat(play.world)["alice"] > 0


def test_violation_carries_the_scenario() -> None:
    """It can be pasted into a file. A channel that is closed though nobody asked is one."""
    play = Play(parse_script(DIRECT + "force-close alice alice-bob\n@rest mine 1"))
    play.director.world.closes_asked = _Forgetful()
    with pytest.raises(Violation) as caught:
        play.run()
    assert "pay alice bob 5000000 one" in "".join(caught.value.__notes__)


class _Forgetful(dict[bytes, bool]):
    def __setitem__(self, key: bytes, value: bool) -> None:
        """Remember nothing."""

    def setdefault(self, key: bytes, default: bool = False) -> bool:  # type: ignore[override]
        """Remember nothing."""
        return default


def test_scenario_of_a_file_can_be_explored() -> None:
    """Users' acts are steps of it."""
    scenario = scenario_of(parse_script(DIRECT), "direct")
    plan = outline(scenario, Fair())
    assert plan.steps > 10
    world = replay(scenario, Fair(), [])
    assert "act  pay alice bob 5000000 one" in world.trace
