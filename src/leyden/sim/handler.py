"""What the application of a simulated node does with the events it is shown."""

from typing import Protocol

from leyden.manager import claiming, handoff
from leyden.manager.events import Event, PaymentClaimable
from leyden.manager.manager import Manager


class HandlerFailed(Exception):
    """The application could not handle an event; it is handed the same one again a moment later."""


class Application(Protocol):
    """Called once for each time an event is shown; runs its commands through `run`.

    delay_seconds: how long it takes for each event.
    """

    delay_seconds: int

    def on_event(self, manager: Manager, event: Event) -> None:
        """React to an event, in a turn of its own. Raises: HandlerFailed."""
        ...


class Prompt:
    """Acknowledges everything, and answers every question the same way.

    answer: `claim` (what has a preimage, else `fail`), `fail`, or empty to leave the question open. preimages: of
    hashes whose preimage the node does not know. answered: by set_id, what is answered again whenever it is asked.
    fails: how many times it fails before it works.
    """

    def __init__(
        self,
        answer: str = "claim",
        *,
        acknowledges: bool = True,
        preimages: dict[bytes, bytes] | None = None,
        answered: dict[bytes, str] | None = None,
        delay_seconds: int = 0,
        fails: int = 0,
    ) -> None:
        self.answer = answer
        self.acknowledges = acknowledges
        self.preimages = {} if preimages is None else preimages
        self.answered = {} if answered is None else answered
        self.delay_seconds = delay_seconds
        self.fails = fails

    def on_event(self, manager: Manager, event: Event) -> None:
        """See `Application`."""
        if self.fails:
            self.fails -= 1
            raise HandlerFailed(event.event_id)
        if isinstance(event, PaymentClaimable):
            claimable = manager.asked.get(event.set_id)
            answer = self.answered.get(event.set_id, self.answer)
            if not answer or claimable is None:
                return
            preimage = self.preimages.get(event.payment_hash, claimable.preimage)
            if answer == "claim" and preimage:
                claiming.claim_payment(manager, event.set_id, preimage)
            else:
                claiming.fail_payment(manager, event.set_id)
        elif self.acknowledges:
            handoff.acknowledge_event(manager, event.event_id)
