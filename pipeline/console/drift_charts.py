"""Charts of the drift: how far each feature was from the baseline over time, and both distributions of a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from pipeline.texts import minute
from steps.contracts.drift import TITLES, Drift, Feature, Tail, Truth
from steps.reports.charts import (
    LEFT,
    PLOT_WIDTH,
    Bar,
    Circle,
    Curve,
    Drawing,
    Key,
    Line,
    Polygon,
    Text,
    bars,
    height_of,
)
from steps.reports.scales import axis

# Labels below the axis of time; over a longer span than this they are days.
_LABELS, _HOURS_UNTIL = 4, timedelta(days=3)
_RADIUS = 4.5
_BELOW = "below the minimum"


@dataclass(frozen=True)
class Point:
    """A figure of a window, which ends at `time`; None: no `limit`. `drifted` is whether it is beyond what is allowed.

    Below its limit a feature is no drift, however significant; a figure by true counts is bad below it.
    """

    time: datetime
    version: str
    value: float
    limit: float | None
    drifted: bool


def distances(drifts: Sequence[Drift]) -> Iterator[Drawing]:
    """A chart of the stability index of each feature over the windows that were compared."""
    for title, compared in _by_feature(drifts):
        index = [
            Point(window.until, window.model_version, feature.psi, _psi_limit(window, feature), feature.drifted)
            for window, feature in compared
        ]
        yield _chart(title, "PSI", {"PSI": index})


def _psi_limit(window: Drift, feature: Feature) -> float | None:
    # Sure counts drift by the relative change of their share, at an index of any size.
    return None if feature.name == "sure" else window.minimum_psi


def tails(drifts: Sequence[Drift]) -> Iterator[Drawing]:
    """A chart of the photos in the tails of each feature that has tails, over the windows that were compared."""
    for title, compared in _by_feature(drifts):
        low = [_point(window, feature.low) for window, feature in compared if feature.low]
        high = [_point(window, feature.high) for window, feature in compared if feature.high]
        if low and high:
            yield _chart(title, "% of photos", {"low": low, "high": high})


def sure_shares(drifts: Sequence[Drift]) -> Iterator[Drawing]:
    """A chart of the share of sure counts over the windows whose answers have it; none without."""
    points = [
        Point(window.until, window.model_version, 100 * window.sure_share, None, drifted="sure" in window.drifted)
        for window in sorted(drifts, key=lambda drift: drift.until)
        if window.sure_share is not None
    ]
    if points:
        yield _chart("Sure counts", "% of photos", {"sure": points}, "drifted")


def true_counts(drifts: Sequence[Drift]) -> Iterator[Drawing]:
    """Charts of the accuracy by true counts, of all and of sure counts, and of the coverage of prediction sets."""
    measured = sorted(_measured(drifts), key=lambda pair: pair[1].until)
    accuracy = [
        _figure(window, truth, truth.accuracy, truth.minimum_accuracy, truth.photos) for window, truth in measured
    ]
    sure = [
        _figure(window, truth, truth.sure_accuracy, truth.minimum_sure_accuracy, truth.sure_photos)
        for window, truth in measured
    ]
    coverage = [
        _figure(window, truth, truth.set_coverage, truth.minimum_set_coverage, truth.set_photos)
        for window, truth in measured
    ]
    # A chart each, since each has a minimum of its own.
    charts = (
        ("Accuracy", "% of photos", "all", accuracy),
        ("Accuracy of sure counts", "% of sure counts", "sure", sure),
        ("Set coverage", "% of prediction sets", "coverage", coverage),
    )
    for title, unit, name, figures in charts:
        if points := [each for each in figures if each]:
            yield _chart(title, unit, {name: points}, _BELOW)


def _measured(drifts: Sequence[Drift]) -> Iterator[tuple[Drift, Truth]]:
    yield from ((window, window.truth) for window in drifts if window.truth is not None)


def _figure(window: Drift, truth: Truth, value: float | None, minimum: float | None, photos: int) -> Point | None:
    """A figure in percent, at the end of the window of its answers; None where it is not measured."""
    if value is None:
        return None
    is_low = minimum is not None and value < minimum and photos >= truth.minimum_photos
    return Point(truth.until, window.model_version, 100 * value, None if minimum is None else 100 * minimum, is_low)


def _by_feature(drifts: Sequence[Drift]) -> Iterator[tuple[str, list[tuple[Drift, Feature]]]]:
    """Title of each feature, and its comparisons in the order of their windows."""
    features: dict[str, list[tuple[Drift, Feature]]] = {}
    for window in sorted(drifts, key=lambda drift: drift.until):
        for feature in window.features:
            features.setdefault(feature.title, []).append((window, feature))
    yield from features.items()


def _point(window: Drift, tail: Tail) -> Point:
    return Point(window.until, window.model_version, 100 * tail.share, 100 * window.minimum_tail, tail.drifted)


def distributions(drift: Drift) -> list[Drawing]:
    """Both distributions of each feature; none of a window with too few photos, and of an earlier monitor's."""
    return [
        bars(
            *TITLES.get(feature.name, (feature.name, "")),
            "% of photos",
            [Bar(each.label, round(100 * each.window, 1), mark=round(100 * each.baseline, 1)) for each in feature.bins],
            marks="baseline",
        )
        for feature in drift.features
        if feature.bins
    ]


