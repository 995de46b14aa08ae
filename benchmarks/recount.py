"""The order of a recount's list: how many wrong records are among the first bins, on simulated bins."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.options import Options
from pipeline.operations.serving.recount import Disagreement

UNIT = "wrong records"
CLASSES, FIRST = 6, 200
WRONG = 0.03  # share of the records
# The level of a set and of a sure count, as probabilities; the spread of a network's logits around the true ones.
LEAST, SURE, SPREAD = 0.2, 0.95, 0.4
# Each reads a bin's row; the smallest is first in the list.
Key = Callable[[Disagreement], Any]
BASELINES: dict[str, Key] = {
    "confidence": lambda row: -row.confidence,
    "record": lambda row: row.recorded_probability,
    "sure-first": lambda row: (not row.is_sure, row.order),
}


def cases(options: Options) -> Iterator[Case]:
    """Wrong records, by one object and by any number, among the FIRST bins of a list, against other orders."""
    for kind, is_near in (("near", True), ("any", False)):
        lists = [_list(options.count, np.random.default_rng(seed), is_near=is_near) for seed in range(options.rounds)]
        for name, order in BASELINES.items():
            ours, baseline = (
                statistics.median(_right(rows, wrong, each) for rows, wrong in lists)
                for each in (lambda row: row.order, order)
            )
            yield Case(f"recount-{kind}-{name}", UNIT, ours, baseline, limit=FIRST)


def _right(rows: list[Disagreement], wrong: set[str], order: Key) -> int:
    return sum(row.photo in wrong for row in sorted(rows, key=order)[:FIRST])


def _list(bins: int, random: np.random.Generator, *, is_near: bool) -> tuple[list[Disagreement], set[str]]:
    """The disagreements of simulated bins, and the photos whose record is wrong.

    A bin shows its quantity with normal noise, whose deviation differs between bins; a network's probabilities are
    nearly those of the quantities under that noise. Without the noise of the network they would be calibrated.
    """
    truth = random.integers(0, CLASSES, bins)
    noise = random.gamma(2, 0.25, bins) + 0.15
    seen = truth + noise * random.standard_normal(bins)
    logits = -((seen[:, np.newaxis] - np.arange(CLASSES)) ** 2) / (2 * noise[:, np.newaxis] ** 2)
    logits += SPREAD * random.standard_normal(logits.shape)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    counts = probabilities.argmax(axis=1)
    other = (truth + random.integers(1, CLASSES, bins)) % CLASSES
    next_to = np.where(truth == 0, 1, np.where(truth == CLASSES - 1, truth - 1, truth + random.choice([-1, 1], bins)))
    is_wrong = random.random(bins) < WRONG
    recorded = np.where(is_wrong, next_to if is_near else other, truth)
    rows = [
        Disagreement(
            photo=str(place),
            recorded=int(recorded[place]),
            counted=int(counts[place]),
            confidence=round(float(probabilities[place, counts[place]]), 6),
            recorded_probability=round(float(probabilities[place, recorded[place]]), 6),
            sure=bool(probabilities[place, counts[place]] >= SURE),
            prediction_set=tuple(np.flatnonzero(probabilities[place] >= LEAST).tolist()),
        )
        for place in np.flatnonzero(counts != recorded).tolist()
    ]
    return rows, {str(place) for place in np.flatnonzero(is_wrong).tolist()}
