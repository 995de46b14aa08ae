"""Prices that never change, so that a bill can be worked out by hand, and jobs as SageMaker describes them.

Prices per hour: ml.m5.xlarge 0.23, ml.c5.4xlarge 0.816, ml.g5.2xlarge 1.515, ml.m5.large 0.115. Volumes per GB and
month of 730 h: processing 0.10, training 0.14.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.operations.cost.prices import Prices

PRICES = """\
version: 1
regions:
  us-east-1:
    instances:
      - source: https://aws.example/sagemaker
        date: 2026-09-25
        usd: {ml.m5.xlarge: 0.23, ml.c5.4xlarge: 0.816, ml.g5.2xlarge: 1.515, ml.c5.xlarge: 0.204, ml.m5.2xlarge: 0.461}
      - basis: the price of another region
        usd: {ml.m5.large: 0.115}
    services:
      training_volume: &read {usd: 0.14, source: "https://aws.example/services", date: 2026-09-25}
      processing_volume: {<<: *read, usd: 0.1}
      athena_scan: {<<: *read, usd: 5}
      s3_storage: {<<: *read, usd: 0.023}
      s3_get: {<<: *read, usd: 0.0004}
"""
START = datetime(2026, 11, 2, 3, 0, 0, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:111122223333"


@functools.cache
def stubbed(service: str) -> Any:
    """A client to be stubbed, shared by all tests: reading a service's model takes longer than a test."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.Session().client(service, region_name="us-east-1", **keys)


def described(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, checked against botocore's model of the service."""
    client = stubbed("sagemaker")
    with Stubber(client) as stubber:
        stubber.add_response(operation, answer)
        name = {"describe_processing_job": "ProcessingJobName", "describe_training_job": "TrainingJobName"}
        response: dict[str, Any] = getattr(client, operation)(**{name[operation]: "job"})
    return response


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


@pytest.fixture
def price_file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return path


@pytest.fixture
def prices(price_file: Path) -> Prices:
    return Prices(price_file, "us-east-1")
