"""Every line of the log is about a subsystem that `log.levels` can name, and every such subsystem has lines."""

import ast
import logging
from pathlib import Path

import pytest

import leyden
from leyden.manager.actions import Report
from leyden.node import actions, logs
from leyden.node.settings import LOG_SUBSYSTEMS, LogSettings

SOURCE = Path(leyden.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}


def _literal(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _is_report(call: ast.Call) -> bool:
    """`Report(...)`, `manager.report(...)`; not the driver's own `report(action)`, which writes one."""
    match call.func:
        case ast.Name(id="Report"):
            return True
        case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr="report"):
            return owner in {"m", "self", "manager"}
    return False


def subsystems_of(text: str) -> tuple[set[str], list[int]]:
    """What a module logs to, and the lines where its reports name no known subsystem."""
    tree = ast.parse(text)
    found: set[str] = set()
    nameless: list[int] = []
    loggers: dict[str, str] = {}
    written: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_report(node):
            subsystem = _literal(node)
            if subsystem is not None and subsystem in LOG_SUBSYSTEMS:
                found.add(subsystem)
            elif ast.unparse(node) != "Report(subsystem, level, text)":  # passes on what its caller named
                nameless.append(node.lineno)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            name = _literal(node.value) or ""
            if ast.unparse(node.value.func) == "logging.getLogger" and name.startswith(f"{logs.ROOT}."):
                loggers[ast.unparse(node.targets[0])] = name.removeprefix(f"{logs.ROOT}.")
        elif isinstance(node, ast.Attribute) and node.attr in LEVELS:
            written.add(ast.unparse(node.value))
    return found | {name for variable, name in loggers.items() if variable in written}, nameless


def test_the_configuration_has_the_subsystems_that_are_logged_to() -> None:
    """A name without a line would be a promise; a line without a name could not be turned up or down."""
    logged: set[str] = set()
    nameless: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.is_relative_to(SOURCE / "demo"):
            continue  # a program of its own, with a report of its own
        found, lines = subsystems_of(path.read_text())
        logged |= found
        nameless += [f"{path.relative_to(SOURCE)}:{line}" for line in lines]
    assert nameless == []
    assert logged == set(LOG_SUBSYSTEMS)


@pytest.mark.parametrize(
    ("text", "found", "nameless"),
    [
        ('m.report("channel", "info", "x")', {"channel"}, []),
        ('core.manager.report("error", "x")', set(), [1]),
        ('Report("payments", "info", "x")', set(), [1]),
        ("self.report(where, level, text)", set(), [1]),
        ('_log = logging.getLogger("leyden.wallet")', set(), []),
        ('_log = logging.getLogger("leyden.wallet")\n_log.info("x")', {"wallet"}, []),
    ],
)
def test_the_search_sees_what_it_must(text: str, found: set[str], nameless: list[int]) -> None:
    """A guard that finds nothing would guard nothing."""
    assert subsystems_of(text) == (found, nameless)


def test_a_report_has_the_level_of_its_subsystem(tmp_path: Path) -> None:
    """Following one channel must not need everything else."""
    logs.set_up(LogSettings(level="error", levels={"channel": "debug"}, stderr=False), tmp_path / "log")
    try:
        actions.report(Report("channel", "debug", "a step"))
        actions.report(Report("peer", "warning", "a word"))
        logging.getLogger("leyden.node").info("ready")
    finally:
        logs.tear_down()
    written = (tmp_path / "log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in written] == ["debug   channel: a step"]
