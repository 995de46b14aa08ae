"""The search of a tuning job: the values of the next trial, and the trials to stop early.

Bayesian is Optuna's TPE here and a Gaussian process in SageMaker: the same interface, other proposals. Hyperband is
Optuna's pruner over random proposals: https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-hyperband.html
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from pipeline.local.context import Request
from pipeline.local.sagemaker.resources import invalid

if TYPE_CHECKING:
    import optuna

# The hyperparameters that SageMaker reads a trial's epochs from when HyperbandStrategyConfig has no MaxResource:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperbandStrategyConfig.html
EPOCH_HYPERPARAMETERS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


@dataclass(frozen=True)
class HyperbandLimits:
    """The least and the largest number of objective values (one per epoch) that a trial reports."""

    minimum: int
    maximum: int


def hyperband_limits(config: Request, static: dict[str, str]) -> HyperbandLimits:
    """The bounds of a Hyperband job. Raises ServiceError if SageMaker would refuse the request."""
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    maximum = given.get("MaxResource") or epochs_of(static)
    if maximum is None:
        raise invalid(
            "MaxResource is not given in HyperbandStrategyConfig and cannot be inferred from StaticHyperParameters"
            f" ({', '.join(EPOCH_HYPERPARAMETERS)})."
        )
    minimum = given.get("MinResource", 1)
    if minimum > maximum:
        raise invalid(f"MinResource {minimum} is greater than MaxResource {maximum}.")
    return HyperbandLimits(minimum, maximum)


def check(config: Request, static: dict[str, str]) -> None:
    """Raise ServiceError for a job that SageMaker would refuse, and for what the local cloud does not have."""
    if "MaxNumberOfTrainingJobs" not in config["ResourceLimits"]:
        raise invalid("ResourceLimits needs MaxNumberOfTrainingJobs.")
    if config["Strategy"] == "Hyperband":
        if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
            raise invalid("TrainingJobEarlyStoppingType must be Off when the Strategy is Hyperband.")
        hyperband_limits(config, static)


def epochs_of(static: dict[str, str]) -> int | None:
    """The epochs of a trial, by the hyperparameters that SageMaker reads too; None if they are unknown."""
    texts = (static[name] for name in EPOCH_HYPERPARAMETERS if name in static)
    return next((int(text) for text in texts if text.isdigit()), None)


def falls_behind(values: Sequence[float], previous: Iterable[Sequence[float]], *, maximize: bool) -> bool:
    """Whether TrainingJobEarlyStoppingType Auto stops a job after the last of its objective `values`, one per epoch.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html: the job's own value is
    worse than the median of the running averages, up to the same epoch, of the objective of every previous job.
    `previous` are the values of the jobs that have ended. Jobs with fewer epochs are left out; without any other job
    the answer is False.
    """
    epoch = len(values)
    averages = [fmean(others[:epoch]) for others in previous if len(others) >= epoch > 0]
    if not averages:
        return False
    middle = median(averages)
    return values[-1] < middle if maximize else values[-1] > middle


@dataclass
class _Trial:
    """A trial that runs. Values after the decision to stop it do not count."""

    asked: optuna.trial.Trial
    values: list[float] = field(default_factory=list)
    stopped: bool = False


class Search:
    """Proposes values, and decides after each objective value whether a trial goes on. Safe in many threads.

    With one trial at a time the proposals follow from the seed and the trials' values alone: a trial that is stopped
    counts with the values up to that decision, even if it prints more before it has ended.
    """

    def __init__(self, config: Request, static: dict[str, str]) -> None:
        self._config = config
        self._maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        self._epochs = epochs_of(static)
        self._limits = hyperband_limits(config, static) if config["Strategy"] == "Hyperband" else None
        self._study = _study(config, self._limits)
        self._lock = threading.Lock()
        self._trials: dict[int, _Trial] = {}
        self._ended: list[list[float]] = []

    def propose(self, number: int) -> dict[str, str]:
        """Hyperparameters for trial `number`."""
        with self._lock:
            asked = self._study.ask()
            self._trials[number] = _Trial(asked)
            return _values(asked, self._config["ParameterRanges"])

    def observe(self, number: int, value: float) -> bool:
        """Record a trial's objective after one more epoch. Returns True, once, if the trial is to be stopped."""
        with self._lock:
            trial = self._trials[number]
            if trial.stopped:
                return False
            trial.values.append(value)
            trial.stopped = self._should_stop(trial)
            return trial.stopped

    def conclude(self, number: int, value: float | None) -> None:
        """Record the end of a trial with its objective; None if it failed or reported none."""
        import optuna

        with self._lock:
            trial = self._trials[number]
            if value is None:
                self._study.tell(trial.asked, state=optuna.trial.TrialState.FAIL)
                return
            self._ended.append(trial.values)
            self._study.tell(trial.asked, trial.values[-1] if trial.stopped else value)

    def _should_stop(self, trial: _Trial) -> bool:
        epoch = len(trial.values)
        # After its last epoch a trial ends by itself.
        if self._epochs is not None and epoch >= self._epochs:
            return False
        if self._limits is not None:
            if epoch >= self._limits.maximum:
                return True
            trial.asked.report(trial.values[-1], epoch)
            return bool(trial.asked.should_prune())
        if self._config.get("TrainingJobEarlyStoppingType") == "Auto":
            return falls_behind(trial.values, self._ended, maximize=self._maximize)
        return False


def _study(config: Request, limits: HyperbandLimits | None) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = config.get("RandomSeed")
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed)
    if config["Strategy"] == "Bayesian":
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if limits is not None:
        pruner = optuna.pruners.HyperbandPruner(min_resource=limits.minimum, max_resource=limits.maximum)
    direction = "maximize" if config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else "minimize"
    # Optuna draws a trial's bracket from the study's name and the trial's number.
    name = None if seed is None else f"seed-{seed}"
    return optuna.create_study(study_name=name, direction=direction, sampler=sampler, pruner=pruner)


def _values(trial: optuna.trial.Trial, ranges: Request) -> dict[str, str]:
    """Values for one trial; hyperparameters are text."""
    values: dict[str, Any] = {}
    kinds = (
        ("ContinuousParameterRanges", trial.suggest_float, float),
        ("IntegerParameterRanges", trial.suggest_int, int),
    )
    for kind, suggest, number in kinds:
        for parameter in ranges.get(kind, []):
            low, high = number(parameter["MinValue"]), number(parameter["MaxValue"])
            logarithmic = parameter.get("ScalingType") == "Logarithmic"
            values[parameter["Name"]] = repr(suggest(parameter["Name"], low, high, log=logarithmic))
    for parameter in ranges.get("CategoricalParameterRanges", []):
        values[parameter["Name"]] = str(trial.suggest_categorical(parameter["Name"], parameter["Values"]))
    return values
