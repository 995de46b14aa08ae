"""Charts of the endpoint's traffic: requests and errors per period, and the model's latency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from pipeline.operations.serving.traffic import Moment, Traffic
from pipeline.texts import minute
from steps.reports.charts import LEFT, PLOT_WIDTH, Circle, Curve, Drawing, Key, Line, Rectangle, height_of
from steps.reports.scales import axis, nice_step, short

_LEVELS = 4
_TICKS = 6
_DAY = 86_400
# The most important line last, so that it is above the others.
PERCENTILES = {"p50": "median", "p90": "90th percentile", "p99": "99th percentile"}
# Parts of a bar from below: style, words of the legend and of the tooltip.
_PARTS = (("answered", "answered"), ("refused", "refused (4XX)"), ("failed", "failed (5XX)"))


def requests(traffic: Traffic) -> Drawing:
    """A bar per period with requests: answered, refused and failed ones above each other."""
    title = "Requests"
    if not traffic.moments:
        return Drawing(title)
    parts = [_parts_of(moment) for moment in traffic.moments]
    step = max(1.0, nice_step(max(map(sum, parts)), _LEVELS))
    top = step * math.ceil(max(map(sum, parts)) / step)
    drawing = Drawing(title, f"per {traffic.window.period_label}")
    drawing.add_axes("", [(tick * step / top, short(tick * step)) for tick in range(round(top / step) + 1)])
    _add_times(drawing, traffic)
    pitch = PLOT_WIDTH * traffic.window.period / traffic.window.seconds
    for moment, numbers in zip(traffic.moments, parts, strict=True):
        below, hint = 0, f"{minute(moment.time)}: {_numbers(numbers)}"
        for (style, _), number in zip(_PARTS, numbers, strict=True):
            if number:
                upper, lower = height_of((below + number) / top), height_of(below / top)
                x = _x(traffic, moment.time) + 0.1 * pitch
                drawing.rectangles.append(Rectangle(style, x, upper, 0.8 * pitch, lower - upper, hint))
                below += number
    seen = [any(numbers[place] for numbers in parts) for place in range(len(_PARTS))]
    drawing.keys += [Key(style, words) for (style, words), is_seen in zip(_PARTS, seen, strict=True) if is_seen]
    return drawing


def _parts_of(moment: Moment) -> tuple[int, int, int]:
    # CloudWatch is assumed to count an invocation in one period, and its error possibly in the next.
    answered = max(0, moment.requests - moment.refused - moment.failed)
    return answered, moment.refused, moment.failed


def _numbers(numbers: Sequence[int]) -> str:
    named = [f"{number:,} {words}" for (_, words), number in zip(_PARTS, numbers, strict=True) if number]
    return ", ".join(named) or "none"


def latency(traffic: Traffic, limit: float | None) -> Drawing:
    """Lines of percentiles in milliseconds, interrupted where a period has none.

    `limit` is the alarm's, drawn where the values come near it.
    """
    title = "Latency of the model"
    values = [value for moment in traffic.moments for value in moment.latency.values()]
    if not values:
        return Drawing(title)
    is_near = limit is not None and max(values) > limit / 2
    levels = axis([0.0, *values, *([limit] if limit is not None and is_near else [])])

    def share(value: float) -> float:
        return (value - levels[0]) / (levels[-1] - levels[0])

    drawing = Drawing(title, "ms")
    drawing.add_axes("", [(share(level), f"{level:g}") for level in levels])
    _add_times(drawing, traffic)
    half = timedelta(seconds=traffic.window.period / 2)
    for name, words in PERCENTILES.items():
        having = [moment for moment in traffic.moments if name in moment.latency]
        points = [(_x(traffic, moment.time + half), height_of(share(moment.latency[name]))) for moment in having]
        places = dict(zip((moment.time for moment in having), points, strict=True))
        for part in _unbroken(having, traffic.window.period):
            if len(part) > 1:
                drawing.curves.append(Curve(name, [places[moment.time] for moment in part], words))
        drawing.circles += [
            Circle(name, *point, radius=2.5, hint=f"{words}, {minute(moment.time)}: {moment.latency[name]:.1f} ms")
            for moment, point in zip(having, points, strict=True)
        ]
        if having:
            drawing.keys.append(Key(name, words))
    if limit is not None and is_near:
        y = height_of(share(limit))
        drawing.lines.append(Line("limit", LEFT, y, LEFT + PLOT_WIDTH, y))
        drawing.keys.append(Key("limit", "limit of the alarm"))
    return drawing


def _unbroken(moments: Sequence[Moment], period: int) -> Iterator[list[Moment]]:
    """The moments in parts, in each of which one period follows the other."""
    part: list[Moment] = []
    for moment in moments:
        if part and (moment.time - part[-1].time).total_seconds() > period:
            yield part
            part = []
        part.append(moment)
    if part:
        yield part


def _x(traffic: Traffic, time: datetime) -> float:
    return LEFT + PLOT_WIDTH * (time - traffic.start).total_seconds() / traffic.window.seconds


def _add_times(drawing: Drawing, traffic: Traffic) -> None:
    """Times of this machine's time zone below the axis; of more than a day, the days where they begin."""
    if traffic.window.seconds > _DAY:
        day = traffic.start.astimezone().replace(hour=0, minute=0)
        while (day := day + timedelta(days=1)) < traffic.end:
            drawing.add_tick(_x(traffic, day), day.strftime("%a"))
        return
    for number in range(_TICKS + 1):
        time = traffic.start + (traffic.end - traffic.start) * number / _TICKS
        drawing.add_tick(_x(traffic, time), time.astimezone().strftime("%H:%M"))
