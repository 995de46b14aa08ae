"""The monitor's jobs so far, and what each of them compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.responses import exists
from pipeline.clients import client
from pipeline.operations.models.pages import Page
from pipeline.operations.runs.logs import LogSource
from pipeline.operations.serving.monitoring import TERMINAL, name_prefix, output_uri
from pipeline.settings import Settings
from steps.contracts.drift import FILE, REPORT, Drift
from steps.contracts.errors import PipelineError
from steps.contracts.parsing import parse

# Answers of ListProcessingJobs with up to this many jobs each: another pipeline's name may end as this one's, and its
# jobs are in the same answers.
PAGES, PAGE_SIZE = 5, 100


@dataclass(frozen=True)
class Job:
    """A job of the monitor. `failure` is AWS's reason; empty without one."""

    name: str
    status: str
    created: datetime
    ended: datetime | None = None
    failure: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in TERMINAL

    @property
    def is_readable(self) -> bool:
        """Whether it has written its result."""
        return self.status == "Completed"


def jobs(settings: Settings, limit: int) -> list[Job]:
    """The newest jobs of this pipeline's monitor, newest first."""
    prefix = name_prefix(settings)
    pages = (
        client(settings, "sagemaker")
        .get_paginator("list_processing_jobs")
        .paginate(
            NameContains=prefix, SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": PAGE_SIZE}
        )
    )
    listed = (job for page in islice(pages, PAGES) for job in page["ProcessingJobSummaries"])
    return [_job(job) for job in islice((job for job in listed if job["ProcessingJobName"].startswith(prefix)), limit)]


def last(settings: Settings) -> str:
    """The name of the newest job with a result. Raises PipelineError where there is none."""
    name = next((job.name for job in jobs(settings, PAGE_SIZE) if job.is_readable), "")
    if not name:
        raise PipelineError("no job of the monitor has completed so far; start one: python -m pipeline monitor")
    return name


def find(settings: Settings, name: str) -> Job | None:
    """The job of this name; None where there is none, and for a job that is not of this pipeline's monitor."""
    if not name.startswith(name_prefix(settings)):
        return None
    answer = exists(client(settings, "sagemaker").describe_processing_job, ProcessingJobName=name)
    return None if answer is None else _job(answer)


def _job(summary: dict[str, Any]) -> Job:
    """The job that ListProcessingJobs or DescribeProcessingJob describes."""
    return Job(
        summary["ProcessingJobName"],
        summary["ProcessingJobStatus"],
        summary["CreationTime"],
        summary.get("ProcessingEndTime"),
        summary.get("FailureReason", "") or summary.get("ExitMessage", ""),
    )


def result(settings: Settings, job: str) -> Drift:
    """What a completed job found. Raises PipelineError where its file is missing, and StepError where it is damaged."""
    uri = f"{output_uri(settings, job)}/{FILE}"
    return parse(Drift, _content(settings, job, uri), uri, "result of the monitor")


def report(settings: Settings, job: str) -> Page:
    """The page that a completed job has written. Raises PipelineError where it is missing."""
    uri = f"{output_uri(settings, job)}/{REPORT}"
    return Page(job, uri, _content(settings, job, uri))


def _content(settings: Settings, job: str, uri: str) -> bytes:
    content = fetch(client(settings, "s3"), uri)
    if content is None:
        raise PipelineError(f"the job {job} has no result at {uri}; start another: python -m pipeline monitor")
    return content


def log_source(job: str) -> LogSource:
    """The log of a job."""
    return LogSource("/aws/sagemaker/ProcessingJobs", f"{job}/", f"job {job}")
