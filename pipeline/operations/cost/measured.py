"""How fast trials were that this pipeline has already run, for an estimate that rests on them and not on a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.aws.responses import reason_unavailable
from pipeline.clients import client
from pipeline.operations.cost import rates
from pipeline.operations.cost.estimate import architectures
from pipeline.operations.cost.money import Range
from pipeline.operations.dataset import description as dataset
from pipeline.operations.models import trials
from pipeline.operations.models.trials import Trial
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# Of the latest run; more of them make the range no better.
TRIALS = 5


@dataclass(frozen=True)
class Measured:
    """Photos a second that trials trained on, all their instances together; None, with the reason, where none did."""

    photos_per_second: Range | None
    note: str


def training_rate(settings: Settings) -> Measured:
    """By the trials of the latest run that completed on the settings' instances, with one of its networks and its size.

    An epoch counts its validation as `estimate` does. The slowest trial, with all of its time, is the low end; the
    fastest, without what a job takes to start, the high one.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        job = trials.read(settings, "latest")
        index = dataset.find(settings, "latest").index
        photos = index.splits["train"].samples + Decimal(index.splits["validation"].samples) / rates.TRAINING_PASSES
        found = [
            _rate(trial, photos)
            for trial in [one for one in job.trials if one.status == "Completed" and one.epochs and one.seconds][
                :TRIALS
            ]
            if _alike(settings, client(settings, "sagemaker").describe_training_job(TrainingJobName=trial.name))
        ]
    except PipelineError as error:
        return Measured(None, f"the training rate is assumed: {str(error).split(';')[0]}")
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        return Measured(None, f"the training rate is assumed: {reason_unavailable(error)}")
    if not found:
        chosen = settings.training
        machines = f"{chosen.instance_count} x {chosen.instance_type}"
        return Measured(
            None, f"the training rate is assumed: no trial of the latest run completed on {machines} with this network"
        )
    rate = Range(min(one.low for one in found), max(one.high for one in found))
    count = f"{len(found)} trial{'' if len(found) == 1 else 's'}"
    return Measured(rate, f"trained at {rate.low:,.0f} to {rate.high:,.0f} photos/s by {count} of run {job.run}")


def _alike(settings: Settings, answer: Mapping[str, Any]) -> bool:
    """Whether a training job ran as one of these settings would."""
    training, resources, given = settings.training, answer["ResourceConfig"], answer.get("HyperParameters", {})
    return (
        resources.get("InstanceType") == training.instance_type
        and resources.get("InstanceCount") == training.instance_count
        and given.get("architecture", "").strip('"') in architectures(settings)
        and given.get("image-size", "").strip('"') == str(training.image_size)
    )


def _rate(trial: Trial, photos: Decimal) -> Range:
    assert trial.epochs is not None
    assert trial.seconds is not None
    trained = photos * trial.epochs
    # At least half of its time is taken to be training: a short trial says little of how long its start took.
    quickest = max(trial.seconds - rates.STARTUP.value.high, Decimal(trial.seconds) / 2)
    return Range(trained / trial.seconds, trained / quickest)
