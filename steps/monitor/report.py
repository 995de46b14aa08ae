"""`report.html`: the comparison for the person who gets the alarm, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.drift import Drift
from steps.monitor.comparison import CATEGORICAL, bin_edges, shares_of
from steps.reports.charts import Bar, Drawing, bars, short
from steps.reports.page import render

TEMPLATE = Path(__file__).with_name("report.html.template")
# Title and unit of each feature.
_FEATURES = {
    "predicted": ("Predicted count", "objects"),
    "confidence": ("Confidence", "probability of the predicted count"),
    "brightness": ("Brightness", "mean luma, 0 black to 1 white"),
    "sharpness": ("Sharpness", "variance of the Laplacian"),
    "pixels": ("Size in pixels", "width times height"),
    "bytes": ("Size of the file", "bytes"),
}
_MEANING = {
    "ok": "No drift",
    "drift": "Drift: the endpoint's photos or answers differ from the baseline",
    "too-few": "Too few photos for a comparison",
}


def write_report(
    path: Path, drift: Drift, baseline: Mapping[str, NDArray[Any]], window: Mapping[str, NDArray[Any]]
) -> None:
    """Write the report; `baseline` and `window` map a feature to its values, `window` is empty without photos."""
    page = render(
        TEMPLATE,
        drift=drift,
        means={feature.name: (_mean(feature.baseline_mean), _mean(feature.window_mean)) for feature in drift.features},
        titles={name: title for name, (title, _) in _FEATURES.items()},
        meaning=_MEANING[drift.verdict],
        charts=[_chart(name, baseline[name], window[name]) for name in baseline] if window else [],
        time="%Y-%m-%d %H:%M",
    )
    path.write_text(page)


def _mean(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _chart(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> Drawing:
    shares = 100 * shares_of(name, baseline, window)
    if name in CATEGORICAL:
        labels = [str(value) for value in np.union1d(baseline, window).tolist()]
    else:
        # A bin's label is its lower edge; the first bin's label is its upper one.
        labels = [short(float(f"{edge:.2g}")) for edge in bin_edges(baseline).tolist()]
        labels.insert(0, f"<{labels[0]}")
    data = [
        Bar(label, round(float(now), 1), mark=round(float(before), 1))
        for label, before, now in zip(labels, *shares, strict=True)
    ]
    return bars(*_FEATURES[name], "% of photos", data, marks="baseline")
