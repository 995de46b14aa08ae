"""Whether the photos of an endpoint, and its answers, differ from the baseline.

A feature has drifted when its difference is significant by a statistical test and large by the population stability
index. Both are required: with many photos any difference is significant, with few photos any index is large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Usually an index below 0.1 is read as stable, and one above 0.25 as another population.
MINIMUM_PSI = 0.1
BINS = 10
# The chi-squared test requires this expected number in every cell (Cochran 1954); rarer counts are merged.
LEAST_EXPECTED = 5.0
CATEGORICAL = ("predicted",)


@dataclass(frozen=True)
class FeatureComparison:
    """The comparison of one feature. `threshold` is the limit of its p-value, after Holm's correction."""

    name: str
    test: str
    statistic: float
    p_value: float
    threshold: float
    psi: float
    drifted: bool


def compare(
    baseline: Mapping[str, NDArray[Any]],
    window: Mapping[str, NDArray[Any]],
    *,
    level: float,
    minimum_psi: float = MINIMUM_PSI,
) -> list[FeatureComparison]:
    """Compare each feature of `window` with `baseline`, in its order. Both map a feature to its values by photo.

    `level` is the probability that any feature is significant without a change: Holm's step-down procedure
    (https://www.jstor.org/stable/4615733).
    """
    tests = {name: _test(name, baseline[name], window[name]) for name in baseline}
    features = {}
    significant = True
    for rank, name in enumerate(sorted(tests, key=lambda name: tests[name][2])):
        test, statistic, p_value = tests[name]
        threshold = level / (len(tests) - rank)
        significant = significant and p_value <= threshold
        psi = stability_index(name, baseline[name], window[name])
        drifted = significant and psi >= minimum_psi
        features[name] = FeatureComparison(name, test, statistic, p_value, threshold, psi, drifted)
    return [features[name] for name in baseline]


def _test(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> tuple[str, float, float]:
    """Name of the test, its statistic and its p-value."""
    from scipy import stats

    if name not in CATEGORICAL:
        result = stats.ks_2samp(baseline, window, method="asymp")
        return "Kolmogorov-Smirnov", float(result.statistic), float(result.pvalue)
    counts = merged_counts(baseline, window)
    if counts.shape[1] < 2:
        return "chi-squared", 0.0, 1.0
    result = stats.chi2_contingency(counts, correction=False)
    return "chi-squared", float(result.statistic), float(result.pvalue)


def merged_counts(baseline: NDArray[Any], window: NDArray[Any]) -> NDArray[np.int64]:
    """Photos per value, shape (2, values): baseline, window. Neighbours with few expected photos are merged."""
    values = np.union1d(baseline, window)
    counts = np.stack([(sample[:, None] == values).sum(axis=0) for sample in (baseline, window)])
    smaller = min(len(baseline), len(window)) / (len(baseline) + len(window))
    columns: list[NDArray[np.int64]] = []
    pending = np.zeros(2, np.int64)
    for column in counts.T:
        pending = pending + column
        if pending.sum() * smaller >= LEAST_EXPECTED:
            columns.append(pending)
            pending = np.zeros(2, np.int64)
    if pending.any():
        if columns:
            columns[-1] = columns[-1] + pending
        else:
            columns.append(pending)
    return np.stack(columns, axis=1)


def stability_index(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> float:
    """The population stability index over the baseline's deciles, or over the values of a categorical feature.

    Its mean without a change, (bins - 1) (1/n + 1/m), is subtracted, so that small windows do not seem unstable
    (Yurdakul 2018, https://scholarworks.wmich.edu/dissertations/3208). The result is at least 0.
    """
    shares = shares_of(name, baseline, window)
    # Half a photo is added to every bin: an empty bin would make the index infinite.
    sizes = np.array([[len(baseline)], [len(window)]])
    smoothed = (shares * sizes + 0.5) / (sizes + 0.5 * shares.shape[1])
    index = float(((smoothed[1] - smoothed[0]) * np.log(smoothed[1] / smoothed[0])).sum())
    by_chance = (shares.shape[1] - 1) * (1 / len(baseline) + 1 / len(window))
    return float(max(0.0, index - by_chance))


def shares_of(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> NDArray[np.float64]:
    """Shares of both samples in each bin, shape (2, bins)."""
    if name in CATEGORICAL:
        values = np.union1d(baseline, window)
        return np.stack([(sample[:, None] == values).mean(axis=0) for sample in (baseline, window)])
    edges = bin_edges(baseline)
    places = [np.searchsorted(edges, sample, side="right") for sample in (baseline, window)]
    return np.stack([np.bincount(place, minlength=len(edges) + 1) / len(place) for place in places])


def bin_edges(baseline: NDArray[Any]) -> NDArray[Any]:
    """The edges between the baseline's deciles; around the value of a constant baseline."""
    edges = np.unique(np.quantile(baseline, np.linspace(0, 1, BINS + 1)[1:-1]))
    if len(edges) == 1:
        return np.array([edges[0], np.nextafter(edges[0], np.inf)])
    return edges
