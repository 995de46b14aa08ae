"""The account that the deploy function works in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest
from moto.sagemaker.responses import SageMakerResponse

from steps.deploy.settings import Clients
from tests.conftest import FOREIGN
from tests.unit.steps.deploy.account import ENDPOINT, GROUP, REGION, Account, Runtime


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in (*FOREIGN, "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    updates: list[dict[str, Any]] = []

    def update_endpoint(response: Any) -> str:
        """UpdateEndpoint, which moto has not: the change is under way until a test ends it."""
        wanted = json.loads(response.body)
        assert wanted["EndpointName"] == ENDPOINT
        updates.append(wanted)
        account.endpoint.endpoint_config_name = wanted["EndpointConfigName"]
        return json.dumps({"EndpointArn": account.endpoint.arn})

    monkeypatch.setattr(SageMakerResponse, "update_endpoint", update_endpoint, raising=False)
    with moto.mock_aws():
        aws = Clients.connect("real-time")
        account = Account(aws, updates)
        account.aws = dataclasses.replace(aws, runtime=Runtime(account))
        aws.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        aws.s3.create_bucket(Bucket="bins")
        aws.s3.put_bucket_versioning(Bucket="bins", VersioningConfiguration={"Status": "Enabled"})
        describe = aws.sagemaker.describe_model_package

        def describe_model_package(ModelPackageName: str) -> dict[str, Any]:
            """With the properties that moto drops."""
            described = describe(ModelPackageName=ModelPackageName)
            return {**described, "CustomerMetadataProperties": account.properties.get(ModelPackageName, {})}

        monkeypatch.setattr(aws.sagemaker, "describe_model_package", describe_model_package)
        yield account
