"""Runs in words."""

from leyden.sim.narrate import Moment
from leyden.sim.play import Play
from leyden.sim.script import parse_script

TEXT = """# Direct.
channel alice bob 1000000 500000000

pay alice bob 5000000 one
@6 crash bob alice-bob=1
@idle mine 1
"""


def narrated(text: str) -> list[str]:
    """The lines of a run."""
    play = Play(parse_script(text))
    narrator = play.narrated()
    play.run()
    return narrator.lines()


def test_messages_records_events_and_crashes_are_named() -> None:
    """What a person needs to follow a payment."""
    lines = narrated(TEXT)
    assert lines[0] == "   1 ! pay alice bob 5000000 one"
    assert "   2 alice keeps node: PaymentStarted" in lines
    assert "   4 alice > bob: update_add_htlc 0, commitment_signed" in lines
    assert any(line.endswith("! crash bob alice-bob=1 (lost: nothing)") for line in lines)
    assert any(line.endswith("bob tells PaymentClaimed 5000000 msat") for line in lines)
    assert any(line.endswith("alice sees block 8") for line in lines)
    assert sum("alice connects to bob" in line for line in lines) == 1


def test_what_a_crash_loses_is_said() -> None:
    """By journal and number of records."""
    lines = narrated(TEXT.replace("@6 crash bob alice-bob=1", "@4 crash bob alice-bob=1"))
    assert any("(lost: alice-bob 1)" in line for line in lines)


def test_publications_and_troubles_are_told() -> None:
    """A close is on the chain, a store that refuses is reported."""
    lines = narrated(
        TEXT.replace("@6 crash bob alice-bob=1", "@6 store-fails alice unavailable")
        + "@rest close alice alice-bob\n@rest mine 6\n@rest repair\n"
    )
    assert any("published: " in line for line in lines)
    assert any("alice reports: the store does not take records" in line for line in lines)


def test_chosen_actions_are_told_once() -> None:
    """As what they are."""
    lines = narrated(TEXT + "@8 do commit bob node\n")
    assert not any("! do" in line for line in lines)


def test_moment_in_one_line() -> None:
    """Who sent to whom, and where what was kept."""
    assert Moment(3, "deliver", "bob", "alice", "init").line() == "   3 alice > bob: init"
    assert Moment(3, "commit", "bob", "node", "PaymentSent").line() == "   3 bob keeps node: PaymentSent"
    assert Moment(3, "publish", "", "", "published: funding").line() == "   3 published: funding"
