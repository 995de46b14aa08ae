"""Charts of the endpoint's traffic: what is drawn where, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.console import traffic_charts
from pipeline.operations.serving.traffic import WINDOWS, Moment, Traffic, Window

START = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
HOUR = WINDOWS["hour"]


def moment(minutes: int, requests: int = 1, refused: int = 0, failed: int = 0, **latency: float) -> Moment:
    return Moment(START + timedelta(minutes=minutes), requests, refused, failed, latency)


def traffic(*moments: Moment, window: Window = HOUR) -> Traffic:
    return Traffic(window, START, START + timedelta(seconds=window.seconds), moments)


def test_a_period_is_a_bar_of_answered_refused_and_failed_requests() -> None:
    drawing = traffic_charts.requests(traffic(moment(0, 10, 2, 3), moment(30, 5)))
    bars = {(bar.style, bar.x): bar.height for bar in drawing.rectangles}
    assert [bar.style for bar in drawing.rectangles] == ["answered", "refused", "failed", "answered"]
    heights = [bar.height for bar in drawing.rectangles]
    assert heights[0] == pytest.approx(heights[3])
    assert heights[2] / heights[1] == pytest.approx(1.5)
    assert len({bar.x for bar in drawing.rectangles}) == 2
    assert len(bars) == 4
    assert "5 answered, 2 refused (4XX), 3 failed (5XX)" in drawing.rectangles[0].hint


def test_the_legend_names_only_what_is_there() -> None:
    assert [key.style for key in traffic_charts.requests(traffic(moment(0, 10))).keys] == ["answered"]


def test_an_error_that_is_counted_in_another_period_than_its_request_is_drawn() -> None:
    drawing = traffic_charts.requests(traffic(moment(0, 0, 0, 1)))
    assert [bar.style for bar in drawing.rectangles] == ["failed"]


def test_a_line_is_interrupted_where_a_period_has_no_percentile() -> None:
    minutes = [moment(0, p99=1.0), moment(1, p99=2.0), moment(3, p99=3.0), moment(4, p99=4.0), moment(9, p99=5.0)]
    drawing = traffic_charts.latency(traffic(*minutes), None)
    assert [len(curve.points) for curve in drawing.curves] == [2, 2]
    assert len(drawing.circles) == 5
    assert [key.style for key in drawing.keys] == ["p99"]


def test_the_alarms_limit_is_drawn_where_the_values_come_near_it() -> None:
    far, near = (traffic_charts.latency(traffic(moment(0, p99=value)), 2_000.0) for value in (20.0, 1_500.0))
    assert (far.lines, [line.style for line in near.lines]) == ([], ["limit"])


def test_without_requests_there_is_nothing_to_draw() -> None:
    assert traffic_charts.requests(traffic()).is_empty
    assert traffic_charts.latency(traffic(moment(0)), 2_000.0).is_empty


@pytest.mark.parametrize(("name", "labels"), [("hour", 7), ("six-hours", 7), ("day", 7), ("week", 7)])
def test_every_window_has_times_below_its_axis(name: str, labels: int) -> None:
    window = WINDOWS[name]
    drawing = traffic_charts.requests(traffic(moment(0), window=window))
    times = [text for text in drawing.texts if text.style == "tick" and text.text]
    assert len(times) == labels
    assert all(0 <= text.x <= drawing.width for text in times)
