"""A run as a picture: a lane for each node, messages as arrows, what became durable, and what was lost."""

from collections.abc import Sequence
from html import escape

from leyden.sim.narrate import Moment

LANE = 310
MARGIN = 250
EDGE = 40
ROW = 24
TOP = 46
TEXT_MAX = 54

_PAGE_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 24px; color: #1b1f24; background: #fff; }
h1 { font-size: 20px; margin: 0 0 4px; }
p { margin: 2px 0; max-width: 60em; }
pre { background: #f4f6f8; padding: 8px; }
.bad { color: #a3211a; font-weight: bold; }
"""
_PICTURE_STYLE = """
text { font: 12px monospace; fill: #1b1f24; }
.name { font-weight: bold; font-size: 14px; }
.step { fill: #8a95a1; }
.life { stroke: #b7c0ca; stroke-width: 1.5; }
.message { stroke: #2463b0; stroke-width: 1.4; }
.link { stroke: #8a95a1; }
.kept { fill: #e3f1e5; stroke: #4c9a56; }
.tell { fill: #fff3cf; stroke: #d0a215; }
.other { fill: #eef1f4; stroke: #9aa5b1; }
.wrong { fill: #fde3e1; stroke: #cc3a30; }
.wrongtext { fill: #a3211a; font-weight: bold; }
"""
_BOXES = {"commit": "kept", "tell": "tell", "report": "wrong"}
_DISTURBING = ("crash", "kill", "cut", "unlink", "hold", "store-fails", "reorg")


def page(title: str, about: Sequence[str], nodes: Sequence[str], moments: Sequence[Moment], wrong: str = "") -> str:
    """Return an HTML page. about: paragraphs. wrong: what the run violated, if anything."""
    violated = f'<p class="bad">Violated:</p><pre>{escape(wrong)}</pre>'
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{_PAGE_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *[f"<p>{escape(line)}</p>" for line in about],
        violated if wrong else "<p>Everything that must hold holds.</p>",
        picture(nodes, moments),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def picture(nodes: Sequence[str], moments: Sequence[Moment]) -> str:
    """Return the picture alone, an SVG."""
    lanes = {name: MARGIN + LANE * index for index, name in enumerate(nodes)}
    width = 2 * MARGIN + LANE * (len(nodes) - 1)
    height = TOP + ROW * (len(moments) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_PICTURE_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#2463b0"/></marker></defs>',
    ]
    for name, x in lanes.items():
        parts.append(f'<text class="name" x="{x}" y="20" text-anchor="middle">{escape(name)}</text>')
        parts.append(f'<line class="life" x1="{x}" y1="28" x2="{x}" y2="{height - 8}"/>')
    for row, moment in enumerate(moments):
        parts += _row(moment, lanes, TOP + ROW * row, width)
    return "\n".join([*parts, "</svg>"])


def _row(moment: Moment, lanes: dict[str, int], y: int, width: int) -> list[str]:
    parts = [f'<text class="step" x="6" y="{y + 4}">{moment.step}</text>']
    if moment.kind in ("deliver", "connect"):
        return parts + _arrow(moment, lanes[moment.other], lanes[moment.node], y)
    if moment.kind == "command":
        return parts + _command(moment, lanes, y, width)
    text = f"{moment.other}: {moment.text}" if moment.kind == "commit" else moment.text
    return parts + _box(text, _BOXES.get(moment.kind, "other"), lanes.get(moment.node, width // 2), y, width)


def _arrow(moment: Moment, start: int, end: int, y: int) -> list[str]:
    text = "connects" if moment.kind == "connect" else moment.text
    kind = "link" if moment.kind == "connect" else "message"
    if moment.kind == "connect":
        start, end = end, start
    return [
        f'<line class="{kind}" x1="{start}" y1="{y}" x2="{end}" y2="{y}" marker-end="url(#head)"/>',
        _label(text, (start + end) // 2, y - 4, abs(end - start) // 8),
    ]


def _box(text: str, kind: str, x: int, y: int, width: int) -> list[str]:
    shown = _short(text, TEXT_MAX)
    half = 8 + len(shown) * 15 // 4
    x = min(max(x, EDGE + half), width - half - 2)
    return [
        f'<rect class="{kind}" x="{x - half}" y="{y - 9}" width="{2 * half}" height="18" rx="4"/>',
        f'<text x="{x}" y="{y + 4}" text-anchor="middle"><title>{escape(text)}</title>{escape(shown)}</text>',
    ]


def _command(moment: Moment, lanes: dict[str, int], y: int, width: int) -> list[str]:
    if moment.text.split()[0] not in _DISTURBING:
        return _box(moment.text, "other", lanes.get(moment.node, width // 2), y, width)
    return [
        f'<rect class="wrong" x="40" y="{y - 9}" width="{width - 60}" height="18" rx="2"/>',
        f'<text class="wrongtext" x="50" y="{y + 4}">{escape(moment.text)}</text>',
    ]


def _label(text: str, x: int, y: int, room: int) -> str:
    shown = _short(text, max(12, room))
    return f'<text x="{x}" y="{y}" text-anchor="middle"><title>{escape(text)}</title>{escape(shown)}</text>'


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
