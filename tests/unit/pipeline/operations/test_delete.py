"""Taking a pipeline out of its account: what is found, what goes in which order, and what stays."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from pipeline.operations import delete, inventory
from pipeline.operations.delete import Outcome
from pipeline.operations.inventory import Resource
from pipeline.operations.runs import schedules
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import PACKAGE_VARIABLE
from steps.deploy import requests
from steps.deploy.events import Version
from steps.deploy.release import Release
from steps.deploy.settings import Settings as DeploySettings
from tests.answers import Answers
from tests.unit.steps.arguments import DEPLOY

pytestmark = pytest.mark.usefixtures("account")
ACCOUNT, REGION = "111122223333", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/bins-serving"
DEFINITION = {"Version": "2020-12-01", "Parameters": [], "Steps": []}


@pytest.fixture
def answers() -> Answers:
    return Answers()


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def make_pipeline(name: str = "bins") -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/bins-pipeline"
    client("sagemaker").create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(DEFINITION), RoleArn=role)


def register(group: str = "bins") -> Version:
    """A version of the group, which is made when it is not there."""
    sagemaker = client("sagemaker")
    if group not in [one["ModelPackageGroupName"] for one in groups()]:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    specification = {
        "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    arn = sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=specification)
    return Version.of(arn["ModelPackageArn"])


def groups() -> Any:
    return client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]


def deployed(version: Version, endpoint: str = "bins", *, serves: bool = True) -> str:
    """What the deploy function makes for a version; gives the configuration's name."""
    sagemaker, chosen = (
        client("sagemaker"),
        DeploySettings(**{**DEPLOY, "endpoint_name": endpoint, "serving_role_arn": ROLE}),
    )
    release = released(version)
    config = requests.endpoint_config(chosen, version, release)
    sagemaker.create_model(**requests.model(chosen, release, config["EndpointConfigName"]))
    sagemaker.create_endpoint_config(**config)
    if serves:
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config["EndpointConfigName"])
    return str(config["EndpointConfigName"])


def released(version: Version) -> Release:
    environment = {PACKAGE_VARIABLE: version.arn}
    return Release("x:1", f"s3://bins/released/{version.number}-0/model.tar.gz", environment, "")


def register_scaling() -> None:
    client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/bins/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=3,
    )


