import pytest

from steps.train.history import out_of_patience


@pytest.mark.parametrize(
    ("accuracies", "patience", "stops"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.4, 0.6], 1, False),
        ([0.5, 0.4, 0.3], 3, False),
        ([0.5, 0.4, 0.3, 0.4], 3, True),
        ([0.5, 0.5, 0.5], 2, True),
        ([0.5, 0.4, 0.3, 0.2], 0, False),
    ],
)
def test_a_trial_stops_after_that_many_epochs_without_a_better_accuracy(accuracies, patience, stops):
    assert out_of_patience(accuracies, patience) is stops
