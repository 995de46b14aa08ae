"""Every member of every request of the services with a table has its place there, and what is refused is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import ROOT
from pipeline.aws.validation.shapes import service_model
from pipeline.aws.validation.steps import REQUESTS
from pipeline.local import members
from pipeline.local.context import Context
from pipeline.local.identity.requirements import checks
from pipeline.local.services import Services
from pipeline.local.store import Store
from tests.unit.pipeline.local.identity.test_requirements import ACCOUNT, request_of

SERVICES = sorted(path.stem for path in Path(members.__file__).parent.glob("*.yaml"))


def paths(shape: Any, path: str = "", around: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """All paths of a shape, and whether they are leaves."""
    while shape.type_name == "list":
        shape = shape.member
    inner = shape.type_name == "structure" and shape.name not in around
    if path:
        yield path, not inner
    if inner:
        for name, member in shape.members.items():
            yield from paths(member, f"{path}.{name}" if path else name, (*around, shape.name))


def ancestors(path: str) -> list[str]:
    """A path and the paths of the structures around it."""
    parts = path.split(".")
    return [".".join(parts[: number + 1]) for number in range(len(parts))]


def operations() -> list[tuple[str, str]]:
    return [(service, operation) for service in SERVICES for operation in members.tables(service) or {}]


@pytest.mark.parametrize(("service", "operation"), operations())
def test_every_member_of_the_model_has_one_place(service: str, operation: str) -> None:
    table = (members.tables(service) or {})[operation]
    every = list(paths(service_model(service).operation_model(operation).input_shape))
    groups = (table.read, table.described, set(table.only), set(table.without_effect), table.refused)
    assert sum(map(len, groups)) == len(set().union(*groups)), "a member in two places"
    listed = set().union(*groups)
    assert sorted(listed - {path for path, _ in every}) == [], "not in botocore's model"
    missing = [path for path, leaf in every if leaf and not listed & set(ancestors(path))]
    assert missing == [], "no place in the table"
    twice = [path for path in listed if listed & set(ancestors(path)[:-1])]
    assert twice == [], "in the table with the structure around it"
    assert all(table.without_effect.values()), "a reason for each"


@pytest.mark.parametrize("service", SERVICES)
def test_the_values_that_exist_here_are_values_of_the_model(service: str) -> None:
    for operation, table in (members.tables(service) or {}).items():
        for path, values in table.only.items():
            shape = service_model(service).operation_model(operation).input_shape
            for name in path.split("."):
                while shape.type_name == "list":
                    shape = shape.member
                shape = shape.members[name]
            allowed = {False, True} if shape.type_name == "boolean" else set(shape.enum)
            assert set(values) < allowed, f"{operation} {path}"


def test_the_tables_are_those_of_the_operations_that_are_answered(tmp_path: Path) -> None:
    context = Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "s"), environment())
    services = Services(context)
    try:
        answered = {**services.table, "sagemaker-runtime": {"InvokeEndpoint": None}, "lambda": {"Invoke": None}}
        # Every service that answers here has a table, and cloudwatch, which is moto's, for what alarms may be.
        assert set(answered) | {"cloudwatch"} == {*SERVICES}
        # Moto stores rules and targets, which are fired here.
        stored = {"events": {"PutRule", "PutTargets"}}
        for service, operations_ in answered.items():
            assert set(members.tables(service) or {}) == set(operations_) | stored.get(service, set())
    finally:
        services.close()


def test_every_operation_that_is_answered_can_be_decided(tmp_path: Path) -> None:
    """The kind: an operation with a handler that the tables of permissions refuse before it is reached."""
    context = Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "s"), environment())
    services = Services(context)
    try:
        for service, operation in ((name, key) for name, table in services.table.items() for key in table):
            assert checks(service, operation, request_of(service, operation), ACCOUNT) or service == "sts"
    finally:
        services.close()


def environment() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    }


@pytest.mark.parametrize(
    ("operation", "request_", "named"),
    [
        ("StartPipelineExecution", {"PipelineName": "bins", "MlflowExperimentName": "x"}, "MlflowExperimentName of"),
        (
            "CreateTransformJob",
            {"TransformJobName": "j", "DataCaptureConfig": {"DestinationS3Uri": "s3://bucket/captures"}},
            "DataCaptureConfig of CreateTransformJob",
        ),
        (
            "CreateTransformJob",
            {"TransformJobName": "j", "TransformInput": {"SplitType": "RecordIO"}},
            "TransformInput.SplitType None or Line of CreateTransformJob only, not RecordIO",
        ),
        (
            "CreateHyperParameterTuningJob",
            {
                "HyperParameterTuningJobConfig": {
                    "ParameterRanges": {"AutoParameters": [{"Name": "rate", "ValueHint": "1"}]}
                }
            },
            "HyperParameterTuningJobConfig.ParameterRanges.AutoParameters of",
        ),
        (
            "CreateHyperParameterTuningJob",
            {"TrainingJobDefinition": {"OutputDataConfig": {"CompressionType": "NONE"}}},
            "TrainingJobDefinition.OutputDataConfig.CompressionType GZIP of",
        ),
        (
            "CreateHyperParameterTuningJob",
            {"HyperParameterTuningJobConfig": {"Strategy": "Grid"}},
            "Strategy Bayesian or Random or Hyperband of CreateHyperParameterTuningJob only, not Grid",
        ),
        (
            "CreateTrainingJob",
            {"InputDataConfig": [{"DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-0123456789abcdef0"}}}]},
            "InputDataConfig.DataSource.FileSystemDataSource of CreateTrainingJob",
        ),
        (
            "CreateTrainingJob",
            {"InputDataConfig": [{"DataSource": {"S3DataSource": {"S3DataType": "AugmentedManifestFile"}}}]},
            "S3DataType S3Prefix or ManifestFile of CreateTrainingJob only, not AugmentedManifestFile",
        ),
        (
            "CreateProcessingJob",
            {"ProcessingInputs": [{"S3Input": {"S3InputMode": "Pipe"}}]},
            "ProcessingInputs.S3Input.S3InputMode File of CreateProcessingJob only, not Pipe",
        ),
        (
            "UpdateEndpoint",
            {"DeploymentConfig": {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "LINEAR"}}}},
            "TrafficRoutingConfiguration.Type ALL_AT_ONCE or CANARY of UpdateEndpoint only, not LINEAR",
        ),
        ("DescribeModel", {"ModelName": "m", "Invented": "x"}, "Invented of DescribeModel"),
    ],
)
def test_what_the_local_cloud_does_not_have_is_refused_by_name(
    operation: str, request_: dict[str, Any], named: str
) -> None:
    (problem,) = members.problems("sagemaker", operation, request_)
    assert named in problem


@pytest.mark.parametrize(
    ("operation", "off"),
    [
        ("CreateTrainingJob", {"RemoteDebugConfig": {"EnableRemoteDebug": False}}),
        ("CreateTrainingJob", {"InfraCheckConfig": {"EnableInfraCheck": False}, "DebugRuleConfigurations": []}),
        ("CreateTrainingJob", {"SessionChainingConfig": {"EnableSessionTagChaining": False}}),
        ("CreateTrainingJob", {"AlgorithmSpecification": {"EnableSageMakerMetricsTimeSeries": False}}),
        ("UpdateEndpoint", {"RetainDeploymentConfig": False}),
        ("CreateEndpointConfig", {"ProductionVariants": [{"EnableSSMAccess": False}]}),
    ],
)
def test_what_is_switched_off_is_no_request_for_it(operation: str, off: dict[str, Any]) -> None:
    assert members.problems("sagemaker", operation, off) == []


def test_a_placeholder_of_a_definition_is_judged_with_its_value() -> None:
    request = {"TransformInput": {"SplitType": {"Get": "Parameters.Split"}}}
    assert members.problems("sagemaker", "CreateTransformJob", request) == []


def test_alarms_by_metric_math_are_refused() -> None:
    request = {"AlarmName": "a", "Metrics": [{"Id": "m", "Expression": "SUM(METRICS())"}]}
    assert members.problems("cloudwatch", "PutMetricAlarm", request) == [
        "The local cloud does not have Metrics of PutMetricAlarm."
    ]
    assert members.problems("cloudwatch", "DeleteAlarms", {"AlarmNames": ["a"]}) == []


def test_a_service_without_a_table_is_not_held_to_one() -> None:
    assert members.tables("glue") is None
    assert members.problems("glue", "CreateDatabase", {"DatabaseInput": {"Name": "x"}}) == []


@pytest.mark.parametrize(
    ("service", "operation", "request_", "named"),
    [
        ("athena", "StartQueryExecution", {"QueryString": "x", "EngineConfiguration": {}}, "EngineConfiguration"),
        ("athena", "GetQueryResults", {"QueryExecutionId": "i", "QueryResultType": "DATA_MANIFEST"}, "DATA_ROWS"),
        ("cloudformation", "CreateChangeSet", {"StackName": "s", "ResourceTypes": ["t"]}, "have ResourceTypes of"),
        ("cloudformation", "CreateChangeSet", {"StackName": "s", "ResourceTypes": []}, None),
        ("ecr", "DescribeImages", {"filter": {"imageStatus": "ARCHIVED"}}, "filter.imageStatus"),
        ("events", "PutEvents", {"EndpointId": "e"}, "EndpointId"),
        ("events", "PutTargets", {"Targets": [{"Id": "1", "SqsParameters": {"MessageGroupId": "g"}}]}, "SqsParameters"),
        ("lambda", "Invoke", {"FunctionName": "f", "TenantId": "t"}, "TenantId"),
        ("logs", "CreateLogGroup", {"logGroupName": "g", "logGroupClass": "INFREQUENT_ACCESS"}, "STANDARD"),
        ("scheduler", "CreateSchedule", {"Name": "n", "Target": {"SqsParameters": {"MessageGroupId": "g"}}}, "Sqs"),
        ("sts", "AssumeRole", {"RoleArn": "r", "SourceIdentity": "me"}, "SourceIdentity"),
    ],
)
def test_the_other_services_refuse_by_name_too(
    service: str, operation: str, request_: dict[str, Any], named: str | None
) -> None:
    problems = members.problems(service, operation, request_)
    assert [named in problem for problem in problems if named] == ([True] if named else [])
    assert bool(problems) == bool(named)


def steps(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in listed:
        if step["Type"] == "Condition":
            yield from steps(step["Arguments"]["IfSteps"] + step["Arguments"]["ElseSteps"])
        else:
            yield step


@pytest.mark.parametrize("profile", ["local", "demo", "prod", "secure-gpu", "hyperband", "smddp-p4d"])
def test_the_projects_own_requests_have_nothing_that_is_refused(profile: str) -> None:
    definition = json.loads((ROOT / f"tests/golden/{profile}.json").read_text())
    requests = [
        (REQUESTS[step["Type"]][0], step["Arguments"])
        for step in steps(definition["Steps"])
        if step["Type"] in REQUESTS
    ]
    assert {"CreateProcessingJob", "CreateHyperParameterTuningJob", "CreateModelPackage"} <= {
        name for name, _ in requests
    }
    assert [problem for name, request in requests for problem in members.problems("sagemaker", name, request)] == []
