"""Commands and their lines."""

import msgspec
import pytest

from leyden.sim.commands import VERBS, BadLine, Crash, Pay, Timed, format_command, parse_command

EXAMPLES = (
    "pay alice bob 500 one parts=2 keysend=true",
    "claim bob first=1",
    "refuse bob",
    "abandon alice one",
    "app bob wait acks=false slow=3 fails=1",
    "ack bob",
    "open alice bob 500000 push_msat=1000",
    "open-batch alice bob:300000 carol:200000",
    "@rest open-batch alice bob:300000",
    "close alice alice-bob",
    "force-close alice alice-bob.2",
    "feerate alice 5000",
    "mine 6",
    "mine 60 quick=true",
    "resolve",
    "may-close alice-bob",
    "stall alice bob after=1",
    "reorg 2",
    "reorg 2 without=true",
    "cheat alice alice-bob 3",
    "fees 20000 minimum=9000",
    "evict",
    "drop alice on",
    "tick 3",
    "snapshot bob node",
    "@12 crash bob alice-bob=0 node=1",
    "@3 kill bob node=1",
    "start bob sync=false",
    "backup alice",
    "restore alice mark=true",
    "cut alice bob",
    "unlink alice bob",
    "link alice bob",
    "hold bob alice-bob",
    "release bob",
    "store-fails bob broken journal=node",
    "do deliver bob alice messages=1",
    "@idle tick 3",
    "@rest mine 6",
    "repair",
    "probe",
)


@pytest.mark.parametrize("line", EXAMPLES)
def test_line_and_command_are_the_same(line: str) -> None:
    """What is written is what is read."""
    assert format_command(parse_command(line)) == line


def test_every_verb_has_an_example() -> None:
    """A new command is written down too."""
    assert {line.split()[line.startswith("@")] for line in EXAMPLES} == set(VERBS)


def test_kept_prefixes_and_defaults() -> None:
    """A journal is named by its label, also one that is called like a field."""
    assert parse_command("@7 crash bob node=1") == Timed(Crash("bob", {"node": 1}), 7)
    assert parse_command("pay alice bob 5 one").command == Pay("alice", "bob", 5, "one")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "a command is missing"),
        ("@x crash bob", "'@x' is no step: write @ and a number, @idle or @rest"),
        ("fly bob", "'fly' is no command; known are abandon"),
        ("pay alice", "payee, amount_msat, name is missing"),
        ("pay alice bob five one", "Expected `int`"),
        ("pay alice bob 5 one two", "'two' is too much"),
        ("crash bob node=x", "there is no 'node'"),
        ("cut alice bob node=1", "there is no 'node'"),
    ],
)
def test_bad_line_says_what_is_wrong(line: str, complaint: str) -> None:
    """People write these files."""
    with pytest.raises(BadLine) as caught:
        parse_command(line)
    assert complaint in str(caught.value)


def test_commands_are_values() -> None:
    """They can be compared and kept."""
    with pytest.raises(AttributeError):
        Pay("alice", "bob", 5, "one").name = "two"  # type: ignore[misc]
    assert msgspec.structs.replace(Pay("alice", "bob", 5, "one"), parts=1) != Pay("alice", "bob", 5, "one")
