"""The README's example is a program: it must run as printed."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
LINES_MAX = 12


def example() -> str:
    """The first Python block of the README."""
    found = re.search(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def test_embed_example_is_short() -> None:
    """Ten lines are the promise; blank ones and the closing call are not counted against it."""
    source = example()
    compile(source, "README.md", "exec")
    assert len([line for line in source.splitlines() if line.strip()]) <= LINES_MAX


def test_embed_example_runs(tmp_path: Path) -> None:
    """The first program that a newcomer copies must work without a change."""
    (tmp_path / "example.py").write_text(example())
    command = [sys.executable, "-W", "error", "example.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
