"""What a user gives to the contract: a place on which stores can be opened, and, if it can be done, its misfortunes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum

from leyden.ports.store import Store


class Trouble(Enum):
    """What goes wrong with a place."""

    NONE = "none"
    TRANSIENT = "transient"
    """No write succeeds, until the trouble is over: a full disk, a connection that is lost."""
    FINAL = "final"
    """The writes under way are lost and this store can never know what it has: a disk that fails to sync."""


class StoreMaker(ABC):
    """A place that keeps journals: a directory, a database, a key prefix. Subclass it; only `store` is required.

    Each rule of the contract gets a place of its own, with nothing on it. A rule that needs what a place cannot do is
    reported as not tried.
    """

    answer_seconds: float = 10.0
    """How long a call may go unanswered before a rule calls it lost."""

    @abstractmethod
    def store(self) -> Store:
        """Return another store over this place, not opened yet."""

    def crashes(self) -> Iterable["StoreMaker"]:
        """Return copies of the place as a crash at this very moment could leave it; none if that cannot be had.

        What was never reported durable may be there, or not, or half: give several copies, the nastiest first. It is
        called from within the store's answers, so it must not wait for the store.
        """
        return ()

    def trouble(self, kind: Trouble) -> bool:
        """Let the place get into trouble, or out of it (NONE); return False if that cannot be had."""
        return False

    def close(self) -> None:  # noqa: B027 - most places hold nothing
        """Give back what the place holds; called when a rule is done with it."""
