import pytest

from steps.train.history import History, out_of_patience

from .test_checkpoint import record


@pytest.mark.parametrize(
    ("scores", "patience", "stops"),
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
def test_a_trial_stops_after_that_many_epochs_without_a_better_score(scores, patience, stops):
    assert out_of_patience(scores, patience) is stops


@pytest.mark.parametrize(("by", "best", "improvements"), [("accuracy", 2, [1, 2]), ("loss", 3, [1, 3])])
def test_the_best_epoch_is_that_of_the_best_accuracy_or_of_the_lowest_loss(by, best, improvements):
    figures = [(0.3, 1.2), (0.5, 1.3), (0.4, 1.1), (0.5, 1.1)]
    epochs = [
        record(number).model_copy(update={"validation_accuracy": accuracy, "validation_loss": loss})
        for number, (accuracy, loss) in enumerate(figures, 1)
    ]
    assert History(best_by=by, epochs=epochs).best.epoch == best
    assert [n for n in range(1, 5) if History(best_by=by, epochs=epochs[:n]).improved] == improvements
