"""Bar charts as SVG; colours and type come from the page's style."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from steps.common.page import Markup

WIDTH, HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 20, 44
# With more bars than this their counts would overlap.
_COUNTED_BARS = 10
# Room for so many labels below the bars.
_LABELS = 12


@dataclass(frozen=True)
class Bar:
    """One bar: `label` below it, `value` as its height; a `faint` one is there for comparison."""

    label: str
    value: int
    faint: bool = False


def bars(title: str, below: str, beside: str, data: Sequence[Bar]) -> Markup:
    """A chart with `below` naming its horizontal and `beside` its vertical axis."""
    if not any(bar.value for bar in data):
        return Markup(f"<figure class='chart'><figcaption>{html.escape(title)}</figcaption><p>None.</p></figure>")
    step = nice_step(max(bar.value for bar in data), 4)
    top = step * math.ceil(max(bar.value for bar in data) / step)
    height, pitch = HEIGHT - _TOP - _BOTTOM, (WIDTH - _LEFT - _RIGHT) / len(data)
    marks = []
    for tick in range(round(top / step) + 1):
        y = _TOP + height * (1 - tick * step / top)
        marks.append(f"<line class='grid' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        marks.append(f"<text x='{_LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{short(tick * step)}</text>")
    every = math.ceil(len(data) / _LABELS)
    for place, bar in enumerate(data):
        x, tall = _LEFT + pitch * (place + 0.1), height * bar.value / top
        hint = html.escape(f"{bar.label}: {bar.value:,}")
        marks.append(
            f"<rect class='{'faint' if bar.faint else 'full'}' x='{x:.1f}' y='{_TOP + height - tall:.1f}'"
            f" width='{pitch * 0.8:.1f}' height='{tall:.1f}'><title>{hint}</title></rect>"
        )
        middle = x + pitch * 0.4
        if place % every == 0:
            label = html.escape(bar.label)
            marks.append(f"<text x='{middle:.1f}' y='{HEIGHT - 26}' text-anchor='middle'>{label}</text>")
        if len(data) <= _COUNTED_BARS:
            y = _TOP + height - tall - 4
            marks.append(f"<text x='{middle:.1f}' y='{y:.1f}' text-anchor='middle'>{short(bar.value)}</text>")
    marks.append(f"<text x='{(WIDTH + _LEFT) / 2}' y='{HEIGHT - 6}' text-anchor='middle'>{html.escape(below)}</text>")
    return Markup(
        f"<figure class='chart'><figcaption>{html.escape(title)} <span class='soft'>({html.escape(beside)})</span>"
        f"</figcaption><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{html.escape(title)}'>"
        f"{''.join(marks)}</svg></figure>"
    )


def histogram(values: Sequence[float], bins: int = 20) -> list[Bar]:
    """Bars of equal, round width from 0 to the 99th percentile; what lies beyond is one more."""
    if not values:
        return []
    ordered = sorted(values)
    width = nice_step(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], bins)
    counts: dict[int, int] = {}
    for value in ordered:
        place = min(int(value / width), bins)
        counts[place] = counts.get(place, 0) + 1
    last = max(counts)
    return [
        Bar(f"{place * width:g}" + ("+" if place == bins else ""), counts.get(place, 0), faint=place == bins)
        for place in range(last + 1)
    ]


def nice_step(top: float, steps: int) -> float:
    """1, 2, 2.5 or 5 times a power of ten, so that `steps` of it reach `top`."""
    least = top / steps
    power = 10.0 ** math.floor(math.log10(least))
    return next((nice * power for nice in (1, 2, 2.5, 5) if nice * power >= least), 10 * power)


def short(value: float) -> str:
    """A count in at most five characters: 950, 12.3k, 535k, 1.2M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}".removesuffix(".0") + unit
    return f"{value:g}"
