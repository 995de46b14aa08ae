"""The epochs of a trial, from `history.json` in its model artifact, or from its log while there is no artifact."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, PositiveInt, ValidationError

from pipeline.aws.responses import exists
from pipeline.clients import client
from pipeline.operations.models.trials import Trial
from pipeline.operations.runs import logs
from pipeline.operations.runs.logs import LogSource
from pipeline.settings import Settings
from steps.contracts import metrics
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

MEMBER = "history.json"
# A thousand epochs take about 400 kB.
LARGEST_HISTORY = 16 * 2**20
# Bytes read before the history: weights and ONNX of the largest networks are below a gigabyte.
LARGEST_ARTIFACT = 4 * 2**30
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class Epoch(BaseModel):
    """One epoch's values for the curves; other fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: PositiveInt
    train_loss: FiniteFloat
    validation_loss: FiniteFloat
    validation_accuracy: FiniteFloat
    validation_rmse: FiniteFloat
    kept_accuracy: FiniteFloat | None = None
    """The accuracy of the model that is kept after this epoch; None: the best accuracy until then."""


class _History(BaseModel):
    model_config = ConfigDict(extra="ignore")

    best_by: Literal["accuracy", "loss"] = "accuracy"
    epochs: list[Epoch]

    def with_kept_accuracy(self) -> list[Epoch]:
        """The epochs; where the loss chooses the model, with the accuracy of that model."""
        if self.best_by == "accuracy":
            return self.epochs
        places = range(1, len(self.epochs) + 1)
        kept = [min(self.epochs[:place], key=lambda epoch: epoch.validation_loss) for place in places]
        return [
            epoch.model_copy(update={"kept_accuracy": best.validation_accuracy})
            for epoch, best in zip(self.epochs, kept, strict=True)
        ]


def best_of(epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch whose model is kept; None without epochs.

    It is the last with which the accuracy of the kept model became another.
    """
    best: Epoch | None = None
    kept = 0.0
    for epoch in epochs:
        highest = epoch.validation_accuracy if best is None else max(kept, epoch.validation_accuracy)
        accuracy = highest if epoch.kept_accuracy is None else epoch.kept_accuracy
        if best is None or accuracy != kept:
            best, kept = epoch, accuracy
    return best


def read(settings: Settings, trial: Trial) -> list[Epoch]:
    """The trial's finished epochs, oldest first. Raises PipelineError for a damaged artifact."""
    epochs = _from_artifact(settings, trial.model_uri) if trial.ended_well and trial.model_uri else None
    return _from_log(settings, trial.name) if epochs is None else epochs


def _from_artifact(settings: Settings, uri: str) -> list[Epoch] | None:
    """The history in `model.tar.gz`; None where there is no artifact, or no history in it."""
    location = S3Uri.parse(uri)
    answer = exists(client(settings, "s3").get_object, Bucket=location.bucket, Key=location.key)
    if answer is None:
        return None
    with answer["Body"] as body:
        try:
            content = member(body)
            return None if content is None else _History.model_validate_json(content).with_kept_accuracy()
        except (tarfile.TarError, zlib.error, EOFError, ValidationError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise PipelineError(f"{uri}: its {MEMBER} cannot be read ({reason}); train the model again") from error


def member(stream: IO[bytes]) -> bytes | None:
    """`history.json` in a gzipped tar, which is read from its start as far as needed; None where it contains none.

    Nothing is unpacked to disk. Raises ValueError for a history or an artifact above the limits, and tarfile's errors
    for a damaged one.
    """
    passed = 0
    with tarfile.open(fileobj=stream, mode="r|gz") as archive:
        for entry in archive:
            if entry.name.removeprefix("./") == MEMBER and entry.isreg():
                if entry.size > LARGEST_HISTORY:
                    raise ValueError(f"it has {entry.size:,} bytes, more than {LARGEST_HISTORY:,}")
                file = archive.extractfile(entry)
                assert file is not None
                return file.read()
            passed += entry.size
            if passed > LARGEST_ARTIFACT:
                raise ValueError(f"it is not within the first {LARGEST_ARTIFACT:,} bytes of the archive")
    return None


def logged(settings: Settings, job: str, since: float = 0.0) -> Iterator[tuple[datetime, Epoch]]:
    """The epochs in a training job's log from `since` (Unix time) on, each with the time of its line.

    An epoch that was resumed after an interruption may occur twice; the later line counts.
    """
    source = LogSource(LOG_GROUP, f"{job}/", f"trial {job}")
    for line in logs.matching(settings, source, f'"{metrics.OBJECTIVE}"', since):
        if (epoch := parse(line.message)) is not None:
            yield line.time, epoch


def _from_log(settings: Settings, job: str) -> list[Epoch]:
    """The epochs in a training job's log, for curves while it runs."""
    return LogReader(settings, job).read()


class LogReader:
    """Reads the epochs in a training job's log repeatedly; each time from the last line on that it has read."""

    def __init__(self, settings: Settings, job: str) -> None:
        self._settings = settings
        self._source = LogSource(LOG_GROUP, f"{job}/", f"trial {job}")
        self._epochs: dict[int, Epoch] = {}
        self._since = 0.0

    def read(self) -> list[Epoch]:
        """The finished epochs so far, oldest first."""
        for line in logs.matching(self._settings, self._source, f'"{metrics.OBJECTIVE}"', self._since):
            self._since = max(self._since, line.time.timestamp())
            # An epoch that was resumed after an interruption may occur twice; the later line counts.
            if (epoch := parse(line.message)) is not None:
                self._epochs[epoch.epoch] = epoch
        return [self._epochs[number] for number in sorted(self._epochs)]


def parse(line: str) -> Epoch | None:
    """The epoch in a log line, None for any other line."""
    names = {
        "epoch": metrics.EPOCH,
        "train_loss": metrics.TRAIN_LOSS,
        "validation_loss": metrics.LOSS,
        "validation_accuracy": metrics.ACCURACY,
        "validation_rmse": metrics.RMSE,
        "kept_accuracy": metrics.OBJECTIVE,
    }
    values = {field: match[1] for field, name in names.items() if (match := re.search(metrics.PATTERNS[name], line))}
    try:
        return Epoch.model_validate(values)
    except ValidationError:
        return None
