"""Charts: where their bars, lines and labels are. The macro `chart` of parts.html.template writes them as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 18, 20, 44
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
# The values of more bars than this would overlap.
_BARS_WITH_VALUES = 10
_MOST_LABELS = 12
# Significant digits of a label at most.
_MOST_DIGITS = 7
# Width of a character of a label at 12 px, and the space between two labels.
_CHARACTER, _GAP = 7.0, 6.0
# A first value is left out of an axis where it is above the largest later one by this many ranges of the later ones, if
# a line has at least that number of them.
_FAR, _LATER_VALUES = 1.5, 2


@dataclass(frozen=True)
class Rectangle:
    """A bar; `hint` is its tooltip."""

    style: str
    x: float
    y: float
    width: float
    height: float
    hint: str


@dataclass(frozen=True)
class Line:
    """A straight line."""

    style: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Curve:
    """A line through points."""

    style: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Circle:
    """A point; `hint` is its tooltip."""

    style: str
    x: float
    y: float
    radius: float
    hint: str


@dataclass(frozen=True)
class Text:
    """A label: `tick`, `level`, `value`, or `beyond` for a value outside of the axis."""

    style: str
    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Key:
    """An entry of a chart's legend."""

    style: str
    text: str


@dataclass
class Drawing:
    """Shapes in drawing order in a box of `width` by `height`, origin at the upper left.

    Styles are classes of page.css. `unit` names what the vertical axis shows.
    """

    title: str
    unit: str = ""
    keys: list[Key] = field(default_factory=list)
    grid: list[Line] = field(default_factory=list)
    rectangles: list[Rectangle] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    circles: list[Circle] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.rectangles or self.curves or self.circles)

    def add_axes(self, below: str, levels: Sequence[tuple[float, str]]) -> None:
        """Name the horizontal axis, and draw a grid line with a label at each level: a share of the height."""
        for share, label in levels:
            y = _height_of(share)
            self.grid.append(Line("grid", _LEFT, y, WIDTH - _RIGHT, y))
            self.texts.append(Text("level", _LEFT - 6, y + 4, label))
        self.texts.append(Text("tick", (WIDTH + _LEFT) / 2, HEIGHT - 6, below))

    def add_tick(self, x: float, label: str) -> None:
        """Label a place of the horizontal axis."""
        self.texts.append(Text("tick", x, HEIGHT - 26, label))


def _every(pitch: float, labels: Sequence[str]) -> int:
    """Which of the labels are written, every one, second, third: so that they do not touch at this distance."""
    widest = max(map(len, labels), default=0) * _CHARACTER + _GAP
    return max(1, math.ceil(len(labels) / _MOST_LABELS), math.ceil(widest / pitch))


def _height_of(share: float) -> float:
    """The vertical coordinate of a share of the plot's height."""
    return _TOP + _PLOT_HEIGHT * (1 - share)


@dataclass(frozen=True)
class Bar:
    """One bar: `label` below it, `value` as its height. A `faint` bar is drawn for comparison.

    `mark` is a second value, drawn as a line across the bar.
    """

    label: str
    value: float
    faint: bool = False
    mark: float | None = None


def bars(title: str, below: str, unit: str, data: Sequence[Bar], *, percent: bool = False, marks: str = "") -> Drawing:
    """A bar chart; `below` names its horizontal axis, `unit` its vertical one.

    With `percent` values are shares of 1 and the axis ends at 100%. `marks` names the bars' marks in the legend.
    """
    drawing = Drawing(title, unit, [Key("mark", marks)] if marks else [])
    largest = max((max(bar.value, bar.mark or 0.0) for bar in data), default=0.0)
    if not largest:
        return Drawing(title)
    step = 0.25 if percent else nice_step(largest, 4)
    top = 1.0 if percent else step * math.ceil(largest / step)
    pitch = _PLOT_WIDTH / len(data)
    text: Callable[[float], str] = _percent if percent else short
    drawing.add_axes(below, [(tick * step / top, text(tick * step)) for tick in range(round(top / step) + 1)])
    every = _every(pitch, [bar.label for bar in data])
    for place, bar in enumerate(data):
        x, y, width = _LEFT + pitch * (place + 0.1), _height_of(bar.value / top), pitch * 0.8
        hint = f"{bar.label}: {text(bar.value) if percent else format(bar.value, ',')}"
        if bar.mark is not None:
            mark = _height_of(bar.mark / top)
            drawing.lines.append(Line("mark", x, mark, x + width, mark))
            hint += f", {marks} {text(bar.mark)}"
        style = "faint" if bar.faint else "full"
        drawing.rectangles.append(Rectangle(style, x, y, width, _height_of(0) - y, hint))
        if place % every == 0:
            drawing.add_tick(x + width / 2, bar.label)
        if len(data) <= _BARS_WITH_VALUES:
            # Above the mark too, which would strike the number through.
            top_of_both = min(y, _height_of((bar.mark or 0.0) / top))
            drawing.texts.append(Text("value", x + width / 2, top_of_both - 5, text(bar.value)))
    return drawing