def _chart(title: str, unit: str, series: Mapping[str, Sequence[Point]], word: str = "drifted") -> Drawing:
    """Lines by name, two at most, over the same windows; a point that has drifted, in a `word`, is a diamond.

    The limit is that of the first line.
    """
    points = next(iter(series.values()))
    numbers = (number for line in series.values() for each in line for number in (each.value, each.limit))
    ticks = axis([0.0, *(number for number in numbers if number is not None)])
    first, last = points[0].time, points[-1].time
    span = (last - first).total_seconds()

    def x(time: datetime) -> float:
        share = (time - first).total_seconds() / span if span else 0.5
        return LEFT + PLOT_WIDTH * share

    def y(value: float) -> float:
        return height_of((value - ticks[0]) / (ticks[-1] - ticks[0]))

    lines = [Key(f"line{place}", name) for place, name in enumerate(series)] if len(series) > 1 else []
    limit = [(x(each.time), y(each.limit)) for each in points if each.limit is not None]
    limits = [Key("limit", "limit")] if limit else []
    drawing = Drawing(title, unit, [*lines, *([Key("drift", word)] if limit or word == "drifted" else []), *limits])
    drawing.add_axes("end of the window", [((tick - ticks[0]) / (ticks[-1] - ticks[0]), f"{tick:g}") for tick in ticks])
    for time, label in _labels(first, last):
        drawing.add_tick(x(time), label)
    for before, after in pairwise(points):
        if before.version != after.version:
            drawing.lines.append(Line("best", x(after.time), height_of(1), x(after.time), height_of(0)))
            drawing.texts.append(Text("value", x(after.time), height_of(1) - 6, f"version {after.version}"))
    if len(limit) == 1:
        limit = [(LEFT, limit[0][1]), (LEFT + PLOT_WIDTH, limit[0][1])]
    if limit:
        newest = next(each.limit for each in reversed(points) if each.limit is not None)
        drawing.curves.append(Curve("limit", limit, f"limit {newest:g}"))
    for place, (name, line) in enumerate(series.items()):
        style = f"line{place}"
        drawing.curves.append(Curve(style, [(x(each.time), y(each.value)) for each in line]))
        for each in line:
            state = f", {word}" if each.drifted else ""
            bound = "" if each.limit is None else f", limit {each.limit:g}"
            hint = f"{name}, {minute(each.time)}, version {each.version}: {each.value:.3g}{state}{bound}"
            if each.drifted:
                drawing.polygons.append(Polygon("drift", _diamond(x(each.time), y(each.value)), hint))
            else:
                drawing.circles.append(Circle(style, x(each.time), y(each.value), 3, hint))
    return drawing


def _diamond(x: float, y: float) -> list[tuple[float, float]]:
    return [(x, y - _RADIUS), (x + _RADIUS, y), (x, y + _RADIUS), (x - _RADIUS, y)]


def _labels(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Times from the first to the last one, in the time zone of this machine: hours, or days over a longer span."""
    form = "%H:%M" if last - first <= _HOURS_UNTIL else "%m-%d"
    if first == last:
        return [(first, minute(first))]
    times = [first + (last - first) * place / (_LABELS - 1) for place in range(_LABELS)]
    if last.astimezone().date() != first.astimezone().date() and form == "%H:%M":
        form = "%a %H:%M"
    return [(time, time.astimezone().strftime(form)) for time in times]
