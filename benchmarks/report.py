"""What comes out: a table for people, one JSON object for programs, and `README.md`, made of the figures seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.goals import ROWS, Figure, Row, compared
from benchmarks.profiling import Profile, text_of

HERE = Path(__file__).resolve().parent
FIGURES_FILE = HERE / "figures.json"
PROFILE_FILE = HERE / "profile.txt"
README_FILE = HERE / "README.md"
BEGIN, END = "<!-- made by `python -m benchmarks --write-readme`: begin {} -->", "<!-- end {} -->"
SHARE_MIN_US = 2.0
BLOCK_GOAL_MS = 50


class Seen(msgspec.Struct):
    """All figures that are known, the newest of each. notes: by part, when and on which load it ran."""

    machine: dict[str, Any] = {}
    figures: dict[str, Figure] = {}
    micro: dict[str, float] = {}
    notes: dict[str, dict[str, Any]] = {}
    profiles: list[Profile] = []


def load() -> Seen:
    """Return the figures that the README was made from; nothing when there are none."""
    if not FIGURES_FILE.exists():
        return Seen()
    return msgspec.json.decode(FIGURES_FILE.read_bytes(), type=Seen)


def merged(known: Seen, new: Seen) -> Seen:
    """Return what is known with what was just seen in its place. The machine shown is the one of the payments."""
    return Seen(
        new.machine if new.machine and ("direct" in new.notes or not known.machine) else known.machine,
        {**known.figures, **new.figures},
        new.micro or known.micro,
        {**known.notes, **new.notes},
        new.profiles or known.profiles,
    )


def derive(figures: dict[str, Figure]) -> None:
    """Say of lone payments how many store delays they take, beyond what they take when the store is not late."""
    base = figures.get("lone_0ms")
    for delay_ms in (10, 50, 150):
        lone = figures.get(f"lone_{delay_ms}ms")
        if base is not None and lone is not None:
            lone.details["store_delays"] = round((lone.value - base.value) / delay_ms, 2)


def as_object(seen: Seen, scale: str) -> dict[str, Any]:
    """Return everything as the one JSON object: every row, also those that were not measured (figure null)."""
    return {
        "scale": scale,
        "machine": seen.machine,
        "rows": {row.name: compared(row, seen.figures.get(row.name)) for row in ROWS},
        "micro": seen.micro,
        "profile": {one.node: {"cpu_us": one.cpu_us, "subsystems_us": one.subsystems} for one in seen.profiles},
        "notes": seen.notes,
    }


# ------------------------------------------------------------------------------------------------------------ numbers


def number(value: float | None, unit: str = "") -> str:
    """Return a figure for people."""
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.3g}"
    return f"{text} {unit}".strip() if unit != "/s" else f"{text}/s"


def better_than(row: Row, figure: Figure, other: float | None) -> str:
    """Return how many times better the figure is, whichever way better is."""
    if not other or not figure.value:
        return "-"
    times = other / figure.value if row.less else figure.value / other
    return f"{times:.2f}"


def table(seen: Seen) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table."""
    rows = []
    for row in ROWS:
        figure = seen.figures.get(row.name)
        cells = [row.title, "-", _goal(row, row.goal), _goal(row, row.stretch), "-", "-", "-"]
        if figure is not None:
            cells[1] = number(figure.value, row.unit)
            cells[4] = better_than(row, figure, row.goal)
            cells[5] = better_than(row, figure, row.stretch)
            cells[6] = better_than(row, figure, row.ldk)
        rows.append(cells)
    return ["", "seen", "goal", "stretch", "x goal", "x stretch", "x LDK"], rows


