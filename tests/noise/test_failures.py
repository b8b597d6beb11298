"""What the session learns when a connection fails."""

import pytest

from leyden.noise import HandshakeFailed, HandshakeProblem


@pytest.mark.parametrize("problem", list(HandshakeProblem))
def test_handshake_failure_says_which_act_and_why(problem: HandshakeProblem) -> None:
    """The log line is all an operator has to find out why two nodes do not connect."""
    failure = HandshakeFailed(2, problem)
    assert str(failure) == f"handshake act 2: {problem.value}"
    assert (failure.act, failure.problem) == (2, problem)
