"""What the demo shows must be readable on a terminal, and as plain lines in a log."""

import io

from rich.console import Console

from leyden.demo.screen import Screen, exact, sat


def test_amounts_are_exact() -> None:
    """A demo that promises every millisatoshi must not round one away."""
    assert sat(1_000) == "1"
    assert sat(1_234_567_089) == "1,234,567.089"
    assert sat(-1) == "-0.001"
    assert exact(5_000_000_000_000) == "5,000,000,000.000"
    assert exact(-1_500) == "-1.500"


def shown(*, terminal: bool) -> str:
    """A step and a table."""
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=terminal, width=80, color_system="standard" if terminal else None))
    with screen.step("Pay [directly]") as step:
        step.progress("paid", 1, 2)
        step.say("alice → bob [1 sat]")
    screen.table("Accounts", ["", "alice", "all"], [["sent", "1", "1"], ["owns", "1,000", "1,000"]], "done")
    assert [one.title for one in screen.done] == ["Pay [directly]"]
    return out.getvalue()


def test_plain_lines_without_a_terminal() -> None:
    """Nothing but text: for a log, a pipe, a program."""
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert "ok  Pay [directly] (0.0 s)\n      alice → bob [1 sat]\n" in text
    assert "owns  1,000  1,000\n" in text


def test_terminal_shows_what_goes_on() -> None:
    """Brackets in a text are text, not style."""
    text = shown(terminal=True)
    assert "✓" in text
    assert "alice → bob [1 sat]" in text
