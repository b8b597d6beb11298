"""The four kinds of failure, never mixed (docs/adr/0005).

| class | whose fault | who catches | result |
| --- | --- | --- | --- |
| `DecodeError`, `PeerViolation` | the peer's | the peer session | warning, disconnection, or the channel fails |
| `CommandRejected` | our caller's | the API | a typed reply, nothing changed |
| `DriverError` | the outside world's | the node | retried, reported; never closes a channel |
| `AssertionError` and the rest | ours | the run loop | that channel halts, nothing more is written or sent |
"""

from enum import Enum


class LeydenError(Exception):
    """Root of every error that Leyden raises on purpose."""


class DecodeError(LeydenError):
    """Bytes or text that cannot be decoded.

    Args:
        what: the sentence for a reader, lower case, no secrets.
        offset: where in the input, in bytes (characters for text), or -1 when it has no place.
        field: which field, by its BOLT name.
    """

    def __init__(self, what: str, *, offset: int = -1, field: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.field = field

    def __str__(self) -> str:
        """Say what is wrong and where."""
        place = f" in {self.field}" if self.field else ""
        at = f" at offset {self.offset}" if self.offset >= 0 else ""
        return f"{self.what}{place}{at}"


class WrittenByNewer(DecodeError):
    """Whole in itself, but of a version that is newer than this program: nothing of it may be left out."""


class Reaction(Enum):
    """What the peer session does about a peer that broke the protocol."""

    IGNORE = "ignore"
    WARN = "warn"
    DISCONNECT = "disconnect"
    FAIL_CHANNEL = "fail_channel"


class PeerViolation(LeydenError):
    """The peer broke the protocol. Subclasses fix `reaction` and cite the BOLT rule in their docstring."""

    reaction: Reaction = Reaction.DISCONNECT

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class CommandRejected(LeydenError):
    """The caller asked for something that cannot be done; nothing was changed.

    Args:
        what: the sentence for the caller: what, where, and what to do.
        code: stable snake_case name that a program can match, e.g. `unknown_channel`.
    """

    def __init__(self, what: str, *, code: str) -> None:
        super().__init__(what)
        self.what = what
        self.code = code


class DriverError(LeydenError):
    """The outside world failed: disk, network, chain service. Never a reason to close a channel."""


class StorageFailed(DriverError):
    """The store did not take a write."""


class StorageUnavailable(StorageFailed):
    """Transient: the write may be tried again (disk full, connection lost)."""


class StorageBroken(StorageFailed):
    """Final: this store will take no more writes in this life; stop before another message goes out."""


class StorageFenced(StorageBroken):
    """Another process has taken over the store; this one must stop at once."""


class ChainUnavailable(DriverError):
    """The chain service did not answer or answered nonsense; retried with back-off."""
