"""Charts: where their bars, lines and labels are. The macro `chart` of parts.html.template writes them as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from steps.reports.scales import axis, nice_step, short

WIDTH, HEIGHT = 480, 230
LEFT, _RIGHT, _TOP, _BOTTOM = 52, 18, 20, 44
PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
# The values of more bars than this would overlap.
_BARS_WITH_VALUES = 10
_MOST_LABELS = 12
# Height of a second row of labels below the horizontal axis.
_ROW = 16
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
    """A line through points; `hint` is its tooltip."""

    style: str
    points: Sequence[tuple[float, float]]
    hint: str = ""


@dataclass(frozen=True)
class Polygon:
    """A filled or hollow shape; `hint` is its tooltip."""

    style: str
    points: Sequence[tuple[float, float]]
    hint: str


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
    polygons: list[Polygon] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.rectangles or self.curves or self.circles or self.polygons)

    def add_axes(self, below: str, levels: Sequence[tuple[float, str]]) -> None:
        """Name the horizontal axis, and draw a grid line with a label at each level: a share of the height."""
        for share, label in levels:
            y = height_of(share)
            self.grid.append(Line("grid", LEFT, y, WIDTH - _RIGHT, y))
            self.texts.append(Text("level", LEFT - 6, y + 4, label))
        self.texts.append(Text("tick", (WIDTH + LEFT) / 2, self.height - 6, below))

    def add_tick(self, x: float, label: str, row: int = 0) -> None:
        """Label a place of the horizontal axis, in a row below it."""
        self.texts.append(Text("tick", x, HEIGHT - 26 + _ROW * row, label))


def _every(pitch: float, labels: Sequence[str]) -> int:
    """Which of the labels are written, every one, second, third: so that they do not touch at this distance."""
    widest = max(map(len, labels), default=0) * _CHARACTER + _GAP
    return max(1, math.ceil(len(labels) / _MOST_LABELS), math.ceil(widest / pitch))


def height_of(share: float) -> float:
    """The vertical coordinate of a share of the plot's height."""
    return _TOP + _PLOT_HEIGHT * (1 - share)


@dataclass(frozen=True)
class Bar:
    """One bar: `label` below it, `value` as its height. A `faint` bar is drawn for comparison.

    `mark` is a second value, drawn as a line across the bar; `second` is a label below the first, for another unit.
    """

    label: str
    value: float
    faint: bool = False
    mark: float | None = None
    second: str = ""


def bars(title: str, below: str, unit: str, data: Sequence[Bar], *, percent: bool = False, marks: str = "") -> Drawing:
    """A bar chart; `below` names its horizontal axis, `unit` its vertical one.

    With `percent` values are shares of 1 and the axis ends at 100%. `marks` names the bars' marks in the legend.
    """
    rows = 1 + any(bar.second for bar in data)
    drawing = Drawing(title, unit, [Key("mark", marks)] if marks else [], height=HEIGHT + _ROW * (rows - 1))
    largest = max((max(bar.value, bar.mark or 0.0) for bar in data), default=0.0)
    if not largest:
        return Drawing(title)
    step = 0.25 if percent else nice_step(largest, 4)
    top = 1.0 if percent else step * math.ceil(largest / step)
    pitch = PLOT_WIDTH / len(data)
    text: Callable[[float], str] = _percent if percent else short
    drawing.add_axes(below, [(tick * step / top, text(tick * step)) for tick in range(round(top / step) + 1)])
    every = _every(pitch, [max(bar.label, bar.second, key=len) for bar in data])
    for place, bar in enumerate(data):
        x, y, width = LEFT + pitch * (place + 0.1), height_of(bar.value / top), pitch * 0.8
        names = f"{bar.label} ({bar.second})" if bar.second else bar.label
        hint = f"{names}: {text(bar.value) if percent else format(bar.value, ',')}"
        if bar.mark is not None:
            mark = height_of(bar.mark / top)
            drawing.lines.append(Line("mark", x, mark, x + width, mark))
            hint += f", {marks} {text(bar.mark)}"
        style = "faint" if bar.faint else "full"
        drawing.rectangles.append(Rectangle(style, x, y, width, height_of(0) - y, hint))
        if place % every == 0:
            for row, label in enumerate((bar.label, bar.second)[:rows]):
                drawing.add_tick(x + width / 2, label, row)
        if len(data) <= _BARS_WITH_VALUES:
            # Above the mark too, which would strike the number through.
            top_of_both = min(y, height_of((bar.mark or 0.0) / top))
            drawing.texts.append(Text("value", x + width / 2, top_of_both - 5, text(bar.value)))
    return drawing


@dataclass(frozen=True)
class Within:
    """The values that a chart's vertical axis encloses, and the first and last place of its horizontal axis."""

    values: Sequence[float]
    first: int
    last: int


def lines(
    title: str,
    data: Mapping[str, Sequence[float]],
    places: Sequence[int],
    *,
    below: str,
    marked: int | None = None,
    within: Within | None = None,
) -> Drawing:
    """Lines by name over the same horizontal `places`, two at most. `marked` is a place that gets an upright line.

    With the same `within`, several charts have the same axes.

    A first value that is far above all others, as the loss of the first epoch can be, is written at the upper edge and
    does not stretch the axis.
    """
    ticks = axis(within.values if within else shown_values(list(data.values())))
    low, high = ticks[0], ticks[-1]
    first, last = (within.first, within.last) if within else (places[0], places[-1])
    last = max(last, first + 1)

    def x(place: float) -> float:
        return LEFT + PLOT_WIDTH * (place - first) / (last - first)

    def share(value: float) -> float:
        return (value - low) / (high - low)

    drawing = Drawing(title)
    drawing.add_axes(below, [(share(tick), f"{tick:g}") for tick in ticks])
    named = range(first, last + 1) if within else places
    pitch = PLOT_WIDTH / max(len(named) - 1, 1)
    for place in named[:: _every(pitch, list(map(str, named)))]:
        drawing.add_tick(x(place), str(place))
    if marked is not None:
        drawing.lines.append(Line("best", x(marked), height_of(1), x(marked), height_of(0)))
    for number, (name, values) in enumerate(data.items()):
        style = f"line{number}"
        points = [(x(place), height_of(min(share(value), 1.0))) for place, value in zip(places, values, strict=True)]
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


def shown_values(series: Sequence[Sequence[float]]) -> list[float]:
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
        drawing.add_tick(LEFT + PLOT_WIDTH * share, _percent(share))
    drawing.lines.append(Line("best", LEFT, height_of(0), WIDTH - _RIGHT, height_of(1)))
    largest = max((point.weight for point in points), default=1)
    drawing.circles += [
        Circle(
            "line0",
            LEFT + PLOT_WIDTH * point.x,
            height_of(point.y),
            3 + 6 * math.sqrt(point.weight / largest),
            point.hint,
        )
        for point in points
    ]
    return drawing


def _percent(share: float) -> str:
    return f"{share:.0%}"
