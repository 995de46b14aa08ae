"""Line charts as one HTML page that stands by itself: no script, no other file, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steps.reports.charts import lines
from steps.reports.page import render

TEMPLATE = Path(__file__).with_name("charts.html.template")


@dataclass(frozen=True)
class Chart:
    """One chart: lines by name over the same horizontal places (epochs), two lines at most."""

    title: str
    lines: Mapping[str, Sequence[float]]


def page(title: str, lead: str, places: Sequence[int], charts: Sequence[Chart], *, marked: int | None = None) -> str:
    """A page of charts over the same `places`; `marked` is the place that gets an upright line (the best epoch)."""
    drawings = [lines(chart.title, chart.lines, places, below="epoch", marked=marked) for chart in charts]
    return render(TEMPLATE, title=title, lead=lead, drawings=drawings)
