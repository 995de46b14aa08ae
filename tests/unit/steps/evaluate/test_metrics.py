"""Metrics against scikit-learn's, and what scikit-learn does not have."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as reference

from steps.evaluate import metrics

CLASSES = range(6)
pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


def arrays(drawn):
    truth, predicted = zip(*drawn, strict=True)
    return np.array(truth, np.int32), np.array(predicted, np.int32)


def close(value):
    return pytest.approx(value, abs=1e-9)


@given(pairs)
def test_classification_agrees_with_scikit_learn(drawn):
    truth, predicted = arrays(drawn)
    found = metrics.classification(truth, predicted, CLASSES)
    wanted = reference.precision_recall_fscore_support(truth, predicted, average="weighted", zero_division=0)
    assert found.accuracy.value == close(reference.accuracy_score(truth, predicted))
    assert found.weighted_precision.value == close(wanted[0])
    assert found.weighted_recall.value == close(wanted[1])
    assert found.weighted_f1.value == close(wanted[2])
    matrix = [[found.confusion_matrix[str(row)][str(column)] for column in CLASSES] for row in CLASSES]
    assert matrix == reference.confusion_matrix(truth, predicted, labels=list(CLASSES)).tolist()


@given(pairs)
def test_regression_agrees_with_scikit_learn(drawn):
    truth, predicted = arrays(drawn)
    found = metrics.regression(truth, predicted)
    assert found.mae.value == close(reference.mean_absolute_error(truth, predicted))
    assert found.mse.value == close(reference.mean_squared_error(truth, predicted))
    assert found.rmse.value == close(reference.root_mean_squared_error(truth, predicted))
    assume(len(set(truth.tolist())) > 1)
    assert found.r2.value == close(reference.r2_score(truth, predicted))


@given(pairs)
def test_a_class_is_judged_on_its_own_photos(drawn):
    truth, predicted = arrays(drawn)
    found = metrics.per_class(truth, predicted)
    assert {int(quantity) for quantity in found} == set(truth.tolist())
    for quantity, report in found.items():
        those = truth == int(quantity)
        assert report.photos == those.sum()
        assert report.accuracy == close(reference.accuracy_score(truth[those], predicted[those]))
        assert report.rmse == close(reference.root_mean_squared_error(truth[those], predicted[those]))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_a_random_guess_scores_the_mean_over_all_its_answers(drawn):
    truth = np.array(drawn, np.int32)
    found = metrics.random_guess(truth, CLASSES)
    every_truth, every_answer = np.repeat(truth, len(CLASSES)), np.tile(np.array(CLASSES), len(truth))
    assert found.accuracy == close(1 / 6)
    assert found.rmse == close(reference.root_mean_squared_error(every_truth, every_answer))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_no_constant_answer_is_more_accurate_than_the_largest_class(drawn):
    truth = np.array(drawn, np.int32)
    best = metrics.constant(truth, metrics.largest_class(truth)).accuracy
    assert best == max(metrics.constant(truth, quantity).accuracy for quantity in CLASSES)


def test_off_by_one_counts_as_within_one_and_off_by_two_does_not():
    assert metrics.accuracy_within_one(np.array([0, 3, 3, 5]), np.array([1, 2, 3, 3])) == 0.75


def test_photos_that_all_hold_the_same_number_leave_nothing_to_explain():
    assert metrics.regression(np.full(4, 3), np.array([3, 3, 3, 2])).r2.value == 0


def test_the_standard_deviation_is_that_of_samples_of_80_percent():
    truth = np.zeros(2000, np.int32)
    predicted = np.arange(2000, dtype=np.int32) % 2
    found = metrics.classification(truth, predicted, CLASSES).accuracy.standard_deviation
    # Without replacement: variance p(1-p)/n times 1 - n/N, n = 1600 of N = 2000.
    expected = math.sqrt(0.25 / 1600 * 0.2)
    assert expected / 3 < found < expected * 3


def test_the_same_predictions_have_the_same_standard_deviations():
    truth, predicted = np.arange(50) % 5, np.arange(50) % 3
    assert metrics.regression(truth, predicted) == metrics.regression(truth, predicted)


def test_a_model_that_is_always_right_has_no_deviation():
    truth = np.arange(20) % 3
    assert metrics.classification(truth, truth, CLASSES).accuracy.standard_deviation == 0
