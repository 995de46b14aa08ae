"""How a trial went, epoch by epoch: from `history.json` in its model artifact, or from its log while there is none."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, FiniteFloat, PositiveInt, ValidationError

from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.operations.models.trials import Trial
from pipeline.settings import Settings
from steps.contracts import metrics
from steps.contracts.errors import PipelineError

MEMBER = "history.json"
# A thousand epochs take about 400 kB.
LARGEST_HISTORY = 16 * 2**20
# What is read past on the way to the history: weights and ONNX of the largest networks are below a gigabyte.
LARGEST_ARTIFACT = 4 * 2**30
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class Epoch(BaseModel):
    """What the curves show of one epoch. What else a trainer of another version writes is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: PositiveInt
    train_loss: FiniteFloat
    validation_loss: FiniteFloat
    validation_accuracy: FiniteFloat
    validation_rmse: FiniteFloat


class _History(BaseModel):
    model_config = ConfigDict(extra="ignore")

    epochs: list[Epoch]


def read(settings: Settings, trial: Trial) -> list[Epoch]:
    """The trial's epochs, oldest first; none where it has not finished one.

    Raises PipelineError that names the artifact where it is damaged.
    """
    if trial.ended_well and trial.model_uri:
        found = _from_artifact(settings, trial.model_uri)
        if found is not None:
            return found
    return _from_log(settings, trial.name)


def _from_artifact(settings: Settings, uri: str) -> list[Epoch] | None:
    """The history in `model.tar.gz`; None where there is no artifact, or it holds no history."""
    from botocore.exceptions import ClientError

    place = urlsplit(uri)
    try:
        body = client(settings, "s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    with body:
        try:
            content = member(body)
            return None if content is None else _History.model_validate_json(content).epochs
        except (tarfile.TarError, zlib.error, EOFError, ValidationError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise PipelineError(f"{uri}: its {MEMBER} cannot be read ({reason}); train the model again") from error


def member(stream: IO[bytes]) -> bytes | None:
    """`history.json` of a gzipped tar that is read once from front to end, as far as needed; None where it has none.

    Nothing is unpacked to disk. Raises ValueError for an artifact or a history that is larger than it can be, and what
    tarfile raises for a damaged one.
    """
    passed = 0
    with tarfile.open(fileobj=stream, mode="r|gz") as archive:
        for one in archive:
            if one.name.removeprefix("./") == MEMBER and one.isreg():
                if one.size > LARGEST_HISTORY:
                    raise ValueError(f"it has {one.size:,} bytes, more than {LARGEST_HISTORY:,}")
                file = archive.extractfile(one)
                assert file is not None
                return file.read()
            passed += one.size
            if passed > LARGEST_ARTIFACT:
                raise ValueError(f"it does not come within the first {LARGEST_ARTIFACT:,} bytes of the archive")
    return None


def _from_log(settings: Settings, job: str) -> list[Epoch]:
    """The epochs that a training job has printed, so that curves can be seen while it runs."""
    epochs = {}
    for message in _messages(settings, job):
        # An epoch that was resumed after an interruption may come twice: the later line is what went on.
        if (epoch := parse(message)) is not None:
            epochs[epoch.epoch] = epoch
    return [epochs[number] for number in sorted(epochs)]


def parse(line: str) -> Epoch | None:
    """The epoch that a log line sums up, None for any other line."""
    names = {
        "epoch": metrics.EPOCH,
        "train_loss": metrics.TRAIN_LOSS,
        "validation_loss": metrics.LOSS,
        "validation_accuracy": metrics.ACCURACY,
        "validation_rmse": metrics.RMSE,
    }
    values: dict[str, Any] = {}
    for field, name in names.items():
        if (found := re.search(metrics.PATTERNS[name], line)) is None:
            return None
        values[field] = found[1]
    try:
        return Epoch.model_validate(values)
    except ValidationError:
        return None


def _messages(settings: Settings, job: str) -> Iterator[str]:
    from botocore.exceptions import ClientError

    pages = (
        client(settings, "logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/", filterPattern=f'"{metrics.OBJECTIVE}"')
    )
    try:
        for page in pages:
            for event in page["events"]:
                yield event["message"]
    except ClientError as error:
        if not says_missing(error):
            raise
