"""One inbound HTLC and two channels that could carry it on: Y, whose peer comes and goes, and Z. No crash is needed.

An add that nobody signed is dropped at a disconnection, and its source returns to the manager. A signature that
provably never left may be taken back by a `Withdrawn` record. Bounds: two signatures in Y, one in Z,
two connections of Y, two crashes, every kept prefix of both journals.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from models.journal import Journal, crashed_both, names
from models.kernel import Moves, Reading

Record: TypeAlias = Literal["signed", "withdrawn"]
Owner: TypeAlias = Literal["manager", "Y", "Z", "being withdrawn", "nobody"]


class State(NamedTuple):
    """connection: odd while Y's peer is connected. queued: an unsigned add in Y. on_wire: connection in which a
    signature of Y waits to leave. left_y, left_z: a signature has left. ours: Y's signature was made in this life, and
    has not left.
    """

    y: Journal[Record]
    z: Journal[Record]
    connection: int
    queued: bool
    on_wire: int | None
    owner: Owner
    left_y: bool
    left_z: bool
    ours: bool
    crashes: int


def is_signed(records: tuple[Record, ...]) -> bool:
    """Return whether a signature stands."""
    return records.count("signed") > records.count("withdrawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reoffer:
    """Switches; each default is the rule."""

    drops_unsigned: bool = True
    """Y forgets its unsigned add at a disconnection; else it sends it again by itself."""
    returns_source: bool = True
    """... and the manager gets the source back."""
    withdrawal_waits: bool = True
    """The source returns when `Withdrawn` is durable."""
    withdraws_own_life: bool = True
    """Only a signature of this life, known not to have left, is withdrawn."""

    def start(self) -> State:
        """The manager has the HTLC, Y's peer is connected."""
        return State(Journal(), Journal(), 1, False, None, "manager", False, False, ours=False, crashes=2)

    def moves(self, state: State) -> Moves[State]:
        """Store, manager, both channels, the wire."""
        y, z, up = state.y, state.z, state.connection % 2 == 1
        if y.waits:
            owner: Owner = "manager" if state.owner == "being withdrawn" else state.owner
            yield "store: Y", state._replace(y=y.written(), owner=owner)
        if z.waits:
            yield "store: Z", state._replace(z=z.written())
        may_sign = not is_signed(y.records) and y.records.count("signed") < 2
        if state.owner == "manager" and up and not state.queued and may_sign:
            yield "manager: offer to Y", state._replace(queued=True, owner="Y")
        if state.owner == "manager" and "signed" not in z.records:
            yield "manager: offer to Z, signed", state._replace(z=z.add("signed"), owner="Z")
        if state.queued and up and may_sign:
            signed = state._replace(y=y.add("signed"), queued=False, on_wire=state.connection, ours=True)
            yield "Y: sign", signed
        if state.on_wire is not None and not y.waits and state.on_wire == state.connection:
            yield "wire: Y's signature", state._replace(on_wire=None, left_y=True, ours=False)
        if "signed" in z.kept and not state.left_z:
            yield "wire: Z's signature", state._replace(left_z=True)
        if not up:
            yield from self._disconnected(state)

    def _disconnected(self, state: State) -> Moves[State]:
        standing = is_signed(state.y.records)
        again = state._replace(connection=state.connection + 1)
        if standing and not state.y.waits:
            yield "Y: reconnect, the signature is sent again", again._replace(left_y=True, ours=False)
        if not standing:
            yield "Y: reconnect", again
        provable = state.ours or not self.withdraws_own_life
        if standing and provable and "withdrawn" not in state.y.records:
            owner: Owner = "being withdrawn" if self.withdrawal_waits else "manager"
            yield "Y: withdraw", state._replace(y=state.y.add("withdrawn"), owner=owner)

    def faults(self, state: State) -> Moves[State]:
        """Y's connection is lost; crashes."""
        if state.connection == 1:
            owner = state.owner
            if state.queued:
                owner = "manager" if self.returns_source else "nobody"
            queued = state.queued and not self.drops_unsigned
            yield "Y: disconnect", state._replace(connection=2, queued=queued, on_wire=None, owner=owner)
        if not state.crashes:
            return
        for y, z in crashed_both(state.y, state.z):
            owner = "Y" if is_signed(y.records) else "Z" if "signed" in z.records else "manager"
            down = state.connection + state.connection % 2
            after = state._replace(
                y=y, z=z, connection=down, queued=False, on_wire=None, owner=owner, ours=False,
                crashes=state.crashes - 1,
            )  # fmt: skip
            yield f"CRASH, kept Y {names(y)} Z {names(z)}", after

    def loss(self, state: State) -> str:
        """Two next hops may take the same HTLC."""
        return "LOSS: Y's and Z's peers both hold a signature" if state.left_y and state.left_z else ""

    def loss_at_rest(self, state: State) -> str:
        """Somebody was offered the HTLC."""
        return "" if state.left_y or state.left_z else "STUCK: nobody was offered the HTLC"


READINGS = (
    Reading("the rules", Reoffer()),
    Reading("Y sends its unsigned add again by itself", Reoffer(drops_unsigned=False), "LOSS"),
    Reading("nobody offers it again", Reoffer(returns_source=False), "STUCK"),
    Reading("the source returns before `Withdrawn` is durable", Reoffer(withdrawal_waits=False), "LOSS"),
    Reading("a signature of an earlier life is withdrawn", Reoffer(withdraws_own_life=False), "LOSS"),
)
