import numpy as np
import pytest
import torch

from steps.train.validate import decide, summarise

NO_LOGITS, NO_TRUTHS = np.zeros((0, 3)), np.zeros(0, np.int64)
QUANTITIES = torch.tensor([0.0, 1.0, 3.0])


def test_the_likeliest_class_is_decided_by_default():
    assert decide(torch.tensor([[0.1, 3.0, 1.0], [5.0, 0.0, 4.9]]), QUANTITIES, "argmax").tolist() == [1, 0]


def test_the_expectation_decides_for_the_nearest_quantity():
    even = torch.tensor([[0.5, 0.0, 0.5]]).log()  # 1.5
    assert decide(even, QUANTITIES, "expected").tolist() == [1]


def test_an_expectation_halfway_goes_to_the_larger_quantity():
    assert decide(torch.tensor([[0.0, 0.5, 0.5]]).log(), QUANTITIES, "expected").tolist() == [2]


def test_a_confusion_matrix_gives_accuracy_rmse_and_the_accuracy_of_each_class():
    from sklearn.metrics import accuracy_score, root_mean_squared_error

    truth, found = [0, 0, 1, 1, 1, 3], [0, 1, 1, 1, 3, 0]
    confusion = [[1, 1, 0], [0, 2, 1], [1, 0, 0]]
    result = summarise(confusion, [0, 1, 3], 9.0, NO_LOGITS, NO_TRUTHS)
    assert result.accuracy == pytest.approx(accuracy_score(truth, found))
    assert result.rmse == pytest.approx(root_mean_squared_error(truth, found))
    assert result.per_class == {0: 0.5, 1: pytest.approx(2 / 3), 3: 0.0}
    assert result.loss == 1.5


def test_a_class_without_photos_has_no_accuracy():
    assert summarise([[2, 0], [0, 0]], [0, 1], 1.0, NO_LOGITS, NO_TRUTHS).per_class == {0: 1.0}
