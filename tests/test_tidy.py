"""Style that a tool can check, as tests: what they forbid and why is in CONTRIBUTING.md and docs/invariants.md."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "leyden"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

PURE_LOWER = ("base", "crypto", "bitcoin", "wire", "noise", "sphinx", "transactions", "invoices", "journal", "signer")
PURE = (*PURE_LOWER, "channel", "monitor", "payments", "wallet", "manager")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
# Generated tables and word lists, which nobody reads from top to bottom.
LONG_FILES: frozenset[str] = frozenset()
UNTESTED: dict[str, str] = tomllib.loads((ROOT / "tests" / "untested.toml").read_text())
BANNED_CALLS = {
    "time.time": "the Clock port",
    "time.monotonic": "the Clock port",
    "datetime.now": "the Clock port",
    "os.urandom": "the Entropy port",
    "secrets.token_bytes": "the Entropy port",
    "random.random": "the Entropy port",
    "hash": "an explicit key: the hash of bytes changes from run to run",
    "id": "an explicit key: addresses change from run to run",
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
ORDER_LEAKS = {"list", "tuple", "join", "enumerate", "iter", "map"}
# Written as patterns that do not match themselves.
REGISTRY_HOSTS = re.compile(r"py[p]i\.org|python[h]osted|npm[j]s\.|crat[e]s\.io|deb[i]an\.org|proxy\.go[l]ang")
BUILD_PATHS = re.compile(r"(?<![\w.~/])/(?:work|root|home|Users)/[\w.]")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is or would be committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return tuple(sorted(path for name in listing.split("\0") if name and (path := ROOT / name).is_file()))


def python_files(*folders: str) -> list[Path]:
    """The committed Python files under the given folders of the repository."""
    return [p for p in tracked() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in folders]


def pure_files() -> list[Path]:
    """The modules of the pure packages."""
    return [p for p in python_files("src") if len(p.relative_to(SRC).parts) > 1 and p.relative_to(SRC).parts[0] in PURE]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_text(), filename=str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where a fault is, as an editor opens it."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def is_set(node: ast.AST, names: frozenset[str] = frozenset()) -> bool:
    """Whether an expression is plainly a set: a literal, a comprehension, a call, or a local name bound to one."""
    if isinstance(node, ast.Call):
        return dotted(node.func) in ("set", "frozenset")
    return isinstance(node, ast.Set | ast.SetComp) or (isinstance(node, ast.Name) and node.id in names)


def set_iterations(function: ast.AST) -> Iterator[ast.AST]:
    """Every place where the order of a set gets out: loops, comprehensions, `list(...)` and the like, unpacking."""
    names = frozenset(
        target.id
        for node in ast.walk(function) if isinstance(node, ast.Assign) and is_set(node.value)
        for target in node.targets if isinstance(target, ast.Name)
    )  # fmt: skip
    for node in ast.walk(function):
        if isinstance(node, ast.For | ast.comprehension | ast.YieldFrom):
            over = node.value if isinstance(node, ast.YieldFrom) else node.iter
            if is_set(over, names):
                yield over
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ORDER_LEAKS:
            yield from (argument for argument in node.args if is_set(argument, names))
        elif isinstance(node, ast.Starred) and is_set(node.value, names):
            yield node


def test_pure_packages_compute_with_integers() -> None:
    """A float rounds money, and `/` makes one out of two integers."""
    faults = [
        place(path, node)
        for path in pure_files()
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
    ]
    assert not faults, "float or / (use //) in a pure package"


def test_pure_packages_do_not_depend_on_the_order_of_a_set() -> None:
    """The order of a set follows PYTHONHASHSEED, so a replay would differ from the run."""
    faults = {
        place(path, node)
        for path in pure_files()
        for function in ast.walk(tree(path)) if isinstance(function, ast.FunctionDef | ast.Module)
        for node in set_iterations(function)
    }  # fmt: skip
    assert not faults, "iteration over a set: use a dict, or sorted()"


def test_pure_packages_call_nothing_that_differs_between_runs() -> None:
    """A decision must be a function of its inputs: time and randomness come in, they are not fetched."""
    faults = [
        f"{place(path, node)}: {name}, use {instead}"
        for path in pure_files()
        for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
        for name, instead in BANNED_CALLS.items()
        if dotted(node.func) == name or ("." in name and dotted(node.func).endswith("." + name))
    ]  # fmt: skip
    assert not faults


def test_every_pure_package_stands_in_the_import_contract() -> None:
    """The contract names packages, so a new one would go unchecked; and `.*` does not reach the package's own file."""
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    contract = next(c for c in contracts if c["id"] == "pure")
    assert sorted(contract["source_modules"]) == sorted(f"leyden.{package}.*" for package in PURE)
    for path in (p for p in pure_files() if p.name == "__init__.py"):
        named = {alias.name for n in ast.walk(tree(path)) if isinstance(n, ast.Import) for alias in n.names}
        named |= {n.module or "" for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in named} & set(contract["forbidden_modules"]), place(path)


