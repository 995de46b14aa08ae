import dataclasses

import pytest

from steps.contracts.errors import StepError
from steps.train.recipe import Recipe, parse


def test_hyperparameters_come_as_text_and_leave_with_their_types():
    recipe = parse(["--learning-rate", "1e-4", "--batch-size", "32", "--optimizer", "sgd", "--warmup-epochs", "0.5"])
    assert (recipe.learning_rate, recipe.batch_size, recipe.optimizer, recipe.warmup_epochs) == (1e-4, 32, "sgd", 0.5)


def test_what_is_not_given_keeps_its_default():
    assert parse([]) == Recipe()


def test_an_unknown_hyperparameter_is_refused_by_name():
    with pytest.raises(StepError, match="--learning_rate"):
        parse(["--learning_rate", "0.1"])


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
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_flag(flag, value):
    with pytest.raises(StepError, match=flag):
        parse([flag, value])


def test_a_checkpoint_may_be_resumed_with_another_interval_or_tracker_but_not_with_another_rate():
    recipe = Recipe()
    assert dataclasses.replace(recipe, checkpoint_minutes=1).fingerprint() == recipe.fingerprint()
    assert dataclasses.replace(recipe, tracker="wandb", profile_steps=5).fingerprint() == recipe.fingerprint()
    assert dataclasses.replace(recipe, learning_rate=1).fingerprint() != recipe.fingerprint()


def test_the_version_is_taken_and_kept_nowhere():
    recipe = parse(["--version", "fresh-20260102T030405Z"])
    assert recipe == Recipe()
    assert "version" not in recipe.as_text()
    assert "version" not in recipe.fingerprint()
