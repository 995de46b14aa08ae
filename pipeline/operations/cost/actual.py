"""What a run did cost: its jobs as the account describes them, with their seconds and their instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.operations.cost import billing
from pipeline.operations.cost.billing import Job
from pipeline.operations.cost.money import Bill, Item
from pipeline.operations.cost.prices import Prices
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.settings import Settings
from steps.contracts import query_summary
from steps.contracts.s3_uri import S3Uri

LEFT_OUT = "S3 requests and storage, logs, metrics, the deploy function, the endpoint, taxes and discounts"
QUERY = "QueryMetadata"
# DescribeTrainingJob is asked once a trial; this many at a time stay below the service's throttling.
THREADS = 8


@dataclass(frozen=True)
class Cost:
    """What a run cost, or has cost so far, and what spot capacity saved of it; `notes` say what is not in it."""

    execution: Execution
    bill: Bill
    saved: Decimal
    notes: tuple[str, ...]


def read(settings: Settings, reference: str, prices: Prices, now: datetime) -> Cost:
    """What the run that `reference` means (`latest`, an id, an ARN) has cost until `now`.

    Raises PipelineError where there is no such run.
    """
    execution = executions.resolve(settings, reference)
    found = _Reader(settings, prices, now)
    run = progress.read(settings, execution.arn)
    items = tuple(found.items(run))
    return Cost(run.execution, Bill(items), found.saved, tuple(found.notes))


def step_bill(
    settings: Settings, step: StepRun, trials: Iterable[TrialJob], prices: Prices, now: datetime
) -> tuple[Bill, tuple[str, ...]]:
    """What one step that did not come from the cache cost until `now`, and notes on what is not in it.

    `trials` are those of its tuning job, where it is one.
    """
    reader = _Reader(settings, prices, now)
    items = tuple(reader.step(step, trials))
    return Bill(items), tuple(reader.notes)


class _Reader:
    """Reads the jobs of one run and notes what could not be read."""

    def __init__(self, settings: Settings, prices: Prices, now: datetime) -> None:
        self._settings, self._prices, self._now = settings, prices, now
        self._sagemaker = client(settings, "sagemaker")
        self._described: dict[str, Any] = {}
        self.saved = Decimal(0)
        self.notes: list[str] = []

    def items(self, run: Progress) -> Iterator[Item]:
        """The lines of the steps that the run has reached."""
        for step in run.steps:
            if step.status == "Waiting":
                continue
            if step.cached:
                yield billing.free(step.name, f"cached from run {step.cached_from.rsplit('/', 1)[-1]}: nothing")
                continue
            yield from self.step(step, run.trials)
            if step.attempts > 1:
                self.notes.append(f"{step.name} is at attempt {step.attempts}: the earlier ones' jobs are not counted")

    def step(self, step: StepRun, trials: Iterable[TrialJob]) -> Iterator[Item]:
        """The lines of one step that did not come from the cache; `trials` are those of its tuning job."""
        from botocore.exceptions import ClientError

        try:
            for job in self._jobs(step, trials):
                yield from job.items(self._prices)
                self.saved += job.saved(self._prices)
        except ClientError as error:
            if not says_missing(error):
                raise
            self.notes.append(f"{step.name}: its job is no longer there, and is not counted")
            return
        if step.name == QUERY and step.arn("ProcessingJob"):
            yield from self._queries(step)

    def _jobs(self, step: StepRun, trials: Iterable[TrialJob]) -> Iterator[Job]:
        if arn := step.arn("ProcessingJob"):
            yield billing.processing(step.name, self._processing(arn), self._now)
        if arn := step.arn("TrainingJob"):
            yield from billing.training(step.name, self._training(_name(arn)), self._now)
        if arn := step.arn("TransformJob"):
            answer = self._sagemaker.describe_transform_job(TransformJobName=_name(arn))
            yield billing.transform(step.name, answer, self._now)
        if step.arn("TuningJob"):
            with ThreadPoolExecutor(THREADS) as pool:
                answers = list(pool.map(self._training, (trial.name for trial in trials)))
            for number, answer in enumerate(answers, 1):
                yield from billing.training(f"{step.name}, trial {number}", answer, self._now)

    def _processing(self, arn: str) -> Any:
        if arn not in self._described:
            self._described[arn] = self._sagemaker.describe_processing_job(ProcessingJobName=_name(arn))
        return self._described[arn]

    def _training(self, name: str) -> Any:
        return self._sagemaker.describe_training_job(TrainingJobName=name)

    def _queries(self, step: StepRun) -> Iterator[Item]:
        """The step's queries by its summary; a step that has not ended, or failed, has left none."""
        summary = self._summary(step)
        if summary is None:
            if step.status != "Executing":
                self.notes.append(f"{step.name} left no {query_summary.NAME}: what Athena scanned for it is not known")
            return
        # A query that failed is not billed, one that was stopped is.
        scanned = (one.data_scanned_bytes for one in summary.executions if one.state != "FAILED")
        yield billing.queries(step.name, scanned, self._prices)

    def _summary(self, step: StepRun) -> query_summary.Summary | None:
        from botocore.exceptions import ClientError

        answer = self._processing(step.arn("ProcessingJob") or "")
        outputs = {one["OutputName"]: one for one in answer.get("ProcessingOutputConfig", {}).get("Outputs", [])}
        place = outputs.get("summary", {}).get("S3Output", {}).get("S3Uri")
        if place is None:
            return None
        location = S3Uri.parse(place).join(query_summary.NAME)
        try:
            s3 = client(self._settings, "s3")
            body = s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
            return query_summary.Summary.model_validate_json(body)
        except ValidationError:
            return None
        except ClientError as error:
            if says_missing(error):
                return None
            raise


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
