"""Line charts as one HTML page that stands by itself: no script, nothing fetched, light and dark."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steps.reports.charts import lines
from steps.reports.page import style


@dataclass(frozen=True)
class Chart:
    """One chart: lines by name over the same horizontal places (epochs), two lines at most."""

    title: str
    lines: Mapping[str, Sequence[float]]


def page(title: str, lead: str, places: Sequence[int], charts: Sequence[Chart], *, marked: int | None = None) -> str:
    """A page of charts over the same `places`; `marked` is the one that gets an upright line (the best epoch)."""
    figures = "\n".join(lines(chart.title, chart.lines, places, below="epoch", marked=marked) for chart in charts)
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{style()}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1><p class='soft'>{html.escape(lead)}</p>\n"
        f"<main class='two'>\n{figures}\n</main></body></html>\n"
    )