def schedule(settings: Settings, name: str) -> None:
    target = schedules.target(settings, f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/bins")
    cron = {"ScheduleExpression": "cron(0 3 * * ? *)", "ScheduleExpressionTimezone": "UTC"}
    schedules.save(settings, {"Name": name, **cron, "Target": target})


def carried_out(settings: Settings, **options: Any) -> list[Outcome]:
    plan = delete.plan(settings, **options)
    return list(delete.carry_out(settings, plan, poll=0))


def schedule_elsewhere() -> None:
    """Somebody's own schedule that starts the pipeline, in another group."""
    client("scheduler").create_schedule(
        Name="mine",
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/bins", "RoleArn": ROLE},
    )


def called(settings: Settings, endpoint: str) -> Settings:
    """The settings with another name for the endpoint."""
    return settings.model_copy(update={"endpoint": settings.endpoint.model_copy(update={"name": endpoint})})


def kinds(items: Any) -> list[str]:
    return [item.kind for item in items]


# ------------------------------------------------------------------------------------------------------ the plan


def test_nothing_is_nothing_to_delete(settings: Settings) -> None:
    assert delete.plan(settings, packages=True).resources == ()


def test_what_starts_runs_goes_first_and_the_endpoint_before_what_it_is_made_of(settings: Settings) -> None:
    make_pipeline()
    schedule(settings, "bins-monitor")
    schedule_elsewhere()
    deployed(register())
    register_scaling()
    plan = delete.plan(settings, packages=True)
    assert kinds(plan.resources) == [
        "schedule",
        "schedule",
        "schedule group",
        "scaling",
        "endpoint",
        "endpoint configuration",
        "model",
        "pipeline",
        "model version",
        "model package group",
    ]


def test_versions_stay_unless_they_are_asked_for(settings: Settings) -> None:
    register()
    register()
    plan = delete.plan(settings)
    assert plan.resources == ()
    assert "the group bins with 2 model versions; --packages deletes them" in plan.retained
    assert f"all data below {settings.root_uri}" in plan.retained


def test_earlier_versions_configurations_and_the_models_of_batches_are_found(settings: Settings) -> None:
    first, second = register(), register()
    names = {deployed(first, serves=False), deployed(second)}
    batch = "bins-batch-v2-20260102-030405"
    container = {"ModelPackageName": second.arn}
    client("sagemaker").create_model(ModelName=batch, Containers=[container], ExecutionRoleArn=ROLE)
    items = delete.plan(settings).resources
    assert {item.name for item in items if item.kind == "endpoint configuration"} == names
    assert {item.name for item in items if item.kind == "model"} == {*(f"{name}-model" for name in names), batch}


def test_what_is_another_pipelines_is_left_alone(settings: Settings) -> None:
    make_pipeline("bins-v2")
    deployed(register("others"), endpoint="bins-v2")
    deployed(register("others"), endpoint="bins", serves=False)  # ours by its name, but it serves another group
    model = {"ModelName": "bins-v1-of-somebody", "ExecutionRoleArn": ROLE}
    client("sagemaker").create_model(**model, PrimaryContainer={"Image": "image"})
    assert delete.plan(settings, packages=True).resources == ()


def test_another_pipelines_endpoint_and_its_scaling_stay_though_the_settings_name_it(settings: Settings) -> None:
    theirs = register("others")
    deployed(theirs)
    register_scaling()
    make_pipeline()
    plan = delete.plan(settings)
    assert kinds(plan.resources) == ["pipeline"]
    assert plan.retained[0] == f"the endpoint bins: it serves {theirs.arn}, which is no version of the group bins"


def test_an_endpoint_of_which_nothing_tells_what_it_serves_stays_with_its_configuration(settings: Settings) -> None:
    name = deployed(register())
    client("sagemaker").delete_model(ModelName=f"{name}-model")
    plan = delete.plan(settings)
    assert plan.resources == ()
    assert plan.retained[0] == "the endpoint bins: its model is missing, so that its group is unknown"


def test_a_configuration_whose_model_is_gone_is_still_ours(settings: Settings) -> None:
    name = deployed(register(), serves=False)
    client("sagemaker").delete_model(ModelName=f"{name}-model")
    assert [item.name for item in delete.plan(settings).resources] == [name]


@pytest.mark.parametrize("endpoint", ["bins", "b" * 40, "long-" * 12 + "end", "x" * 63])
@pytest.mark.parametrize("number", [1, 12345])
def test_the_deploy_functions_names_are_known_however_long(settings: Settings, endpoint: str, number: int) -> None:
    chosen = called(settings, endpoint)
    version = Version.of(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/bins/{number}")
    made = DeploySettings(**{**DEPLOY, "endpoint_name": endpoint, "serving_role_arn": ROLE})
    config = requests.endpoint_config(made, version, released(version))["EndpointConfigName"]
    model = requests.model(made, released(version), config)["ModelName"]
    assert inventory.is_config_name(chosen, config)
    assert inventory.is_model_name(chosen, model)
    assert not inventory.is_config_name(called(settings, "other"), config)


def test_runs_under_way_have_to_be_stopped_first(settings: Settings, answers: Answers) -> None:
    make_pipeline()
    run = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/bins/execution/abc123"
    summary = {"PipelineExecutionArn": run, "PipelineExecutionStatus": "Executing"}
    answers.say("sagemaker.ListPipelineExecutions", {"PipelineExecutionSummaries": [summary]})
    with pytest.raises(PipelineError, match=r"1 run in progress would be lost.*python -m pipeline stop abc123"):
        delete.plan(settings)


def test_an_endpoint_that_is_changing_has_to_end_first(settings: Settings, answers: Answers) -> None:
    name = deployed(register())
    answers.say("sagemaker.DescribeEndpoint", {"EndpointStatus": "Updating", "EndpointConfigName": name})
    with pytest.raises(PipelineError, match=r"endpoint bins is Updating.*python -m pipeline endpoint"):
        delete.plan(settings)


# -------------------------------------------------------------------------------------------------- carrying out


def test_everything_goes_and_a_second_time_there_is_nothing_left(settings: Settings) -> None:
    make_pipeline()
    schedule(settings, "bins-runs")
    deployed(register())
    register_scaling()
    outcomes = carried_out(settings)
    assert {one.change for one in outcomes} == {"deleted"}
    assert delete.plan(settings).resources == ()
    sagemaker = client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == sagemaker.list_models()["Models"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert client("scheduler").list_schedules()["Schedules"] == []
    assert len(groups()) == 1


def test_versions_go_before_their_group(settings: Settings, answers: Answers) -> None:
    register()
    # moto deletes neither.
    answers.say("sagemaker.DeleteModelPackage", {})
    answers.say("sagemaker.DeleteModelPackageGroup", {})
    outcomes = carried_out(settings, packages=True)
    assert [(one.resource.kind, one.resource.name, one.change) for one in outcomes] == [
        ("model version", "bins 1", "deleted"),
        ("model package group", "bins", "deleted"),
    ]
    assert dict(answers.asked) == {"sagemaker.DeleteModelPackage": 1, "sagemaker.DeleteModelPackageGroup": 1}


def test_one_that_cannot_be_deleted_is_named_and_the_others_go(settings: Settings, answers: Answers) -> None:
    make_pipeline()
    schedule(settings, "bins-runs")
    message = "User: u is not authorized to perform: scheduler:DeleteSchedule on resource: s"
    answers.error("scheduler.DeleteSchedule", "AccessDeniedException", message, status=403)
    outcomes = {one.resource.kind: one for one in carried_out(settings)}
    assert outcomes["schedule"].change == "remains"
    assert "these credentials may not scheduler:DeleteSchedule" in outcomes["schedule"].reason
    assert outcomes["pipeline"].change == "deleted"


def test_an_endpoint_that_remains_keeps_what_it_is_made_of(settings: Settings, answers: Answers) -> None:
    make_pipeline()
    name = deployed(register())
    register_scaling()
    answers.error("sagemaker.DeleteEndpoint", "ValidationException", 'Cannot delete in-progress endpoint "bins".')
    outcomes = carried_out(settings)
    remaining = {one.resource.kind for one in outcomes if one.change == "remains"}
    assert remaining == {"endpoint", "endpoint configuration", "model"}
    assert client("sagemaker").describe_endpoint_config(EndpointConfigName=name)["EndpointConfigName"] == name
    assert [one.change for one in outcomes if one.resource.kind == "pipeline"] == ["deleted"]


def test_what_has_gone_in_the_meantime_is_no_failure(settings: Settings) -> None:
    make_pipeline()
    plan = delete.plan(settings)
    client("sagemaker").delete_pipeline(PipelineName="bins")
    assert [one.change for one in delete.carry_out(settings, plan)] == ["was gone"]


def test_scaling_that_sagemaker_has_deregistered_already_was_gone(settings: Settings, answers: Answers) -> None:
    deployed(register())
    register_scaling()
    code = "ObjectNotFoundException"
    answers.error("application-autoscaling.DeregisterScalableTarget", code, "No scalable target found for service")
    outcomes = {one.resource.kind: one.change for one in carried_out(settings)}
    assert (outcomes.pop("scaling"), set(outcomes.values())) == ("was gone", {"deleted"})


ENDPOINT = delete.DeletionPlan((Resource("endpoint", "bins"),), ())


def describing(status: str) -> dict[str, Any]:
    return {"EndpointStatus": status, "EndpointConfigName": "c"}


def test_an_endpoint_is_waited_for_until_it_is_gone(settings: Settings, answers: Answers) -> None:
    answers.say("sagemaker.DescribeEndpoint", describing("Deleting"), times=3)
    [outcome] = delete.carry_out(settings, ENDPOINT, poll=0)
    assert outcome.change == "deleted"
    # It was being deleted already: there is no second request.
    assert "sagemaker.DeleteEndpoint" not in answers.asked


def test_an_endpoint_that_does_not_end_remains(
    settings: Settings, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "ENDPOINT_SECONDS", 0.01)
    answers.say("sagemaker.DescribeEndpoint", describing("InService"))
    answers.say("sagemaker.DeleteEndpoint", {})
    [outcome] = delete.carry_out(settings, ENDPOINT, poll=0.001)
    assert outcome.change == "remains"
    assert "still being deleted" in outcome.reason
