"""Sure and unsure: what the calibration promises, on made-up bins whose probabilities are known."""

import numpy as np
import pytest

from steps.contracts.artifact import Calibration
from steps.model.calibration import calibrate, confidence_of, fit_temperature, is_sure, prediction_sets
from steps.model.predictor import softmax

CLASSES = [0, 1, 2, 3, 4, 5]


def bins(count: int, seed: int, heat: float = 1.0, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 6), and counts drawn by their softmax; the logits are then multiplied by `heat`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, spread, (count, len(CLASSES)))
    drawn = generator.random((count, 1))
    truths = (softmax(logits).cumsum(axis=1) < drawn).sum(axis=1).clip(max=len(CLASSES) - 1)
    return logits * heat, truths


def of(count: int, seed: int, spread: float = 2.0, **settings: float) -> Calibration:
    logits, truths = bins(count, seed, spread=spread)
    values = {"level": 0.9, "sure_accuracy": 0.9, **settings}
    return calibrate(logits, truths, classes=CLASSES, decision="argmax", **values)


def sets_of(probabilities: np.ndarray, calibration: Calibration) -> np.ndarray:
    """The sets of the likeliest counts."""
    counts = np.array(CLASSES, np.int32)[probabilities.argmax(axis=1)]
    return prediction_sets(probabilities, counts, CLASSES, calibration)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_network_too_confident(heat):
    logits, truths = bins(20_000, 1, heat)
    assert fit_temperature(logits, truths) == pytest.approx(heat, rel=0.05)


def test_the_temperature_of_few_bins_that_are_all_right_stays_within_limits():
    assert fit_temperature(np.array([[5.0, 0.0], [0.0, 5.0]]), np.array([0, 1])) >= 0.2
    assert of(49, 1).temperature == 1
    assert of(50, 1).temperature != 1


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_sets_contain_the_truth_of_new_bins_at_their_level(level):
    """Over many small calibrations, since one of 100 bins may be off by some points."""
    covered = []
    for seed in range(200):
        calibration = of(100, seed, level=level)
        logits, truths = bins(200, 10_000 + seed)
        sets = sets_of(softmax(logits, calibration.temperature), calibration)
        covered.append(sets[np.arange(len(truths)), truths].mean())
    # The likeliest count belongs to each set, so that small levels are exceeded.
    assert level - 0.01 < np.mean(covered) < (level + 0.02 if level == 0.9 else 1.0)


def test_a_level_that_the_bins_cannot_show_takes_every_count():
    calibration = of(8, 1)
    assert calibration.least_probability == 0
    assert sets_of(np.array([[0.9, 0.1, 0, 0, 0, 0]], np.float32), calibration).all()
    assert of(9, 1).least_probability > 0


def test_a_set_is_never_empty():
    calibration = of(500, 1).model_copy(update={"least_probability": 0.9})
    sets = sets_of(np.full((1, 6), 1 / 6, np.float32), calibration)
    assert sets.sum() == 1


@pytest.mark.parametrize(("count", "spread", "coverage"), [(400, 4.0, 0.5), (400, 3.0, 0.25), (2000, 3.0, 0.4)])
def test_sure_counts_of_new_bins_reach_their_accuracy(count, spread, coverage):
    """In nearly all of many calibrations, not only on average, and not by calling few counts sure."""
    reached, shares = [], []
    for seed in range(100):
        calibration = of(count, seed, spread=spread)
        logits, _ = bins(4000, 10_000 + seed, spread=spread)
        sure = is_sure(softmax(logits, calibration.temperature).max(axis=1), calibration)
        # The true probabilities of the likeliest counts.
        true = softmax(logits).max(axis=1)
        reached.append(not sure.any() or true[sure].mean() >= 0.9)
        shares.append(sure.mean())
    assert np.mean(reached) >= 0.95
    assert np.mean(shares) > coverage


def test_without_a_confidence_that_suffices_no_count_is_sure():
    logits, truths = bins(50, 1)
    calibration = calibrate(logits * 0, truths, classes=CLASSES, decision="argmax", level=0.9, sure_accuracy=0.99)
    assert calibration.sure_confidence is None
    assert not is_sure(np.ones(3, np.float32), calibration).any()


def test_bins_of_one_confidence_are_sure_together():
    """Kind: the right ones of equally confident bins come first by chance of their order."""
    logits = np.tile([4.0, 0, 0, 0, 0, 0], (100, 1))
    truths = np.array([0] * 60 + [1] * 40)
    calibration = calibrate(logits, truths, classes=CLASSES, decision="argmax", level=0.9, sure_accuracy=0.9)
    assert calibration.sure_confidence is None


def test_sure_follows_the_count_in_force():
    """With the rounded expectation it is the probability of that count, not of the likeliest, that decides."""
    probabilities = np.array([[0.5, 0.1, 0.4, 0, 0, 0]], np.float32)
    assert confidence_of(np.array([1], np.int32), probabilities, CLASSES).tolist() == [np.float32(0.1)]
    logits = np.tile(np.log([0.45, 0.1, 0.45 - 5e-4, 2e-4, 2e-4, 1e-4]), (200, 1))
    truths = np.ones(200, np.int64)
    calibration = calibrate(logits, truths, classes=CLASSES, decision="expected", level=0.9, sure_accuracy=0.9)
    assert calibration.sure_confidence is not None
    assert is_sure(np.float32([calibration.sure_confidence]), calibration).all()


def test_the_count_is_in_its_set_though_it_is_not_likely():
    """The rounded expectation lies between two likely counts."""
    probabilities = np.array([[0.5, 0.02, 0.48, 0, 0, 0]], np.float32)
    calibration = of(500, 1).model_copy(update={"least_probability": 0.3})
    sets = prediction_sets(probabilities, np.array([1], np.int32), CLASSES, calibration)
    assert sets.tolist() == [[True, True, True, False, False, False]]
