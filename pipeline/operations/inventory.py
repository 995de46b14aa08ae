"""The pipeline's resources in its account: those that upsert, schedules, approvals and batches created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.aws.responses import exists
from pipeline.clients import client
from pipeline.operations.runs import executions
from pipeline.operations.runs.schedules import schedules
from pipeline.operations.serving.endpoint import package_of
from pipeline.settings import Settings
from steps.contracts.names import SCALABLE_DIMENSION, VARIANT, endpoint_config_name, model_name
from steps.contracts.wording import count_of

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
# Part of all of these names; an account may have thousands of others.
_VERSION = "-v"
# The service's default is ten per page.
_PAGES = {"PageSize": 100}


@dataclass(frozen=True)
class Resource:
    """A resource in the account. `where` is its group, or its ARN where the API needs that."""

    kind: Kind
    name: str
    note: str = ""
    where: str = ""


def schedule_resources(settings: Settings) -> Iterator[Resource]:
    """The schedules that start runs or the monitor, and then their group."""
    for schedule in schedules(settings):
        note = f"{schedule.expression} {schedule.timezone}, {schedule.state.lower()}"
        yield Resource("schedule", schedule.name, note, schedule.group)
    if exists(client(settings, "scheduler").get_schedule_group, Name=settings.name):
        yield Resource("schedule group", settings.name)


def endpoint_resources(settings: Settings) -> Iterator[Resource]:
    """The endpoint's scaling, and the endpoint; deleting the endpoint would delete its scaling too."""
    name = settings.endpoint.name
    targets = client(settings, "application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[scaled_resource(name)], ScalableDimension=SCALABLE_DIMENSION
    )["ScalableTargets"]
    for target in targets:
        yield Resource("scaling", name, f"{target['MinCapacity']} to {target['MaxCapacity']} instances")
    if description := describe_endpoint(settings):
        yield Resource("endpoint", name, f"{description['EndpointStatus']}, {description['EndpointConfigName']}")


def why_not_ours(settings: Settings, description: Mapping[str, Any]) -> str:
    """Why the endpoint of DescribeEndpoint's answer is not ours to delete; empty where it serves our group.

    The name is no proof: it may be chosen by anybody, or set by mistake.
    """
    package = _served_package(client(settings, "sagemaker"), description["EndpointConfigName"])
    if _is_of_our_group(settings, package):
        return ""
    name = settings.endpoint.name
    if package:
        return f"the endpoint {name}: it serves {package}, which is no version of the group {settings.registry.group}"
    return f"the endpoint {name}: its model is missing, so that its group is unknown"


def describe_endpoint(settings: Settings) -> dict[str, Any] | None:
    """DescribeEndpoint's answer; None where the endpoint does not exist."""
    return exists(client(settings, "sagemaker").describe_endpoint, EndpointName=settings.endpoint.name)


def scaled_resource(endpoint: str) -> str:
    """Application Auto Scaling's name for the endpoint's variant."""
    return f"endpoint/{endpoint}/variant/{VARIANT}"


def model_resources(settings: Settings) -> Iterator[Resource]:
    """The endpoint configurations and models of all deployments, also earlier ones, and the models of batches.

    They have names that the deploy function and `batch` choose, and their model package is of our group.
    """
    sagemaker = client(settings, "sagemaker")
    request = {"NameContains": _VERSION, "PaginationConfig": _PAGES}
    for config in items(sagemaker.get_paginator("list_endpoint_configs"), "EndpointConfigs", **request):
        name = config["EndpointConfigName"]
        if is_config_name(settings, name):
            package = _served_package(sagemaker, name)
            if not package or _is_of_our_group(settings, package):
                yield Resource("endpoint configuration", name)
    for model in items(sagemaker.get_paginator("list_models"), "Models", **request):
        name = model["ModelName"]
        if is_model_name(settings, name) or is_batch_name(settings, name):
            package = package_of(sagemaker, name)
            if _is_of_our_group(settings, package):
                yield Resource("model", name, f"version {name_of(package)}")


def is_config_name(settings: Settings, name: str) -> bool:
    """Whether the deploy function would choose this name for a configuration of the endpoint."""
    match = _CONFIG.fullmatch(name)
    return match is not None and name == endpoint_config_name(settings.endpoint.name, match["suffix"])


def is_model_name(settings: Settings, name: str) -> bool:
    """Whether the deploy function would choose this name for a model of the endpoint."""
    match = _MODEL.fullmatch(name)
    if match is None:
        return False
    return name == model_name(endpoint_config_name(settings.endpoint.name, match["suffix"]))


def is_batch_name(settings: Settings, name: str) -> bool:
    """Whether `batch` would choose this name for its model."""
    return re.fullmatch(rf"{re.escape(settings.name)}-batch-v[0-9]+-[0-9]{{8}}-[0-9]{{6}}", name) is not None


def _is_of_our_group(settings: Settings, package: str) -> bool:
    return f":model-package/{settings.registry.group}/" in package


def _served_package(sagemaker: Any, config: str) -> str:
    """ARN of the model package that a configuration serves; empty where its model is missing."""
    description = exists(sagemaker.describe_endpoint_config, EndpointConfigName=config) or {}
    model = (description.get("ProductionVariants") or [{}])[0].get("ModelName")
    return package_of(sagemaker, model) if model else ""


def pipeline_resources(settings: Settings) -> Iterator[Resource]:
    """The pipeline, with the number of its runs."""
    sagemaker = client(settings, "sagemaker")
    if exists(sagemaker.describe_pipeline, PipelineName=settings.name):
        number = sum(1 for _ in executions.summaries(sagemaker, settings))
        yield Resource(
            "pipeline", settings.name, f"and the history of {count_of(number, 'run')}" if number else "no runs"
        )


def registry_resources(settings: Settings) -> Iterator[Resource]:
    """The model versions, and then their group."""
    sagemaker, group = client(settings, "sagemaker"), settings.registry.group
    if not exists(sagemaker.describe_model_package_group, ModelPackageGroupName=group):
        return
    paginator = sagemaker.get_paginator("list_model_packages")
    for package in items(paginator, "ModelPackageSummaryList", ModelPackageGroupName=group, PaginationConfig=_PAGES):
        name, status = f"{group} {package['ModelPackageVersion']}", package.get("ModelApprovalStatus", "")
        yield Resource("model version", name, status, package["ModelPackageArn"])
    yield Resource("model package group", group)
