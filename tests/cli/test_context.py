"""Which data directory a command works with."""

from pathlib import Path

import pytest

from leyden.cli import context


def test_option_then_environment_then_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The wrong directory is the wrong node, and its money."""
    context.choose_data_dir(None)
    assert context.data_dir(None) == tmp_path / ".leyden"
    monkeypatch.setenv("LEYDEN_DATA_DIR", "~/other")
    assert context.data_dir(None) == tmp_path / "other"
    context.choose_data_dir(Path("~/chosen"))
    assert context.data_dir(None) == tmp_path / "chosen"
    assert context.data_dir(Path("/given")) == Path("/given")
    context.choose_data_dir(None)
