"""What people and pipes see."""

import sys
import threading

import pytest

from leyden.cli import output

ROWS = [("800x1x0", "normal", "1,000"), ("16000000x0x7", "force_closing", "25")]


class Terminal:
    """Standard output or error of a person."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return True


def test_table_in_a_pipe_is_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """`grep` and `awk` must find whole values in straight columns."""
    output.print_table(("channel", "state", "ours>"), ROWS, "none")
    assert capsys.readouterr().out.splitlines() == [
        "channel       state           ours",
        "800x1x0       normal         1,000",
        "16000000x0x7  force_closing     25",
    ]


def test_empty_table_in_a_pipe_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence for people would be counted as a row by programs."""
    output.print_table(("channel",), [], "no channels")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("columns", ["100", "24"])
def test_numbers_are_never_cut_on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """A number without its last digits is another number."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    output.print_table(("channel", "state", "ours>"), ROWS, "none")
    assert "1,000" in terminal.text
    assert "16000000x0x7" in terminal.text
    assert ("─" in terminal.text) == (columns == "100")


def test_empty_table_on_a_terminal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence looks like a failure to a person."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    output.print_table(("channel",), [], "no channels")
    assert terminal.text == "no channels\n"


def test_text_of_others_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A description of an invoice may hold escape sequences that rewrite the amount above it."""
    output.print_fields([("description", "coffee\x1b[2J\x1b[1;1H☕\n\u202e")])
    shown = capsys.readouterr().out
    assert shown == "description  coffee�[2J�[1;1H☕��\n"


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """`None` says nothing to a person."""
    output.print_fields([("state", "normal"), ("close reason", None)])
    assert capsys.readouterr().out == "state  normal\n"


def test_ids_are_shortened_for_a_person_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe needs the whole id; a person needs to see the rest of the line."""
    assert output.short("ab" * 32) == "ab" * 32
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert output.short("ab" * 32, 12) == "abababababab…"
    assert output.short("insufficient_balance") == "insufficient_balance"
    assert output.short(None) == "-"


def test_progress_is_silent_when_nothing_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    """Flicker for a tenth of a second helps nobody."""
    with output.progress("Opening the channel…"):
        pass
    assert capsys.readouterr().err == ""


def test_progress_says_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits wants to know for what."""
    said = threading.Event()

    class Error(Terminal):
        def isatty(self) -> bool:
            return False

        def write(self, text: str) -> int:
            said.set()
            return super().write(text)

    error = Error()
    monkeypatch.setattr(output, "PROGRESS_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", error)
    with output.progress("Opening the channel…"):
        assert said.wait(10)
    assert error.text == "Opening the channel…\n"


def test_progress_turns_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is a spinner that is gone afterwards."""
    terminal, said = Terminal(), threading.Event()
    monkeypatch.setattr(output, "PROGRESS_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    before = Terminal.write

    def write(self: Terminal, text: str) -> int:
        said.set()
        return before(self, text)

    monkeypatch.setattr(Terminal, "write", write)
    with output.progress("Paying…"):
        assert said.wait(10)
    assert "Paying…" in terminal.text
