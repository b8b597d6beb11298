"""The page of the matrix says what was seen, and nothing of what is gone."""

from interop.lane import Result
from interop.matrix import merge, page
from interop.scenario import Registry

registry = Registry()


@registry(3, "pays")
async def pays(_world: object) -> None:
    """A row."""


@registry(1, "greets")
async def greets(_world: object) -> None:
    """Another row."""


@registry(6, "is killed", grows=True)
async def killed(_world: object) -> None:
    """A row that may have another one below it."""


@registry(6, "waits", long=True)
async def waits(_world: object) -> None:
    """A row of the long lane alone."""


PAYS, GREETS, KILLED, WAITS = (f"test_matrix.{name}" for name in ("pays", "greets", "killed", "waits"))


def result(scenario: str, peer: str, outcome: str = "pass", reason: str = "", is_long: bool = False) -> Result:
    """A cell."""
    return Result(scenario, peer, "1.0", outcome, reason, 1.0, is_long)  # type: ignore[arg-type]


def test_newer_results_replace_older_ones_and_others_stay() -> None:
    """A run of a part of the scenarios changes that part alone; rows that are gone fall away."""
    old = [result(PAYS, "lnd", "fail", "no"), result(GREETS, "lnd"), result("paying.renamed", "lnd")]
    new = [result(PAYS, "lnd"), result(PAYS, "ldk", "not offered", "no such thing")]
    merged = merge(old, new, registry.scenarios)
    assert [(one.scenario, one.peer, one.outcome) for one in merged] == [
        (PAYS, "ldk", "not offered"),
        (PAYS, "lnd", "pass"),
        (GREETS, "lnd", "pass"),
    ]


def test_page_has_a_cell_for_each_and_the_reasons_below() -> None:
    """Sections in their order; a reason is numbered; what never ran says so."""
    text = page([result(PAYS, "lnd", "fail", "too late"), result(GREETS, "ldk")], registry.scenarios)
    assert text.index("## Connections") < text.index("## Paying") < text.index("## Reasons")
    assert f"| greets (`{GREETS}`) | pass | not run |" in text
    assert f"| pays (`{PAYS}`) | not run | **fail** (1) |" in text
    assert f"1. lnd, `{PAYS}`: too late" in text


def test_usual_run_leaves_the_rows_of_the_long_one() -> None:
    """Fifty rounds take an hour: five rounds tomorrow must not take their place."""
    old = [result(KILLED, "lnd", reason="50 rounds", is_long=True), result(WAITS, "lnd", is_long=True)]
    merged = merge(old, [result(KILLED, "lnd", reason="5 rounds")], registry.scenarios)
    text = page(merged, registry.scenarios)
    assert f"| is killed (`{KILLED}`) | pass (1) |" in text
    assert f"| is killed, with LONG=1 (`{KILLED}`) | pass (2) |" in text
    assert f"| waits, with LONG=1 (`{WAITS}`) | pass |" in text
    assert f"2. lnd, `{KILLED}`, LONG=1: 50 rounds" in text
    assert f"| pays, with LONG=1 (`{PAYS}`)" not in text
