"""Whether what an endpoint sees, and what it answers, differ from the baseline: numbers in, numbers out.

A feature has drifted when a test says that the difference is not chance, and the population stability index that it
is not trifling. Of many photos any difference is significant; of few any index is large: it takes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The usual reading of the index: below 0.1 stable, above 0.25 another population.
MINIMUM_PSI = 0.1
BINS = 10
# A chi-squared test wants so many expected in every cell (Cochran 1954); rarer counts are taken together.
LEAST_EXPECTED = 5.0
CATEGORICAL = ("predicted",)


@dataclass(frozen=True)
class Feature:
    """A feature's comparison. `threshold` is what its p-value was held against, after Holm's correction."""

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
) -> list[Feature]:
    """Compare each feature of `window` (values of photos, one array a feature) with `baseline`, in its order.

    `level` is the probability that any feature at all is significant where nothing has changed: Holm's step-down
    procedure (https://www.jstor.org/stable/4615733).
    """
    tests = {name: _test(name, baseline[name], window[name]) for name in baseline}
    ordered = sorted(tests, key=lambda name: tests[name][2])
    thresholds: dict[str, float] = {}
    significant: dict[str, bool] = {}
    still = True
    for rank, name in enumerate(ordered):
        thresholds[name] = level / (len(ordered) - rank)
        still = still and tests[name][2] <= thresholds[name]
        significant[name] = still
    found = []
    for name, (test, statistic, p_value) in tests.items():
        psi = stability_index(name, baseline[name], window[name])
        drifted = significant[name] and psi >= minimum_psi
        found.append(Feature(name, test, statistic, p_value, thresholds[name], psi, drifted))
    return found


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
    """How often each value occurs, shape (2, values): baseline, window. Neighbours with few expected are merged."""
    values = np.union1d(baseline, window)
    counts = np.stack([(sample[:, None] == values).sum(axis=0) for sample in (baseline, window)])
    smaller = min(len(baseline), len(window)) / (len(baseline) + len(window))
    columns: list[NDArray[np.int64]] = []
    waiting = np.zeros(2, np.int64)
    for column in counts.T:
        waiting = waiting + column
        if waiting.sum() * smaller >= LEAST_EXPECTED:
            columns.append(waiting)
            waiting = np.zeros(2, np.int64)
    if waiting.any():
        if columns:
            columns[-1] = columns[-1] + waiting
        else:
            columns.append(waiting)
    return np.stack(columns, axis=1)


def stability_index(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> float:
    """The population stability index over the baseline's tenths, or over its values where they are categories.

    What chance adds to it, (bins - 1) (1/n + 1/m) on average, is taken off, so that small windows do not look
    unstable (Yurdakul 2018, https://scholarworks.wmich.edu/dissertations/3208); at least 0.
    """
    shares = shares_of(name, baseline, window)
    # Half a photo in every bin: an empty one would make the index infinite.
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
    """The edges between the baseline's tenths; values that are all the same share a bin, and others get their own."""
    edges = np.unique(np.quantile(baseline, np.linspace(0, 1, BINS + 1)[1:-1]))
    if len(edges) == 1:
        return np.array([edges[0], np.nextafter(edges[0], np.inf)])
    return edges
