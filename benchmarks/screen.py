"""What the benchmarks show while they run: a line that changes on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.table import Table


class Screen:
    """Progress and results."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Run a part of the program: the block that follows."""
        if not self._console.is_terminal:
            self.line(f"== {title}")
            yield
            return
        with self._console.status(title, spinner="dots") as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def now(self, what: str) -> None:
        """Say what goes on at the moment."""
        if self._status is not None:
            self._status.update(what)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        """Print a table, numbers to the right."""
        if self._console.is_terminal:
            table = Table(show_edge=False)
            for index, column in enumerate(columns):
                table.add_column(column, justify="right" if index else "left")
            for row in rows:
                table.add_row(*row)
            self._console.print(table)
            return
        widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
        for row in [columns, *rows]:
            first, *rest = row
            cells = [first.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
            self.line("  ".join(cells).rstrip())
