"""Charts as SVG, without a script; colours and type come from the page's style."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from steps.reports.page import Markup

WIDTH, HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 18, 20, 44
# With more bars than this their counts would overlap.
_COUNTED_BARS = 10
# Room for so many labels below the bars.
_LABELS = 12


@dataclass(frozen=True)
class Bar:
    """One bar: `label` below it, `value` as its height; a `faint` one is there for comparison.

    `mark` is a second value, drawn as a line across the bar.
    """

    label: str
    value: float
    faint: bool = False
    mark: float | None = None


def bars(title: str, below: str, beside: str, data: Sequence[Bar], *, percent: bool = False, marks: str = "") -> Markup:
    """A chart with `below` naming its horizontal and `beside` its vertical axis.

    With `percent` values are shares of 1 and the axis ends at 100%. `marks` says what the bars' marks are.
    """
    if not any(bar.value for bar in data) and not any(bar.mark for bar in data):
        return _figure(title, "<p>None.</p>")
    largest = max(max(bar.value, bar.mark or 0.0) for bar in data)
    step = 0.25 if percent else nice_step(largest, 4)
    top = 1.0 if percent else step * math.ceil(largest / step)
    height, pitch = HEIGHT - _TOP - _BOTTOM, (WIDTH - _LEFT - _RIGHT) / len(data)
    text = _percent if percent else short
    drawn = [_level(y, label) for y, label in _levels(top, step, text)]
    every = math.ceil(len(data) / _LABELS)
    for place, bar in enumerate(data):
        x, tall = _LEFT + pitch * (place + 0.1), height * bar.value / top
        known = "" if bar.mark is None else f", {marks} {text(bar.mark)}"
        hint = html.escape(f"{bar.label}: {text(bar.value) if percent else format(bar.value, ',')}{known}")
        drawn.append(
            f"<rect class='{'faint' if bar.faint else 'full'}' x='{x:.1f}' y='{_TOP + height - tall:.1f}'"
            f" width='{pitch * 0.8:.1f}' height='{tall:.1f}'><title>{hint}</title></rect>"
        )
        middle = x + pitch * 0.4
        if bar.mark is not None:
            y = _TOP + height * (1 - bar.mark / top)
            drawn.append(f"<line class='mark' x1='{x:.1f}' x2='{x + pitch * 0.8:.1f}' y1='{y:.1f}' y2='{y:.1f}'/>")
        if place % every == 0:
            drawn.append(_text(middle, HEIGHT - 26, bar.label))
        if len(data) <= _COUNTED_BARS:
            y = _TOP + height - tall - 4
            drawn.append(
                f"<text class='value' x='{middle:.1f}' y='{y:.1f}' text-anchor='middle'>{text(bar.value)}</text>"
            )
    drawn.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 6, below))
    legend = f" <span class='key mark'>{html.escape(marks)}</span>" if marks else ""
    return _figure(title, _svg(title, drawn), f"<span class='soft'>({html.escape(beside)})</span>{legend}")


def lines(
    title: str, data: Mapping[str, Sequence[float]], places: Sequence[int], *, below: str, marked: int | None = None
) -> Markup:
    """Lines by name over the same horizontal `places`, two at most; `marked` is a place that gets an upright line."""
    ticks = axis([value for line in data.values() for value in line])
    low, high = ticks[0], ticks[-1]
    first, last = places[0], max(places[-1], places[0] + 1)

    def x(place: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (place - first) / (last - first)

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))

    drawn = [_level(y(tick), f"{tick:g}") for tick in ticks]
    drawn += [_text(x(place), HEIGHT - 26, str(place)) for place in places[:: math.ceil(len(places) / _LABELS)]]
    drawn.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 6, below))
    if marked is not None:
        drawn.append(
            f"<line class='best' x1='{x(marked):.1f}' x2='{x(marked):.1f}' y1='{_TOP}' y2='{HEIGHT - _BOTTOM}'/>"
        )
    keys = []
    for number, (name, line) in enumerate(data.items()):
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(places, line, strict=True))
        drawn.append(f"<polyline class='line{number}' points='{points}'/>")
        drawn += [
            f"<circle class='line{number}' cx='{x(place):.1f}' cy='{y(value):.1f}' r='3'>"
            f"<title>{html.escape(name)}, {html.escape(below)} {place}: {value:.4f}</title></circle>"
            for place, value in zip(places, line, strict=True)
        ]
        keys.append(f"<span class='key line{number}'>{html.escape(name)}</span>")
    return _figure(title, _svg(title, drawn), "".join(keys) if len(keys) > 1 else "")


@dataclass(frozen=True)
class Point:
    """A point of a diagonal chart: `x` and `y` are shares of 1, `weight` is its area, `hint` its words."""

    x: float
    y: float
    weight: float
    hint: str


def diagonal(title: str, below: str, beside: str, points: Sequence[Point]) -> Markup:
    """Points over the line on which both shares are the same."""
    height, width = HEIGHT - _TOP - _BOTTOM, WIDTH - _LEFT - _RIGHT
    drawn = [_level(y, label) for y, label in _levels(1.0, 0.25, _percent)]
    drawn += [_text(_LEFT + width * share, HEIGHT - 26, _percent(share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    drawn.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 6, below))
    drawn.append(f"<line class='best' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{_TOP + height}' y2='{_TOP}'/>")
    placed = [(_LEFT + width * point.x, _TOP + height * (1 - point.y), point) for point in points]
    largest = max(point.weight for point in points)
    for x, y, point in placed:
        radius = 3 + 6 * math.sqrt(point.weight / largest)
        drawn.append(
            f"<circle class='line0' cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}'>"
            f"<title>{html.escape(point.hint)}</title></circle>"
        )
    return _figure(title, _svg(title, drawn), f"<span class='soft'>({html.escape(beside)})</span>")


def _levels(top: float, step: float, text: Callable[[float], str]) -> list[tuple[float, str]]:
    height = HEIGHT - _TOP - _BOTTOM
    return [(_TOP + height * (1 - tick * step / top), text(tick * step)) for tick in range(round(top / step) + 1)]


def _level(y: float, label: str) -> str:
    line = f"<line class='grid' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
    return f"{line}<text x='{_LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{label}</text>"


def _text(x: float, y: float, label: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='middle'>{html.escape(label)}</text>"


def _svg(title: str, drawn: Sequence[str]) -> str:
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{html.escape(title)}'>{''.join(drawn)}</svg>"


def _figure(title: str, content: str, legend: str = "") -> Markup:
    return Markup(f"<figure class='chart'><figcaption>{html.escape(title)} {legend}</figcaption>{content}</figure>")


def _percent(share: float) -> str:
    return f"{share:.0%}"


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


def axis(values: Sequence[float], steps: int = 4) -> list[float]:
    """Round numbers, evenly spaced, that enclose the values: about `steps` of them."""
    low, high = min(values), max(values)
    # Values that differ by less than a chart can show are drawn as a level line.
    largest = max(abs(low), abs(high), 1e-6)
    if high - low <= 1e-9 * largest:
        low, high = low - largest / 10, high + largest / 10
    step = nice_step(high - low, steps)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]
