"""The managed policies in an account that enforces them (moto): who upserts, and who approves.

moto holds actions and resources of SageMaker's requests against a user's policies, once it is told the resources; of
conditions it knows nothing, so a statement under one refuses there. The policies are read with conditions elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core import enable_iam_authentication
from moto.sagemaker.responses import SageMakerResponse

from pipeline.operations import upsert as module
from pipeline.operations.models.registry import decide
from pipeline.operations.upsert import upsert
from pipeline.settings import Settings
from tests.unit.pipeline.account.needs import Account
from tests.unit.pipeline.account.stacks import PLAIN, Stack, settings

DEFINITION = {"Version": "2020-12-01", "Parameters": [], "Steps": []}
OTHER = PLAIN.model_copy(update={"name": "others"})
OTHER_GROUP = settings(registry={"group": "others"})


@pytest.fixture(autouse=True)
def resources(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell moto what requests are about; compiling the real definition takes a second and is tested by itself."""
    monkeypatch.setattr(module, "checked_definition", lambda settings, source: json.dumps(DEFINITION))
    monkeypatch.setattr(SageMakerResponse, "_determine_resource", _resource, raising=False)


def test_the_ci_policy_is_enough_to_upsert() -> None:
    with _user("CiPolicy"):
        first = upsert(PLAIN)
        assert (first.change, first.model_package_group) == ("created", "created")
        assert upsert(PLAIN, parallelism=2).change == "updated"
        assert upsert(PLAIN, parallelism=2).change == "unchanged"


@pytest.mark.parametrize("foreign", [OTHER, OTHER_GROUP])
def test_the_ci_policy_is_not_enough_for_another_pipeline(foreign: Settings) -> None:
    with _user("CiPolicy"), pytest.raises(ClientError, match="AccessDenied"):
        upsert(foreign)


def test_the_ci_policy_is_not_enough_to_approve() -> None:
    _register()
    with _user("CiPolicy"), pytest.raises(ClientError, match=r"AccessDenied.*UpdateModelPackage"):
        _approve()


def test_continuous_integration_does_not_approve_with_the_approver_s_policy_either() -> None:
    _register()
    with (
        _user("CiPolicy", "ApproverPolicy"),
        pytest.raises(ClientError, match=r"AccessDenied.*UpdateModelPackage"),
    ):
        _approve()


def test_an_approver_approves_and_upserts_nothing() -> None:
    _register()
    with _user("ApproverPolicy"):
        assert decide(PLAIN, "1", "Approved").status == "Approved"
        with pytest.raises(ClientError, match="AccessDenied"):
            upsert(PLAIN)


@contextmanager
def _user(*policies: str) -> Iterator[None]:
    """Be a user with these policies, less their conditions."""
    iam = boto3.client("iam", region_name="us-east-1")
    documents = Stack(PLAIN).documents()
    iam.create_user(UserName="somebody")
    for name in policies:
        statements = [{**one} for one in documents[name]["Statement"]]
        for one in statements:
            one.pop("Condition", None)
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName="somebody", PolicyName=name, PolicyDocument=document)
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    with pytest.MonkeyPatch.context() as patch:
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        patch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(**keys, region_name="us-east-1"))
        with enable_iam_authentication():
            yield


def _register() -> None:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    sagemaker.create_model_package_group(ModelPackageGroupName=PLAIN.registry.group)
    sagemaker.create_model_package(
        ModelPackageGroupName=PLAIN.registry.group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": f"{PLAIN.repository('inference')}:serve-1"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )


def _approve() -> None:
    boto3.client("sagemaker", region_name="us-east-1").update_model_package(
        ModelPackageArn=Account(PLAIN).arn("sagemaker", f"model-package/{PLAIN.registry.group}/1"),
        ModelApprovalStatus="Approved",
    )


def _resource(response: Any) -> str:
    """What a request is about, from its members."""
    members = json.loads(response.body)
    here = f"arn:aws:sagemaker:{response.region}:{response.current_account}"
    for member in ("ModelPackageArn", "ModelPackageName"):
        if member in members:
            return str(members[member])
    if "PipelineName" in members:
        return f"{here}:pipeline/{members['PipelineName']}"
    group = members["ModelPackageGroupName"]
    listing = response.headers["X-Amz-Target"].endswith("ListModelPackages")
    return f"{here}:model-package/{group}/1" if listing else f"{here}:model-package-group/{group}"
