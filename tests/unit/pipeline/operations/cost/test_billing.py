"""Bills of jobs as SageMaker describes them, worked out by hand.

Prices of an hour: ml.m5.xlarge 0.23, ml.c5.4xlarge 0.816, ml.g5.2xlarge 1.515, ml.m5.large 0.115. Volumes a GB and
month of 730 h: processing 0.10, training 0.14.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from pipeline.operations.cost import billing
from pipeline.operations.cost.money import Bill, Range
from pipeline.operations.cost.prices import FilePrices
from tests.unit.pipeline.operations.cost.conftest import PRICES, stubbed

START = datetime(2026, 11, 2, 3, 0, 0, tzinfo=UTC)
LATER = START + timedelta(days=1)
ARN = "arn:aws:sagemaker:us-east-1:111122223333"


def described(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, once botocore's model has accepted it as one of the service."""
    client = stubbed("sagemaker")
    with Stubber(client) as stubber:
        stubber.add_response(operation, answer)
        name = {"describe_processing_job": "ProcessingJobName", "describe_training_job": "TrainingJobName"}
        found: dict[str, Any] = getattr(client, operation)(**{name.get(operation, "TransformJobName"): "job"})
    return found


def processing(status: str, start: float | None, end: float | None, **cluster: Any) -> dict[str, Any]:
    """DescribeProcessingJob's answer; times in seconds after START."""
    times = {"ProcessingStartTime": start, "ProcessingEndTime": end}
    return described(
        "describe_processing_job",
        {
            "ProcessingJobName": "job",
            "ProcessingJobArn": f"{ARN}:processing-job/job",
            "ProcessingJobStatus": status,
            "CreationTime": START - timedelta(minutes=3),
            "AppSpecification": {"ImageUri": "image"},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.xlarge",
                    "VolumeSizeInGB": 30,
                    **cluster,
                }
            },
            **{name: START + timedelta(seconds=at) for name, at in times.items() if at is not None},
        },
    )


def training(status: str, trained: int | None, billable: int | None, *, spot: bool = True, **more: Any) -> Any:
    """DescribeTrainingJob's answer."""
    seconds = {"TrainingTimeInSeconds": trained, "BillableTimeInSeconds": billable}
    return described(
        "describe_training_job",
        {
            "TrainingJobName": "job",
            "TrainingJobArn": f"{ARN}:training-job/job",
            "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
            "TrainingJobStatus": status,
            "SecondaryStatus": "Completed",
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.g5.2xlarge", "VolumeSizeInGB": 100},
            "StoppingCondition": {},
            "CreationTime": START - timedelta(minutes=3),
            "EnableManagedSpotTraining": spot,
            **{name: value for name, value in seconds.items() if value is not None},
            **more,
        },
    )


def cents(prices: FilePrices, *jobs: billing.Job) -> str:
    """The jobs' total in USD to a ten-thousandth."""
    found = Bill(tuple(item for job in jobs for item in job.items(prices))).total
    assert found.known
    return f"{found.low:.4f}"


def test_a_processing_job_costs_its_seconds_and_its_volume(prices: FilePrices) -> None:
    job = billing.processing("QueryMetadata", processing("Completed", 0, 412.0), LATER)
    # 412 s / 3600 * 0.23 = 0.026322; 30 GB * 412 s / 3600 / 730 * 0.10 = 0.000470
    assert (job.seconds, job.note) == (412, "")
    assert [f"{item.usd.low:.6f}" for item in job.items(prices) if item.usd] == ["0.026322", "0.000470"]


def test_a_second_that_has_begun_counts(prices: FilePrices) -> None:
    assert billing.processing("QueryMetadata", processing("Completed", 0, 411.02), LATER).seconds == 412


def test_all_instances_of_a_processing_job_are_billed(prices: FilePrices) -> None:
    answer = processing("Completed", 10, 910, InstanceCount=4, InstanceType="ml.c5.4xlarge", VolumeSizeInGB=30)
    job = billing.processing("ShardImages", answer, LATER)
    # 4 * 900 s = 1 h: 0.816; 4 * 30 GB * 900 s / 3600 / 730 * 0.10 = 0.0041
    assert [item.what for item in job.items(prices)] == ["4 x ml.c5.4xlarge", "volumes"]
    assert cents(prices, job) == "0.8201"


def test_a_job_that_failed_is_billed_for_its_seconds(prices: FilePrices) -> None:
    job = billing.processing("ShardImages", processing("Failed", 0, 360), LATER)
    assert (job.seconds, job.note) == (360, "failed")


def test_a_job_that_never_started_costs_nothing(prices: FilePrices) -> None:
    job = billing.processing("ShardImages", processing("Stopped", None, 50), LATER)
    assert (job.seconds, job.note) == (0, "stopped before it started")
    assert cents(prices, job) == "0.0000"


def test_a_job_that_runs_is_billed_so_far(prices: FilePrices) -> None:
    now = START + timedelta(seconds=90)
    job = billing.processing("EvaluateModel", processing("InProgress", 0, None), now)
    assert (job.seconds, job.note) == (90, "so far")
    waiting = billing.processing("EvaluateModel", processing("InProgress", None, None), now)
    assert (waiting.seconds, waiting.note) == (0, "waits for instances")


