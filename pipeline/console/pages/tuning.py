"""Readings of a run's tuning job: what has ended is read once."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipeline.clients import client
from pipeline.console.console import Console
from pipeline.console.pages import reads
from pipeline.console.readings import FOREVER
from pipeline.operations.cost import actual
from pipeline.operations.cost.money import Bill
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.operations.models import curves, trials
from pipeline.operations.models.curves import Epoch
from pipeline.operations.models.trials import FINAL, Trial, TuningJob
from pipeline.operations.runs.progress import Progress
from pipeline.operations.watching import following
from steps.contracts.errors import PipelineError


def job_of(console: Console, run: Progress, numbers: Container[int]) -> TuningJob:
    """The tuning job of a run, with the details of the trials of these numbers.

    Raises PipelineError where the run has no tuning job (yet).
    """
    place = trials.locate(run, lambda arn: reads.progress_of(console, arn))
    plain = console.readings.get(
        ("tuning job", run.execution.arn, place.name),
        lambda: trials.describe(console.settings, run.execution, place),
        lambda job: FOREVER if job.ended else reads.BUSY - 1,
    )
    wanted = [trial.name for trial in plain.trials if trial.number in numbers or trial.best]
    return trials.with_details(plain, wanted, lambda name: detail_of(console, name))


def detail_of(console: Console, name: str) -> Mapping[str, Any]:
    """DescribeTrainingJob's answer for a trial."""

    def describe() -> Mapping[str, Any]:
        # A client takes longer to create than many a request; all trials share it.
        sagemaker = console.readings.get(("sagemaker",), lambda: client(console.settings, "sagemaker"), FOREVER)
        read: Mapping[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        return read

    return console.readings.get(
        ("training job", name),
        describe,
        lambda read: FOREVER if read["TrainingJobStatus"] in FINAL else reads.BUSY - 1,
    )


def epochs_of(console: Console, trial: Trial) -> list[Epoch]:
    """The finished epochs of a trial by its log, which is read on from where it was read last.

    While the trial runs, at the pace of `watch`: FilterLogEvents has a quota for all of an account's users in a region.
    """
    reader = console.readings.get(
        ("log of", trial.name), lambda: curves.LogReader(console.settings, trial.name), FOREVER
    )
    return console.readings.get(
        ("epochs", trial.name, trial.status),
        reader.read,
        FOREVER if trial.is_final else following.pace_of(console.settings).logs,
    )


def whole_history(console: Console, trial: Trial) -> list[Epoch]:
    """The epochs of a trial by its log, or by its artifact where the log no longer exists.

    Raises PipelineError for a damaged artifact.
    """
    epochs = epochs_of(console, trial)
    if epochs or not trial.is_final:
        return epochs
    return console.readings.get(("history", trial.name), lambda: curves.read(console.settings, trial), FOREVER)


def cost_of(console: Console, trial: Trial) -> Decimal | None:
    """The cost of a trial that has ended, as described; None for another one, and without a price."""
    if not trial.is_final:
        return None
    prices = console.readings.get(("prices",), lambda: Prices(FILE, console.settings.account.region), FOREVER)
    items = actual.training_items("trial", detail_of(console, trial.name), prices, datetime.now(UTC))
    bill = Bill(tuple(items))
    return None if bill.missing else bill.total.high


def has_trials(console: Console, run: Progress) -> bool:
    """Whether the run has a tuning job, of its own or from the cache."""
    try:
        trials.locate(run, lambda arn: reads.progress_of(console, arn))
    except PipelineError:
        return False
    return True
