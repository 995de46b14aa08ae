"""Whether the photos of an endpoint, and its answers, differ from the baseline.

A feature has drifted when its difference is significant by a statistical test and large by the population stability
index. Both are required: with many photos any difference is significant, with few photos any index is large.

The index of a rare category stays small, whatever happens to it: a share of sure counts that falls from 5% to 1% leaves
it at 0.06. So the difference of `sure` is large by the relative change of its share instead.

The index compares tenths of the photos, and hardly sees a few that are far off, such as 8% that are nearly black. So
each tail is compared too: the share of photos below the baseline's 1st percentile, and of those above its 99th.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from steps.contracts.drift import Bin
from steps.reports.scales import distinct

T = TypeVar("T")

# Usually an index below 0.1 is read as stable, and one above 0.25 as another population.
MINIMUM_PSI = 0.1
BINS = 10
# The chi-squared test requires this expected number in every cell (Cochran 1954); rarer counts are merged.
LEAST_EXPECTED = 5.0
CATEGORICAL = ("predicted", "sure")
# Values of a category that are shown as words.
_WORDS = {"sure": {"0": "unsure", "1": "sure"}}
# Least relative change of the share of sure counts, or of unsure ones, that is drift: a quarter.
MINIMUM_SURE_CHANGE = 0.25
# Share of the baseline's photos in each of its tails.
TAIL = 0.01
MINIMUM_TAIL = 0.03


@dataclass(frozen=True)
class TailComparison:
    """The photos beyond `limit`, a percentile of the baseline: their share of the window. `threshold` as below."""

    limit: float
    share: float
    p_value: float
    threshold: float
    drifted: bool


@dataclass(frozen=True)
class FeatureComparison:
    """The comparison of one feature. `threshold` is the limit of its p-value, after Holm's correction.

    `low` and `high` are its tails; None for a categorical feature. `drifted` is whether it or a tail of it has drifted.
    """

    name: str
    test: str
    statistic: float
    p_value: float
    threshold: float
    psi: float
    drifted: bool
    low: TailComparison | None = None
    high: TailComparison | None = None


def compare(
    baseline: Mapping[str, NDArray[Any]],
    window: Mapping[str, NDArray[Any]],
    *,
    level: float,
    minimum_psi: float = MINIMUM_PSI,
    minimum_tail: float = MINIMUM_TAIL,
) -> list[FeatureComparison]:
    """Compare each feature that both have, in the baseline's order. Both map a feature to its values by photo.

    `level` is the probability that any feature or tail is significant without a change: Holm's step-down procedure
    (https://www.jstor.org/stable/4615733). `minimum_tail` is the share of a window from which a tail may have drifted.
    """
    # Older baselines, and answers of models without a calibration, are without `sure`.
    names = [name for name in baseline if name in window]
    tests = {name: _test(name, baseline[name], window[name]) for name in names}
    tails = {
        (name, sign): _tail(sign * baseline[name], sign * window[name])
        for name in names
        if name not in CATEGORICAL
        for sign in (1, -1)
    }
    p_values: dict[str | tuple[str, int], float] = {name: test[2] for name, test in tests.items()}
    p_values |= {place: tail[2] for place, tail in tails.items()}
    thresholds = _holm(p_values, level)

    def tail(name: str, sign: int) -> TailComparison | None:
        if (name, sign) not in tails:
            return None
        limit, share, p_value = tails[name, sign]
        threshold, is_significant = thresholds[name, sign]
        return TailComparison(sign * limit, share, p_value, threshold, is_significant and share >= minimum_tail)

    features = []
    for name, (test, statistic, p_value) in tests.items():
        threshold, is_significant = thresholds[name]
        psi = stability_index(name, baseline[name], window[name])
        low, high = tail(name, 1), tail(name, -1)
        is_large = _sure_changed(baseline[name], window[name]) if name == "sure" else psi >= minimum_psi
        drifted = (is_significant and is_large) or any(end.drifted for end in (low, high) if end)
        features.append(FeatureComparison(name, test, statistic, p_value, threshold, psi, drifted, low, high))
    return features


def _sure_changed(baseline: NDArray[Any], window: NDArray[Any]) -> bool:
    """Whether the share of 1 or that of 0 has changed by MINIMUM_SURE_CHANGE of its value in the baseline, up or down.

    A warehouse notices both: how many photos the model counts by itself, and how many go to a person. If few counts are
    sure, the first changes by more, such as from 10% to 4%; if most are, the second, such as from 5% to 10%. The
    absolute change is the same, so that the larger relative one is that of the smaller share. If this is 0 in the
    baseline, the model was never sure, or always: then any change is large, and its significance alone decides.
    """
    before, now = int(np.count_nonzero(baseline)), int(np.count_nonzero(window))
    smaller = min(before, len(baseline) - before)
    # Both sides are multiplied by both numbers of photos: whole numbers, so that a quarter is exact.
    change = abs(now * len(baseline) - before * len(window))
    return change >= MINIMUM_SURE_CHANGE * smaller * len(window)


def _holm(p_values: Mapping[T, float], level: float) -> dict[T, tuple[float, bool]]:
    """(threshold, whether it is significant) of each p-value."""
    decided = {}
    significant = True
    for rank, place in enumerate(sorted(p_values, key=lambda place: p_values[place])):
        threshold = level / (len(p_values) - rank)
        significant = significant and p_values[place] <= threshold
        decided[place] = threshold, significant
    return decided


def _tail(baseline: NDArray[Any], window: NDArray[Any]) -> tuple[float, float, float]:
    """The lower limit, the share of the window below it, and the p-value of that share.

    The limit is the k-th smallest value of the baseline. Without a change, at least c values of the window are below it
    where at most k - 1 of the k - 1 + c smallest of both are of the baseline: a hypergeometric probability, which is
    Fisher's exact test, and conservative for equal values.
    """
    from scipy import stats

    before = int(TAIL * len(baseline))
    limit = float(np.partition(baseline, before)[before])
    beyond = int(np.count_nonzero(window < limit))
    table = [[beyond, len(window) - beyond], [before, len(baseline) - before]]
    p_value = float(stats.fisher_exact(table, alternative="greater")[1])
    return limit, beyond / len(window), p_value


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


def binned(name: str, baseline: NDArray[Any], window: NDArray[Any]) -> list[Bin]:
    """The shares of both samples in each bin, with its label."""
    if name in CATEGORICAL:
        words = _WORDS.get(name, {})
        values = [str(value) for value in np.union1d(baseline, window).tolist()]
        labels = [words.get(value, value) for value in values]
    else:
        # A bin's label is its lower edge; the first bin's label is its upper one.
        labels = distinct(bin_edges(baseline).tolist())
        labels.insert(0, f"<{labels[0]}")
    shares = shares_of(name, baseline, window)
    return [
        Bin(label=label, baseline=float(before), window=float(now))
        for label, before, now in zip(labels, *shares, strict=True)
    ]


def bin_edges(baseline: NDArray[Any]) -> NDArray[Any]:
    """The edges between the baseline's deciles; around the value of a constant baseline."""
    edges = np.unique(np.quantile(baseline, np.linspace(0, 1, BINS + 1)[1:-1]))
    if len(edges) == 1:
        return np.array([edges[0], np.nextafter(edges[0], np.inf)])
    return edges
