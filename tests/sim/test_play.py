"""Runs of scenario files."""

import pytest

from leyden.channel.session import Session
from leyden.channel.states import Spent
from leyden.sim.oracles import Violation
from leyden.sim.play import Play, scenario_of
from leyden.sim.scenario import outline, replay
from leyden.sim.schedules import Fair
from leyden.sim.script import parse_script

DIRECT = "# Direct.\nchannel alice bob 1000000 500000000\n\npay alice bob 5000000 one\n"

FORWARD = """# The channel of an inbound HTLC is closed by force, then the payee claims.
channel alice bob 1000000 500000000
channel bob carol 1000000 500000000

app carol wait
pay alice carol 40000000 one deadline=5 hash=known
@rest unlink bob alice
@rest force-close bob alice-bob
@rest mine 1
@rest claim carol
@rest mine 2
"""


def played(*lines: str) -> Play:
    """Run it with more lines."""
    play = Play(parse_script(DIRECT + "\n".join(lines)))
    play.run()
    return play


def test_run_is_checked_and_the_same_each_time() -> None:
    """Whatever goes wrong in it."""
    one = played("@5 crash bob alice-bob=1", "@9 cut alice bob")
    other = played("@5 crash bob alice-bob=1", "@9 cut alice bob")
    assert one.world.trace == other.world.trace
    assert "crash bob" in "\n".join(one.world.trace)


def test_close_and_open_may_cost_chain_fees_and_no_more() -> None:
    """And their channels are closed and open at the end."""
    play = played("@rest open alice bob 300000", "@rest close alice alice-bob", "@rest mine 6", "@rest probe")
    assert play.books.fees_msat(play.world)["alice"] > 0


def test_nothing_is_queued_for_the_peer_of_a_channel_that_the_chain_has() -> None:
    """Its inbound HTLC is fulfilled by record and by claim; what no signature can take waits in no memory."""
    play = Play(parse_script(FORWARD))
    play.run()
    slot = play.world.nodes["bob"].manager.channels[play.director.labels.channel("alice-bob")]
    assert type(slot.state) is Spent
    assert [bool(htlc.preimage) for htlc in slot.state.core.inbound.values()] == [True]
    assert slot.state.session == Session()


def test_violation_carries_the_scenario() -> None:
    """It can be pasted into a file. A channel that is closed though nobody asked is one."""
    play = Play(parse_script(DIRECT + "force-close alice alice-bob\n@rest mine 1"))
    play.director.world.closes_asked = _Forgetful()
    with pytest.raises(Violation) as caught:
        play.run()
    assert "pay alice bob 5000000 one" in "".join(caught.value.__notes__)


class _Forgetful(dict[bytes, bool]):
    def __setitem__(self, key: bytes, value: bool) -> None:
        """Remember nothing."""

    def setdefault(self, key: bytes, default: bool = False) -> bool:  # type: ignore[override]
        """Remember nothing."""
        return default


def test_scenario_of_a_file_can_be_explored() -> None:
    """Users' acts are steps of it."""
    scenario = scenario_of(parse_script(DIRECT), "direct")
    plan = outline(scenario, Fair())
    assert plan.steps > 10
    world = replay(scenario, Fair(), [])
    assert "act  pay alice bob 5000000 one" in world.trace
