"""`report.html`: the comparison for the person who gets the alarm, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.drift import Drift, Feature
from steps.monitor.comparison import CATEGORICAL, bin_edges, shares_of
from steps.reports.charts import Bar, Drawing, bars, distinct
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
        rows=[_row(feature) for feature in drift.features],
        reasons=[reason for feature in drift.features for reason in _reasons(feature)],
        furthest=_furthest(drift),
        meaning=_MEANING[drift.verdict],
        charts=[_chart(name, baseline[name], window[name]) for name in baseline] if window else [],
        time="%Y-%m-%d %H:%M",
    )
    path.write_text(page)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _row(feature: Feature) -> dict[str, Any]:
    """A row of the table: numbers as text, the baseline's below the window's."""
    pairs = {
        value: (_number(getattr(feature, f"window_{value}")), _number(getattr(feature, f"baseline_{value}")))
        for value in ("mean", "smallest", "largest")
    }
    tails = ["" if tail is None else f"{tail.share:.1%}" for tail in (feature.low, feature.high)]
    return {"feature": feature, "title": _FEATURES[feature.name][0], **pairs, "tails": tails}


def _reasons(feature: Feature) -> Iterator[str]:
    """Why a feature has drifted: its distribution, its low tail, its high tail."""
    title = _FEATURES[feature.name][0]
    tails = [
        (tail, word)
        for tail, word in ((feature.low, "below"), (feature.high, "above"))
        if tail is not None and tail.drifted
    ]
    for tail, word in tails:
        yield (
            f"{title}: {tail.share:.1%} of the photos are {word} {_number(tail.limit)}, in the baseline 1%;"
            f" they go from {_number(feature.window_smallest)} to {_number(feature.window_largest)}, in the baseline"
            f" from {_number(feature.baseline_smallest)} to {_number(feature.baseline_largest)}"
        )
    if feature.drifted and not tails:
        yield (
            f"{title}: mean {_number(feature.baseline_mean)} in the baseline, {_number(feature.window_mean)} in the"
            f" window, PSI {feature.psi:.3f}"
        )


def _furthest(drift: Drift) -> str:
    """The feature that is furthest from the baseline, with its index; empty without a comparison."""
    furthest = drift.furthest
    return "" if furthest is None else f"{_FEATURES[furthest.name][0]}, PSI {furthest.psi:.3f}"


def _chart(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> Drawing:
    shares = 100 * shares_of(name, baseline, window)
    if name in CATEGORICAL:
        labels = [str(value) for value in np.union1d(baseline, window).tolist()]
    else:
        # A bin's label is its lower edge; the first bin's label is its upper one.
        labels = distinct(bin_edges(baseline).tolist())
        labels.insert(0, f"<{labels[0]}")
    data = [
        Bar(label, round(float(now), 1), mark=round(float(before), 1))
        for label, before, now in zip(labels, *shares, strict=True)
    ]
    return bars(*_FEATURES[name], "% of photos", data, marks="baseline")
