"""Keep docs/hazards.md true: every hazard has one row, and every row names tests that exist and are run.

Usage: python -m tools.check_hazards [--no-missing]
A row is covered (its tests are there) or waits for a feature that its last cell names. Without `--no-missing` a hazard
that has no row yet is only counted.
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
TABLE = ROOT / "docs" / "hazards.md"
HAZARDS = tuple(f"H{number:02}" for number in range(1, 165))
CLASSES = ("FL", "ST", "EV", "DP", "FC", "PN", "RS")
MAY_WAIT = {
    "splicing": frozenset(f"H{number}" for number in range(130, 140)),
    "dual funding": frozenset({"H140"}),
}
"""What a row may wait for, and which rows may."""
ALL_FORMS = "NLR =<>"
FORMS = re.compile(r"\.|(?=[NLR])N?L?R?(?: (?=[=<>])=?<?>?)?")
RULES = ROOT / "src" / "leyden" / "sim" / "store_contract"
"""Rules of the contract of stores: a test that runs them all names one in brackets."""
EVERY_FORM = "every_form"
"""The decorator of tests that run in all forms; see tests/hazards/forms.py."""


@dataclass(frozen=True, slots=True)
class Row:
    """One hazard. tests: `path::name` each. waits_for: a feature, else empty."""

    line: int
    id: str
    kind: str
    outcome: str
    built: str
    tests: tuple[str, ...]
    waits_for: str
    forms: str


def rows(text: str) -> Iterator[Row]:
    """Parse the table rows of the page; a row with another number of cells raises ValueError."""
    for line, raw in enumerate(text.splitlines(), 1):
        if not raw.startswith("| H"):
            continue
        cells = [cell.strip() for cell in raw.strip().strip("|").split("|")]
        if len(cells) != 6:
            raise ValueError(f"docs/hazards.md:{line}: a row has 6 cells, this one {len(cells)}")
        named = [part for part in cells[4].split(", ") if part]
        waits_for = named.pop().removeprefix("waits for ") if named and named[-1].startswith("waits for ") else ""
        tests = tuple([test.strip("`") for test in named])
        yield Row(line, cells[0], cells[1], cells[2], cells[3], tests, waits_for, cells[5])


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def functions(path: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module by name, methods as `Class::name`; with those that a class inherits from elsewhere."""
    found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in _tree(path).body if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }  # fmt: skip
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            for base in [one.id for one in node.bases if isinstance(one, ast.Name)]:
                inherited = _inherited(imported, base, found)
                found |= {f"{node.name}::{name}": function for name, function in inherited.items()}
            own = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}::{one.name}": one for one in own}
    return found


def _inherited(
    imported: dict[str, tuple[str, str]], base: str, found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    module, name = imported.get(base, ("", base))
    members = found
    if module:
        files = [root / f"{module.replace('.', '/')}.py" for root in (ROOT, ROOT / "src")]
        members = next((functions(file) for file in files if file.is_file()), {})
    return {key.partition("::")[2]: function for key, function in members.items() if key.partition("::")[0] == name}


def _decorators(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return " ".join([ast.unparse(one) for one in function.decorator_list])


def dead(reference: str) -> Iterator[str]:
    """Why the test that a reference names is not run."""
    file, _, name = reference.partition("::")
    name, in_brackets, case = name.partition("[")
    if in_brackets and not any(case.removesuffix("]") in functions(path) for path in RULES.glob("*.py")):
        yield f"no such rule of stores: {reference}"
    path = ROOT / file
    if not file.startswith("tests/") or not path.is_file():
        yield f"no such file: {reference}"
    elif not path.name.startswith("test_") or not name.rpartition("::")[2].startswith("test_"):
        yield f"pytest does not collect it: {reference}"
    elif name not in functions(path):
        yield f"no such test: {reference}"
    elif re.search(r"\bmark\.(?:skip|xfail)", _decorators(functions(path)[name])):
        yield f"it is skipped or expected to fail: {reference}"


def faults(row: Row) -> Iterator[str]:
    """Everything that is wrong with a row."""
    if row.id not in HAZARDS:
        yield "there is no such hazard"
    if not set(row.kind.split("/")) <= set(CLASSES):
        yield f"the class is one or more of {', '.join(CLASSES)}, joined by /"
    if not row.outcome.endswith(".") or not row.built.endswith("."):
        yield "outcome and construction are sentences"
    if row.waits_for and row.id not in MAY_WAIT.get(row.waits_for, ()):
        yield f"it cannot wait for {row.waits_for!r}"
    if not row.tests and not row.waits_for:
        yield "no test"
    unknown = [fault for test in row.tests for fault in dead(test)]
    yield from unknown
    if row.tests and not unknown:
        yield from _wrong_forms(row)
    elif row.forms and not row.tests:
        yield "no test runs in these forms"


def _wrong_forms(row: Row) -> Iterator[str]:
    """Forms are claimed by hand, but for tests that run in all of them."""
    files = [test.partition("[")[0].partition("::") for test in row.tests]
    runs_all = any(EVERY_FORM in _decorators(functions(ROOT / file)[name]) for file, _, name in files)
    if FORMS.fullmatch(row.forms) is None:
        yield f"forms are `.` or some of `{ALL_FORMS}`, in this order"
    elif runs_all != (row.forms == ALL_FORMS):
        yield f"its tests {'run' if runs_all else 'do not run'} in all forms"


def main(arguments: list[str]) -> int:
    """Print what is wrong and the counts; return the exit code."""
    if set(arguments) - {"--no-missing"}:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    table = list(rows(TABLE.read_text()))
    wrong = [f"docs/hazards.md:{row.line}: {row.id}: {fault}" for row in table for fault in faults(row)]
    ids = Counter(row.id for row in table)
    wrong += [f"docs/hazards.md: {name} stands {count} times" for name, count in ids.items() if count > 1]
    missing = [name for name in HAZARDS if name not in ids]
    if "--no-missing" in arguments:
        wrong += [f"docs/hazards.md: {name} has no row" for name in missing]
    print("\n".join(wrong), end="\n" if wrong else "")
    waiting = Counter(row.waits_for for row in table if row.waits_for)
    begun = sum(1 for row in table if row.tests and row.waits_for)
    line = f"hazards: {len(HAZARDS)}, {sum(1 for row in table if row.tests) - begun} covered, {waiting.total()} waiting"
    if waiting:
        line += f" ({', '.join(f'{count} for {name}' for name, count in waiting.items())}; {begun} with tests already)"
    print(f"{line}, {len(missing)} missing" + (f": {' '.join(missing)}" if missing else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
