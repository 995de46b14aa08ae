import dataclasses

import pytest

from steps.contracts.errors import StepError
from tests.unit.steps.arguments import TRAIN, recipe


def test_hyperparameters_come_as_text_and_leave_with_their_types():
    taken = recipe("--learning-rate", "1e-4", "--batch-size", "32", "--optimizer", "sgd", "--warmup-epochs", "0.5")
    assert (taken.learning_rate, taken.batch_size, taken.optimizer, taken.warmup_epochs) == (1e-4, 32, "sgd", 0.5)


def test_only_what_no_setting_decides_has_a_default():
    taken = recipe()
    assert {name: getattr(taken, name) for name in TRAIN} == TRAIN
    assert {value for name, value in vars(taken).items() if name not in TRAIN} == {"", "none"}


def test_an_unknown_hyperparameter_is_refused_by_name():
    with pytest.raises(StepError, match="--learning_rate"):
        recipe("--learning_rate", "0.1")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--epochs", "0"),
        ("--epochs", "1.5"),
        ("--learning-rate", "nan"),
        ("--learning-rate", "-1"),
        ("--label-smoothing", "1"),
        ("--weight-decay", "inf"),
        ("--optimizer", "adam"),
        ("--decision", "mode"),
        ("--profile-steps", "-1"),
        ("--tracker", "tensorboard"),
        ("--version", "v(2)"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_flag(flag, value):
    with pytest.raises(StepError, match=flag):
        recipe(flag, value)


def test_a_checkpoint_may_be_resumed_with_another_interval_or_tracker_but_not_with_another_rate():
    first = recipe()
    assert dataclasses.replace(first, checkpoint_minutes=1).fingerprint() == first.fingerprint()
    assert dataclasses.replace(first, tracker="wandb", profile_steps=5).fingerprint() == first.fingerprint()
    assert dataclasses.replace(first, learning_rate=1).fingerprint() != first.fingerprint()


def test_the_version_is_taken_and_kept_nowhere():
    taken = recipe("--version", "fresh-20260102T030405Z")
    assert taken == recipe()
    assert "version" not in taken.as_text()
    assert "version" not in taken.fingerprint()
