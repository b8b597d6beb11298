"""Guards are needed and noticed: a sample of what `make mutants` looks for, and the list of mutants kept true."""

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from leyden.manager import forwarding
from tests.mutants.closed_channels import HAZARDS
from tests.mutants.hunt import hunt, runs_of
from tests.mutants.mutant import Mutant, answering, misfit, mutant, nothing, planted
from tests.mutants.registry import ALL, MUTANTS
from tests.sim.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = (
    "revoke_and_ack before its record",
    "forwarded again at start",
    "claim record lists its own parts alone",
    "claim released when the first part is durable",
    "claim forgotten before the user has acknowledged",
    "outcome forgotten before node has acted",
    "payment signed before its record is durable",
    "what was shown is judged again at start",
    "owed messages in the other order",
    "funding published before the channel is durable",
)
RUNS = 10
PROMISES = range(1, 16)


def harmless() -> Mutant:
    """One that takes out something that nothing rests on."""
    return mutant(
        "harmless",
        "manager.manager:describe_bug",
        answering("a bug"),
        why="",
        guards="",
        scenarios=("direct",),
    )


@pytest.mark.parametrize("name", SAMPLE)
def test_mutant_is_caught(name: str) -> None:
    """A guard that nobody would miss is none."""
    found = hunt(MUTANTS[name])
    assert found.is_caught, found


def test_mutant_that_changes_nothing_escapes() -> None:
    """A hunt that always finds something would find nothing."""
    found = hunt(harmless(), seconds_max=0.5)
    assert not found.is_caught
    assert not found.reached


def test_mutant_that_is_itself_wrong_is_not_caught() -> None:
    """A program that stops with a TypeError shows no missing guard."""

    def wrong(_original: object, hit: Callable[[], None]) -> object:
        def replacement(*_values: object) -> None:
            hit()
            raise TypeError("the mutant's own")

        return replacement

    broken = mutant("broken", "manager.receiving:judge", wrong, why="", guards="", scenarios=("direct",))
    found = hunt(broken, seconds_max=1)
    assert found.by
    assert not found.is_caught


def test_guard_is_back_when_the_run_is_over() -> None:
    """Whatever the run has raised."""
    before = forwarding.on_signed
    one = mutant("one", "manager.forwarding:on_signed", nothing, why="", guards="", scenarios=())

    def fail() -> None:
        with planted(one):
            assert forwarding.on_signed is not before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert forwarding.on_signed is before


@pytest.mark.parametrize("name", SCENARIOS)
def test_sound_program_passes_where_mutants_are_looked_for(name: str) -> None:
    """Or what is caught there would prove nothing."""
    for how, run in islice(runs_of(name), RUNS):
        try:
            run()
        except Exception as error:
            error.add_note(how)
            raise


# --- the list ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_mutant_fits_the_product(one: Mutant) -> None:
    """A name that has moved would leave a guard without its mutant."""
    assert not [text for patch in one.patches if (text := misfit(patch))]
    assert one.why
    assert one.guards
    assert all(":" in name or name in SCENARIOS for name in one.scenarios)


def test_stale_entry_is_found() -> None:
    """Both kinds: the name is gone, the signature is another."""
    gone = mutant("gone", "manager.receiving:no_such_guard", nothing, why="", guards="", scenarios=())
    entry = mutant("entry", "manager.effects:HANDLERS[fx.NoSuchEffect]", nothing, why="", guards="", scenarios=())
    other = mutant(
        "other", "manager.receiving:judge", lambda _original, _hit: lambda m: m, why="", guards="", scenarios=()
    )
    assert all(misfit(one.patches[0]) for one in (gone, entry, other))


def test_names_are_used_once() -> None:
    """A mutant that hides another one would never be looked for."""
    assert len(MUTANTS) == len(ALL)
    assert len(ALL) >= 40


def test_every_line_of_the_promise_has_a_mutant() -> None:
    """The fifteen lines of what must hold."""
    named = {guard for one in ALL for guard in one.guards}
    assert [number for number in PROMISES if f"promise {number}" not in named] == []


def rows() -> str:
    """The table of docs/invariants.md, as the registry says it should be."""
    lines = []
    for row in invariants():
        names = [one.name for one in ALL if row in one.guards]
        if names:
            lines.append(f"| {row} | {'; '.join(names)} |")
    return "\n".join(lines)


def invariants() -> list[str]:
    """The numbers of all invariants."""
    return re.findall(r"^\| ([PS]\d+) \| \*\*", (ROOT / "docs/invariants.md").read_text(), re.MULTILINE)


def test_invariants_name_their_mutants() -> None:
    """The page says for each invariant what it would be to break it."""
    assert rows() in (ROOT / "docs/invariants.md").read_text(), f"docs/invariants.md should have\n{rows()}"


def test_every_invariant_of_persistence_has_a_mutant() -> None:
    """Each of P1 to P26, but for rooms that are not built."""
    text = (ROOT / "docs/invariants.md").read_text()
    later = re.findall(r"^\| (P\d+) \| \*\*.*\| \*\(later\)\* \|$", text, re.MULTILINE)
    named = {guard for one in ALL for guard in one.guards}
    assert [row for row in invariants() if row[0] == "P" and row not in named and row not in later] == []


def test_every_hazard_of_the_chain_has_a_mutant() -> None:
    """H76 to H92, and those of other chapters that end there; H86 is kept out by the order of one journal."""
    chain = {f"H{number}" for number in (34, 35, 36, 37, 59, 72, *range(76, 93))}
    assert chain - set(HAZARDS) == {"H86"}
    assert [name for names in HAZARDS.values() for name in names if name not in MUTANTS] == []
