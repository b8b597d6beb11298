"""Exit codes and sentences of every kind of failure."""

import json

import pytest
import typer

from leyden.api.errors import NodeFault, NodeNotRunning, NodeTimeout, RemoteFailed
from leyden.base.errors import CommandRejected, DecodeError, DriverError, StorageFailed
from leyden.cli import exits

CASES = [
    (CommandRejected("no", code="invalid_amount"), exits.REJECTED, "invalid_amount"),
    (NodeNotRunning("no node"), exits.NOT_RUNNING, "node_not_running"),
    (NodeTimeout("late"), exits.WORLD_FAILED, "node_timeout"),
    (RemoteFailed("down", code="chain_unavailable"), exits.WORLD_FAILED, "chain_unavailable"),
    (StorageFailed("full"), exits.WORLD_FAILED, "driver_error"),
    (DriverError("down"), exits.WORLD_FAILED, "driver_error"),
    (NodeFault("a fault"), exits.FAULT, "internal_error"),
    (DecodeError("bad", field="invoice"), exits.REJECTED, "rejected"),
]


@pytest.mark.parametrize(("error", "code", "name"), CASES)
def test_each_failure_has_its_exit_code_and_one_sentence(
    error: Exception, code: int, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script decides by the exit code; a person reads the sentence; neither wants a trace."""

    def command(as_json: bool) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        exits.guarded(command)(as_json=True)
    assert ended.value.exit_code == code
    shown = capsys.readouterr()
    assert shown.err == f"leyden: {error}\n"
    assert json.loads(shown.out) == {"error": {"code": name, "message": str(error)}}


def test_nothing_but_the_sentence_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is for results."""

    def command() -> None:
        raise CommandRejected("no", code="x")

    with pytest.raises(typer.Exit):
        exits.guarded(command)()
    assert capsys.readouterr().out == ""


def test_interruption_is_no_failure_of_the_node(capsys: pytest.CaptureFixture[str]) -> None:
    """Who presses Ctrl-C must know that the payment may still go through."""

    def command() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        exits.guarded(command)()
    assert ended.value.exit_code == exits.INTERRUPTED
    assert "goes on" in capsys.readouterr().err


def test_success_and_chosen_codes_pass_through() -> None:
    """A command that has said everything itself only names its code."""

    def command(code: int) -> None:
        raise exits.Stop(code)

    exits.guarded(command)(exits.OK)
    with pytest.raises(typer.Exit) as ended:
        exits.guarded(command)(exits.PAYMENT_PENDING)
    assert ended.value.exit_code == exits.PAYMENT_PENDING


def test_fault_in_the_command_line_itself_is_not_hidden() -> None:
    """A bug of ours is reported by its trace."""

    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exits.guarded(command)()
