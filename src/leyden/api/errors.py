"""What a client may meet besides the node's own refusals."""

from leyden.base.errors import DriverError, LeydenError


class NodeNotRunning(DriverError):
    """Nobody answers at the socket of the data directory."""


class NodeTimeout(DriverError):
    """The node took a request and did not answer in time; whether it was done is not known."""


class RemoteFailed(DriverError):
    """The node says that its world failed:

    disk, chain service, network. code: stable name, e.g. `chain_unavailable`.
    """

    def __init__(self, what: str, *, code: str) -> None:
        super().__init__(what)
        self.code = code


class NodeFault(LeydenError):
    """A fault of the node, or an answer that is not this API's."""