def test_a_spot_job_costs_what_is_billable_of_each_instance_and_says_what_it_saved(prices: FilePrices) -> None:
    resources = {"InstanceCount": 2, "InstanceType": "ml.g5.2xlarge", "VolumeSizeInGB": 100}
    [job] = billing.training("trial 1", training("Completed", 5000, 1500, ResourceConfig=resources), LATER)
    # 2 * 1500 s / 3600 * 1.515 = 1.2625; saved 2 * 3500 s / 3600 * 1.515 = 2.945833. A g5 brings its own disks.
    assert cents(prices, job) == "1.2625"
    assert f"{job.saved(prices):.6f}" == "2.945833"
    assert job.note == "spot saved 70%"


def test_a_stopped_trial_costs_what_it_ran(prices: FilePrices) -> None:
    [job] = billing.training("trial 3", training("Stopped", 720, 720, spot=False), LATER)
    # 0.2 h * 1.515
    assert (cents(prices, job), job.note) == ("0.3030", "stopped")
    assert job.saved(prices) == 0


def test_a_trial_that_runs_is_billed_in_full_so_far(prices: FilePrices) -> None:
    answer = training("InProgress", None, None, TrainingStartTime=START)
    [job] = billing.training("trial 1", answer, START + timedelta(seconds=1800))
    assert (cents(prices, job), job.note) == ("0.7575", "so far")


def test_a_trial_that_waits_for_spot_capacity_costs_nothing_yet(prices: FilePrices) -> None:
    [job] = billing.training("trial 1", training("InProgress", None, None), LATER)
    assert (job.seconds, job.note) == (0, "waits for instances")


def test_training_pays_for_the_volumes_of_types_without_disks(prices: FilePrices) -> None:
    resources = {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 100}
    [job] = billing.training("trial 1", training("Completed", 3650, 3650, spot=False, ResourceConfig=resources), LATER)
    # 2 * 3650 s / 3600 * 0.115 = 0.233194; 100 GB * 2 * 3650 s / 3600 / 730 * 0.14 = 0.038889
    assert [f"{item.usd.low:.6f}" for item in job.items(prices) if item.usd] == ["0.233194", "0.038889"]


def test_each_group_of_instances_has_its_own_price(prices: FilePrices) -> None:
    groups = [
        {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 1, "InstanceGroupName": "gpu"},
        {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "InstanceGroupName": "cpu"},
    ]
    resources = {"VolumeSizeInGB": 0, "InstanceGroups": groups}
    answer = training("Completed", 3600, 3600, spot=False)
    jobs = billing.training("trial 1", {**answer, "ResourceConfig": resources}, LATER)
    assert cents(prices, *jobs) == "1.9750"


def test_a_batch_transform_job_costs_its_instances(prices: FilePrices) -> None:
    answer = described(
        "describe_transform_job",
        {
            "TransformJobName": "job",
            "TransformJobArn": f"{ARN}:transform-job/job",
            "TransformJobStatus": "Completed",
            "ModelName": "model",
            "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p"}}},
            "TransformResources": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 3},
            "CreationTime": START,
            "TransformStartTime": START,
            "TransformEndTime": START + timedelta(seconds=1200),
        },
    )
    # 3 * 1200 s = 1 h
    assert cents(prices, billing.transform("batch", answer, LATER)) == "0.2040"


def test_queries_are_billed_by_the_megabyte_ten_at_least_and_those_that_scan_nothing_are_free(
    prices: FilePrices,
) -> None:
    megabyte, terabyte = 10**6, 10**12
    found = billing.queries("QueryMetadata", [0, 1, 10 * megabyte + 1, terabyte], prices)
    assert found.what == "Athena, 3 queries"
    # 10 MB + 11 MB + 1 TB
    assert found.quantity == Range.of(Decimal(21) / 10**6 + 1)
    assert found.usd is not None
    assert f"{found.usd.low:.6f}" == "5.000105"


def test_what_came_from_the_cache_costs_nothing_and_says_why() -> None:
    item = billing.free("TuneModel", "cached from run run0: nothing")
    assert (item.usd, item.note) == (Range.of(0), "cached from run run0: nothing")


def test_a_type_without_a_price_has_no_amount(prices: FilePrices) -> None:
    job = billing.processing("ShardImages", processing("Completed", 0, 60, InstanceType="ml.r5.4xlarge"), LATER)
    bill = Bill(tuple(job.items(prices)))
    assert bill.items[0].usd is None
    [line] = bill.missing
    assert line.startswith("no price for ml.r5.4xlarge in us-east-1 (processing)")
    assert job.saved(prices) == 0


@given(seconds=st.lists(st.integers(0, 10**6), min_size=1, max_size=6), count=st.integers(1, 50))
def test_what_is_run_in_parts_costs_what_it_costs_in_one(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], count: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "parts.yaml"
    path.write_text(PRICES)
    prices = FilePrices(path, "us-east-1")

    def usd(duration: int) -> Decimal:
        job = billing.Job("trial", "training", "ml.m5.large", count, 50, duration)
        return Bill(tuple(job.items(prices))).total.low

    assert abs(sum(map(usd, seconds)) - usd(sum(seconds))) < Decimal("1e-15")
