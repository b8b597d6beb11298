"""What the demo shows: a live screen on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

MSAT_PER_SAT: Final = 1000
_BAR_WIDTH: Final = 20
_WIDE: Final = 92


def sat(amount_msat: int) -> str:
    """Return an amount in satoshi; with three decimals when it is not a whole number of them."""
    sign = "-" if amount_msat < 0 else ""
    whole, part = divmod(abs(amount_msat), MSAT_PER_SAT)
    return f"{sign}{whole:,}.{part:03}" if part else f"{sign}{whole:,}"


def exact(amount_msat: int) -> str:
    """Return an amount in satoshi, always with three decimals."""
    sign = "-" if amount_msat < 0 else ""
    whole, part = divmod(abs(amount_msat), MSAT_PER_SAT)
    return f"{sign}{whole:,}.{part:03}"


class StepDone(msgspec.Struct, frozen=True):
    """A step that came out well."""

    title: str
    details: list[str]
    seconds: float


@final
class Step:
    """The step that runs. `details` are shown below its title when it is done."""

    def __init__(self, title: str, show: Callable[[str], None]) -> None:
        self.title = title
        self.details: list[str] = []
        self._show = show

    def say(self, detail: str) -> None:
        """Add a line to what is shown."""
        self.details.append(detail)

    def now(self, what: str) -> None:
        """Show what goes on at the moment; only on a terminal."""
        self._show(what)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far it is."""
        filled = _BAR_WIDTH * done // max(total, 1)
        self._show(f"{what} {'━' * filled}{'╌' * (_BAR_WIDTH - filled)} {done} of {total}")


@final
class Screen:
    """Shows steps and the final table.

    console: where to; decides itself whether it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self.current = ""
        self.done: list[StepDone] = []

    def title(self, text: str) -> None:
        """Show the first line."""
        self._console.print(f"[bold]{escape(text)}[/bold]" if self._is_live else escape(text), highlight=False)
        self._console.print()

    @contextmanager
    def step(self, title: str) -> Generator[Step, None, None]:
        """Run one step: the block that follows."""
        self.current = title
        begun = time.perf_counter()
        if self._is_live:
            with self._console.status(_running(title, ""), spinner="dots") as status:
                step = Step(title, _updating(status, title))
                yield step
        else:
            step = Step(title, lambda _what: None)
            yield step
        seconds = time.perf_counter() - begun
        self.done.append(StepDone(title, step.details, round(seconds, 3)))
        self.current = ""
        self._show_done(step, seconds)

    def _show_done(self, step: Step, seconds: float) -> None:
        if not self._is_live:
            self._plain(f"ok  {step.title} ({seconds:.1f} s)")
            for detail in step.details:
                self._plain(f"      {detail}")
            return
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(width=1)
        line.add_column(ratio=1)
        line.add_column(justify="right")
        line.add_row("[green]✓[/green]", f"[bold]{escape(step.title)}[/bold]", f"[dim]{seconds:.1f} s[/dim]")
        for detail in step.details:
            line.add_row("", f"[dim]{escape(detail)}[/dim]", "")
        self._console.print(line, highlight=False)

    def _plain(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        """Show a line."""
        if self._is_live:
            self._console.print(text, style=style or None, markup=False, highlight=False)
        else:
            self._plain(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
        """Show a table: words in the first column, amounts in the others; the last row is the sum."""
        widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]

        def text(row: Sequence[str]) -> str:
            amounts = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            return "  ".join([row[0].ljust(widths[0]), *amounts])

        self.line("")
        self.line(title, "bold")
        self.line(text(columns), "dim")
        for row in rows[:-1]:
            self.line(text(row))
        self.line("─" * len(text(rows[-1])), "dim")
        self.line(text(rows[-1]), "bold")
        self.line(note)

    @property
    def is_wide(self) -> bool:
        """Whether a table of exact amounts fits."""
        return not self._is_live or self._console.width >= _WIDE


def _running(title: str, what: str) -> str:
    return f"[bold]{escape(title)}[/bold]  [dim]{escape(what)}[/dim]"


def _updating(status: Status, title: str) -> Callable[[str], None]:
    return lambda what: status.update(_running(title, what))
