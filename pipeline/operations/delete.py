"""Take the pipeline out of its account: what was found, one thing after the other, each in its turn.

Schedules first, so that nothing starts a run any more; the endpoint after its scaling and before what it is made of;
the pipeline last but for the versions, which go only when they are asked for. What cannot be deleted is reported, and
the rest goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import exists, says_missing
from pipeline.clients import client
from pipeline.operations import inventory
from pipeline.operations.inventory import Item
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import SCALABLE_DIMENSION

# SageMaker takes minutes to end an endpoint's instances.
ENDPOINT_SECONDS = 900.0
_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")
# SageMaker deletes a configuration that an endpoint runs on, and the endpoint cannot be changed any more.
_OF_ENDPOINT = ("endpoint configuration", "model")


@dataclass(frozen=True)
class Plan:
    """What goes, in the order in which it goes, and what stays."""

    items: tuple[Item, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an item; `reason` where it remains."""

    item: Item
    change: Literal["deleted", "was gone", "remains"]
    reason: str = ""


def plan(settings: Settings, *, packages: bool = False) -> Plan:
    """What there is to delete; with `packages` also the versions and their group.

    Raises PipelineError while runs are under way, which have to be stopped first, or the endpoint is being changed.
    """
    found = inventory.endpoint(settings)
    another = inventory.anothers(settings, found) if found else ""
    if found and not another and found["EndpointStatus"] in _CHANGING:
        raise PipelineError(
            f"the endpoint {settings.endpoint.name} is {found['EndpointStatus']}, and cannot be deleted before that"
            " ends; see: python -m pipeline endpoint"
        )
    if ids := inventory.running(settings):
        stop = "; ".join(f"python -m pipeline stop {one}" for one in ids)
        raise PipelineError(f"{len(ids)} run(s) are under way, and would be lost; stop them first: {stop}")
    items = [
        *inventory.of_schedules(settings),
        *([] if another else inventory.of_endpoint(settings)),
        *inventory.of_models(settings),
        *inventory.of_pipeline(settings),
    ]
    if found and another:
        # It runs on its configuration, whatever name that has.
        its = ("endpoint configuration", found["EndpointConfigName"])
        items = [one for one in items if (one.kind, one.name) != its]
    versions = list(inventory.of_registry(settings))
    kept = [f"all data below {settings.root_uri}", f"the stack {settings.stack}: bucket, roles, images, rules", "logs"]
    if packages:
        items += versions
    elif versions:
        number = len(versions) - 1
        kept.insert(0, f"the group {settings.registry.group} with {number} model version(s); --packages deletes them")
    if another:
        kept.insert(0, another)
    return Plan(tuple(items), tuple(kept))


def carry_out(settings: Settings, doomed: Plan, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[Outcome]:
    """Delete the plan's items one by one, and say of each what became of it. Times are in seconds."""
    endpoint_remains = False
    for item in doomed.items:
        if endpoint_remains and item.kind in _OF_ENDPOINT:
            yield Outcome(item, "remains", "the endpoint does, and is made of it")
            continue
        outcome = _attempt(settings, item, sleep)
        endpoint_remains |= item.kind == "endpoint" and outcome.change == "remains"
        yield outcome


def _attempt(settings: Settings, item: Item, sleep: Callable[[float], None]) -> Outcome:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _delete(settings, item, sleep)
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and says_missing(error):
            return Outcome(item, "was gone")
        return Outcome(item, "remains", aws_errors.explained(error))
    except PipelineError as error:
        return Outcome(item, "remains", str(error))
    return Outcome(item, "deleted")


def _delete(settings: Settings, item: Item, sleep: Callable[[float], None]) -> None:
    sagemaker = client(settings, "sagemaker")
    match item.kind:
        case "schedule":
            client(settings, "scheduler").delete_schedule(Name=item.name, GroupName=item.where)
        case "schedule group":
            client(settings, "scheduler").delete_schedule_group(Name=item.name)
        case "scaling":
            client(settings, "application-autoscaling").deregister_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=inventory.scaled_resource(item.name),
                ScalableDimension=SCALABLE_DIMENSION,
            )
        case "endpoint":
            if (inventory.endpoint(settings) or {}).get("EndpointStatus") != "Deleting":
                sagemaker.delete_endpoint(EndpointName=item.name)
            _wait_until_gone(sagemaker, item.name, sleep)
        case "endpoint configuration":
            sagemaker.delete_endpoint_config(EndpointConfigName=item.name)
        case "model":
            sagemaker.delete_model(ModelName=item.name)
        case "pipeline":
            sagemaker.delete_pipeline(PipelineName=item.name)
        case "model version":
            sagemaker.delete_model_package(ModelPackageName=item.where)
        case "model package group":
            sagemaker.delete_model_package_group(ModelPackageGroupName=item.name)


def _wait_until_gone(sagemaker: Any, name: str, sleep: Callable[[float], None]) -> None:
    """Its configuration may be deleted only after it. Raises PipelineError where it does not end."""
    waited, interval = 0.0, 2.0
    while exists(sagemaker.describe_endpoint, EndpointName=name):
        if waited >= ENDPOINT_SECONDS:
            raise PipelineError(f"it is still being deleted after {waited:.0f} s; run this command again")
        sleep(interval)
        waited += interval
        interval = min(2 * interval, 30.0)
