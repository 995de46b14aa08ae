"""The monitor's jobs so far: which are this pipeline's, and what they found."""

from __future__ import annotations

import boto3
import pytest

from pipeline.operations.serving import monitor_jobs, monitoring
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError, StepError
from tests.answers import Answers
from tests.unit.pipeline.console.pages.account_of_drift import drift
from tests.unit.pipeline.console.pages.account_of_runs import STARTED

pytestmark = pytest.mark.usefixtures("account")


def summary(name: str, status: str = "Completed", **more: str) -> dict[str, object]:
    moment = STARTED.timestamp()
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:processing-job/{name}"
    times = {"CreationTime": moment, "LastModifiedTime": moment, "ProcessingEndTime": moment}
    return {"ProcessingJobName": name, "ProcessingJobArn": arn, "ProcessingJobStatus": status, **times, **more}


def write(settings: Settings, file: str, content: bytes) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    s3.put_object(Bucket=settings.data.bucket, Key=f"{settings.data.prefix}/monitor/x/{file}", Body=content)


def test_jobs_of_a_pipeline_whose_name_ends_as_this_ones_are_left_out_and_the_limit_counts_without_them(
    settings: Settings,
) -> None:
    names = ["robins-monitor-a", "bins-monitor-b", "bins-monitor-c", "bins-monitor-d"]
    Answers().say("sagemaker.ListProcessingJobs", {"ProcessingJobSummaries": [summary(name) for name in names]})
    assert [job.name for job in monitor_jobs.jobs(settings, 2)] == ["bins-monitor-b", "bins-monitor-c"]


def test_answers_without_jobs_of_this_pipeline_are_not_asked_for_without_end(settings: Settings) -> None:
    answers = Answers()
    answers.say("sagemaker.ListProcessingJobs", {"ProcessingJobSummaries": [summary("robins-monitor-a")]})
    tokens = iter(range(1_000))
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register(
        "after-call.sagemaker.ListProcessingJobs", lambda parsed, **_: parsed.update(NextToken=str(next(tokens)))
    )
    assert monitor_jobs.jobs(settings, 30) == []
    assert answers.asked["sagemaker.ListProcessingJobs"] == monitor_jobs.PAGES


def test_the_last_job_is_the_newest_with_a_result(settings: Settings) -> None:
    states = {"d": "InProgress", "c": "Failed", "b": "Completed", "a": "Completed"}
    listed = [summary(f"bins-monitor-{name}", status) for name, status in states.items()]
    Answers().say("sagemaker.ListProcessingJobs", {"ProcessingJobSummaries": listed})
    assert monitor_jobs.last(settings) == "bins-monitor-b"


def test_without_a_completed_job_there_is_no_last_one(settings: Settings) -> None:
    Answers().say("sagemaker.ListProcessingJobs", {"ProcessingJobSummaries": [summary("bins-monitor-c", "Failed")]})
    with pytest.raises(PipelineError, match="no job of the monitor has completed so far; start one: python -m"):
        monitor_jobs.last(settings)


def test_a_failed_job_has_its_reason_or_the_message_of_its_exit(settings: Settings) -> None:
    failed = [
        summary("bins-monitor-a", "Failed", FailureReason="AlgorithmError"),
        summary("bins-monitor-b", "Failed", ExitMessage="no endpoint"),
    ]
    Answers().say("sagemaker.ListProcessingJobs", {"ProcessingJobSummaries": failed})
    first, second = monitor_jobs.jobs(settings, 2)
    assert (first.failure, second.failure) == ("AlgorithmError", "no endpoint")
    assert (first.has_ended, first.is_readable) == (True, False)


def test_a_result_is_read_from_where_the_job_wrote_it(settings: Settings) -> None:
    request = monitoring.job_request(settings, "x")
    expected = drift(STARTED, darker=0.2)
    write(settings, "drift.json", expected.model_dump_json().encode())
    output = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert monitoring.output_uri(settings, request["ProcessingJobName"]) == output
    assert monitor_jobs.result(settings, request["ProcessingJobName"]) == expected


def test_a_result_that_is_missing_or_damaged_is_one_line(settings: Settings) -> None:
    write(settings, "drift.json", b'{"version": 2}')
    with pytest.raises(StepError, match=r"drift\.json: not a result of the monitor: version"):
        monitor_jobs.result(settings, "bins-monitor-x")
    with pytest.raises(PipelineError, match="has no result at s3://"):
        monitor_jobs.report(settings, "bins-monitor-x")


def test_a_job_of_something_else_is_no_job_of_the_monitor(settings: Settings) -> None:
    assert monitor_jobs.find(settings, "pipelines-x-ShardImages") is None
