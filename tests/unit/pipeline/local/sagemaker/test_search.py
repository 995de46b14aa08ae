"""The search: proposals by seed, and which trials are given up on the way."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.sagemaker.search import HyperbandLimits, Search, check, hyperband_limits

RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
    ],
    "IntegerParameterRanges": [{"Name": "layers", "MinValue": "1", "MaxValue": "9"}],
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adamw"]}],
}


def config(strategy: str, **more: Any) -> dict[str, Any]:
    objective = {"Type": "Maximize", "MetricName": "best"}
    return {
        "Strategy": strategy,
        "HyperParameterTuningJobObjective": objective,
        "ParameterRanges": RANGES,
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 9, "MaxParallelTrainingJobs": 1},
        "RandomSeed": 3,
        **more,
    }


def hyperband(minimum: int, maximum: int) -> dict[str, Any]:
    limits = {"MinResource": minimum, "MaxResource": maximum}
    return config("Hyperband", StrategyConfig={"HyperbandStrategyConfig": limits})


def run(search: Search, number: int, values: list[float]) -> int:
    """One trial to its end. Returns the epochs that it was left to train."""
    search.propose(number)
    for epoch, value in enumerate(values, 1):
        if search.observe(number, value):
            search.conclude(number, value)
            return epoch
    search.conclude(number, values[-1])
    return len(values)


@pytest.mark.parametrize("strategy", ["Random", "Bayesian", "Hyperband"])
def test_one_trial_at_a_time_the_seed_and_the_values_decide_the_proposals(strategy: str) -> None:
    proposed = []
    for _ in range(2):
        search = Search(config(strategy), {"epochs": "3"})
        made = []
        for number in range(1, 16):
            made.append(search.propose(number))
            search.observe(number, float(made[-1]["rate"]))
            search.conclude(number, float(made[-1]["rate"]))
        proposed.append(made)
    assert proposed[0] == proposed[1]
    assert len({values["rate"] for values in proposed[0]}) == 15


def test_values_stay_in_their_ranges_and_are_text() -> None:
    search = Search(config("Random"), {})
    for number in range(1, 21):
        values = search.propose(number)
        assert 0.001 <= float(values["rate"]) <= 0.1
        assert 1 <= int(values["layers"]) <= 9
        assert values["optimizer"] in ("sgd", "adamw")


def test_what_a_given_up_trial_still_prints_changes_no_later_proposal() -> None:
    """Between the verdict and the end a training job may print another epoch, or not: it is a race."""
    proposed = []
    for late in ([], [0.9, 0.95]):
        search = Search(config("Bayesian", TrainingJobEarlyStoppingType="Auto"), {"epochs": "4"})
        run(search, 1, [0.5, 0.6, 0.7, 0.8])
        search.propose(2)
        assert search.observe(2, 0.1)
        assert not any(search.observe(2, value) for value in late)
        search.conclude(2, late[-1] if late else 0.1)
        proposed.append([run(search, 3, [0.3])] + [tuple(search.propose(number).values()) for number in range(4, 20)])
    assert proposed[0] == proposed[1]


def test_auto_gives_up_a_trial_below_the_median_of_those_that_ended() -> None:
    search = Search(config("Random", TrainingJobEarlyStoppingType="Auto"), {"epochs": "3"})
    assert run(search, 1, [0.3, 0.5, 0.6]) == 3
    assert run(search, 2, [0.2, 0.3, 0.4]) == 1
    assert run(search, 3, [0.4, 0.3, 0.4]) == 2


def test_auto_does_not_compare_with_trials_under_way_or_failed() -> None:
    search = Search(config("Random", TrainingJobEarlyStoppingType="Auto"), {"epochs": "3"})
    for number in (1, 2, 3):
        search.propose(number)
    assert not search.observe(1, 0.9)
    assert not search.observe(2, 0.1)
    search.conclude(1, None)
    assert not search.observe(3, 0.1)


def test_without_early_stopping_no_trial_is_given_up() -> None:
    search = Search(config("Random"), {"epochs": "3"})
    assert run(search, 1, [0.9, 0.9, 0.9]) == 3
    assert run(search, 2, [0.1, 0.1, 0.1]) == 3


def test_in_its_last_epoch_a_trial_is_not_given_up_since_it_ends_by_itself() -> None:
    search = Search(config("Random", TrainingJobEarlyStoppingType="Auto"), {"epochs": "2"})
    assert run(search, 1, [0.5, 0.5]) == 2
    search.propose(2)
    assert not search.observe(2, 0.6)
    assert not search.observe(2, 0.1)


def test_hyperband_stops_losers_at_its_rungs_and_lets_the_best_train_to_the_end() -> None:
    search = Search(hyperband(1, 9), {"epochs": "9"})
    trained = {}
    for number, level in enumerate([0.9, *(0.9 - 0.03 * place for place in range(1, 24))], 1):
        trained[number] = run(search, number, [level * (1 - 0.5**epoch) for epoch in range(1, 10)])
    assert trained[1] == 9
    # Each trial is worse than all before it: in the brackets that stop, it goes at a rung; one bracket never stops.
    assert set(trained.values()) == {1, 3, 9}
    assert sum(epochs < 9 for epochs in trained.values()) >= 8


def test_hyperband_stops_no_trial_before_the_minimum() -> None:
    search = Search(hyperband(3, 9), {"epochs": "9"})
    epochs = [run(search, number, [1 / number] * 9) for number in range(1, 25)]
    assert min(epochs) == 3


def test_hyperband_stops_a_trial_at_the_maximum_when_it_would_train_on() -> None:
    search = Search(hyperband(4, 4), {"epochs": "10"})
    assert run(search, 1, [0.5] * 10) == 4


def test_the_maximum_is_inferred_from_the_epochs_as_the_service_does() -> None:
    assert hyperband_limits(config("Hyperband"), {"n-epochs": "12"}) == HyperbandLimits(1, 12)
    assert hyperband_limits(hyperband(2, 8), {"epochs": "12"}) == HyperbandLimits(2, 8)


@pytest.mark.parametrize(
    ("request_", "static", "message"),
    [
        (config("Random", ResourceLimits={"MaxParallelTrainingJobs": 1}), {}, "needs MaxNumberOfTrainingJobs"),
        (config("Hyperband"), {}, "cannot be inferred"),
        (config("Hyperband"), {"epochs": "many"}, "cannot be inferred"),
        (hyperband(9, 3), {}, "MinResource 9 is greater than MaxResource 3"),
        ({**hyperband(1, 9), "TrainingJobEarlyStoppingType": "Auto"}, {}, "must be Off when the Strategy is Hyperband"),
    ],
)
def test_what_the_service_would_refuse_is_refused(
    request_: dict[str, Any], static: dict[str, str], message: str
) -> None:
    with pytest.raises(ServiceError, match=message):
        check(request_, static)
