"""Metrics against scikit-learn's, and what scikit-learn does not have."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as reference

from steps.contracts.statistics.tally import Tally
from steps.evaluate import metrics
from steps.evaluate.metrics import Reliability

CLASSES = range(6)
pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


def arrays(drawn):
    truth, predicted = zip(*drawn, strict=True)
    return np.array(truth, np.int32), np.array(predicted, np.int32)


def confusion(truth, predicted):
    tally = Tally()
    tally.add(np.asarray(truth), np.asarray(predicted))
    return tally.confusion(classes=CLASSES)


def close(value):
    return pytest.approx(value, abs=1e-9)


@given(pairs)
def test_classification_agrees_with_scikit_learn(drawn):
    truth, predicted = arrays(drawn)
    result = metrics.classification(confusion(truth, predicted))
    wanted = reference.precision_recall_fscore_support(truth, predicted, average="weighted", zero_division=0)
    assert result.accuracy.value == close(reference.accuracy_score(truth, predicted))
    assert result.weighted_precision.value == close(wanted[0])
    assert result.weighted_recall.value == close(wanted[1])
    for beta, metric in ((0.5, result.weighted_f0_5), (1, result.weighted_f1), (2, result.weighted_f2)):
        wanted_f = reference.fbeta_score(truth, predicted, beta=beta, average="weighted", zero_division=0)
        assert metric.value == close(wanted_f)
    matrix = [[result.confusion_matrix[str(row)][str(column)] for column in CLASSES] for row in CLASSES]
    assert matrix == reference.confusion_matrix(truth, predicted, labels=list(CLASSES)).tolist()


@given(pairs)
def test_regression_agrees_with_scikit_learn(drawn):
    truth, predicted = arrays(drawn)
    result = metrics.regression(confusion(truth, predicted))
    assert result.mae.value == close(reference.mean_absolute_error(truth, predicted))
    assert result.mse.value == close(reference.mean_squared_error(truth, predicted))
    assert result.rmse.value == close(reference.root_mean_squared_error(truth, predicted))
    assume(len(set(truth.tolist())) > 1)
    assert result.r2.value == close(reference.r2_score(truth, predicted))


@given(pairs)
def test_a_class_is_judged_on_its_own_photos(drawn):
    truth, predicted = arrays(drawn)
    reports = metrics.per_class(confusion(truth, predicted))
    assert {int(quantity) for quantity in reports} == set(truth.tolist())
    for quantity, report in reports.items():
        those = truth == int(quantity)
        assert report.photos == those.sum()
        assert report.accuracy == close(reference.accuracy_score(truth[those], predicted[those]))
        assert report.rmse == close(reference.root_mean_squared_error(truth[those], predicted[those]))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_a_random_guess_scores_the_mean_over_all_its_answers(drawn):
    truth = np.array(drawn, np.int32)
    result = metrics.random_guess(confusion(truth, truth))
    every_truth, every_answer = np.repeat(truth, len(CLASSES)), np.tile(np.array(CLASSES), len(truth))
    assert result.accuracy == close(1 / 6)
    assert result.rmse == close(reference.root_mean_squared_error(every_truth, every_answer))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_no_constant_answer_is_more_accurate_than_the_largest_class(drawn):
    truth = np.array(drawn, np.int32)
    matrix = confusion(truth, truth)
    best = metrics.accuracy(matrix.always(metrics.largest_class(matrix)))
    assert best == max(metrics.accuracy(matrix.always(quantity)) for quantity in CLASSES)


def test_off_by_one_counts_as_within_one_and_off_by_two_does_not():
    assert metrics.accuracy_within_one(confusion([0, 3, 3, 5], [1, 2, 3, 3])) == 0.75


def test_photos_that_all_hold_the_same_number_leave_nothing_to_explain():
    assert metrics.regression(confusion([3, 3, 3, 3], [3, 3, 3, 2])).r2.value == 0


def test_the_standard_deviation_is_that_of_samples_of_80_percent():
    truth = np.zeros(2000, np.int32)
    predicted = np.arange(2000, dtype=np.int32) % 2
    deviation = metrics.classification(confusion(truth, predicted)).accuracy.standard_deviation
    # Without replacement: variance p(1-p)/n times 1 - n/N, n = 1600 of N = 2000.
    expected = math.sqrt(0.25 / 1600 * 0.2)
    assert expected / 3 < deviation < expected * 3


def test_the_same_predictions_have_the_same_standard_deviations():
    truth, predicted = np.arange(50) % 5, np.arange(50) % 3
    assert metrics.regression(confusion(truth, predicted)) == metrics.regression(confusion(truth, predicted))


def test_a_model_that_is_always_right_has_no_deviation():
    truth = np.arange(20) % 3
    assert metrics.classification(confusion(truth, truth)).accuracy.standard_deviation == 0


@given(pairs)
def test_the_best_constant_classifier_agrees_with_scikit_learn(drawn):
    truth, predicted = arrays(drawn)
    result = metrics.classification(confusion(truth, predicted))
    constant = np.full_like(truth, metrics.largest_class(confusion(truth, predicted)))
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        truth, constant, average="weighted", zero_division=0
    )
    assert result.accuracy_best_constant_classifier.value == close(reference.accuracy_score(truth, constant))
    assert result.weighted_precision_best_constant_classifier.value == close(precision)
    assert result.weighted_recall_best_constant_classifier.value == close(recall)
    assert result.weighted_f1_best_constant_classifier.value == close(f1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_the_median_is_a_quantity_that_halves_the_photos(drawn):
    assert metrics.median(confusion(drawn, drawn)) == statistics.median_low(drawn)


@given(pairs, st.integers(1, 7))
def test_photos_may_be_counted_in_any_batches(drawn, size):
    truth, predicted = arrays(drawn)
    tally = Tally()
    for start in range(0, len(truth), size):
        tally.add(truth[start : start + size], predicted[start : start + size])
    assert (tally.confusion(classes=CLASSES).photos == confusion(truth, predicted).photos).all()


def test_quantities_may_be_any_and_have_gaps():
    matrix = confusion([3, 40, 40], [40, 40, 7])
    assert matrix.classes == (0, 1, 2, 3, 4, 5, 7, 40)
    assert metrics.mae(matrix) == pytest.approx((37 + 0 + 33) / 3)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_min=True), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_the_mean_gap_of_the_bins(drawn):
    confidence, right = (np.array(column) for column in zip(*drawn, strict=True))
    reliability = Reliability()
    for half in (slice(None, None, 2), slice(1, None, 2)):
        reliability.add(confidence[half], right[half])
    result = reliability.result()
    bins = np.ceil(confidence * 15)
    gaps = [
        abs(confidence[bins == each].mean() - right[bins == each].mean()) * (bins == each).sum() for each in set(bins)
    ]
    assert result.expected_calibration_error == close(sum(gaps) / len(drawn))
    assert sum(each.photos for each in result.bins) == len(drawn)


def test_a_model_that_is_as_often_right_as_it_says_is_calibrated():
    reliability = Reliability()
    reliability.add(np.full(10, 0.7), np.arange(10) < 7)
    assert reliability.result().expected_calibration_error == close(0)
