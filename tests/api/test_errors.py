"""Errors that only a client meets."""

from leyden.api.errors import NodeFault, NodeNotRunning, NodeTimeout, RemoteFailed
from leyden.base.errors import CommandRejected, DriverError


def test_what_the_world_broke_is_told_apart_from_what_was_refused() -> None:
    """A program repeats the one and not the other, by the class alone."""
    failed = RemoteFailed("the chain service is down", code="chain_unavailable")
    assert failed.code == "chain_unavailable"
    assert str(failed) == "the chain service is down"
    for kind in (RemoteFailed, NodeNotRunning, NodeTimeout):
        assert issubclass(kind, DriverError)
    assert not issubclass(NodeFault, DriverError | CommandRejected)
