"""What a trained model answered on test photos: its figures, and how sure the difference of two models is."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.child import ContenderError
from steps.contracts.artifact import Calibration
from steps.evaluate.metrics import Reliability
from steps.evaluate.selective import Selection
from steps.model.calibration import calibrate, prediction_sets
from steps.model.predictor import decide, softmax

DRAWS = 10_000
# The level of the prediction sets.
LEVEL = 0.9


@dataclass(frozen=True)
class Result:
    """Test photos: probabilities (N, classes), true quantities (N,), bins (N,), classes; the model's calibration."""

    probabilities: NDArray[np.float32]
    quantities: NDArray[np.int64]
    bins: NDArray[np.int64]
    classes: list[int]
    calibration: Calibration | None = None

    @property
    def right(self) -> NDArray[np.float64]:
        """1 for each photo whose likeliest class is its true count, else 0."""
        return (decide(self.probabilities, self.classes, "argmax") == self.quantities).astype(np.float64)

    @property
    def surprise(self) -> NDArray[np.float64]:
        """The cross entropy of each photo (N,): minus the logarithm of the true count's probability."""
        truths = np.searchsorted(self.classes, self.quantities)
        chosen = self.probabilities[np.arange(len(truths)), truths].astype(np.float64)
        return np.asarray(-np.log(chosen + 1e-12))

    @property
    def cross_entropy(self) -> float:
        """The mean cross entropy per photo."""
        return float(self.surprise.mean())

    @property
    def accuracy(self) -> float:
        """Share of photos with the right count."""
        return float(self.right.mean())

    @property
    def rmse(self) -> float:
        """RMSE of the likeliest count, in objects."""
        return self._rmse(decide(self.probabilities, self.classes, "argmax"))

    @property
    def rmse_expected(self) -> float:
        """RMSE of the rounded expectation, in objects."""
        return self._rmse(decide(self.probabilities, self.classes, "expected"))

    @property
    def at_half(self) -> float:
        """Accuracy of the half of the photos with the highest confidence."""
        selection = Selection(None, self.classes)
        counts = decide(self.probabilities, self.classes, "argmax")
        truth, confidence = self.quantities.astype(np.int32), self.probabilities.max(axis=1)
        selection.add(truth, counts, confidence, None, None)
        return selection.at(0.5).accuracy

    @property
    def calibration_error(self) -> float:
        """The expected calibration error."""
        reliability = Reliability()
        reliability.add(self.probabilities.max(axis=1), self.right > 0)
        return reliability.result().expected_calibration_error

    def set_coverage(self, seed: int) -> float:
        """The share of one half of the bins whose set has the truth, calibrated on the other half; a photo per bin."""
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(self.bins))
        _, first = np.unique(self.bins[order], return_index=True)
        photos = generator.permutation(order[first])
        calibrating, others = np.array_split(photos, 2)
        logits = np.log(self.probabilities.astype(np.float64) + 1e-12)
        truths = np.searchsorted(self.classes, self.quantities)
        calibration = calibrate(
            logits[calibrating],
            truths[calibrating],
            classes=self.classes,
            decision="argmax",
            level=LEVEL,
            sure_accuracy=LEVEL,
        )
        probabilities = softmax(logits[others], calibration.temperature)
        counts = decide(probabilities, self.classes, "argmax")
        sets = prediction_sets(probabilities, counts, self.classes, calibration)
        return float(sets[np.arange(len(others)), truths[others]].mean())

    @property
    def own_set_coverage(self) -> float:
        """The share of test bins whose set, by the model's own calibration on validation bins, has the truth."""
        assert self.calibration is not None
        counts = decide(self.probabilities, self.classes, "argmax")
        sets = prediction_sets(self.probabilities, counts, self.classes, self.calibration)
        truths = np.searchsorted(self.classes, self.quantities)
        contained = sets[np.arange(len(truths)), truths].astype(np.float64)
        _, bins = np.unique(self.bins, return_inverse=True)
        return float((np.bincount(bins, weights=contained) / np.bincount(bins)).mean())

    def _rmse(self, counts: NDArray[np.int32]) -> float:
        return float(np.sqrt(np.mean((counts - self.quantities) ** 2)))

    def line(self) -> str:
        """The figures as one line of text."""
        by_expectation = float((decide(self.probabilities, self.classes, "expected") == self.quantities).mean())
        return (
            f"{len(self.quantities)} test photos, accuracy {self.accuracy:.4f}, RMSE {self.rmse:.4f}; "
            f"by expectation {by_expectation:.4f}, {self.rmse_expected:.4f}"
        )


def bootstrap(
    ours: list[Result], naive: list[Result], draws: int = DRAWS, *, figure: str = "right"
) -> tuple[float, float]:
    """The 95% interval of the difference in accuracy, over draws of the test bins with their results of all seeds.

    Photos of a bin are drawn together: they are not independent. With `figure` "surprise" the difference is that in
    cross entropy.
    """
    pairs = zip(ours, naive, strict=True)
    difference = np.mean([getattr(first, figure) - getattr(second, figure) for first, second in pairs], axis=0)
    means = [difference @ weights / weights.sum() for weights in draws_of_bins(ours[0], draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def draws_of_bins(result: Result, draws: int) -> Iterator[NDArray[np.int64]]:
    """For each draw of the test bins, with replacement, how often each photo is drawn (N,)."""
    _, bins = np.unique(result.bins, return_inverse=True)
    number = int(bins.max()) + 1
    generator = np.random.default_rng(1)
    for _ in range(draws):
        yield np.bincount(generator.integers(0, number, number), minlength=number)[bins]


def mean(results: list[Result], name: str) -> float:
    """The mean of a figure over the seeds."""
    return statistics.mean(getattr(result, name) for result in results)


def kept_name(name: str, seed: int, *settings: object) -> str:
    """The name of the file of a kept result: with other `settings` (values for JSON) it is another file."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:8]}-{seed}.npz"


def read_result(place: Path, bins: dict[str, int]) -> Result:
    """The result that a training wrote; `bins` has the number of the bin of each image ID."""
    with np.load(place) as arrays:
        if "ids" not in arrays:
            raise ContenderError(f"{place} is of an earlier release; remove it")
        written = str(arrays["calibration"]) if "calibration" in arrays else ""
        calibration = Calibration.model_validate_json(written) if written else None
        numbers = np.array([bins[image_id] for image_id in arrays["ids"].tolist()])
        return Result(arrays["probabilities"], arrays["quantities"], numbers, arrays["classes"].tolist(), calibration)
