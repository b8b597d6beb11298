"""`python -m leyden.sim` is there."""

import subprocess
import sys


def test_help_names_the_commands() -> None:
    """What it can do."""
    done = subprocess.run([sys.executable, "-m", "leyden.sim", "--help"], capture_output=True, text=True, check=True)
    for word in ("replay", "random", "show", "trace", "power"):
        assert word in done.stdout
