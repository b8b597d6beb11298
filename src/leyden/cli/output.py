"""What commands print:

tables for people, plain aligned text when it goes elsewhere, JSON for programs; and progress.
"""

import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from leyden.cli.amounts import show_count

if TYPE_CHECKING:
    from leyden.api.views import JournalView, StoreView

PROGRESS_AFTER_SECONDS = 1.0


def is_terminal() -> bool:
    """Return whether a person reads standard output."""
    return sys.stdout.isatty()


def print_json(value: object) -> None:
    """Print a result with its stable field names."""
    import msgspec

    encoded = msgspec.json.format(msgspec.json.encode(value), indent=2)
    _write(encoded.decode())


def print_json_line(value: object) -> None:
    """Print a result as one line, for a stream of them."""
    import msgspec

    _write(msgspec.json.encode(value).decode())


def print_text(text: str) -> None:
    """Print a line as it is."""
    _write(text)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def clean(text: str) -> str:
    """Return text without control characters: descriptions and reasons come from others, and terminals obey them."""
    return "".join(char if char.isprintable() else "�" for char in text)


def short(text: str | None, length: int = 16) -> str:
    """Shorten an id (hexadecimal) for a person; programs and pipes get all of it."""
    if text is None:
        return "-"
    if text.strip("0123456789abcdef"):
        return text
    return text if not is_terminal() or len(text) <= length + 1 else text[:length] + "…"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print rows below headings; a heading that ends in `>` is for numbers. empty: said when there are no rows."""
    if not rows:
        if is_terminal():
            _write(empty)
        return
    if is_terminal():
        _print_rich_table(columns, rows)
        return
    cells = [[heading.rstrip(">") for heading in columns], *[[clean(cell) for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        padded = [
            cell.rjust(width) if heading.endswith(">") else cell.ljust(width)
            for cell, width, heading in zip(row, widths, columns, strict=True)
        ]
        _write("  ".join(padded).rstrip())


def _print_rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if _narrowest(columns, rows) > console.width:
        for row in rows:
            cells = [(heading.rstrip(">"), cell) for heading, cell in zip(columns, row, strict=True)]
            print_fields([(heading, cell) for heading, cell in cells if cell != "-"])
            _write("")
        return
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for heading in columns:
        table.add_column(
            heading.rstrip(">"),
            justify="right" if heading.endswith(">") else "left",
            overflow="fold",
            no_wrap=_is_whole(heading),
        )
    for row in rows:
        table.add_row(*[Text(clean(cell), style=_style(cell)) for cell in row])
    console.print(table)


def _is_whole(heading: str) -> bool:
    """Return whether a column is never broken over lines: half a number is a wrong number."""
    return heading.endswith(">") or heading in _WHOLE


def _narrowest(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return how many characters a table needs at least."""
    widths = [max(len(heading.rstrip(">")), *[len(row[i]) for row in rows]) for i, heading in enumerate(columns)]
    shrunk = [
        width if _is_whole(heading) else min(width, _BROKEN_WIDTH)
        for width, heading in zip(widths, columns, strict=True)
    ]
    return sum(shrunk) + 2 * len(columns) + 1


_BROKEN_WIDTH = 14
_WHOLE = ("created", "state", "status", "scid", "address", "channel", "peer", "payment hash", "node id", "txid")
"""Headings of columns that are not broken over lines."""

_STYLES = {
    "normal": "green", "succeeded": "green", "connected": "green", "ok": "green", "failed": "red", "stale": "red",
    "force_closing": "yellow", "pending": "yellow", "awaiting_ready": "yellow", "opening": "yellow",
    "shutting_down": "yellow", "negotiating": "yellow", "closed": "dim",
    "ours": "green", "swept": "green", "theirs": "red", "claiming": "yellow", "sweeping": "yellow", "refused": "red",
    "left": "dim", "trimmed": "dim",
}  # fmt: skip


def _style(cell: str) -> str:
    return _STYLES.get(cell, "")


def print_fields(fields: Sequence[tuple[str, str | None]]) -> None:
    """Print name and value pairs, one a line; those that are None are left out."""
    present = [(name, clean(value)) for name, value in fields if value is not None]
    width = max((len(name) for name, _ in present), default=0)
    for name, value in present:
        label = f"\x1b[1m{name:<{width}}\x1b[0m" if _colour() else f"{name:<{width}}"
        _write(f"{label}  {value}")


def _colour() -> bool:
    import os

    return is_terminal() and "NO_COLOR" not in os.environ


def waiting_line(waiting: "JournalView | StoreView") -> str:
    """Say what waits for the store."""
    if not waiting.records_waiting:
        return "nothing"
    held_back = f"; {show_count(waiting.effects_waiting, 'effect')} held back" if waiting.effects_waiting else ""
    return (
        f"{show_count(waiting.records_waiting, 'record')}, {show_count(waiting.bytes_waiting, 'byte')}, "
        f"the oldest for {waiting.oldest_waiting_ms / 1000:.1f} s{held_back}"
    )


@contextmanager
def progress(doing: str) -> Generator[None]:
    """Say on standard error what takes longer than a second; nothing when it does not."""
    stop: list[Any] = []

    def begin() -> None:
        if not sys.stderr.isatty():
            sys.stderr.write(doing + "\n")
            sys.stderr.flush()
            return
        from rich.console import Console

        status = Console(stderr=True).status(doing)
        status.start()
        stop.append(status)

    timer = threading.Timer(PROGRESS_AFTER_SECONDS, begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for status in stop:
            status.stop()
