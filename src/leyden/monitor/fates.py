"""Who has taken an output of a closed channel, as the witness that spent it shows.

Spec: BOLT 3, "Commitment Transaction Outputs", "HTLC-Timeout and HTLC-Success Transactions"; BOLT 5, "HTLC Output
Handling", "Revoked Transaction Close Handling".
"""

from enum import Enum

from leyden.monitor.closed import ClosedView
from leyden.monitor.resolution import revealed
from leyden.monitor.watched import WatchedKind, WatchedOutput

_BY_REVOCATION = b"\x01"


class Taker(Enum):
    """Who has it. SOMEBODY: anchors, which anyone may take, and outputs that this state does not know."""

    US = "us"
    PEER = "peer"
    SOMEBODY = "somebody"


def taker_of(view: ClosedView, output: WatchedOutput) -> Taker | None:
    """Return who has taken an output of `view`, or None while no block has spent it."""
    seen = view.spenders.get(output.outpoint)
    if seen is None:
        return None
    match output.kind:
        case WatchedKind.TO_REMOTE:
            return Taker.US
        case WatchedKind.TO_LOCAL | WatchedKind.SECOND_STAGE:
            return Taker.PEER if _by_revocation(view, output) else Taker.US
        case WatchedKind.REVOKED_TO_LOCAL | WatchedKind.REVOKED_SECOND_STAGE:
            return Taker.US if _by_revocation(view, output) else Taker.PEER
        case WatchedKind.HTLC:
            assert output.htlc is not None, "an HTLC output holds one"
            # Whoever received it shows the preimage, whoever offered it has waited for the expiry.
            fulfilled = bool(revealed(seen.inputs[output.outpoint], output.htlc.payment_hash))
            return Taker.PEER if fulfilled == output.htlc.offered else Taker.US
        case WatchedKind.REVOKED_HTLC:
            # The peer cannot take it but by a second stage.
            stages = [one for one in view.outputs.values() if one.kind is WatchedKind.REVOKED_SECOND_STAGE]
            return Taker.PEER if any(one.outpoint.txid == seen.txid for one in stages) else Taker.US
        case WatchedKind.OWN_ANCHOR | WatchedKind.OTHER_ANCHOR | WatchedKind.UNKNOWN:
            return Taker.SOMEBODY


def _by_revocation(view: ClosedView, output: WatchedOutput) -> bool:
    """Return whether the script's branch with the revocation key was taken (BOLT 3, "`to_local` Output")."""
    witness = view.spenders[output.outpoint].inputs[output.outpoint].witness
    return len(witness) > 1 and witness[1] == _BY_REVOCATION
