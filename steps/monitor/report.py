"""`report.html`: what a person looks at when the monitor rings, in one file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.drift import Drift
from steps.monitor.comparison import CATEGORICAL, bin_edges, shares_of
from steps.reports.charts import Bar, bars, short
from steps.reports.page import Markup, style, table

TEMPLATE = Path(__file__).with_name("report.html.template")
TITLES = {
    "predicted": ("Objects counted", "objects"),
    "confidence": ("Probability of the count", "probability"),
    "brightness": ("Brightness", "mean luma, 0 black to 1 white"),
    "sharpness": ("Sharpness", "variance of the Laplacian"),
    "pixels": ("Size in pixels", "width times height"),
    "bytes": ("Size of the file", "bytes"),
}
_MEANING = {
    "ok": "Nothing has changed that would matter",
    "drift": "The endpoint sees or answers something else than the model was tested on",
    "too-few": "Too few photos to judge",
}


def write_report(
    path: Path, drift: Drift, baseline: Mapping[str, NDArray[Any]], window: Mapping[str, NDArray[Any]]
) -> None:
    """Write the report."""
    path.write_text(
        Template(TEMPLATE.read_text()).substitute(
            style=style(),
            endpoint=html.escape(drift.endpoint),
            model_version=html.escape(drift.model_version),
            since=f"{drift.since:%Y-%m-%d %H:%M}",
            until=f"{drift.until:%Y-%m-%d %H:%M} UTC",
            verdict=_verdict(drift),
            photos=f"{drift.photos:,}",
            compared=f"{drift.compared:,}",
            baseline_photos=f"{drift.baseline_photos:,}",
            refused=f"{sum(drift.refused.values()):,}",
            other_versions=f"{drift.other_versions:,}",
            features=_features(drift),
            minimum_psi=f"{drift.minimum_psi:g}",
            level=f"{drift.level:g}",
            charts="".join(_chart(name, baseline[name], window[name]) for name in baseline) if window else "",
            reasons=_reasons(drift),
            provenance=table(["", ""], [["baseline", drift.baseline]]),
        )
    )


def _verdict(drift: Drift) -> Markup:
    kind = {"ok": "passed", "drift": "failed", "too-few": ""}[drift.verdict]
    items = "".join(
        f"<li class='failed'>{html.escape(TITLES[one.name][0])}: {_mean(one.baseline_mean)} on average in the baseline,"
        f" {_mean(one.window_mean)} now</li>"
        for one in drift.features
        if one.drifted
    )
    if drift.verdict == "too-few":
        have = f"{drift.compared:,} usable photos, {drift.baseline_photos:,} in the baseline"
        items = f"<li>{have}; {drift.minimum_photos:,} of each are wanted</li>"
    return Markup(f"<div class='verdict {kind}'><b>{_MEANING[drift.verdict]}.</b><ul>{items}</ul></div>")


def _mean(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _features(drift: Drift) -> Markup:
    if not drift.features:
        return Markup("<p>None: too few photos.</p>")
    head = ["feature", "baseline", "now", "PSI", "test", "p-value", "threshold", ""]
    rows = [
        (
            TITLES[one.name][0],
            _mean(one.baseline_mean),
            _mean(one.window_mean),
            f"{one.psi:.3f}",
            one.test,
            f"{one.p_value:.2g}",
            f"{one.threshold:.2g}",
            Markup("<b>drifted</b>") if one.drifted else "",
        )
        for one in drift.features
    ]
    return table(head, rows)


def _chart(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> Markup:
    title, unit = TITLES[name]
    shares = 100 * shares_of(name, baseline, window)
    if name in CATEGORICAL:
        labels = [str(value) for value in np.union1d(baseline, window).tolist()]
    else:
        # A bin is named by where it begins; the first one by where it ends.
        labels = [short(float(f"{edge:.2g}")) for edge in bin_edges(baseline).tolist()]
        labels.insert(0, f"<{labels[0]}")
    data = [
        Bar(label, round(float(now), 1), mark=round(float(before), 1))
        for label, before, now in zip(labels, *shares, strict=True)
    ]
    return Markup(f"<section>{bars(title, unit, '% of photos', data, marks='baseline')}</section>")


def _reasons(drift: Drift) -> Markup:
    if not drift.refused and not drift.other_versions:
        return Markup("<p>None.</p>")
    rows = [(reason, f"{number:,}") for reason, number in sorted(drift.refused.items())]
    if drift.other_versions:
        rows.append((f"counted by another version than {drift.model_version}", f"{drift.other_versions:,}"))
    return table(["reason", "number"], rows)
