"""`report.html`: the comparison for the person who gets the alarm, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from steps.contracts.drift import FIGURES, TITLES, Drift, Feature, number
from steps.monitor.comparison import binned
from steps.reports.charts import Bar, Drawing, bars
from steps.reports.page import render

TEMPLATE = Path(__file__).with_name("report.html.template")
_MEANING = {
    "ok": "No drift",
    "drift": "Drift: the endpoint's photos or answers differ from the baseline",
    "too-few": "Too few photos for a comparison",
}


def write_report(
    path: Path,
    drift: Drift,
    baseline: Mapping[str, NDArray[Any]],
    window: Mapping[str, NDArray[Any]],
    no_truth: str = "",
) -> None:
    """Write the report; `baseline` and `window` map a feature to its values, `window` is empty without photos.

    `no_truth` is why there is no comparison with true counts although there should be.
    """
    truth = drift.truth
    page = render(
        TEMPLATE,
        drift=drift,
        rows=[_row(feature) for feature in drift.features],
        reasons=[reason for feature in drift.features for reason in feature.reasons()],
        furthest=_furthest(drift),
        meaning=_MEANING[drift.verdict],
        charts=[_chart(name, baseline[name], window[name]) for name in baseline if name in window],
        no_truth=no_truth,
        headings=FIGURES,
        figures=truth.figures() if truth else [],
        shortfalls=truth.shortfalls() if truth else [],
        unmatched=list(truth.unmatched()) if truth else [],
        provenance=[["baseline", drift.baseline], *([["true counts", truth.location]] if truth else [])],
        time="%Y-%m-%d %H:%M",
    )
    path.write_text(page)


def _row(feature: Feature) -> dict[str, Any]:
    """A row of the table: numbers as text, the baseline's below the window's."""
    pairs = {
        value: (number(getattr(feature, f"window_{value}")), number(getattr(feature, f"baseline_{value}")))
        for value in ("mean", "smallest", "largest")
    }
    tails = ["" if tail is None else f"{tail.share:.1%}" for tail in (feature.low, feature.high)]
    return {"feature": feature, "title": feature.title, **pairs, "tails": tails}


def _furthest(drift: Drift) -> str:
    """The feature that is furthest from the baseline, with its index; empty without a comparison."""
    furthest = drift.furthest
    return "" if furthest is None else f"{furthest.title}, PSI {furthest.psi:.3f}"


def _chart(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> Drawing:
    data = [
        Bar(part.label, round(100 * part.window, 1), mark=round(100 * part.baseline, 1))
        for part in binned(name, baseline, window)
    ]
    return bars(*TITLES[name], "% of photos", data, marks="baseline")