def lines(
    title: str, data: Mapping[str, Sequence[float]], places: Sequence[int], *, below: str, marked: int | None = None
) -> Drawing:
    """Lines by name over the same horizontal `places`, two at most. `marked` is a place that gets an upright line.

    A first value that is far above all others, as the loss of the first epoch can be, is written at the upper edge and
    does not stretch the axis.
    """
    ticks = axis(_shown_values(list(data.values())))
    low, high = ticks[0], ticks[-1]
    first, last = places[0], max(places[-1], places[0] + 1)

    def x(place: float) -> float:
        return _LEFT + _PLOT_WIDTH * (place - first) / (last - first)

    def share(value: float) -> float:
        return (value - low) / (high - low)

    drawing = Drawing(title)
    drawing.add_axes(below, [(share(tick), f"{tick:g}") for tick in ticks])
    pitch = _PLOT_WIDTH / max(len(places) - 1, 1)
    for place in places[:: _every(pitch, list(map(str, places)))]:
        drawing.add_tick(x(place), str(place))
    if marked is not None:
        drawing.lines.append(Line("best", x(marked), _height_of(1), x(marked), _height_of(0)))
    for number, (name, values) in enumerate(data.items()):
        style = f"line{number}"
        points = [(x(place), _height_of(min(share(value), 1.0))) for place, value in zip(places, values, strict=True)]
        if share(values[0]) > 1:
            # Next to the point, below the edge: two lines that begin above it have their numbers below each other.
            drawing.texts.append(
                Text("beyond", points[0][0] + 14, points[0][1] + 4 + 14 * number, f"{values[0]:.4g} ↑")
            )
        drawing.curves.append(Curve(style, points))
        drawing.circles += [
            Circle(style, *point, radius=3, hint=f"{name}, {below} {place}: {value:.4f}")
            for point, place, value in zip(points, places, values, strict=True)
        ]
        if len(data) > 1:
            drawing.keys.append(Key(style, name))
    return drawing


def _shown_values(series: Sequence[Sequence[float]]) -> list[float]:
    """The values that an axis has to enclose: all, but no first value that is far above the range of all later ones."""
    later = [value for values in series for value in values[1:]]
    if len(later) < _LATER_VALUES * len(series):
        return [value for values in series for value in values]
    limit = max(later) + _FAR * max(max(later) - min(later), 1e-6)
    return later + [values[0] for values in series if values[0] <= limit]


@dataclass(frozen=True)
class Point:
    """A point of a diagonal chart: `x` and `y` are shares of 1, `weight` is its area, `hint` its tooltip."""

    x: float
    y: float
    weight: float
    hint: str


def diagonal(title: str, below: str, unit: str, points: Sequence[Point]) -> Drawing:
    """Points over the line on which both shares are the same."""
    drawing = Drawing(title, unit)
    shares = (0, 0.25, 0.5, 0.75, 1)
    drawing.add_axes(below, [(share, _percent(share)) for share in shares])
    for share in shares:
        drawing.add_tick(_LEFT + _PLOT_WIDTH * share, _percent(share))
    drawing.lines.append(Line("best", _LEFT, _height_of(0), WIDTH - _RIGHT, _height_of(1)))
    largest = max((point.weight for point in points), default=1)
    drawing.circles += [
        Circle(
            "line0",
            _LEFT + _PLOT_WIDTH * point.x,
            _height_of(point.y),
            3 + 6 * math.sqrt(point.weight / largest),
            point.hint,
        )
        for point in points
    ]
    return drawing


def _percent(share: float) -> str:
    return f"{share:.0%}"


def histogram(values: Sequence[float], bins: int = 20) -> list[Bar]:
    """Bars of equal, round width from 0 to the 99th percentile, and one for all larger values."""
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


def distinct(values: Sequence[float]) -> list[str]:
    """Ascending numbers as short labels that differ where the numbers do: 110k, 112k, 115k."""
    unit, factor = next(
        ((unit, factor) for unit, factor in (("M", 1e6), ("k", 1e3)) if abs(values[0]) >= factor), ("", 1.0)
    )
    numbers = list(dict.fromkeys(values))
    labels: list[str] = []
    for digits in range(2, _MOST_DIGITS + 1):
        labels = [f"{_rounded(number / factor, digits)}{unit}" for number in numbers]
        if len(set(labels)) == len(labels):
            break
    by_number = dict(zip(numbers, labels, strict=True))
    return [by_number[value] for value in values]


def _rounded(value: float, digits: int) -> str:
    """A number with `digits` significant digits, without an exponent."""
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{round(value, places):.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def axis(values: Sequence[float], steps: int = 4) -> list[float]:
    """About `steps` round numbers, evenly spaced, that enclose the values."""
    low, high = min(values), max(values)
    # Values that differ by less than a chart can show are drawn as a level line.
    largest = max(abs(low), abs(high), 1e-6)
    if high - low <= 1e-9 * largest:
        low, high = low - largest / 10, high + largest / 10
    step = nice_step(high - low, steps)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]
