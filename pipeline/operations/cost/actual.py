"""What a run has cost: its jobs as the account describes them, with their instances and seconds.

Instances are billed by the second between a job's start and end, however it ended. A training job reports its billable
seconds, per instance; with spot capacity these are fewer than its training time.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html (BillableTimeInSeconds)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.objects import fetch
from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.operations.cost.money import ZERO, Bill, Item, Range
from pipeline.operations.cost.prices import Machines, Prices
from pipeline.operations.cost.rates import ATHENA_LEAST_MEGABYTES, ATHENA_MEGABYTE, ATHENA_TERABYTE
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts import query_summary
from steps.contracts.errors import StepError
from steps.contracts.parsing import parse
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of

NOT_INCLUDED = "S3 requests and storage, logs, metrics, the deploy function, the endpoint, taxes, discounts"
QUERY = "QueryMetadata"


@dataclass(frozen=True)
class Cost:
    """The bill of a run, so far where it has not ended; `notes` state what is not included."""

    execution: Execution
    bill: Bill
    notes: tuple[str, ...]


def processing_items(part: str, job: Mapping[str, Any], prices: Prices, now: datetime) -> list[Item]:
    """The lines of a job by DescribeProcessingJob's answer; one that still runs is billed until `now`."""
    start = job.get("ProcessingStartTime")
    seconds = _elapsed(start, job.get("ProcessingEndTime"), now)
    machines = _machines(job["ProcessingResources"]["ClusterConfig"])
    note = _state(job["ProcessingJobStatus"], has_started=start is not None)
    return prices.job_items(part, machines, "processing_volume", Range.of(seconds), note)


def training_items(part: str, job: Mapping[str, Any], prices: Prices, now: datetime) -> list[Item]:
    """The lines of a job by DescribeTrainingJob's answer; one that still runs is billed until `now`, in full."""
    start = job.get("TrainingStartTime")
    trained = job.get("TrainingTimeInSeconds", _elapsed(start, job.get("TrainingEndTime"), now))
    billed = job.get("BillableTimeInSeconds", trained)
    notes = [_state(job["TrainingJobStatus"], has_started=bool(trained or start))]
    if job.get("EnableManagedSpotTraining") and trained > billed:
        notes.append(f"spot saved {1 - billed / trained:.0%}")
    machines = _machines(job["ResourceConfig"])
    return prices.job_items(part, machines, "training_volume", Range.of(billed), ", ".join(filter(None, notes)))


def queries_item(part: str, scanned: Iterable[int], prices: Prices) -> Item:
    """The line of Athena's queries, by the bytes of each: whole megabytes, at least ten; a query without bytes is free.

    https://aws.amazon.com/athena/pricing/
    """
    billed = [max(ATHENA_LEAST_MEGABYTES, math.ceil(size / ATHENA_MEGABYTE)) for size in scanned if size]
    quantity = Range.of(sum(billed) * ATHENA_MEGABYTE / ATHENA_TERABYTE)
    what = f"Athena, {count_of(len(billed), 'query', 'queries')}"
    return prices.service_item(part, what, "athena_scan", quantity)


def read(settings: Settings, reference: str, prices: Prices, now: datetime) -> Cost:
    """The cost until `now` of the run that `reference` (`latest`, an id, an ARN) means.

    Raises PipelineError where there is no such run.
    """
    return of_progress(settings, progress.read(settings, executions.resolve(settings, reference).arn), prices, now)


def of_progress(settings: Settings, run: Progress, prices: Prices, now: datetime) -> Cost:
    """The cost until `now` of a run whose state has been read."""
    items: list[Item] = []
    notes: list[str] = []
    for step in run.steps:
        if step.cached:
            items.append(Item(step.name, "", ZERO, "", None, f"cached from run {name_of(step.cached_from)}: free"))
        elif step.status != "Waiting":
            bill, step_notes = step_bill(settings, step, run.trials, prices, now)
            items += bill.items
            notes += step_notes
            if step.attempts > 1:
                notes.append(f"{step.name} is at attempt {step.attempts}: jobs of earlier attempts are not included")
    return Cost(run.execution, Bill(tuple(items)), tuple(notes))


def step_bill(
    settings: Settings, step: StepRun, trials: Iterable[TrialJob], prices: Prices, now: datetime
) -> tuple[Bill, list[str]]:
    """The bill until `now` of a step that did not come from the cache, and notes on what it does not include.

    `trials` are those of its tuning job.
    """
    from botocore.exceptions import ClientError

    sagemaker = client(settings, "sagemaker")
    items: list[Item] = []
    notes: list[str] = []
    try:
        if arn := step.arn("ProcessingJob"):
            job = sagemaker.describe_processing_job(ProcessingJobName=name_of(arn))
            items += processing_items(step.name, job, prices, now)
            if step.name == QUERY:
                items += _queries(settings, step, job, prices, notes)
        elif arn := step.arn("TrainingJob"):
            job = sagemaker.describe_training_job(TrainingJobName=name_of(arn))
            items += training_items(step.name, job, prices, now)
        elif step.arn("TuningJob"):
            jobs = parallel_map(lambda trial: sagemaker.describe_training_job(TrainingJobName=trial.name), trials)
            for number, job in enumerate(jobs, 1):
                items += training_items(f"{step.name}, trial {number}", job, prices, now)
    except ClientError as error:
        if not says_missing(error):
            raise
        notes.append(f"{step.name}: its job no longer exists and is not included")
    return Bill(tuple(items)), notes


def _queries(
    settings: Settings, step: StepRun, job: Mapping[str, Any], prices: Prices, notes: list[str]
) -> Iterator[Item]:
    """The line of the Athena queries in the step's summary; a step that has not ended has no summary yet."""
    outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    uris = [output["S3Output"]["S3Uri"] for output in outputs if output["OutputName"] == "summary"]
    summary = _summary(settings, S3Uri.parse(uris[0]).join(query_summary.NAME)) if uris else None
    if summary is not None:
        # Athena does not bill a query that failed; it bills one that was cancelled.
        scanned = [query.data_scanned_bytes for query in summary.executions if query.state != "FAILED"]
        yield queries_item(step.name, scanned, prices)
    elif step.status != "Executing":
        notes.append(f"{step.name} left no {query_summary.NAME}: the bytes that Athena scanned are unknown")


def _summary(settings: Settings, uri: S3Uri) -> query_summary.Summary | None:
    """The summary of a query step; None where it is missing or damaged."""
    try:
        content = fetch(client(settings, "s3"), str(uri))
        return None if content is None else parse(query_summary.Summary, content, str(uri), "summary of a query")
    except StepError:
        return None


def _machines(resources: Mapping[str, Any]) -> Machines:
    return Machines(resources["InstanceType"], resources["InstanceCount"], resources.get("VolumeSizeInGB", 0))


def _elapsed(start: datetime | None, end: datetime | None, now: datetime) -> int:
    """Seconds from `start` to `end`, or to `now` without an end; a begun second counts. 0 without a start."""
    return 0 if start is None else max(0, math.ceil(((end or now) - start).total_seconds()))


def _state(status: str, *, has_started: bool) -> str:
    """The note for a job that did not complete; empty for one that did."""
    if status == "Completed":
        return ""
    if status in ("InProgress", "Stopping"):
        return "so far" if has_started else "waits for instances"
    return status.lower() if has_started else f"{status.lower()} before it started"
