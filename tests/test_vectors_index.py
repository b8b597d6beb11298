"""tests/vectors/README.md is the index of test vectors: every file there is used, whole, or put off by name."""

import hashlib
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
VECTORS = TESTS / "vectors"
INDEX = VECTORS / "README.md"
# Published files that concern Leyden; a file that leaves one table without entering the other would be forgotten.
PUBLISHED_FILES = 63


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the index, without its two head rows."""
    section = INDEX.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


USED = table("Used")
LATER = table("Later")


def test_every_file_is_listed_once() -> None:
    """A file nobody listed may be one that nobody runs."""
    present = {path.relative_to(VECTORS).as_posix() for path in VECTORS.rglob("*") if path.is_file() and path != INDEX}
    listed = [row[0] for row in USED]
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == present


def test_nothing_is_used_and_put_off() -> None:
    """The later list is the promise of what is missing, so it must be true and complete."""
    used, later = [row[0] for row in USED], [row[0] for row in LATER]
    assert not set(used) & set(later)
    assert len(later) == len(set(later))
    assert all(reason.endswith(".") for _, reason in LATER)
    assert len([row for row in USED if row[3] != "-"]) + len(later) == PUBLISHED_FILES


@pytest.mark.parametrize("row", USED, ids=lambda row: row[0])
def test_file_is_whole_and_read_by_the_named_tests(row: list[str]) -> None:
    """A vector shortened until it passes, or read by no test, proves nothing."""
    name, _, readers, digest = row
    path = VECTORS / name
    if digest != "-":
        assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest)
    for reader in readers.split(", "):
        text = (TESTS.parent / reader).read_text()
        assert path.stem in text, reader
        # Several BIPs have a file of the same name.
        assert path.parent.parent.name != "bips" or path.parent.name in text, reader


def test_every_directory_states_its_origin() -> None:
    """Whoever doubts a figure must know where to look it up."""
    named = [part for row in table("Origins") for part in row[0].replace(" (all others)", "").split(", ")]
    for row in USED:
        assert any(row[0].startswith(part) for part in named), row[0]
