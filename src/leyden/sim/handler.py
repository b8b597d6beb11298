"""What the application of a simulated node does with the events it is shown."""

from typing import Protocol

from leyden.manager import claiming, handoff
from leyden.manager.events import Event, PaymentClaimable
from leyden.manager.manager import Manager


class Application(Protocol):
    """Called once for each time an event is shown; runs its commands through `run`."""

    def on_event(self, manager: Manager, event: Event) -> None:
        """React to an event, in a turn of its own."""
        ...


class Prompt:
    """Acknowledges everything at once, and answers every question the same way.

    answer: `claim` (what has a preimage, else `fail`), `fail`, or empty to leave the question open.
    preimages: of hashes whose preimage the node does
    not know.
    """

    def __init__(self, answer: str = "claim", *, acknowledges: bool = True) -> None:
        self.answer = answer
        self.acknowledges = acknowledges
        self.preimages: dict[bytes, bytes] = {}

    def on_event(self, manager: Manager, event: Event) -> None:
        """See `Application`."""
        if isinstance(event, PaymentClaimable):
            claimable = manager.claimables.get(event.set_id)
            if not self.answer or claimable is None:
                return
            preimage = self.preimages.get(event.payment_hash, claimable.preimage)
            if self.answer == "claim" and preimage:
                claiming.claim_payment(manager, event.set_id, preimage)
            else:
                claiming.fail_payment(manager, event.set_id)
        elif self.acknowledges:
            handoff.acknowledge_event(manager, event.event_id)
