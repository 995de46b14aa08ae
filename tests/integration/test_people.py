"""What each kind of person may do: each tries it with credentials of their own, through boto3 and the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.connection import SESSION_KEYS
from pipeline.definition import compile_definition
from pipeline.operations.account import people
from pipeline.operations.account.people import Person
from pipeline.settings import Settings
from tests.integration.test_deployments import GOOD, Registry
from tests.integration.test_deployments import registry as registry  # a fixture  # noqa: PLC0414

DENIED = ("AccessDeniedException", "AccessDenied", "403")
PLACE = "us-east-1:123456789012"
SAGEMAKER = f"arn:aws:sagemaker:{PLACE}"
Signed = Callable[[Person, str], Any]


@pytest.fixture
def signed(registry: Registry) -> Iterator[Signed]:
    """Clients of a kind of person; the environment is as before in the end."""
    before = {name: os.environ.get(name) for name in SESSION_KEYS}

    def client(person: Person, service: str) -> Any:
        keys = people.sign_in(registry.settings, person)
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return boto3.Session(**dict(zip(names, keys.values(), strict=True))).client(service)

    yield client
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    boto3.setup_default_session()


@pytest.fixture
def command(registry: Registry, tmp_path: Path, signed: Signed) -> Callable[..., Any]:
    """The command line as a kind of person."""
    file = tmp_path / "pipeline.yaml"
    values = registry.settings.model_dump(mode="json", exclude_defaults=True)
    file.write_text(yaml.safe_dump({**values, "profiles": {"local": {}}}))

    def run(person: Person, *arguments: str) -> Any:
        # Keys in the environment of the command alone.
        keys = people.sign_in(registry.settings, person)
        result = CliRunner().invoke(app, ["--settings", str(file), *arguments], env=keys)
        boto3.setup_default_session()
        return result

    return run


def refused(call: Callable[..., Any], **request: Any) -> str:
    """The message of a call that policies refuse."""
    with pytest.raises(ClientError) as error:
        call(**request)
    assert error.value.response["Error"]["Code"] in DENIED, error.value
    return str(error.value.response["Error"]["Message"])


def refused_by_command_line(settings: Settings, person: Person, *arguments: str) -> None:
    """AWS's own command line with the person's keys is refused too."""
    command = Path(sys.executable).with_name("aws")
    environment = {**os.environ, **people.sign_in(settings, person)}
    done = subprocess.run([str(command), *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0, done.stdout
    assert "AccessDenied" in done.stderr


def test_an_approver_approves_waits_and_does_nothing_else(
    registry: Registry, signed: Signed, command: Callable[..., Any]
) -> None:
    arn = registry.register(GOOD, golden=GOOD)
    approved = command("approver", "approve", "latest", "--wait")
    assert approved.exit_code == 0, approved.output
    assert registry.tags()["verdict"] == "accepted"

    settings, sagemaker = registry.settings, signed("approver", "sagemaker")
    bucket, endpoint = settings.data.bucket, registry.endpoint
    message = refused(sagemaker.start_pipeline_execution, PipelineName=settings.name)
    assert f"assumed-role/{settings.name}-person-approver/approver is not authorized" in message
    refused(sagemaker.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="PendingManualApproval")
    refused(sagemaker.update_model_package, ModelPackageArn=arn, CustomerMetadataProperties={"a": "b"})
    refused(sagemaker.delete_model_package, ModelPackageName=arn)
    refused(sagemaker.delete_endpoint, EndpointName=endpoint)
    refused(sagemaker.list_pipelines)
    refused(signed("approver", "s3").put_object, Bucket=bucket, Key=f"{settings.data.prefix}/models/x", Body=b"")
    refused(signed("approver", "lambda").invoke, FunctionName=settings.deploy_function, Payload=b"{}")
    refused(signed("approver", "sagemaker-runtime").invoke_endpoint, EndpointName=endpoint, Body=b"a photo")
    refused(signed("approver", "iam").list_roles)
    start = ("sagemaker", "start-pipeline-execution", "--pipeline-name", settings.name)
    refused_by_command_line(settings, "approver", *start)


def test_an_operator_neither_approves_nor_changes_a_version_or_what_is_served(
    registry: Registry, signed: Signed
) -> None:
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    pending = registry.register(GOOD, golden=GOOD)
    settings, sagemaker = registry.settings, signed("operator", "sagemaker")
    package = sagemaker.describe_model_package(ModelPackageName=pending)
    specification = package["InferenceSpecification"]
    for status in ("Approved", "Rejected"):
        change = {"ModelApprovalStatus": status, "InferenceSpecification": specification}
        refused(sagemaker.update_model_package, ModelPackageArn=pending, **change)
    refused(sagemaker.update_model_package, ModelPackageArn=pending, CustomerMetadataProperties={"a": "b"})
    refused(
        sagemaker.create_model_package,
        ModelPackageGroupName=settings.registry.group,
        InferenceSpecification=specification,
        ModelApprovalStatus="Approved",
    )
    # Neither by the endpoint, nor by the model's data or the photos that it is tested with.
    config = registry.describe()["EndpointConfigName"]
    refused(sagemaker.update_endpoint, EndpointName=registry.endpoint, EndpointConfigName=config)
    refused(sagemaker.delete_endpoint, EndpointName=registry.endpoint)
    s3, bucket = signed("operator", "s3"), settings.data.bucket
    data = specification["Containers"][0]["ModelDataUrl"].split(f"{bucket}/", 1)[1]
    golden = package["CustomerMetadataProperties"]["golden_photos"].split(f"{bucket}/", 1)[1]
    for key in (data, golden, f"{settings.data.prefix}/released/1/model.tar.gz"):
        refused(s3.put_object, Bucket=bucket, Key=key, Body=b"")
        refused(s3.delete_object, Bucket=bucket, Key=key)
    # Nor by code that runs as a role which may.
    job = {
        "ProcessingJobName": f"{settings.name}-monitor-x",
        "AppSpecification": {"ImageUri": registry.image},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
        },
    }
    for role in ("job", "serving", "pipeline", "deploy"):
        assert "iam:PassRole" in refused(sagemaker.create_processing_job, RoleArn=settings.role_arn(role), **job)
    text = compile_definition(settings)
    role = settings.role_arn("pipeline")
    refused(sagemaker.update_pipeline, PipelineName=settings.name, PipelineDefinition=text, RoleArn=role)
    function = signed("operator", "lambda")
    refused(function.update_function_code, FunctionName=settings.deploy_function, ZipFile=b"")
    approve = ("--model-package-arn", pending, "--model-approval-status", "Approved")
    refused_by_command_line(settings, "operator", "sagemaker", "update-model-package", *approve)
    refused(signed("operator", "iam").attach_role_policy, RoleName="r", PolicyArn=f"arn:aws:iam::{PLACE}:policy/p")


def test_an_approver_rolls_back_and_an_operator_cannot(
    registry: Registry, signed: Signed, command: Callable[..., Any]
) -> None:
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    second = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(second, "accepted")
    settings, event = registry.settings, f'{{"model_package_arn": "{first}"}}'.encode()
    refused(signed("operator", "lambda").invoke, FunctionName=settings.rollback_function, Payload=event)
    attempt = command("operator", "rollback", "--yes")
    assert (attempt.exit_code, "lambda:InvokeFunction" in attempt.output) == (1, True), attempt.output
    again = command("operator", "deploy", "1")
    assert "superseded: version 2 is approved too, and newer" in again.output
    assert registry.tags()["model-package-version"] == "2"
    done = command("approver", "rollback", "--yes", "-m", "it counts boxes")
    assert done.exit_code == 0, done.output
    assert f"{registry.endpoint} is InService with version 1" in done.output


def test_continuous_integration_upserts_and_approves_nothing(
    registry: Registry, signed: Signed, command: Callable[..., Any]
) -> None:
    upserted = command("ci", "upsert")
    assert upserted.exit_code == 0, upserted.output
    pending = registry.register(GOOD, golden=GOOD)
    settings, sagemaker = registry.settings, signed("ci", "sagemaker")
    refused(sagemaker.update_model_package, ModelPackageArn=pending, ModelApprovalStatus="Approved")
    refused(
        sagemaker.create_model_package,
        ModelPackageGroupName=settings.registry.group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": registry.image}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    refused(sagemaker.start_pipeline_execution, PipelineName=settings.name)
    refused(signed("ci", "lambda").invoke, FunctionName=settings.deploy_function, Payload=b"{}")
    refused(signed("ci", "s3").put_object, Bucket=settings.data.bucket, Key="x", Body=b"")
    approve = ("--model-package-arn", pending, "--model-approval-status", "Approved")
    refused_by_command_line(settings, "ci", "sagemaker", "update-model-package", *approve)


def test_a_person_whose_session_has_ended_is_told_how_to_sign_in(
    registry: Registry, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "SESSION_SECONDS", -1)
    ended = command("operator", "runs")
    assert (ended.exit_code, "local env --as" in ended.output) == (1, True), ended.output


def test_a_role_outlives_a_restart_of_its_cloud(registry: Registry, signed: Signed) -> None:
    from pipeline.local import cloud

    sagemaker = signed("operator", "sagemaker")
    settings = registry.cloud.settings  # type: ignore[attr-defined]
    cloud.down(settings.directory)
    cloud.up(settings.directory, settings.account_id, settings.region)
    # The roles of people belong to no stack; their sessions go on.
    refused(
        sagemaker.create_pipeline, PipelineName="x", PipelineDefinition="{}", RoleArn=registry.settings.role_arn("job")
    )
    listed = sagemaker.list_model_packages(ModelPackageGroupName=registry.settings.registry.group)
    assert listed["ModelPackageSummaryList"] == []
