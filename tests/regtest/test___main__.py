"""The command line; the running service is tested in test_service."""

from pathlib import Path

import pytest

from leyden.regtest.__main__ import main
from leyden.regtest.chainstate import Chainstate


def test_usage_errors_end_with_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing directory is a mistake of the caller."""
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "--data-dir" in capsys.readouterr().err


def test_start_that_fails_says_why_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for what is not our bug."""
    chain = Chainstate(tmp_path)
    assert main(["--data-dir", str(tmp_path), "--port", "0"]) == 1
    chain.close()
    assert capsys.readouterr().err.count("\n") == 1
