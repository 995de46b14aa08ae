"""What a run did cost: the service's answers stubbed, and checked against its model."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from pipeline.operations.cost import actual
from pipeline.operations.cost.actual import Cost
from pipeline.operations.cost.prices import FilePrices
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.settings import Settings
from steps.contracts.query_summary import Execution as Query
from steps.contracts.query_summary import Summary
from tests.unit.pipeline.operations.cost.conftest import stubbed
from tests.unit.pipeline.operations.cost.test_billing import START, processing, training

pytestmark = pytest.mark.usefixtures("no_account")
PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
RUN = f"{PREFIX}:pipeline/bins/execution/run1"
NOW = START + timedelta(hours=6)
SUMMARY = Summary(
    image_location="s3://raw",
    data_version="1",
    maximum_quantity=5,
    reader="athena",
    metadata_files=2,
    images=2,
    labels={1: 2},
    refused={},
    executions=[
        Query(statement="write labels", id="q-1", state="SUCCEEDED", data_scanned_bytes=10**12, engine_milliseconds=9),
        Query(statement="count", id="q-2", state="FAILED", data_scanned_bytes=10**12, engine_milliseconds=9),
    ],
)


class Account:
    """The run's steps, and what SageMaker and S3 say of its jobs."""

    def __init__(self) -> None:
        self.clients = {name: stubbed(name) for name in ("sagemaker", "s3")}
        self.stubbers = {name: Stubber(client) for name, client in self.clients.items()}
        self.steps: list[StepRun] = []
        self.trials: list[TrialJob] = []
        self.status = "Succeeded"

    def step(self, name: str, kind: str = "", job: str = "job", **more: Any) -> None:
        metadata = {kind: {"Arn": f"{PREFIX}:{kind.lower()}/{job}"}} if kind else {}
        self.steps.append(StepRun(name, **{"status": "Succeeded", "attempts": 1, "metadata": metadata, **more}))

    def process(self, answer: dict[str, Any]) -> None:
        plain = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
        self.stubbers["sagemaker"].add_response("describe_processing_job", plain)

    def trial(self, answer: dict[str, Any]) -> None:
        number = len(self.trials) + 1
        self.trials.append(TrialJob(f"trial-{number}", "Completed", START, START, START, None, "", {}))
        plain = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
        self.stubbers["sagemaker"].add_response("describe_training_job", plain, {"TrainingJobName": f"trial-{number}"})

    def cost(self, settings: Settings, prices: FilePrices) -> Cost:
        """What the run costs; all answers have to be asked for."""
        sagemaker, s3 = self.stubbers.values()
        with sagemaker, s3:
            found = actual.read(settings, "latest", prices, NOW)
        sagemaker.assert_no_pending_responses()
        s3.assert_no_pending_responses()
        return found

    def summary(self, body: bytes) -> None:
        self.stubbers["s3"].add_response(
            "get_object",
            {"Body": StreamingBody(io.BytesIO(body), len(body))},
            {"Bucket": "bins", "Key": "runs/run1/query/summary/query.json"},
        )


def outputs(answer: dict[str, Any]) -> dict[str, Any]:
    """A query job's answer with the place of its summary."""
    s3 = {"S3Uri": "s3://bins/runs/run1/query/summary", "LocalPath": "/opt/ml/x", "S3UploadMode": "EndOfJob"}
    return {**answer, "ProcessingOutputConfig": {"Outputs": [{"OutputName": "summary", "S3Output": s3}]}}


@pytest.fixture
def account(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(actual, "client", lambda settings, name: account.clients[name])
    # The stub answers in the order in which it was told.
    monkeypatch.setattr(actual, "THREADS", 1)

    def run() -> Execution:
        return Execution(RUN, account.status, START)

    monkeypatch.setattr(executions, "resolve", lambda settings, reference: run())
    monkeypatch.setattr(
        progress, "read", lambda settings, arn: Progress(run(), tuple(account.steps), tuple(account.trials))
    )
    return account


def lines(cost: Cost) -> list[tuple[str, str, str, str]]:
    """Part, what, amount to a ten-thousandth, and note of each line."""
    return [(one.part, one.what, f"{one.usd.low:.4f}" if one.usd else "?", one.note) for one in cost.bill.items]


def test_a_run_costs_what_its_jobs_and_its_queries_cost(
    account: Account, settings: Settings, prices: FilePrices
) -> None:
    account.step("QueryMetadata", "ProcessingJob")
    account.process(outputs(processing("Completed", 0, 3600, VolumeSizeInGB=73)))
    account.summary(SUMMARY.model_dump_json().encode())
    account.step("TuneModel", "TuningJob")
    account.trial(training("Completed", 7200, 2400))
    account.trial(training("Stopped", 1200, 1200))
    account.step("DeployModel", "Lambda")
    cost = account.cost(settings, prices)
    assert lines(cost) == [
        ("QueryMetadata", "ml.m5.xlarge", "0.2300", ""),
        # 73 GB for 1 of 730 h are 0.1 GB-months
        ("QueryMetadata", "volumes", "0.0100", ""),
        # The query that failed is not billed.
        ("QueryMetadata", "Athena, 1 query", "5.0000", ""),
        ("TuneModel, trial 1", "ml.g5.2xlarge", "1.0100", "spot saved 67%"),
        ("TuneModel, trial 2", "ml.g5.2xlarge", "0.5050", "stopped"),
    ]
    assert f"{cost.bill.total.low:.4f}" == "6.7550"
    assert f"{cost.saved:.4f}" == "2.0200"
    assert cost.notes == ()


def test_a_cached_step_costs_nothing_and_its_job_is_not_asked_for(
    account: Account, settings: Settings, prices: FilePrices
) -> None:
    account.step("ShardImages", "ProcessingJob", cached_from=f"{PREFIX}:pipeline/bins/execution/run0")
    account.step("TuneModel", "TuningJob", cached_from=f"{PREFIX}:pipeline/bins/execution/run0")
    cost = account.cost(settings, prices)
    assert lines(cost) == [
        ("ShardImages", "", "0.0000", "cached from run run0: nothing"),
        ("TuneModel", "", "0.0000", "cached from run run0: nothing"),
    ]
    assert cost.bill.total.high == 0
    assert cost.saved == Decimal(0)


def test_a_run_that_goes_on_is_billed_so_far(account: Account, settings: Settings, prices: FilePrices) -> None:
    account.status = "Executing"
    account.step("QueryMetadata", "ProcessingJob", status="Executing")
    # Since five of the six hours.
    account.process(processing("InProgress", 5 * 3600, None, InstanceType="ml.g5.2xlarge"))
    account.step("ShardImages", status="Waiting", attempts=0)
    assert lines(account.cost(settings, prices)) == [("QueryMetadata", "ml.g5.2xlarge", "1.5150", "so far")]


@pytest.mark.parametrize("body", [b"{}", b"not json"])
def test_a_summary_that_cannot_be_read_leaves_the_queries_out_and_says_so(
    account: Account, settings: Settings, prices: FilePrices, body: bytes
) -> None:
    account.step("QueryMetadata", "ProcessingJob", status="Failed")
    account.process(outputs(processing("Failed", 0, 3600, InstanceType="ml.g5.2xlarge")))
    account.summary(body)
    cost = account.cost(settings, prices)
    assert lines(cost) == [("QueryMetadata", "ml.g5.2xlarge", "1.5150", "failed")]
    assert cost.notes == ("QueryMetadata left no query.json: what Athena scanned for it is not known",)


def test_a_job_that_was_deleted_is_left_out_and_said_so(
    account: Account, settings: Settings, prices: FilePrices
) -> None:
    account.step("ShardImages", "ProcessingJob")
    account.stubbers["sagemaker"].add_client_error(
        "describe_processing_job", "ValidationException", "Could not find requested job with name: job"
    )
    cost = account.cost(settings, prices)
    assert lines(cost) == []
    assert cost.notes == ("ShardImages: its job is no longer there, and is not counted",)


def test_earlier_attempts_are_not_counted_and_said_so(account: Account, settings: Settings, prices: FilePrices) -> None:
    account.step("ShardImages", "ProcessingJob", attempts=2)
    account.process(processing("Completed", 0, 60))
    assert account.cost(settings, prices).notes == (
        "ShardImages is at attempt 2: the earlier ones' jobs are not counted",
    )


def test_the_type_is_the_jobs_not_the_settings(account: Account, settings: Settings, prices: FilePrices) -> None:
    assert settings.shard.instance_type == "ml.c5.4xlarge"
    account.step("ShardImages", "ProcessingJob")
    account.process(processing("Completed", 0, 3600, InstanceType="ml.g5.2xlarge", InstanceCount=2))
    assert lines(account.cost(settings, prices)) == [("ShardImages", "2 x ml.g5.2xlarge", "3.0300", "")]
