"""The four kinds of failure."""

import pytest

from leyden.base.errors import (
    ChainUnavailable,
    CommandRejected,
    DecodeError,
    DriverError,
    LeydenError,
    PeerViolation,
    Reaction,
    StorageBroken,
    StorageFailed,
    StorageFenced,
    StorageUnavailable,
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DecodeError("too short"), "too short"),
        (DecodeError("too short", offset=0), "too short at offset 0"),
        (DecodeError("too short", field="chain_hash"), "too short in chain_hash"),
        (DecodeError("too short", offset=7, field="chain_hash"), "too short in chain_hash at offset 7"),
    ],
)
def test_decode_error_says_what_and_where(error: DecodeError, sentence: str) -> None:
    """Whoever reads the log must find the byte."""
    assert str(error) == sentence


def test_kinds_are_not_mixed() -> None:
    """A failure of the world that were caught as the fault of the peer would close channels."""
    kinds = [(DecodeError, PeerViolation), (CommandRejected,), (DriverError, StorageFailed, ChainUnavailable)]
    for kind in kinds:
        others = tuple(e for other in kinds if other is not kind for e in other)
        assert all(issubclass(e, LeydenError) and not issubclass(e, others) for e in kind)


def test_storage_failures_that_end_this_life_are_not_retried() -> None:
    """A fenced node that tries again would write beside its successor."""
    assert issubclass(StorageFenced, StorageBroken)
    assert not issubclass(StorageUnavailable, StorageBroken)


def test_violation_disconnects_unless_its_class_says_otherwise() -> None:
    """Failing a channel is a choice made for each class, never a default."""
    assert PeerViolation("odd").reaction is Reaction.DISCONNECT


def test_rejected_command_carries_a_code_for_programs() -> None:
    """Programs match on the code; the sentence may be improved at any time."""
    error = CommandRejected("no such channel", code="unknown_channel")
    assert (str(error), error.code) == ("no such channel", "unknown_channel")
