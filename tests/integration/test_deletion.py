"""A pipeline with all that it gets in its account: looked at before, and taken out again."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from pipeline.operations import delete, preflight
from pipeline.operations.account import local as account
from pipeline.operations.runs import executions, schedules
from pipeline.operations.serving import monitoring
from steps.contracts.errors import PipelineError
from tests.integration.conftest import ROLE, wait_until
from tests.integration.test_deployments import GOOD, registry

__all__ = ["registry"]  # a fixture

WAITING = {
    "Name": "Wait",
    "Type": "Processing",
    "Arguments": {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {},
        "RoleArn": ROLE,
    },
}


def pipeline_of(registry, *steps):
    definition = {"Version": "2020-12-01", "Parameters": [], "Steps": list(steps)}
    registry.client("sagemaker").create_pipeline(
        PipelineName=registry.settings.name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE
    )


def fail_step():
    return {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "meant to"}}


def test_the_preflight_finds_the_local_account_prepared_and_asks_it_everything(registry):
    settings = registry.settings
    account.publish_images(settings, registry.cloud.settings.directory)
    results = {result.check: result for result in preflight.online(settings)}
    assert {name for name, result in results.items() if result.status == "failed"} == {"raw photos"}
    assert {name for name, result in results.items() if result.status == "not checked"} == set()
    assert results["images"].detail == "every step's image is in the registry"


def test_an_image_that_is_not_published_is_found_missing(registry):
    settings = registry.settings
    account.publish_images(settings, registry.cloud.settings.directory)
    folder = registry.cloud.settings.directory / "images" / f"{settings.name}-training"
    [trained] = folder.glob("train-*")
    trained.rename(trained.with_name("train-0000000000000000"))
    [failed] = [result for result in preflight.online(settings) if result.check == "images"]
    assert failed.status == "failed"
    assert failed.detail.startswith("train: ")
    assert failed.detail.endswith("python -m pipeline images push")


def test_all_of_a_pipeline_goes_and_another_begins_without_its_past(registry):
    settings, sagemaker = registry.settings, registry.client("sagemaker")
    pipeline_of(registry, fail_step())
    run = executions.start(settings, {})
    wait_until(lambda: executions.describe(sagemaker, run.arn).ended)
    schedules.put(settings, "cron(0 3 * * ? *)", {})
    monitoring.schedule(settings, "rate(1 day)")
    registry.evaluated(registry.approve(GOOD), "accepted")
    endpoint_arn = registry.describe()["EndpointArn"]

    plan = delete.plan(settings, packages=True)
    outcomes = list(delete.carry_out(settings, plan))

    assert [outcome.resource.kind for outcome in outcomes] == [
        "schedule",
        "schedule",
        "schedule group",
        "endpoint",
        "endpoint configuration",
        "model",
        "pipeline",
        "model version",
        "model package group",
    ]
    assert {outcome.change for outcome in outcomes} == {"deleted"}
    assert delete.plan(settings, packages=True).resources == ()
    with pytest.raises(ClientError, match="Could not find resource with ARN"):
        sagemaker.list_tags(ResourceArn=endpoint_arn)
    # Runs go with their pipeline: one of the same name begins without.
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_pipeline_execution(PipelineExecutionArn=run.arn)
    pipeline_of(registry, fail_step())
    assert executions.runs(settings) == []
    delete_all(settings)


def test_a_pipeline_that_runs_is_not_deleted_until_it_has_stopped(registry):
    settings = registry.settings
    image = registry.cloud.image("import time; time.sleep(600)")
    arguments = {**WAITING["Arguments"], "AppSpecification": {"ImageUri": image}}
    pipeline_of(registry, {**WAITING, "Arguments": arguments})
    run = executions.start(settings, {}, name=uuid.uuid4().hex)
    with pytest.raises(PipelineError, match=rf"stop them first: python -m pipeline stop {run.id}"):
        delete.plan(settings)
    sagemaker = registry.client("sagemaker")
    with pytest.raises(ClientError, match="ConflictException"):
        sagemaker.delete_pipeline(PipelineName=settings.name)
    executions.stop(settings, run.id)
    wait_until(lambda: executions.describe(sagemaker, run.arn).ended)
    assert [outcome.change for outcome in delete_all(settings)] == ["deleted"]


def delete_all(settings):
    return list(delete.carry_out(settings, delete.plan(settings)))
