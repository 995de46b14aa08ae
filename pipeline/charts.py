"""Line charts as one HTML page that stands by itself: no script, nothing fetched, light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 44
_STYLE = """
:root { --paper: #fff; --ink: #1d2733; --soft: #66727f; --grid: #e3e8ed; --line0: #0b6e99; --line1: #c2571a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14191f; --ink: #e6ebf0; --soft: #9aa7b4; --grid: #2a333d; --line0: #4fb3dd; --line1: #f0924f; }
}
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; }
p { color: var(--soft); margin: .2rem 0 1.2rem; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem 2rem; }
figure { margin: 0; }
figcaption { font-weight: 600; }
.key { font-weight: 400; color: var(--soft); margin-left: .9rem; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 1.1em; height: 3px; margin-right: .4em;
  vertical-align: middle; background: currentColor; }
.key.line0::before { background: var(--line0); } .key.line1::before { background: var(--line1); }
svg { width: 100%; height: auto; } text { font-size: 13px; fill: var(--soft); }
.grid { stroke: var(--grid); } .best { stroke: var(--soft); stroke-dasharray: 3 3; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.line0, circle.line0 { stroke: var(--line0); } polyline.line1, circle.line1 { stroke: var(--line1); }
circle { fill: var(--paper); stroke-width: 1.5; }
"""


@dataclass(frozen=True)
class Chart:
    """One chart: lines by name over the same horizontal places (epochs), two lines at most."""

    title: str
    lines: Mapping[str, Sequence[float]]


def page(title: str, lead: str, places: Sequence[int], charts: Sequence[Chart], *, marked: int | None = None) -> str:
    """A page of charts over the same `places`; `marked` is the one that gets an upright line (the best epoch)."""
    figures = "\n".join(_figure(chart, places, marked) for chart in charts)
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1><p>{html.escape(lead)}</p><main>\n{figures}\n</main></body></html>\n"
    )


def _figure(chart: Chart, places: Sequence[int], marked: int | None) -> str:
    ticks = axis([value for line in chart.lines.values() for value in line])
    low, high = ticks[0], ticks[-1]
    first, last = places[0], max(places[-1], places[0] + 1)

    def x(place: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (place - first) / (last - first)

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))

    marks = []
    for tick in ticks:
        marks.append(f"<line class='grid' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y(tick):.1f}' y2='{y(tick):.1f}'/>")
        marks.append(f"<text x='{_LEFT - 6}' y='{y(tick) + 4:.1f}' text-anchor='end'>{tick:g}</text>")
    for place in _shown(places):
        marks.append(f"<text x='{x(place):.1f}' y='{HEIGHT - 26}' text-anchor='middle'>{place}</text>")
    marks.append(f"<text x='{(WIDTH + _LEFT) / 2}' y='{HEIGHT - 8}' text-anchor='middle'>epoch</text>")
    if marked is not None:
        marks.append(
            f"<line class='best' x1='{x(marked):.1f}' x2='{x(marked):.1f}' y1='{_TOP}' y2='{HEIGHT - _BOTTOM}'/>"
        )
    keys = []
    for number, (name, line) in enumerate(chart.lines.items()):
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(places, line, strict=True))
        marks.append(f"<polyline class='line{number}' points='{points}'/>")
        marks += [
            f"<circle class='line{number}' cx='{x(place):.1f}' cy='{y(value):.1f}' r='3'>"
            f"<title>{html.escape(name)}, epoch {place}: {value:.4f}</title></circle>"
            for place, value in zip(places, line, strict=True)
        ]
        keys.append(f"<span class='key line{number}'>{html.escape(name)}</span>")
    legend = "".join(keys) if len(keys) > 1 else ""
    return (
        f"<figure><figcaption>{html.escape(chart.title)}{legend}</figcaption><svg viewBox='0 0 {WIDTH} {HEIGHT}'"
        f" role='img' aria-label='{html.escape(chart.title)} by epoch'>{''.join(marks)}</svg></figure>"
    )


def axis(values: Sequence[float], steps: int = 4) -> list[float]:
    """Round numbers, evenly spaced, that enclose the values: about `steps` of them."""
    low, high = min(values), max(values)
    # Values that differ by less than a chart can show are drawn as a level line.
    largest = max(abs(low), abs(high), 1e-6)
    if high - low <= 1e-9 * largest:
        low, high = low - largest / 10, high + largest / 10
    least = (high - low) / steps
    power = 10.0 ** math.floor(math.log10(least))
    step = next((nice * power for nice in (1, 2, 2.5, 5) if nice * power >= least), 10 * power)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _shown(places: Sequence[int], labels: int = 10) -> list[int]:
    """Places that get a label: as many as there is room for."""
    return list(places[:: math.ceil(len(places) / labels)])