def test_functions_are_short() -> None:
    """A function that does not fit on a screen hides its branches."""
    faults = [
        f"{place(path, node)} {node.name}: {length} lines"
        for path in python_files("src", "tests", "tools", "examples", "benchmarks", "fuzz", "interop")
        for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]  # fmt: skip
    assert not faults


def test_files_are_short() -> None:
    """Past this size a file has two subjects."""
    code = python_files("src", "tests", "tools", "examples", "benchmarks", "fuzz", "interop")
    long = {str(p.relative_to(ROOT)): n for p in code if (n := len(p.read_text().splitlines())) > FILE_LINES_MAX}
    assert sorted(long) == sorted(LONG_FILES), long


def test_journal_knows_the_type_of_everything() -> None:
    """What is durable outlives the code that wrote it: nothing in it may be of any type."""
    files = [p for p in pure_files() if p.is_relative_to(SRC / "journal")]
    faults = [place(p, n) for p in files for n in ast.walk(tree(p)) if dotted(n).split(".")[-1] == "Any"]
    assert not faults


def test_module_names_say_what_is_inside() -> None:
    """A module called `utils` grows for ever, because nothing does not belong there."""
    faults = [place(p) for p in python_files("src") if VAGUE_NAMES & set(p.relative_to(SRC).with_suffix("").parts)]
    assert not faults


def has_code(path: Path) -> bool:
    """Whether a module does anything: declarations and Protocols have nothing to test by themselves."""
    functions = [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(not isinstance(s, ast.Expr) or isinstance(s.value, ast.Call) for f in functions for s in f.body)


def test_every_module_has_its_test_file() -> None:
    """Whoever changes a module must know where its tests are: tests/ mirrors src/leyden."""
    missing: list[str] = []
    for path in python_files("src"):
        module = path.relative_to(SRC)
        found = (ROOT / "tests" / module.parent).glob(f"test_{module.stem}*.py")
        if module.name != "__init__.py" and not any(found) and has_code(path):
            missing.append(str(module))
    assert not sorted(set(missing) - set(UNTESTED)), "a module without its test file"
    assert not sorted(set(UNTESTED) - set(missing)), "these have their test now: take them out of tests/untested.toml"


def test_commands_in_the_documentation_exist() -> None:
    """The first command a newcomer types must work."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [p for p in tracked() if p.suffix == ".md"]
    command = re.compile(r"(?:`|^\s*\$? ?)make ([a-z]+)", re.MULTILINE)
    named = {(str(p.relative_to(ROOT)), name) for p in pages for name in command.findall(p.read_text())}
    assert {"demo", "test"} <= {name for page, name in named if page == "README.md"}
    assert not [pair for pair in sorted(named) if pair[1] not in targets]


def test_no_file_names_a_registry_or_the_machine_it_was_made_on() -> None:
    """The lock must work with any index, and a path of one machine works on no other."""
    faults: list[str] = []
    for path in tracked():
        text = path.read_text(errors="ignore")
        faults += [f"{place(path)}: {m.group()}" for p in (REGISTRY_HOSTS, BUILD_PATHS) for m in p.finditer(text)]
    assert not faults


def test_lock_inputs_are_the_dependencies_of_the_project() -> None:
    """Two lists of dependencies that may differ would be one too many."""

    def lines(name: str) -> list[str]:
        text = (ROOT / "requirements" / name).read_text()
        return [line for line in text.splitlines() if line and not line.startswith(("#", "-r"))]

    assert lines("base.in") == PYPROJECT["project"]["dependencies"]
    assert lines("dev.in") == PYPROJECT["dependency-groups"]["dev"]


@pytest.mark.parametrize("flags", [["-O"], ["-OO"]])
def test_package_refuses_to_start_without_assertions(flags: list[str]) -> None:
    """Assertions are the last guard before money moves; `-O` would take them away without a word."""
    done = subprocess.run([sys.executable, *flags, "-c", "import leyden"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "does not run under python -O" in done.stderr


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a Markdown page."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_resolve() -> None:
    """A reading order with a dead link ends there."""
    faults: list[str] = []
    for page in (p for p in tracked() if p.suffix == ".md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                faults.append(f"{place(page)}: {link}")
    assert not faults


def test_invariants_that_are_cited_exist() -> None:
    """A comment that cites P1 promises that the reader can look it up."""
    table = (ROOT / "docs" / "invariants.md").read_text()
    defined = set(re.findall(r"^\| ([PS]\d+) \|", table, re.MULTILINE))
    cited = {
        (str(path.relative_to(ROOT)), name)
        for path in python_files("src", "tests")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type in (tokenize.COMMENT, tokenize.STRING)
        for name in re.findall(r"(?<![\w.'\"<])[PS]\d{1,2}(?![\w'\"])", token.string)
    }
    assert defined
    assert not [pair for pair in sorted(cited) if pair[1] not in defined]
