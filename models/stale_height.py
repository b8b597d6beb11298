"""A start decides on an inbound HTLC: before or after the chain is at the tip.

The inbound HTLC expires at height 6, the outbound one would at 4, and it is offered with at least two blocks left: so
many does our timeout need to confirm, and the next hop may claim until then. While the node was down the chain moved
on. Bounds: one HTLC, heights 0 to 8, the next hop as late as it likes.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from models.kernel import Moves, Reading

INBOUND_EXPIRY: Final = 6
OUTBOUND_EXPIRY: Final = 4
MARGIN: Final = 2
LAST: Final = 8


class State(NamedTuple):
    """height: of the chain. known: what the node believes. offered, claimed: heights at which that happened."""

    height: int = 0
    known: int = 0
    running: bool = False
    offered: int | None = None
    claimed: int | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleHeight:
    """Switches; each default is the rule."""

    chain_first: bool = True
    """Nothing is decided before the chain is at the tip."""

    def start(self) -> State:
        """The node is down, at height 0."""
        return State()

    def moves(self, state: State) -> Moves[State]:
        """Blocks, the node, the next hop."""
        height = state.height
        if height < LAST:
            yield f"block {height + 1}", state._replace(height=height + 1)
        if not state.running:
            yield "node: starts", state._replace(running=True)
            return
        if state.known < height:
            yield f"node: the chain is at {height}", state._replace(known=height)
        if state.offered is None and not state.failed and (state.known == height or not self.chain_first):
            if state.known + MARGIN <= OUTBOUND_EXPIRY:
                yield "node: offers it", state._replace(offered=height)
            else:
                yield "node: fails it", state._replace(failed=True)
        if state.offered is not None and state.claimed is None and not state.failed:
            confirmed = max(OUTBOUND_EXPIRY, state.offered) + MARGIN
            if height <= confirmed:
                yield "next hop: claims", state._replace(claimed=height)
            if height >= confirmed:
                yield "node: its timeout confirms, fails it", state._replace(failed=True)

    def faults(self, state: State) -> Moves[State]:
        """None: that the node was down is the fault."""
        del state
        return iter(())

    def loss(self, state: State) -> str:
        """The next hop claimed when upstream had taken it back."""
        if state.claimed is not None and state.claimed > INBOUND_EXPIRY:
            return f"LOSS: the next hop claimed at {state.claimed}, the inbound HTLC had expired at {INBOUND_EXPIRY}"
        return ""

    def loss_at_rest(self, state: State) -> str:
        """The HTLC is settled."""
        return "" if state.failed or state.claimed is not None else "STUCK: the HTLC is never settled"


READINGS = (
    Reading("the rules", StaleHeight()),
    Reading("judged at the height of the last life", StaleHeight(chain_first=False), "LOSS"),
)
