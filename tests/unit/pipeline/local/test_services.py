"""Kind: a request that the policies decide as one resource or action, and that is answered as another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend

from pipeline.local.context import Context, ServiceError
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.policies import Principal
from pipeline.local.services import Services
from pipeline.local.store import Store

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/person"
PERSON = Caller(Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/person/me", ROLE))
SM = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
OTHER_REGION = f"arn:aws:sagemaker:us-west-2:{ACCOUNT}"
ELSEWHERE = "arn:aws:sagemaker:us-west-2:999999999999"
TOKEN = "a-token-of-thirty-two-characters-"
OUTPUT = {"ResultConfiguration": {"OutputLocation": "s3://bucket/results/"}}
FAIL = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}
DEFINITION = json.dumps({"Version": "2020-12-01", "Steps": [FAIL]})


class Cloud:
    """The services, without a server, for a role that may do everything but what is denied."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._iam: Any = get_backend("iam")[ACCOUNT]["aws"]
        self._iam.create_role("person", json.dumps({"Version": "2012-10-17", "Statement": []}), "/", None, "", [], 3600)

    def deny(self, *actions: str, resource: str = "*") -> None:
        allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        denied = {"Effect": "Deny", "Action": list(actions), "Resource": resource}
        document = {"Version": "2012-10-17", "Statement": [allowed, denied]}
        self._iam.put_role_policy("person", "all-but", json.dumps(document))
        self.services.identity.authorizer.changed()

    def root(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        return self.services.call(service, operation, request, self.services.identity.root)

    def refusal(self, service: str, operation: str, **request: Any) -> str:
        """Code of the refusal of the role's request."""
        with pytest.raises(ServiceError) as refused:
            self.services.call(service, operation, request, PERSON)
        return refused.value.code


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    environment = {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    services = Services(Context(tmp_path, ACCOUNT, "us-east-1", Store(tmp_path / "s"), environment))
    opened = Cloud(services)
    yield opened
    services.close()
    get_backend("iam").reset()


def test_sql_about_prepared_statements_needs_the_permission_of_its_operation(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena-prepared-statements.html."""
    cloud.root(
        "athena", "CreatePreparedStatement", StatementName="mine", WorkGroup="primary", QueryStatement="SELECT 1"
    )
    for action, text in [
        ("Create", "PREPARE other FROM SELECT 2"),
        ("Update", "PREPARE mine FROM SELECT 2"),
        ("Get", "EXECUTE mine"),
        ("Delete", "deallocate  prepare mine;"),
    ]:
        cloud.deny(f"athena:{action}PreparedStatement")
        assert cloud.refusal("athena", "StartQueryExecution", QueryString=text, **OUTPUT) == "AccessDeniedException"
    group = {"WorkGroup": "primary"}
    (left,) = cloud.root("athena", "ListPreparedStatements", **group)["PreparedStatements"]
    assert left["StatementName"] == "mine"
    described = cloud.root("athena", "GetPreparedStatement", StatementName="mine", **group)["PreparedStatement"]
    assert described["QueryStatement"] == "SELECT 1"


def test_a_prepared_statement_about_others_needs_their_permission_too(cloud: Cloud) -> None:
    for name, text in (("mine", "SELECT 1"), ("outer", "DEALLOCATE PREPARE mine")):
        cloud.root("athena", "CreatePreparedStatement", StatementName=name, WorkGroup="primary", QueryStatement=text)
    cloud.deny("athena:DeletePreparedStatement")
    refused = cloud.refusal("athena", "StartQueryExecution", QueryString="EXECUTE outer", **OUTPUT)
    assert refused == "AccessDeniedException"


@pytest.mark.parametrize(
    "arn", [f"{SM}:pipeline/mine/Secret", f"{OTHER_REGION}:pipeline/Secret", f"{ELSEWHERE}:pipeline/Secret"]
)
def test_a_pipeline_goes_by_its_whole_arn(cloud: Cloud, arn: str) -> None:
    request = {"PipelineName": "Secret", "PipelineDefinition": DEFINITION, "RoleArn": ROLE}
    cloud.root("sagemaker", "CreatePipeline", ClientRequestToken=TOKEN, **request)
    cloud.deny("sagemaker:*", resource=f"{SM}:pipeline/Secret")
    # Another account's is not the caller's to ask for.
    codes = ("ResourceNotFound", "AccessDeniedException", "ValidationException")
    assert cloud.refusal("sagemaker", "DescribePipeline", PipelineName=arn) in codes
    assert cloud.refusal("sagemaker", "DeletePipeline", PipelineName=arn, ClientRequestToken=TOKEN) in codes
    assert cloud.refusal("sagemaker", "UpdatePipelineVersion", PipelineArn=arn, PipelineVersionId=1) in codes
    for own in ("Secret", f"{SM}:pipeline/Secret", f"{SM}:pipeline/secret"):
        assert cloud.root("sagemaker", "DescribePipeline", PipelineName=own)["PipelineName"] == "Secret"


@pytest.mark.parametrize("place", [ELSEWHERE, OTHER_REGION])
def test_a_group_and_a_version_go_by_their_whole_arns(cloud: Cloud, place: str) -> None:
    group = {"ModelPackageGroupName": f"{place}:model-package-group/secret"}
    cloud.root("sagemaker", "CreateModelPackageGroup", ModelPackageGroupName="secret")
    version = {"ModelPackageArn": f"{SM}:model-package/secret/1", "ModelPackageName": "secret/1"}
    cloud.services.context.store.create("model-package", "secret/1", {**version, "ModelPackageGroupName": "secret"})
    cloud.deny("sagemaker:*", resource=f"{SM}:model-package*/secret*")
    for operation in ("DescribeModelPackageGroup", "DeleteModelPackageGroup", "ListModelPackages"):
        assert cloud.refusal("sagemaker", operation, **group) in ("AccessDeniedException", "ValidationException")
    for operation, member in [
        ("DescribeModelPackage", "ModelPackageName"),
        ("UpdateModelPackage", "ModelPackageArn"),
        ("DeleteModelPackage", "ModelPackageName"),
    ]:
        request = {member: f"{place}:model-package/secret/1"}
        assert cloud.refusal("sagemaker", operation, **request) in ("AccessDeniedException", "ValidationException")
    assert cloud.services.context.store.get("model-package", "secret/1") is not None


def test_versions_are_listed_and_registered_by_the_arn_of_their_group(cloud: Cloud) -> None:
    arn = cloud.root("sagemaker", "CreateModelPackageGroup", ModelPackageGroupName="bins")["ModelPackageGroupArn"]
    created = cloud.root("sagemaker", "CreateModelPackage", ModelPackageGroupName=arn)["ModelPackageArn"]
    listed = cloud.root("sagemaker", "ListModelPackages", ModelPackageGroupName=arn)["ModelPackageSummaryList"]
    assert [version["ModelPackageArn"] for version in listed] == [created] == [f"{SM}:model-package/bins/1"]
