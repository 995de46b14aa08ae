"""What there is of a pipeline in its account: what upsert, schedules, approvals and batches have made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from pipeline.aws.responses import exists, says_missing
from pipeline.clients import client
from pipeline.operations.runs.executions import FINAL
from pipeline.operations.runs.schedules import schedules
from pipeline.settings import Settings
from steps.contracts.names import SCALABLE_DIMENSION, VARIANT, endpoint_config_name, model_name

Kind = Literal[
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
_CONFIG = re.compile(r".*(?P<suffix>-v[0-9]+-[0-9a-f]{8})")
_MODEL = re.compile(r".*(?P<suffix>-v[0-9]+-[0-9a-f]{8})-model")
# What all of these names hold: an account may have thousands of others.
_VERSION = "-v"
# The service's own default is ten a page.
_PAGES = {"PageSize": 100}


@dataclass(frozen=True)
class Item:
    """Something in the account. `where` is the group that it is in, or its ARN where it goes by that."""

    kind: Kind
    name: str
    note: str = ""
    where: str = ""


def of_schedules(settings: Settings) -> Iterator[Item]:
    """The schedules that start runs or the monitor, and then their group."""
    for one in schedules(settings):
        yield Item("schedule", one.name, f"{one.expression} {one.timezone}, {one.state.lower()}", one.group)
    if exists(client(settings, "scheduler").get_schedule_group, Name=settings.name):
        yield Item("schedule group", settings.name)


def of_endpoint(settings: Settings) -> Iterator[Item]:
    """The scaling that is registered for the endpoint, and the endpoint: which takes its scaling with it."""
    name = settings.endpoint.name
    targets = client(settings, "application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[scaled_resource(name)], ScalableDimension=SCALABLE_DIMENSION
    )["ScalableTargets"]
    for target in targets:
        yield Item("scaling", name, f"{target['MinCapacity']} to {target['MaxCapacity']} instances")
    if found := endpoint(settings):
        yield Item("endpoint", name, f"{found['EndpointStatus']}, {found['EndpointConfigName']}")


def anothers(settings: Settings, found: Mapping[str, Any]) -> str:
    """Why the endpoint that is described in `found` is not ours to delete; empty where it serves our group.

    Its name tells nothing: anybody may have chosen it, or the settings may name somebody else's.
    """
    package = _served(client(settings, "sagemaker"), found["EndpointConfigName"])
    if _of_our_group(settings, package, unknown=False):
        return ""
    name = settings.endpoint.name
    if package:
        return f"the endpoint {name}: it serves {package}, which is no version of the group {settings.registry.group}"
    return f"the endpoint {name}: its model is not there, so that nothing tells whose it is"


def endpoint(settings: Settings) -> dict[str, Any] | None:
    """DescribeEndpoint's answer; None where there is none."""
    return exists(client(settings, "sagemaker").describe_endpoint, EndpointName=settings.endpoint.name)


def scaled_resource(endpoint: str) -> str:
    """What Application Auto Scaling calls the endpoint's variant."""
    return f"endpoint/{endpoint}/variant/{VARIANT}"


def of_models(settings: Settings) -> Iterator[Item]:
    """The endpoint configurations and models that deployments made, also earlier ones, and the models of batches.

    By their names, which the deploy function and `batch` give, and by the model's package: it is of our group.
    """
    sagemaker = client(settings, "sagemaker")
    pages = sagemaker.get_paginator("list_endpoint_configs").paginate(NameContains=_VERSION, PaginationConfig=_PAGES)
    for page in pages:
        for one in page["EndpointConfigs"]:
            name = one["EndpointConfigName"]
            if is_config_name(settings, name) and _of_our_group(settings, _served(sagemaker, name), unknown=True):
                yield Item("endpoint configuration", name)
    for page in sagemaker.get_paginator("list_models").paginate(NameContains=_VERSION, PaginationConfig=_PAGES):
        for one in page["Models"]:
            name = one["ModelName"]
            if not (is_model_name(settings, name) or is_batch_name(settings, name)):
                continue
            package = _package(sagemaker, name)
            if _of_our_group(settings, package, unknown=False):
                yield Item("model", name, f"version {package.rsplit('/', 1)[-1]}")


def is_config_name(settings: Settings, name: str) -> bool:
    """Whether the deploy function gives this name to a configuration of the endpoint."""
    match = _CONFIG.fullmatch(name)
    return match is not None and name == endpoint_config_name(settings.endpoint.name, match["suffix"])


def is_model_name(settings: Settings, name: str) -> bool:
    """Whether the deploy function gives this name to a model of the endpoint."""
    match = _MODEL.fullmatch(name)
    if match is None:
        return False
    return name == model_name(endpoint_config_name(settings.endpoint.name, match["suffix"]))


def is_batch_name(settings: Settings, name: str) -> bool:
    """Whether `batch` gives this name to its model."""
    return re.fullmatch(rf"{re.escape(settings.name)}-batch-v[0-9]+-[0-9]{{8}}-[0-9]{{6}}", name) is not None


def _of_our_group(settings: Settings, package: str, *, unknown: bool) -> bool:
    """Whether a package is a version of our group; `unknown` is the answer where nothing tells the package."""
    return f":model-package/{settings.registry.group}/" in package if package else unknown


def _served(sagemaker: Any, config: str) -> str:
    """The package that a configuration serves; empty where its model is gone already."""
    found = exists(sagemaker.describe_endpoint_config, EndpointConfigName=config) or {}
    variants = found.get("ProductionVariants") or [{}]
    return _package(sagemaker, variants[0].get("ModelName", ""))


def _package(sagemaker: Any, model: str) -> str:
    if not model:
        return ""
    found = exists(sagemaker.describe_model, ModelName=model) or {}
    containers = found.get("Containers") or [found.get("PrimaryContainer", {})]
    return str(containers[0].get("ModelPackageName", ""))


def of_pipeline(settings: Settings) -> Iterator[Item]:
    """The pipeline, with how many runs go with it."""
    sagemaker = client(settings, "sagemaker")
    if exists(sagemaker.describe_pipeline, PipelineName=settings.name):
        pages = _runs(sagemaker, settings)
        number = sum(len(page["PipelineExecutionSummaries"]) for page in pages)
        yield Item("pipeline", settings.name, f"and the record of its {number} runs" if number else "it has no runs")


def running(settings: Settings) -> list[str]:
    """Ids of the runs that have not ended."""
    pages = _runs(client(settings, "sagemaker"), settings)
    try:
        return [
            one["PipelineExecutionArn"].rsplit("/", 1)[-1]
            for page in pages
            for one in page["PipelineExecutionSummaries"]
            if one["PipelineExecutionStatus"] not in FINAL
        ]
    except ClientError as error:
        if says_missing(error):
            return []
        raise


def _runs(sagemaker: Any, settings: Settings) -> Any:
    return sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=settings.name, PaginationConfig=_PAGES
    )


def of_registry(settings: Settings) -> Iterator[Item]:
    """The versions, and then the group that they are in."""
    sagemaker, group = client(settings, "sagemaker"), settings.registry.group
    if not exists(sagemaker.describe_model_package_group, ModelPackageGroupName=group):
        return
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, PaginationConfig=_PAGES
    )
    for page in pages:
        for one in page["ModelPackageSummaryList"]:
            version, status = one["ModelPackageVersion"], one.get("ModelApprovalStatus", "")
            yield Item("model version", f"{group} {version}", status, one["ModelPackageArn"])
    yield Item("model package group", group)
