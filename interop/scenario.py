"""What a scenario is, and how it ends."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import msgspec

if TYPE_CHECKING:
    from interop.world import World

Outcome: TypeAlias = Literal["pass", "fail", "not offered", "peer's fault"]
ScenarioFunction: TypeAlias = "Callable[[World], Awaitable[None]]"

SUBJECTS: Final = {
    1: "Connections",
    2: "Opening channels",
    3: "Paying",
    4: "Forwarding",
    5: "Fees and dust",
    6: "Restarts",
    7: "Cooperative closes",
    8: "Forced closes",
    9: "Long run",
}
"""Sections of `docs/interop.md`."""


class ScenarioFailed(Exception):
    """Something is not as it must be; the text says what, where and what was expected."""


class PeerAtFault(Exception):
    """The peer itself breaks the protocol or loses its own state. The text says where in its behaviour it shows."""


LONG_ROUNDS: Final = 50
LONG_PAYMENTS: Final = 10_000


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what can be repeated is done. rounds: of restarts, each scenario. payments: in the long run."""

    rounds: int = 5
    payments: int = 500

    def factor(self) -> float:
        """How many times the usual time scenarios may take."""
        usual = Extent()
        return max(1.0, self.rounds / usual.rounds, self.payments / usual.payments)

    @property
    def is_long(self) -> bool:
        """Whether this is the long lane, whose results have rows of their own."""
        return self.rounds >= LONG_ROUNDS or self.payments >= LONG_PAYMENTS


class Scenario(msgspec.Struct, frozen=True):
    """One row of the matrix.

    key: stable name, `subject.name`. seconds_max: it has failed when it takes longer, at the usual extent. alone: it
    gets a world of its own, because it leaves nodes behind that nothing else can be tried with. once: all kinds of
    peers are in it, so one run of it is the result of each. grows: it does more when the extent is larger. long: it is
    only run when the extent is long.
    """

    key: str
    subject: int
    title: str
    run: ScenarioFunction
    seconds_max: int
    alone: bool
    once: bool = False
    grows: bool = False
    long: bool = False


@final
class Registry:
    """Every scenario, in the order of the matrix."""

    def __init__(self) -> None:
        self.scenarios: list[Scenario] = []

    def __call__(
        self,
        subject: int,
        title: str,
        *,
        seconds_max: int = 60,
        alone: bool = False,
        once: bool = False,
        grows: bool = False,
        long: bool = False,
    ) -> Callable[[ScenarioFunction], ScenarioFunction]:
        """Decorate a scenario. subject: number in `SUBJECTS`. title: what it shows, in a few words."""

        def register(function: ScenarioFunction) -> ScenarioFunction:
            name = getattr(function, "__name__", "")
            module = function.__module__.rpartition(".")[2]
            self.scenarios.append(
                Scenario(f"{module}.{name}", subject, title, function, seconds_max, alone, once, grows, long)
            )
            return function

        return register


scenario: Final = Registry()


def check(holds: bool, otherwise: str) -> None:
    """Fail the scenario unless `holds`; `otherwise` says what is wrong, with the values."""
    if not holds:
        raise ScenarioFailed(otherwise)
