"""The results as data (`interop/results.json`) and as a page (`docs/interop.md`), both written by the lane only."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from interop.lane import Result
from interop.scenario import SUBJECTS, Scenario

RESULTS: Final = Path(__file__).parent / "results.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "interop.md"
_SIGNS: Final = {"pass": "pass", "fail": "**fail**", "not offered": "not offered", "peer's fault": "peer's fault"}
_HEAD: Final = """\
# Interoperation

How Leyden lives with nodes that nobody here wrote. This page is made by `make interop`, which builds the peers, starts
a chain and runs every scenario; `make interop PEER=lnd` tries one peer, `ONLY=paying` a part of the scenarios. It needs
Go for LND and Rust for LDK, and nothing else needs them.

A cell says what the last run of that scenario showed: *pass*; *fail*; *not offered*: the peer has no such thing;
*peer's fault*: the peer itself breaks the protocol or loses its own state, with where that shows. Numbers lead to the
reasons. `LONG=1` repeats some scenarios more often; such runs have rows of their own.
"""


def load(path: Path = RESULTS) -> list[Result]:
    """Return what earlier runs have left, nothing when there was none."""
    return msgspec.json.decode(path.read_bytes(), type=list[Result]) if path.exists() else []


def merge(old: Iterable[Result], new: Iterable[Result], scenarios: Sequence[Scenario]) -> list[Result]:
    """Return the newest result of each cell that still exists, in the order of the scenarios."""
    order = {scenario.key: number for number, scenario in enumerate(scenarios)}
    newest = {(one.scenario, one.is_long, one.peer): one for one in [*old, *new] if one.scenario in order}
    return sorted(newest.values(), key=lambda one: (order[one.scenario], one.is_long, one.peer))


def page(results: Sequence[Result], scenarios: Sequence[Scenario]) -> str:
    """Return `docs/interop.md`."""
    peers = sorted({result.peer for result in results})
    cells = {(one.scenario, one.is_long, one.peer): one for one in results}
    versions = {peer: {result.version for result in results if result.peer == peer} for peer in peers}
    lines = [_HEAD]
    reasons: list[str] = []
    for subject, title in SUBJECTS.items():
        rows = [scenario for scenario in scenarios if scenario.subject == subject]
        if not rows:
            continue
        heads = [f"{peer} {' / '.join(sorted(versions[peer]))}" for peer in peers]
        lines += [f"## {title}", "", _row(["", *heads]), _row(["---"] * (len(peers) + 1))]
        for scenario, is_long in [(one, is_long) for one in rows for is_long in _extents(one)]:
            found = [cells.get((scenario.key, is_long, peer)) for peer in peers]
            if any(found) or not is_long:
                name = f"{scenario.title}{', with LONG=1' if is_long else ''} (`{scenario.key}`)"
                lines.append(_row([name, *[_cell(one, reasons) for one in found]]))
        lines.append("")
    if reasons:
        lines += ["## Reasons", "", *[f"{number}. {reason}" for number, reason in enumerate(reasons, 1)], ""]
    return "\n".join(lines)


def save(results: Sequence[Result], scenarios: Sequence[Scenario]) -> None:
    """Write both files."""
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    PAGE.write_text(page(results, scenarios))


def _extents(scenario: Scenario) -> tuple[bool, ...]:
    """Return which rows a scenario may have: of the usual lane, of the long one (True)."""
    return (True,) if scenario.long else (False, True) if scenario.grows else (False,)


def _cell(result: Result | None, reasons: list[str]) -> str:
    if result is None:
        return "not run"
    if not result.reason:
        return _SIGNS[result.outcome]
    reason = f"{result.peer}, `{result.scenario}`{', LONG=1' if result.is_long else ''}: {result.reason}"
    reasons.append(reason)
    return f"{_SIGNS[result.outcome]} ({len(reasons)})"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
