"""The rows of the table: what is measured, what we want, and what native LDK reached on the same kind of machine."""

from collections.abc import Iterator
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One figure and its goals. part: which part of the program measures it. less: a smaller figure is better.

    ldk: the best published figure of native LDK (0.2.7 or 0.3-rc3) for the same case with a durable store, None where
    there is none; ldk_note says which.
    """

    name: str
    part: str
    title: str
    unit: str
    goal: float | None
    stretch: float | None
    less: bool = False
    ldk: float | None = None
    ldk_note: str = ""


def _lone(delay_ms: int, ldk: float, note: str) -> Row:
    return Row(
        f"lone_{delay_ms}ms",
        f"delay-{delay_ms}" if delay_ms else "direct",
        "a lone payment, " + (f"store {delay_ms} ms late" if delay_ms else "real sync"),
        "ms",
        6.0 + 6 * delay_ms,
        4.0 + 4 * delay_ms,
        less=True,
        ldk=ldk,
        ldk_note=note,
    )


ROWS: tuple[Row, ...] = (
    Row("sync_1", "direct", "real sync, 1 in flight", "/s", None, None, ldk=91, ldk_note="0.2.7 fsync"),
    Row("sync_100", "direct", "real sync, 100 in flight", "/s", 1000, 2000, ldk=668, ldk_note="0.3-rc3 fsync"),
    Row("sync_400", "direct", "real sync, 400 in flight", "/s", 1000, 2000, ldk=717, ldk_note="0.3-rc3 fsync"),
    Row("sync_966", "direct", "real sync, 966 in flight", "/s", 1000, 2000),
    Row("dust_100", "direct", "1 sat, 100 in flight", "/s", 1300, 3000, ldk=888, ldk_note="0.3-rc3 fsync"),
    Row("delay_10ms_400", "delay-10", "store 10 ms late, 400 in flight", "/s", 800, 1500, ldk=961, ldk_note="0.2.7"),
    Row("delay_50ms_400", "delay-50", "store 50 ms late, 400 in flight", "/s", 550, 900, ldk=327, ldk_note="0.2.7"),
    Row("delay_150ms_400", "delay-150", "store 150 ms late, 400 in flight", "/s", 330, 450, ldk=112, ldk_note="rc3"),
    Row("delay_150ms_966", "delay-150", "store 150 ms late, 966 in flight", "/s", 500, 700),
    _lone(0, 11.0, "0.2.7 fsync, 91/s"),
    _lone(10, 102.0, "0.2.7, 9.8/s"),
    _lone(50, 455.0, "0.2.7, 2.2/s"),
    _lone(150, 1429.0, "0.2.7, 0.7/s"),
    Row("forwarded_100", "forwarded", "forwarded over a third node, 100 in flight", "/s", 500, 900),
    Row("stall_all", "stalls", "longest payment while the payer's store stalls 10 s", "s", 11, None, less=True),
    Row("stall_other", "stalls", "50 in flight while the journal of another channel stalls", "/s", None, None),
    Row(
        "cpu", "direct", "CPU per payment and node, 100 in flight", "ms", 0.45, 0.25, less=True, ldk=0.73,
        ldk_note="0.3-rc3 fsync, the busier node; 0.54 without a store",
    ),
    Row("syncs", "direct", "store syncs per payment and node, 100 in flight", "", 0.1, 0.04, less=True),
    Row("idle_rss", "sizes", "idle node, resident memory", "MiB", 80, None, less=True, ldk=8, ldk_note="bare crates"),
    Row("channel_memory", "sizes", "memory of a channel without HTLCs", "KiB", 50, None, less=True),
    Row("start_1000", "sizes", "start with 1,000 channels", "s", 3, None, less=True),
    Row("store_100k", "store", "store after 100,000 payments, without the penalty log", "MiB", 20, None, less=True),
    Row("revoked_disk", "revoked", "store bytes of a revoked state beside its HTLCs", "B", 200, None, less=True),
    Row("revoked_memory", "revoked", "memory of a revoked state", "B", None, None, less=True),
    Row("revoked_lookup", "revoked", "483 HTLCs of one of 10,000 states, a million rows", "ms", None, None, less=True),
    Row("justice", "justice", "block to broadcast, 483 HTLCs, 10,000 revoked states", "s", 2, None, less=True),
    Row("justice_busy", "justice", "block to broadcast, a million HTLCs in the penalty log", "s", 2, None, less=True),
    Row("blocks", "blocks", "longest of 60 blocks, 1,000 open channels", "ms", 50, None, less=True),
    Row("blocks_closed", "blocks", "longest of 60 blocks, 100 of 1,000 channels closed", "ms", 50, None, less=True),
    Row("rescan", "rescan", "start behind 1,000 blocks, 20 of 100 channels closed in them", "s", 20, None, less=True),
    Row("look", "looks", "CPU of a look into the mempool, 1,000 channels without anchors", "ms", None, None, less=True),
    Row("help", "help", "`leyden --help`", "s", 0.4, None, less=True),
)  # fmt: skip

PARTS: tuple[str, ...] = tuple(dict.fromkeys([*[row.part for row in ROWS], "micro"]))


class Figure(msgspec.Struct):
    """What was seen for one row. details: everything else that was seen with it, its runs for instance."""

    value: float
    details: dict[str, Any] = {}


def rows_of(part: str) -> Iterator[Row]:
    """Yield the rows that a part measures."""
    return (row for row in ROWS if row.part == part)


def compared(row: Row, figure: Figure | None) -> dict[str, Any]:
    """Return a row for the JSON object: figure, goals, ratios (figure/goal, figure/LDK's). None: not measured."""

    def ratio(other: float | None) -> float | None:
        return round(figure.value / other, 3) if figure is not None and other else None

    met = None
    if figure is not None and row.goal is not None:
        met = figure.value <= row.goal if row.less else figure.value >= row.goal
    return {
        "title": row.title,
        "unit": row.unit,
        "better": "less" if row.less else "more",
        "figure": None if figure is None else figure.value,
        "goal": row.goal,
        "stretch": row.stretch,
        "figure_per_goal": ratio(row.goal),
        "figure_per_stretch": ratio(row.stretch),
        "goal_met": met,
        "ldk": row.ldk,
        "ldk_note": row.ldk_note,
        "figure_per_ldk": ratio(row.ldk),
        "details": {} if figure is None else figure.details,
    }
