"""Scenario files explored in processes, and what is told of it."""

from pathlib import Path
from queue import Queue

from leyden.sim.explore import Found, Limits, Result, Tier
from leyden.sim.exploring import (
    HEADER,
    Task,
    built_in,
    explore_all,
    explore_file,
    finding_of_found,
    not_exhausted,
    promises,
    row,
    tasks,
    totals,
)
from leyden.sim.scenario import Crash
from leyden.sim.script import load_script, parse_script
from leyden.sim.world import Action

TEXT = """# Direct.

proves 2 10
explore tiered 2
channel alice bob 1000000 500000000

pay alice bob 5000000 one
"""


def written(folder: Path, text: str = TEXT, name: str = "direct") -> Path:
    """A scenario file."""
    path = folder / f"{name}.txt"
    path.write_text(text)
    return path


def test_files_say_how_they_are_explored_and_callers_may_say_otherwise(tmp_path: Path) -> None:
    """What is only a run is explored when somebody asks for it."""
    once = written(tmp_path, TEXT.replace("explore tiered 2", "explore once"), "once")
    paths = [written(tmp_path), once]
    assert [(task.name, task.tier, task.limits.crashes) for task in tasks(paths, None, None, 9.0)] == [
        ("direct", Tier.TIERED, 2)
    ]
    asked = tasks(paths, Tier.FIXED, 1, 9.0)
    assert [(task.name, task.tier, task.limits.crashes) for task in asked] == [
        ("direct", Tier.FIXED, 1),
        ("once", Tier.FIXED, 1),
    ]
    assert asked[0].limits.seconds_max == 9.0
    (part,) = tasks(paths[:1], None, None, 9.0, share=4, part=3)
    assert (part.limits.share, part.limits.part) == (4, 3)


def test_results_come_from_processes(tmp_path: Path) -> None:
    """One for each file."""
    todo = [Task(written(tmp_path), Tier.FIXED, Limits()), Task(built_in()[0], Tier.FIXED, Limits(seconds_max=0.1))]
    results = {task.name: result for task, result in explore_all(todo, 2, lambda _line: None)}
    assert set(results) == {task.name for task in todo}
    assert results["direct"].is_complete
    assert results["direct"].combinations > 50
    assert not results[built_in()[0].stem].is_complete, "the time was up"


def test_progress_goes_into_the_queue(tmp_path: Path) -> None:
    """For whoever looks at a bar."""
    told: Queue[str] = Queue()
    result = explore_file(Task(written(tmp_path), Tier.TIERED, Limits(crashes=2, worlds_max=300)), told)
    assert result.second_combinations
    assert result.seconds < 0.7 or told.get_nowait().startswith("direct: ")


def test_table_has_a_row_for_each_and_says_what_is_not_complete(tmp_path: Path) -> None:
    """In the columns of its header."""
    task = Task(written(tmp_path), Tier.TIERED, Limits())
    result = Result(
        "direct",
        Tier.TIERED,
        1,
        base_worlds=77,
        combinations=360,
        fresh=169,
        second_combinations=10,
        second_fresh=5,
        rest_steps_max=24,
        seconds=2.0,
        is_complete=True,
    )
    assert row(task, result).split() == ["direct", "tiered", "1", "77", "360", "169", "10", "5", "24", "2.0", "185"]
    assert len(row(task, result)) == len(HEADER)
    assert list(not_exhausted([result])) == []
    result.is_complete = False
    assert row(task, result).endswith("not complete")
    assert list(not_exhausted([result, result])) == ["not complete, for lack of time: direct, direct"]
    result.violation = Found("money is gone", "direct", (), "store first", ())
    assert row(task, result).endswith("VIOLATED")
    assert list(not_exhausted([result])) == [], "what is wrong was not for lack of time"
    sums = totals([result, result], 4.0)
    assert "2 scenarios, 0 complete: 154 worlds, 740 crashes" in sums
    assert "(185 a second and process); 2 violation(s)" in sums


def test_promises_name_their_scenarios() -> None:
    """In the order of the numbers."""
    script = parse_script(TEXT)
    assert list(promises([script, script], ["one", "two"])) == ["promise 2: one, two", "promise 10: one, two"]
    assert list(promises([script] * 99, ["one"] * 99)) == ["promise 2: 99 scenarios", "promise 10: 99 scenarios"]


def test_table_of_on_chain_stories_is_asked_for() -> None:
    """A folder of its own."""
    assert {path.parent.name for path in built_in()} == {"scenarios"}
    assert {path.parent.name for path in built_in(onchain=True)} == {"onchain"}


def test_what_was_found_becomes_a_scenario_or_is_told_as_it_is(tmp_path: Path) -> None:
    """A violation that a scenario does not show again is told all the same."""
    script = load_script(written(tmp_path))
    actions = (Action("act", "", "pay alice bob 5000000 one"), Action("commit", "alice", "node"))
    found = Found("money is gone", "direct", actions, "store last", (Crash(2, "bob", (("node", 0),)),))
    finding = finding_of_found(script, found)
    assert finding.script == script
    assert finding.wrong.startswith("money is gone")
    assert "Crash(step=2" in finding.wrong
