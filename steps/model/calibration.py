"""Sure and unsure: temperature, prediction sets and the confidence of sure counts, from bins outside the training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steps.contracts.artifact import Calibration, Decision
from steps.model.predictor import decide, softmax

Floats = NDArray[np.float64]

# Temperatures beyond these come from too few bins, or from a network that does not count.
_COLDEST, _HOTTEST = 0.2, 5.0
# With fewer bins the temperature says more about these bins than about the network: it stays 1.
LEAST_BINS = 50
_GOLDEN = (math.sqrt(5) - 1) / 2
_NARROWINGS = 60
# Sure counts reach their accuracy by the lower end of Wilson's interval, so that a lucky few do not set the limit: the
# one-sided quantile of 97.5%. The best of many limits is taken; in simulations the accuracy was reached in 96% and more
# of the calibrations (decision 50).
_Z = 1.959963984540054


def calibrate(
    logits: Floats,
    truths: NDArray[np.int64],
    *,
    classes: Sequence[int],
    decision: Decision,
    level: float,
    sure_accuracy: float,
) -> Calibration:
    """The calibration by the logits (N, classes) of N bins, one photo per bin, and the places (N,) of their counts.

    `level` is that of the sets, and `sure_accuracy` the accuracy of the sure counts.

    Temperature: Guo et al. 2017, https://arxiv.org/abs/1706.04599. Sets: split conformal prediction with one minus the
    true count's probability as the score (Sadinle, Lei and Wasserman 2019, https://arxiv.org/abs/1609.00451), and one
    photo per bin, since photos of a bin are not exchangeable with those of others (Dunn, Wasserman and Ramdas 2022,
    https://arxiv.org/abs/1809.07441).
    """
    temperature = fit_temperature(logits, truths) if len(truths) >= LEAST_BINS else 1.0
    probabilities = softmax(logits, temperature)
    counts = decide(probabilities, classes, decision)
    confidence = confidence_of(counts, probabilities, classes)
    return Calibration(
        temperature=temperature,
        level=level,
        least_probability=_least_probability(probabilities[np.arange(len(truths)), truths], level),
        sure_accuracy=sure_accuracy,
        sure_confidence=_sure_confidence(confidence, counts == np.asarray(classes)[truths], sure_accuracy),
        bins=len(truths),
    )


def fit_temperature(logits: Floats, truths: NDArray[np.int64]) -> float:
    """The temperature with the least mean cross entropy of logits (N, classes), a convex function of its inverse."""

    def loss(inverse: float) -> float:
        return -float(_log_softmax(logits * inverse)[np.arange(len(truths)), truths].mean())

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(_NARROWINGS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return 2 / (low + high)


def prediction_sets(
    probabilities: NDArray[np.float32], counts: NDArray[np.int32], classes: Sequence[int], calibration: Calibration
) -> NDArray[np.bool_]:
    """Which classes (N, classes) are in the set of each photo, by calibrated probabilities (N, classes).

    The likeliest class and the photo's count (N,), which differ with the rounded expectation, are in each set.
    """
    sets: NDArray[np.bool_] = probabilities >= np.float32(calibration.least_probability)
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    sets[np.arange(len(sets)), _places(counts, classes)] = True
    return sets


def is_sure(confidence: NDArray[np.float32], calibration: Calibration) -> NDArray[np.bool_]:
    """Whether the counts with these calibrated probabilities (N,) are sure."""
    least = calibration.sure_confidence
    sure: NDArray[np.bool_] = confidence >= np.float32(2.0 if least is None else least)
    return sure


def confidence_of(
    counts: NDArray[np.int32], probabilities: NDArray[np.float32], classes: Sequence[int]
) -> NDArray[np.float32]:
    """The probability (N,) of each photo's count."""
    chosen: NDArray[np.float32] = probabilities[np.arange(len(counts)), _places(counts, classes)]
    return chosen


def _places(counts: NDArray[np.int32], classes: Sequence[int]) -> list[int]:
    places = {quantity: place for place, quantity in enumerate(classes)}
    return [places[count] for count in counts.tolist()]


def _least_probability(true: NDArray[np.float32], level: float) -> float:
    """The probability that a share `level` of new bins' true counts have: an order statistic of those of N bins."""
    bins = len(true)
    rank = math.ceil((bins + 1) * level)
    # With fewer bins than that no set but that of all counts has the level.
    return 0.0 if rank > bins else float(np.sort(true)[::-1][rank - 1])


def _sure_confidence(confidence: NDArray[np.float32], right: NDArray[np.bool_], accuracy: float) -> float | None:
    """The least confidence from which on the counts reach this accuracy; none where no confidence does."""
    order = np.argsort(-confidence, kind="stable")
    confidence, sure = confidence[order], np.arange(1, len(order) + 1)
    shares = np.cumsum(right[order]) / sure
    # Wilson's score interval, its lower end.
    centre = shares + _Z**2 / (2 * sure)
    spread = _Z * np.sqrt(shares * (1 - shares) / sure + _Z**2 / (4 * sure**2))
    reached = (centre - spread) / (1 + _Z**2 / sure) >= accuracy
    # Bins of the same confidence are sure together.
    reached &= np.append(confidence[1:] < confidence[:-1], True)
    places = np.flatnonzero(reached)
    return float(confidence[places[-1]]) if len(places) else None


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    normalised: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised
