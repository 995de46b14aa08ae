"""Bills of jobs and of runs, worked out by hand, from the services' answers."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from pipeline import parallel
from pipeline.operations.cost import actual
from pipeline.operations.cost.actual import Cost
from pipeline.operations.cost.money import Bill, Item, Range
from pipeline.operations.cost.prices import Machines, Prices
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.settings import Settings
from steps.contracts.query_summary import Execution as Query
from steps.contracts.query_summary import Summary
from tests.unit.pipeline.operations.cost.conftest import ARN as PREFIX
from tests.unit.pipeline.operations.cost.conftest import PRICES, START, processing, stubbed, training

pytestmark = pytest.mark.usefixtures("no_account")
RUN = f"{PREFIX}:pipeline/bins/execution/run1"
NOW, LATER = START + timedelta(hours=6), START + timedelta(days=1)
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


def usd(*items: Item) -> str:
    """The total of lines in USD to a ten-thousandth."""
    total = Bill(items).total
    assert total.low == total.high
    return f"{total.low:.4f}"


def amounts(items: list[Item]) -> list[str]:
    return [f"{item.usd.low:.6f}" for item in items if item.usd]


def test_a_processing_job_costs_its_seconds_and_its_volume(prices: Prices) -> None:
    items = actual.processing_items("QueryMetadata", processing("Completed", 0, 412.0), prices, LATER)
    # 412 s / 3600 * 0.23 = 0.026322; 30 GB * 412 s / 3600 / 730 * 0.10 = 0.000470
    assert amounts(items) == ["0.026322", "0.000470"]
    assert items[0].note == ""


def test_a_second_that_has_begun_counts(prices: Prices) -> None:
    jobs = [processing("Completed", 0, end) for end in (411.02, 412)]
    first, second = (actual.processing_items("QueryMetadata", job, prices, LATER) for job in jobs)
    assert first == second


def test_all_instances_of_a_processing_job_are_billed(prices: Prices) -> None:
    job = processing("Completed", 10, 910, InstanceCount=4, InstanceType="ml.c5.4xlarge", VolumeSizeInGB=30)
    items = actual.processing_items("ShardImages", job, prices, LATER)
    # 4 * 900 s = 1 h: 0.816; 4 * 30 GB * 900 s / 3600 / 730 * 0.10 = 0.0041
    assert [item.what for item in items] == ["4 x ml.c5.4xlarge", "volumes"]
    assert usd(*items) == "0.8201"


@pytest.mark.parametrize(
    ("status", "start", "end", "hours", "note"),
    [
        ("Failed", 0, 360, "0.1", "failed"),
        ("Stopped", None, 50, "0", "stopped before it started"),
        ("InProgress", 0, None, "24", "so far"),
        ("InProgress", None, None, "0", "waits for instances"),
    ],
)
def test_a_job_is_billed_for_its_seconds_however_it_ended(
    prices: Prices, status: str, start: int | None, end: int | None, hours: str, note: str
) -> None:
    [item, *_] = actual.processing_items("ShardImages", processing(status, start, end), prices, LATER)
    assert (item.quantity, item.note) == (Range.of(hours), note)


def test_a_spot_job_costs_the_billable_seconds_of_each_instance(prices: Prices) -> None:
    resources = {"InstanceCount": 2, "InstanceType": "ml.g5.2xlarge", "VolumeSizeInGB": 100}
    items = actual.training_items("trial 1", training("Completed", 5000, 1500, ResourceConfig=resources), prices, LATER)
    # 2 * 1500 s / 3600 * 1.515 = 1.2625. A g5 has disks of its own.
    assert (usd(*items), items[0].note) == ("1.2625", "spot saved 70%")


def test_a_stopped_trial_costs_its_seconds(prices: Prices) -> None:
    [item] = actual.training_items("trial 3", training("Stopped", 720, 720, spot=False), prices, LATER)
    # 0.2 h * 1.515
    assert (usd(item), item.note) == ("0.3030", "stopped")


def test_a_trial_that_runs_is_billed_in_full_so_far(prices: Prices) -> None:
    job = training("InProgress", None, None, TrainingStartTime=START)
    [item] = actual.training_items("trial 1", job, prices, START + timedelta(seconds=1800))
    assert (usd(item), item.note) == ("0.7575", "so far")


def test_a_trial_that_waits_for_spot_capacity_costs_nothing_yet(prices: Prices) -> None:
    [item] = actual.training_items("trial 1", training("InProgress", None, None), prices, LATER)
    assert (usd(item), item.note) == ("0.0000", "waits for instances")


def test_training_pays_for_the_volumes_of_types_without_disks(prices: Prices) -> None:
    resources = {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 100}
    job = training("Completed", 3650, 3650, spot=False, ResourceConfig=resources)
    # 2 * 3650 s / 3600 * 0.115 = 0.233194; 100 GB * 2 * 3650 s / 3600 / 730 * 0.14 = 0.038889
    assert amounts(actual.training_items("trial 1", job, prices, LATER)) == ["0.233194", "0.038889"]


def test_queries_are_billed_per_megabyte_ten_at_least_and_those_that_scan_nothing_are_free(prices: Prices) -> None:
    megabyte, terabyte = 10**6, 10**12
    item = actual.queries_item("QueryMetadata", [0, 1, 10 * megabyte + 1, terabyte], prices)
    assert item.what == "Athena, 3 queries"
    # 10 MB + 11 MB + 1 TB
    assert item.quantity == Range.of(Decimal(21) / 10**6 + 1)
    assert amounts([item]) == ["5.000105"]


def test_a_type_without_a_price_has_no_amount(prices: Prices) -> None:
    job = processing("Completed", 0, 60, InstanceType="ml.r5.4xlarge")
    bill = Bill(tuple(actual.processing_items("ShardImages", job, prices, LATER)))
    assert bill.items[0].usd is None
    [line] = bill.missing
    assert line.startswith("no price for ml.r5.4xlarge in us-east-1")


@given(seconds=st.lists(st.integers(0, 10**6), min_size=1, max_size=6), count=st.integers(1, 50))
def test_jobs_in_parts_cost_the_same_as_one_job(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], count: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "parts.yaml"
    path.write_text(PRICES)
    prices, machines = Prices(path, "us-east-1"), Machines("ml.m5.large", count, 50)

    def cost(duration: int) -> Decimal:
        return Bill(tuple(prices.job_items("trial", machines, "training_volume", Range.of(duration)))).total.low

    assert abs(sum(map(cost, seconds)) - cost(sum(seconds))) < Decimal("1e-15")


class Account:
    """The run's steps, and the answers of SageMaker and S3 about its jobs."""

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

    def cost(self, settings: Settings, prices: Prices) -> Cost:
        """The cost of the run; all answers have to be asked for."""
        sagemaker, s3 = self.stubbers.values()
        with sagemaker, s3:
            cost = actual.read(settings, "latest", prices, NOW)
        sagemaker.assert_no_pending_responses()
        s3.assert_no_pending_responses()
        return cost

    def summary(self, body: bytes) -> None:
        self.stubbers["s3"].add_response(
            "get_object",
            {"Body": StreamingBody(io.BytesIO(body), len(body))},
            {"Bucket": "bins", "Key": "runs/run1/query/summary/query.json"},
        )


def outputs(answer: dict[str, Any]) -> dict[str, Any]:
    """A query job's description with the place of its summary."""
    s3 = {"S3Uri": "s3://bins/runs/run1/query/summary", "LocalPath": "/opt/ml/x", "S3UploadMode": "EndOfJob"}
    return {**answer, "ProcessingOutputConfig": {"Outputs": [{"OutputName": "summary", "S3Output": s3}]}}


@pytest.fixture
def account(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(actual, "client", lambda settings, name: account.clients[name])
    # The stub has its answers in one order.
    monkeypatch.setattr(parallel, "THREADS", 1)

    def run() -> Execution:
        return Execution(RUN, account.status, START)

    monkeypatch.setattr(executions, "resolve", lambda settings, reference: run())
    monkeypatch.setattr(
        progress, "read", lambda settings, arn: Progress(run(), tuple(account.steps), tuple(account.trials))
    )
    return account


def lines(cost: Cost) -> list[tuple[str, str, str, str]]:
    """Part, what, amount to a ten-thousandth, and note of each line."""
    return [(item.part, item.what, f"{item.usd.low:.4f}" if item.usd else "?", item.note) for item in cost.bill.items]


def test_a_run_costs_what_its_jobs_and_its_queries_cost(account: Account, settings: Settings, prices: Prices) -> None:
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
    assert cost.notes == ()


def test_a_training_step_costs_its_job(account: Account, settings: Settings, prices: Prices) -> None:
    account.step("Train", "TrainingJob", job="trial-1")
    account.trial(training("Completed", 3600, 3600, spot=False))
    assert lines(account.cost(settings, prices)) == [("Train", "ml.g5.2xlarge", "1.5150", "")]


def test_a_cached_step_costs_nothing_and_its_job_is_not_asked_for(
    account: Account, settings: Settings, prices: Prices
) -> None:
    account.step("ShardImages", "ProcessingJob", cached_from=f"{PREFIX}:pipeline/bins/execution/run0")
    account.step("TuneModel", "TuningJob", cached_from=f"{PREFIX}:pipeline/bins/execution/run0")
    cost = account.cost(settings, prices)
    assert lines(cost) == [
        ("ShardImages", "", "0.0000", "cached from run run0: free"),
        ("TuneModel", "", "0.0000", "cached from run run0: free"),
    ]
    assert cost.bill.total.high == 0


def test_a_run_that_goes_on_is_billed_so_far(account: Account, settings: Settings, prices: Prices) -> None:
    account.status = "Executing"
    account.step("QueryMetadata", "ProcessingJob", status="Executing")
    # Since five of the six hours.
    account.process(processing("InProgress", 5 * 3600, None, InstanceType="ml.g5.2xlarge"))
    account.step("ShardImages", status="Waiting", attempts=0)
    assert lines(account.cost(settings, prices)) == [("QueryMetadata", "ml.g5.2xlarge", "1.5150", "so far")]


@pytest.mark.parametrize("body", [b"{}", b"not json"])
def test_a_summary_that_cannot_be_read_leaves_the_queries_out_with_a_note(
    account: Account, settings: Settings, prices: Prices, body: bytes
) -> None:
    account.step("QueryMetadata", "ProcessingJob", status="Failed")
    account.process(outputs(processing("Failed", 0, 3600, InstanceType="ml.g5.2xlarge")))
    account.summary(body)
    cost = account.cost(settings, prices)
    assert lines(cost) == [("QueryMetadata", "ml.g5.2xlarge", "1.5150", "failed")]
    assert cost.notes == ("QueryMetadata left no query.json: the bytes that Athena scanned are unknown",)


def test_a_job_that_was_deleted_is_left_out_and_noted(account: Account, settings: Settings, prices: Prices) -> None:
    account.step("ShardImages", "ProcessingJob")
    account.stubbers["sagemaker"].add_client_error(
        "describe_processing_job", "ValidationException", "Could not find requested job with name: job"
    )
    cost = account.cost(settings, prices)
    assert lines(cost) == []
    assert cost.notes == ("ShardImages: its job no longer exists and is not included",)


def test_earlier_attempts_are_not_counted_and_noted(account: Account, settings: Settings, prices: Prices) -> None:
    account.step("ShardImages", "ProcessingJob", attempts=2)
    account.process(processing("Completed", 0, 60))
    assert account.cost(settings, prices).notes == (
        "ShardImages is at attempt 2: jobs of earlier attempts are not included",
    )


def test_the_type_is_the_jobs_not_the_settings(account: Account, settings: Settings, prices: Prices) -> None:
    assert settings.shard.instance_type == "ml.c5.4xlarge"
    account.step("ShardImages", "ProcessingJob")
    account.process(processing("Completed", 0, 3600, InstanceType="ml.g5.2xlarge", InstanceCount=2))
    assert lines(account.cost(settings, prices)) == [("ShardImages", "2 x ml.g5.2xlarge", "3.0300", "")]
