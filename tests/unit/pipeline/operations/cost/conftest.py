"""Prices that never change, so that a bill can be worked out by hand."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.operations.cost.prices import FilePrices

PRICES = """\
version: 1
regions:
  us-east-1:
    instances:
      - usages: [processing, training, hosting, transform]
        source: https://aws.example/sagemaker
        date: 2026-09-25
        confirmed: true
        usd: {ml.m5.xlarge: 0.23, ml.c5.4xlarge: 0.816, ml.g5.2xlarge: 1.515, ml.c5.xlarge: 0.204, ml.m5.2xlarge: 0.461}
      - usages: [processing, training]
        source: https://aws.example/other
        date: 2026-10-01
        confirmed: false
        usd: {ml.m5.large: 0.115}
    services:
      training_volume: &read {usd: 0.14, source: "https://aws.example/services", date: 2026-09-25, confirmed: true}
      processing_volume: {<<: *read, usd: 0.1}
      hosting_data: {<<: *read, usd: 0.016}
      serverless_inference: {<<: *read, usd: 0.00002}
      athena_scan: {<<: *read, usd: 5}
      s3_storage: {<<: *read, usd: 0.023}
      s3_put: {<<: *read, usd: 0.005}
      s3_get: {<<: *read, usd: 0.0004}
"""


@functools.cache
def stubbed(service: str) -> Any:
    """A client to be stubbed, one for all tests: reading a service's model takes longer than they do."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.Session().client(service, region_name="us-east-1", **keys)


@pytest.fixture
def price_file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return path


@pytest.fixture
def prices(price_file: Path) -> FilePrices:
    return FilePrices(price_file, "us-east-1")
