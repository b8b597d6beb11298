"""Keep docs/requirements.md true: every row names a BOLT section that exists, code that exists and a test that exists.

Usage: python tools/check_requirements.py [--no-open]
A row is `done` (code and test are there), `open` (not yet; counted) or `later` (the code cell says with what feature).
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "requirements.md"
SECTIONS = ROOT / "docs" / "bolt-sections.txt"
STATES = ("done", "open", "later")
ROW_ID = re.compile(r"B(\d+)-[A-Z0-9]+-\d\d")


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement. `code` and `test` are the cells as written: `path:symbol` and `path::name`, joined by `, `."""

    line: int
    id: str
    section: str
    requirement: str
    state: str
    code: str
    test: str


def rows(text: str) -> Iterator[Row]:
    """Parse the table rows of the page; a row with another number of cells raises ValueError."""
    for line, raw in enumerate(text.splitlines(), 1):
        if not raw.startswith("| B"):
            continue
        cells = [cell.strip() for cell in raw.strip().strip("|").split("|")]
        if len(cells) != 6:
            raise ValueError(f"docs/requirements.md:{line}: a row has 6 cells, this one {len(cells)}")
        yield Row(line, *cells)


def sections(text: str) -> set[tuple[int, str]]:
    """The pinned section titles as (BOLT, title)."""
    pairs = (line.partition(": ") for line in text.splitlines() if not line.startswith("#"))
    return {(int(bolt), title) for bolt, _, title in pairs}


@cache
def symbols(path: Path) -> frozenset[str]:
    """Names that a module defines: functions, classes, assignments, and `Class.member`."""

    def of(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + node.name
            elif isinstance(node, ast.ClassDef):
                yield prefix + node.name
                yield from of(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))

    return frozenset(of(ast.parse(path.read_text()).body, ""))


def missing(cell: str, folder: Path, separator: str) -> Iterator[str]:
    """The references of a cell that point at nothing."""
    for reference in cell.replace("`", "").split(", "):
        name, found, symbol = reference.partition(separator)
        path = folder / name
        if not found or not path.is_file():
            yield f"no such file: {reference}"
        elif symbol.replace("::", ".") not in symbols(path):
            yield f"no such name: {reference}"


def faults(row: Row, titles: set[tuple[int, str]]) -> Iterator[str]:
    """Everything that is wrong with a row."""
    match = ROW_ID.fullmatch(row.id)
    if match is None:
        yield "the id is not like B2-OPEN-03"
    elif (int(match.group(1)), row.section) not in titles:
        yield f"BOLT {match.group(1)} has no section {row.section!r}"
    if not row.requirement.endswith("."):
        yield "a requirement is one sentence"
    if row.state not in STATES:
        yield f"the state is one of {', '.join(STATES)}"
    if row.state == "done":
        yield from missing(row.code, ROOT / "src" / "leyden", ":")
        yield from missing(row.test, ROOT / "tests", "::")
    if row.state == "later" and not row.code:
        yield "say with which feature it comes"
    if row.state == "open" and (row.code or row.test):
        yield "an open row has no code and no test; is it done?"


def main(arguments: list[str]) -> int:
    """Print what is wrong and the counts; return the exit code."""
    if set(arguments) - {"--no-open"}:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    table = list(rows(TABLE.read_text()))
    titles = sections(SECTIONS.read_text())
    wrong = [f"docs/requirements.md:{row.line}: {row.id}: {fault}" for row in table for fault in faults(row, titles)]
    ids = Counter(row.id for row in table)
    wrong += [f"docs/requirements.md: {name} stands {count} times" for name, count in ids.items() if count > 1]
    counts = Counter(row.state for row in table)
    if "--no-open" in arguments:
        wrong += [f"docs/requirements.md:{row.line}: {row.id} is open" for row in table if row.state == "open"]
    if not table:
        wrong.append("docs/requirements.md: no rows")
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"requirements: {len(table)} rows, " + ", ".join(f"{counts[state]} {state}" for state in STATES))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
