"""Which weights and sizes are outliers: a rule on quartiles, which the outliers themselves do not move."""

from __future__ import annotations

from collections.abc import Sequence

from steps.aggregates.distributions import Weighted, percentile

# Tukey's outer fences are 3 interquartile ranges from the quartiles (J. W. Tukey, Exploratory Data Analysis, 1977).
# Here they are ranges of logarithms, so that a range is a factor: weights and sizes spread over decades, and fences of
# the values themselves would have no outlier below, and many above.
RANGES = 3


def fences(ordered: Sequence[Weighted]) -> tuple[float, float] | None:
    """The smallest and the largest value that is no outlier among values with weights, all above 0, in order.

    None without a value, and where the quartiles are the same, so that half of the values are: then the rule would call
    every other value an outlier.
    """
    if not ordered:
        return None
    lower, upper = percentile(ordered, 0.25), percentile(ordered, 0.75)
    if lower == upper:
        return None
    factor = (upper / lower) ** RANGES
    return lower / factor, upper * factor
