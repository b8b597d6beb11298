"""Connections whose messages arrive when the world says so."""

from leyden.ports.transport import Connection
from leyden.sim.life import Life, SimClock
from leyden.sim.network import SimConnection, connect


class Recorder:
    """A handler that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_connected(self, connection: Connection) -> None:
        self.told.append(("connected", bytes(connection.node_id), connection.inbound))

    def on_messages(self, connection: Connection, messages: list[bytes]) -> None:
        del connection
        self.told.append(messages)

    def on_disconnected(self, connection: Connection, reason: str) -> None:
        del connection
        self.told.append(reason)

    def on_writable(self, connection: Connection) -> None:
        del connection


def pair() -> tuple[SimConnection, SimConnection, Recorder, Recorder, Life, Life]:
    """Two ends that know of each other."""
    lives = Life(SimClock(0)), Life(SimClock(0))
    one, two = Recorder(), Recorder()
    near = connect((lives[0], one, b"a"), (lives[1], two, b"b"))
    near.announce()
    near.peer.announce()
    return near, near.peer, one, two, *lives


def test_both_ends_know_who_the_other_is() -> None:
    """And who called whom."""
    near, far, one, two, *_ = pair()
    assert one.told == [("connected", b"b", False)]
    assert two.told == [("connected", b"a", True)]
    assert near.writable
    assert far.address.startswith("sim:")


def test_messages_arrive_in_as_many_reads_as_wanted() -> None:
    """A read may hold one message or all."""
    near, far, _one, two, *_ = pair()
    near.send([b"1", b"2", b"3"])
    assert far.is_deliverable()
    far.deliver(1)
    far.deliver(9)
    assert two.told[1:] == [[b"1"], [b"2", b"3"]]
    assert not far.is_deliverable()


def test_close_lets_what_was_sent_arrive_first() -> None:
    """The last words are heard, the answer is not."""
    near, far, one, two, life, other_life = pair()
    near.send([b"last"])
    near.close("enough")
    near.close("again")
    far.send([b"never"])
    life.run_posted()
    far.deliver(9)
    far.deliver(9)
    other_life.run_posted()
    assert one.told[1:] == ["enough"]
    assert two.told[1:] == [[b"last"], "closed by the peer"]


def test_cut_loses_what_is_on_its_way() -> None:
    """As when a process is killed."""
    near, far, one, two, life, other_life = pair()
    near.send([b"lost"])
    near.cut()
    life.run_posted()
    other_life.run_posted()
    assert not far.is_deliverable()
    assert one.told[1:] == two.told[1:] == ["connection lost"]


def test_paused_end_takes_nothing() -> None:
    """Back-pressure stalls the peer."""
    near, far, _one, two, *_ = pair()
    far.pause()
    near.send([b"1"])
    assert not far.is_deliverable()
    far.resume()
    far.deliver(9)
    assert two.told[1:] == [[b"1"]]
