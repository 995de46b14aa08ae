"""Delete the pipeline from its account, resource by resource.

Schedules go first, so that nothing starts a run. The endpoint goes after its scaling and before its configuration and
models. The pipeline goes last, except for the model versions, which are deleted only when requested. A resource that
cannot be deleted is reported, and the deletion continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import exists, says_missing
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.operations import inventory
from pipeline.operations.inventory import Resource
from pipeline.operations.runs import executions
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import SCALABLE_DIMENSION
from steps.contracts.wording import count_of

# SageMaker takes minutes to delete an endpoint.
ENDPOINT_SECONDS = 900.0
POLL_SECONDS = 2.0
_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")
# SageMaker deletes a configuration that an endpoint uses, and then the endpoint can no longer be changed.
_OF_ENDPOINT = ("endpoint configuration", "model")


@dataclass(frozen=True)
class DeletionPlan:
    """The resources to delete, in their order, and a line for each thing that is retained."""

    resources: tuple[Resource, ...]
    retained: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The result for one resource, with the reason where it remains."""

    resource: Resource
    change: Literal["deleted", "was gone", "remains"]
    reason: str = ""


def plan(settings: Settings, *, packages: bool = False) -> DeletionPlan:
    """The resources to delete; with `packages` also the model versions and their group.

    Raises PipelineError while runs are in progress, which have to be stopped first, or the endpoint is being changed.
    """
    endpoint = inventory.describe_endpoint(settings)
    foreign = inventory.why_not_ours(settings, endpoint) if endpoint else ""
    if endpoint and not foreign and endpoint["EndpointStatus"] in _CHANGING:
        raise PipelineError(
            f"the endpoint {settings.endpoint.name} is {endpoint['EndpointStatus']} and cannot be deleted before that"
            " ends; see: python -m pipeline endpoint"
        )
    executions.refuse_while_running(settings, "would be lost; stop them first")
    resources = [
        *inventory.schedule_resources(settings),
        *([] if foreign else inventory.endpoint_resources(settings)),
        *inventory.model_resources(settings),
        *inventory.pipeline_resources(settings),
    ]
    if endpoint and foreign:
        # The foreign endpoint needs its configuration, even if that has a name of ours.
        used = ("endpoint configuration", endpoint["EndpointConfigName"])
        resources = [resource for resource in resources if (resource.kind, resource.name) != used]
    versions = list(inventory.registry_resources(settings))
    retained = [
        f"all data below {settings.root_uri}",
        f"the stack {settings.stack}: bucket, roles, images, rules",
        "logs",
    ]
    if packages:
        resources += versions
    elif versions:
        group = f"the group {settings.registry.group} with {count_of(len(versions) - 1, 'model version')}"
        retained.insert(0, f"{group}; --packages deletes them")
    if foreign:
        retained.insert(0, foreign)
    return DeletionPlan(tuple(resources), tuple(retained))


def carry_out(settings: Settings, plan: DeletionPlan, *, poll: float = POLL_SECONDS) -> Iterator[Outcome]:
    """Delete the plan's resources one by one; yields each outcome. `poll` is the seconds between two looks."""
    endpoint_remains = False
    for resource in plan.resources:
        if endpoint_remains and resource.kind in _OF_ENDPOINT:
            yield Outcome(resource, "remains", "the endpoint remains and uses it")
            continue
        outcome = _attempt(settings, resource, poll)
        endpoint_remains |= resource.kind == "endpoint" and outcome.change == "remains"
        yield outcome


def _attempt(settings: Settings, resource: Resource, poll: float) -> Outcome:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _delete(settings, resource, poll)
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and says_missing(error):
            return Outcome(resource, "was gone")
        return Outcome(resource, "remains", aws_errors.explained(error))
    except PipelineError as error:
        return Outcome(resource, "remains", str(error))
    return Outcome(resource, "deleted")


def _delete(settings: Settings, resource: Resource, poll: float) -> None:
    sagemaker = client(settings, "sagemaker")
    match resource.kind:
        case "schedule":
            client(settings, "scheduler").delete_schedule(Name=resource.name, GroupName=resource.where)
        case "schedule group":
            client(settings, "scheduler").delete_schedule_group(Name=resource.name)
        case "scaling":
            client(settings, "application-autoscaling").deregister_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=inventory.scaled_resource(resource.name),
                ScalableDimension=SCALABLE_DIMENSION,
            )
        case "endpoint":
            if (inventory.describe_endpoint(settings) or {}).get("EndpointStatus") != "Deleting":
                sagemaker.delete_endpoint(EndpointName=resource.name)
            _wait_for_deletion(sagemaker, resource.name, poll)
        case "endpoint configuration":
            sagemaker.delete_endpoint_config(EndpointConfigName=resource.name)
        case "model":
            sagemaker.delete_model(ModelName=resource.name)
        case "pipeline":
            sagemaker.delete_pipeline(PipelineName=resource.name)
        case "model version":
            sagemaker.delete_model_package(ModelPackageName=resource.where)
        case "model package group":
            sagemaker.delete_model_package_group(ModelPackageGroupName=resource.name)


def _wait_for_deletion(sagemaker: Any, endpoint: str, poll: float) -> None:
    """Wait until the endpoint is deleted, before its configuration. Raises PipelineError after ENDPOINT_SECONDS."""

    def is_gone() -> bool | None:
        return None if exists(sagemaker.describe_endpoint, EndpointName=endpoint) else True

    if not wait_until(is_gone, ENDPOINT_SECONDS, poll):
        raise PipelineError(f"it is still being deleted after {ENDPOINT_SECONDS:.0f} s; run this command again")