def _goal(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{'<=' if row.less else '>='} {number(value, row.unit)}"


# ------------------------------------------------------------------------------------------------------------- README


def write_readme(seen: Seen) -> None:
    """Keep the figures, and make the parts of the README that are made of them again."""
    FIGURES_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    if seen.profiles:
        PROFILE_FILE.write_text("\n".join(text_of(seen.profiles)), encoding="utf-8")
    sections = {
        "machine": _machine(seen),
        "figures": _figures(seen),
        "details": _details(seen),
        "micro": _micro(seen),
        "profile": _profiles(seen.profiles),
    }
    text = README_FILE.read_text(encoding="utf-8")
    for name, lines in sections.items():
        text = replaced(text, name, lines)
    README_FILE.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, lines: Sequence[str]) -> str:
    """Return `text` with new lines between the marks of a section. Raises ValueError when a mark is missing."""
    begin, end = BEGIN.format(name), END.format(name)
    head, found, rest = text.partition(begin)
    _old, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the README has no section {name}")
    return "\n".join([head + begin, *lines, end + tail])


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table, numbers to the right."""
    line = "|---|" + "---:|" * (len(columns) - 1)
    return ["| " + " | ".join(columns) + " |", line, *["| " + " | ".join(row) + " |" for row in rows]]


def _machine(seen: Seen) -> list[str]:
    machine = seen.machine
    if not machine:
        return ["Nothing was measured yet."]
    libsecp = ", ".join([f"{name.replace('_', ' ')} {us:.0f}" for name, us in machine["libsecp_us"].items()])
    lines = [
        f"- {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}",
        f"- Python {machine['python']}, SQLite {machine['sqlite']}, coincurve {machine['coincurve']}",
        f"- one sync of 512 appended bytes {machine['sync_ms_p50']} ms; libsecp256k1, us: {libsecp}",
        "",
    ]
    rows = [
        [part, str(note["when"]), str(note["scale"]), f"{note['load']:.1f}", f"{note['seconds']:.0f}"]
        for part, note in seen.notes.items()
    ]
    return lines + markdown(["part", "when (UTC)", "scale", "load before", "took, s"], rows)


def _figures(seen: Seen) -> list[str]:
    columns, rows = table(seen)
    missed = [
        row.title
        for row in ROWS
        if (figure := seen.figures.get(row.name)) is not None and compared(row, figure)["goal_met"] is False
    ]
    said = "Goals that were missed: " + "; ".join(missed) + "." if missed else "Every goal that was measured is met."
    return [*markdown(columns, rows), "", said]


def _details(seen: Seen) -> list[str]:
    rows = []
    for row in ROWS:
        details = seen.figures[row.name].details if row.name in seen.figures else {}
        if "runs_per_second" not in details:
            continue
        rates, others = details["runs_per_second"], details["runs_others_cores"]
        delays = f", {details['store_delays']} store delays" if "store_delays" in details else ""
        rows.append(
            [
                row.title,
                f"{details['count']:,}",
                " ".join([number(rate) for rate in rates]),
                " ".join([f"{one:.2f}" for one in others]),
                f"{number(details['p50_ms'])} / {number(details['p99_ms'])} ms{delays}",
                " / ".join([f"{one:.2f}" for one in details["cpu_ms"]]),
                " / ".join([f"{one:.3f}" for one in details["syncs"]]),
                str(details.get("runs_failed", details["failed"])),
            ]
        )
    columns = ["", "payments", "runs, /s", "cores of others", "p50 / p99", "CPU ms a node", "syncs a node", "failed"]
    return [*markdown(columns, rows), "", *_beside(seen.figures)]


def _beside(figures: Mapping[str, Figure]) -> list[str]:
    lines = []
    if (channels := figures.get("channel_memory")) is not None:
        lines.append(_about_channels(channels.details))
    if (start := figures.get("start_1000")) is not None:
        lines.append(_about_start(start.details))
    if (store := figures.get("store_100k")) is not None:
        lines += _about_store(store.details)
    return [*lines, *_on_chain(figures)]


def _on_chain(figures: Mapping[str, Figure]) -> list[str]:
    lines = []
    disk, memory = figures.get("revoked_disk"), figures.get("revoked_memory")
    if disk is not None and memory is not None:
        lines.append(
            f"- A revoked state costs {number(disk.value, 'B')} of disk and {number(memory.value, 'B')} of memory "
            f"({disk.details['states']:,} states), and each HTLC that leaves with it "
            f"{disk.details['row_bytes_per_htlc']} B of disk."
        )
    lines += [_about_justice(figures[name].details) for name in ("justice", "justice_busy") if name in figures]
    lines += [_about_blocks(figures[name]) for name in ("blocks", "blocks_closed") if name in figures]
    if (rescan := figures.get("rescan")) is not None:
        lines.append(_about_rescan(rescan.details))
    if (look := figures.get("look")) is not None:
        lines.append(_about_look(look))
    return lines


def _about_justice(details: dict[str, Any]) -> str:
    runs = ", ".join([f"{one:.3f}" for one in details["runs"]])
    return (
        f"- Justice with {details['rows']:,} HTLCs in the penalty log ({details['log_mib']} MiB, read in "
        f"{number(details['read_log_ms'], 'ms')}): {runs} s, {details['transactions']} transactions."
    )


def _about_blocks(figure: Figure) -> str:
    details, slow = figure.details, [one for one in figure.details["runs_ms"] if one > BLOCK_GOAL_MS]
    closed = ""
    if details["closed"]:
        closed = (
            f", {details['closed']} of them closed with {details['htlcs']:,} HTLCs and {details['claims']} claims that "
            f"no miner takes (up to {max(details['given_to_the_chain'])} transactions are published at each block)"
        )
    return (
        f"- Blocks with {details['channels']:,} channels{closed}: median {number(details['median_ms'], 'ms')}, longest "
        f"{number(figure.value, 'ms')}, {len(slow)} of {len(details['runs_ms'])} over {BLOCK_GOAL_MS} ms."
    )


def _about_rescan(details: dict[str, Any]) -> str:
    return (
        f"- {details['blocks']:,} missed blocks with {details['transactions']:,} transactions, {details['closed']} of "
        f"{details['channels']} channels closed in them with {details['htlcs']} HTLCs: "
        f"{number(details['load_s'], 's')} to load, {number(details['ms_per_block'], 'ms')} a block."
    )


def _about_look(figure: Figure) -> str:
    details = figure.details
    return (
        f"- A look into the mempool asks for {details['channels']:,} outputs, one of each channel without anchors that "
        f"holds an HTLC of ours: {number(figure.value, 'ms')} of the node's process, "
        f"{number(details['list_ms'], 'ms')} of them for the list; with the answer of `leyden regtest` it takes "
        f"{number(details['wall_ms'], 'ms')}. As many channels with anchors cost "
        f"{number(details['anchors_list_ms'], 'ms')}, and nothing is asked."
    )


def _about_channels(details: dict[str, Any]) -> str:
    return (
        f"- A channel takes {details['kib_disconnected']} KiB after a start and {details['kib_connected']} KiB once it "
        f"is reestablished with its peer ({details['channels']:,} channels, each after 100,000 updates)."
    )


def _about_start(details: dict[str, Any]) -> str:
    runs = ", ".join([f"{one:.2f}" for one in details["runs"]])
    return (
        f"- Starts with {details['channels']:,} channels, from the start of the process until it follows the chain and "
        f"listens: {runs} s; without channels {details['without_channels']:.2f} s. "
        f"Reestablishing them all with one peer: {details['reconnected_seconds']:.2f} s."
    )


def _about_store(details: dict[str, Any]) -> list[str]:
    def by_node(name: str, unit: str) -> str:
        return ", ".join([f"{node} {value} {unit}" for node, value in details[name].items()])

    count = f"{details['payments']:,}"
    how = f"growth extrapolated from {count} to 100,000" if details["extrapolated"] else f"all {count} were made"
    rates = " ".join([number(rate) for rate in details["per_second_by_10k"]])
    rss = " / ".join([number(one, "MiB") for one in details["rss_mib_at_end"]])
    return [
        f"- Store after 100,000 payments ({how}): {by_node('mib_by_node', 'MiB')}; before them "
        f"{by_node('mib_before', 'MiB')}; the penalty log beside it: {by_node('penalty_mib_by_node', 'MiB')}.",
        f"- On the way, payments/s at 400 in flight, each 10,000: {rates}. Encoding all snapshots at the end took "
        f"{by_node('snapshot_pause_ms', 'ms')} of the event loop; memory then {rss}.",
    ]


def _micro(seen: Seen) -> list[str]:
    if not seen.micro:
        return ["Nothing was measured yet."]
    rows = [[name, f"{value:,.0f}" if value >= 100 else f"{value:.2f}"] for name, value in seen.micro.items()]
    return markdown(["", "us, or per second where it says so"], rows)


def _profiles(profiles: Sequence[Profile]) -> list[str]:
    if not profiles:
        return ["Nothing was profiled yet."]
    names = dict.fromkeys([name for one in profiles for name in one.subsystems])
    order = sorted(names, key=lambda name: -max([one.subsystems.get(name, 0.0) for one in profiles]))
    rows = [
        [name, *[f"{one.subsystems.get(name, 0.0):.0f}" for one in profiles]]
        for name in order
        if max([one.subsystems.get(name, 0.0) for one in profiles]) >= SHARE_MIN_US
    ]
    rows.append(["all", *[f"{one.cpu_us:.0f}" for one in profiles]])
    return markdown(["us of CPU a payment, 100 in flight", *[one.node for one in profiles]], rows)
