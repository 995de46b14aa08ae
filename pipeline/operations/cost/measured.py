"""What the latest run shows: how many photos there are, and how fast trials train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.aws.pages import items
from pipeline.aws.responses import reason_unavailable
from pipeline.clients import client
from pipeline.operations.cost import rates
from pipeline.operations.cost.money import Range
from pipeline.operations.dataset import description as dataset
from pipeline.operations.models import trials
from pipeline.operations.models.trials import Trial
from pipeline.settings import Choices, Settings
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of

# More trials of the latest run make the range no better.
TRIALS = 5
# Metadata files that are counted before a first run: ten requests. More of them are not worth the wait.
COUNTED = 10_000


@dataclass(frozen=True)
class Photos:
    """The photos of an estimate: all, and those of the splits; the average size of a raw one; the numbers' source."""

    total: int
    train: int
    validation: int
    test: int
    kilobytes: Decimal
    origin: str


def unanswered() -> tuple[type[Exception], ...]:
    """The errors that mean that AWS, or the pipeline's own data there, has no answer."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return BotoCoreError, ClientError, ResponseParserError, PipelineError


def photos(
    settings: Settings, number: int | None, kilobytes: Decimal | None, not_asked: str = "", *, is_new: bool = False
) -> Photos:
    """The photos of the latest run's data set, or `number` where given.

    Without a data set, or where the image location `is_new`, they are its metadata files, up to COUNTED; else as many
    as the public data set has. `not_asked` is why the account is not to be asked; empty asks it.
    """
    size = rates.PHOTO_KILOBYTES if kilobytes is None else kilobytes
    if number is not None:
        return split(settings, number, size, "as given by --photos")
    try:
        if not_asked or is_new:
            raise PipelineError(not_asked or f"no run had the photos of {settings.data.image_location}")
        data = dataset.find(settings, "latest")
    except unanswered() as error:
        why = reason(error)
        # An account without an answer about its runs would have none about its photos.
        if not not_asked and isinstance(error, PipelineError) and (number := listed(settings)) is not None:
            return split(settings, number, size, f"as many as metadata files below {settings.data.image_location}")
        origin = f"as many as the public data set has ({why}); set the number: --photos N"
        return split(settings, rates.PUBLIC_PHOTOS, size, origin)
    train, validation, test = (data.index.splits[name].samples for name in ("train", "validation", "test"))
    total = train + validation + test + (data.summary.rejected if data.summary else 0)
    return Photos(total, train, validation, test, size, f"the latest run's data set, {data.uri}")


def listed(settings: Settings) -> int | None:
    """Metadata files of the image location; None for no file, more than COUNTED, and where S3 does not list them."""
    folder = S3Uri.parse(settings.data.image_location).join("metadata")
    paginator = client(settings, "s3").get_paginator("list_objects_v2")
    request = {"Bucket": folder.bucket, "Prefix": f"{folder.key}/", "PaginationConfig": {"MaxItems": COUNTED + 1}}
    try:
        number = sum(1 for _ in items(paginator, "Contents", **request))
    except unanswered() as error:  # the bucket of another account may let the job's role alone list it
        reason(error)
        return None
    return number if 0 < number <= COUNTED else None


def split(settings: Settings, number: int, kilobytes: Decimal, origin: str) -> Photos:
    """Photos without rejects, split by the settings' fractions."""
    validation, test = round(number * settings.shard.validation_fraction), round(number * settings.shard.test_fraction)
    return Photos(number, number - validation - test, validation, test, kilobytes, origin)


def photos_per_epoch(train: int, validation: int) -> Decimal:
    """The photos of an epoch's training steps, plus those of its validation, which is a forward pass only."""
    return train + Decimal(validation) / rates.TRAINING_PASSES


def training_rate(settings: Settings) -> tuple[Range | None, str]:
    """Photos per second of all instances of a trial, and a note; None where no trial is like the settings'.

    From completed trials of the latest run on the settings' instances, with one of its networks and its image size. The
    slowest trial, with all of its time, is the low end; the fastest, without a job's startup, the high end.
    """
    try:
        job = trials.read(settings, "latest")
        splits = dataset.find(settings, "latest").index.splits
        per_epoch = photos_per_epoch(splits["train"].samples, splits["validation"].samples)
        completed = [trial for trial in job.trials if trial.status == "Completed" and trial.epochs and trial.seconds]
        measured = [
            _rate(trial, per_epoch)
            for trial in completed[:TRIALS]
            if _is_alike(settings, client(settings, "sagemaker").describe_training_job(TrainingJobName=trial.name))
        ]
    except unanswered() as error:
        return None, f"the training rate is assumed: {reason(error)}"
    if not measured:
        return None, "the training rate is assumed: no trial of the latest run completed on such instances and network"
    rate = Range(min(trial.low for trial in measured), max(trial.high for trial in measured))
    count = count_of(len(measured), "trial")
    return rate, f"training rate: {rate.low:,.0f} to {rate.high:,.0f} photos/s, measured in {count} of run {job.run}"


def architectures(settings: Settings) -> list[str]:
    """The networks that trials may train."""
    searched = settings.tuning.ranges.get("architecture")
    return list(map(str, searched.values)) if isinstance(searched, Choices) else [settings.training.architecture]


def reason(error: Exception) -> str:
    """One of the errors `unanswered` as a phrase. Raises the error for credentials that have expired."""
    return str(error).split(";")[0] if isinstance(error, PipelineError) else reason_unavailable(error)


def _is_alike(settings: Settings, job: Mapping[str, Any]) -> bool:
    """Whether a training job has the instances, network and image size of the settings."""
    training, resources, hyperparameters = settings.training, job["ResourceConfig"], job.get("HyperParameters", {})
    return (
        resources.get("InstanceType") == training.instance_type
        and resources.get("InstanceCount") == training.instance_count
        and hyperparameters.get("architecture", "").strip('"') in architectures(settings)
        and hyperparameters.get("image-size", "").strip('"') == str(training.image_size)
    )


def _rate(trial: Trial, per_epoch: Decimal) -> Range:
    seconds = Decimal(trial.seconds or 0)
    # At least half of the time counts as training: the share of the startup is unknown in a short trial.
    least = max(seconds - rates.STARTUP.value.high, seconds / 2)
    return Range.of(per_epoch * (trial.epochs or 0)) / Range(least, seconds)
