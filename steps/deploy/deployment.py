"""Bring an approved version to the endpoint: decide, then start the change. Nothing here waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steps.deploy import endpoint as endpoints
from steps.deploy import requests, scaling
from steps.deploy.clients import Clients
from steps.deploy.endpoint import Endpoint
from steps.deploy.events import Order, Version
from steps.deploy.settings import DeployError, Settings


@dataclass(frozen=True)
class Decision:
    """What was done about a version, and why."""

    decision: str
    reason: str
    endpoint_name: str
    model_package_version: str = ""
    endpoint_config_name: str = ""

    def as_output(self) -> dict[str, str]:
        """Flat strings, as a pipeline's Lambda step wants them."""
        return dict(vars(self))


def deploy(aws: Clients, settings: Settings, order: Order) -> Decision:
    """Deploy the order's version if it is to be deployed.

    Events repeat, come late and out of order, so nothing in the event is believed: the package is described again,
    a later approved version wins, and a version that serves already, or that was tried and rolled back since, is left
    alone.

    Raises DeployError when the endpoint is in the middle of another change, which takes minutes, while this function
    never waits. Lambda invokes it again for an event of EventBridge, after one minute and after two
    (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html); if the endpoint is busy even
    then, the event of the endpoint's own change deploys what is due (`conclusion.conclude`). The pipeline's step shows
    the reason.
    """
    version = order.version
    if version.group != settings.model_package_group:
        raise DeployError(f"{version.arn} is not of the group {settings.model_package_group}")
    config = requests.endpoint_config(settings, version)
    decision, reason = _refusal(aws, settings, version) or _change(aws, settings, order, config)
    return Decision(decision, reason, settings.endpoint_name, str(version.number), config["EndpointConfigName"])


def latest_approved(aws: Clients, group: str) -> Version | None:
    """The latest approved version of the group; None where there is none."""
    pages = aws.sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    versions = [Version.of(package["ModelPackageArn"]) for page in pages for package in page["ModelPackageSummaryList"]]
    return max(versions, key=lambda version: version.number, default=None)


def _refusal(aws: Clients, settings: Settings, version: Version) -> tuple[str, str] | None:
    """Decision and reason where the registry says that the version is not to be deployed."""
    status = aws.sagemaker.describe_model_package(ModelPackageName=version.arn)["ModelApprovalStatus"]
    if status == "Rejected":
        return "rejected", f"version {version.number} is rejected"
    if status != "Approved":
        return "awaiting-approval", f"version {version.number} waits for approval"
    latest = latest_approved(aws, settings.model_package_group)
    if latest is not None and latest.number > version.number:
        return "superseded", f"version {latest.number} is approved too, and later"
    return None


def _change(aws: Clients, settings: Settings, order: Order, config: dict[str, Any]) -> tuple[str, str]:
    """Start what brings the version to the endpoint; gives decision and reason."""
    number, name = order.version.number, config["EndpointConfigName"]
    endpoint = endpoints.describe(aws.sagemaker, settings.endpoint_name)
    if endpoint is None:
        return _create(aws, settings, order, config)
    if endpoint.busy:
        if name not in (endpoint.config, endpoint.pending_config):
            raise DeployError(
                f"endpoint {endpoint.name} is {endpoint.status}; deploy version {number} again after that"
            )
        if name == endpoint.pending_config and endpoint.tags.get(endpoints.CONFIG) != name:
            # An attempt before ended between the change and its note.
            _note(aws, endpoint, order, name)
        return "unchanged", f"the endpoint is {endpoint.status} and on its way to this version"
    if endpoint.status == "Failed":
        # A first deployment that failed has nothing to go back to, and blocks the name.
        aws.sagemaker.delete_endpoint(EndpointName=endpoint.name)
        raise DeployError(f"endpoint {endpoint.name} had failed and is being deleted; deploy again after that")
    if endpoint.config == name:
        # What the settings say of scaling is no part of the configuration.
        scaling.follow(aws.scaling, settings)
        return "unchanged", f"version {number} serves already"
    rolled_back = endpoint.tags.get(endpoints.CONFIG) == name and endpoint.verdict == endpoints.ROLLED_BACK
    if rolled_back and not (order.at_once or _is_new(order, endpoint.tags)):
        return "unchanged", f"version {number} was rolled back; reject it and approve it again to try it again"
    _update(aws, settings, order, endpoint, config)
    return "updating", f"the endpoint moves to version {number}"


def _create(aws: Clients, settings: Settings, order: Order, config: dict[str, Any]) -> tuple[str, str]:
    version = order.version
    group = endpoints.tags_of(aws.sagemaker, version.group_arn)
    if group.get(endpoints.NEVER_SERVED) == str(version.number) and order.approved_at and not _is_new(order, group):
        return "unchanged", f"version {version.number} did not come up; reject it and approve it again to try it again"
    _ensure_config(aws, settings, version, config)
    if group.get(endpoints.NEVER_SERVED, str(version.number)) != str(version.number):
        aws.sagemaker.add_tags(ResourceArn=version.group_arn, Tags=endpoints.as_tags({endpoints.NEVER_SERVED: ""}))
    aws.sagemaker.create_endpoint(
        EndpointName=settings.endpoint_name,
        EndpointConfigName=config["EndpointConfigName"],
        Tags=endpoints.as_tags(_notes(order, config["EndpointConfigName"], previous="")),
    )
    return "creating", f"the endpoint is made with version {version.number}"


def _update(aws: Clients, settings: Settings, order: Order, endpoint: Endpoint, config: dict[str, Any]) -> None:
    _ensure_config(aws, settings, order.version, config)
    before = aws.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint.config)["ProductionVariants"][0]
    wanted = config["ProductionVariants"][0]
    if "InstanceType" in before and "InstanceType" not in wanted:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-update.html
        raise DeployError(
            f"endpoint {endpoint.name} runs on instances, which SageMaker does not turn into a serverless one;"
            " delete the endpoint, then deploy again"
        )
    request: dict[str, Any] = {"EndpointName": endpoint.name, "EndpointConfigName": config["EndpointConfigName"]}
    if settings.mode == "real-time":
        instances = settings.instance_count
        if settings.scales and before.get("InstanceType") == wanted["InstanceType"]:
            # As many instances as the traffic wants now; what is captured is the new configuration's business.
            instances = endpoint.instances or instances
            request["RetainAllVariantProperties"] = True
            request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DataCaptureConfig"}]
        guarded = "InstanceType" in before and not order.at_once
        request["DeploymentConfig"] = (
            requests.deployment_config(settings, instances) if guarded else requests.swift_deployment_config(settings)
        )
    if before.get("InstanceType") != wanted.get("InstanceType"):
        # The service refuses another instance type while a scaling target is registered.
        scaling.deregister(aws.scaling, endpoint.name)
    aws.sagemaker.update_endpoint(**request)
    _note(aws, endpoint, order, config["EndpointConfigName"])


def _note(aws: Clients, endpoint: Endpoint, order: Order, config: str) -> None:
    tags = endpoints.as_tags(_notes(order, config, previous=endpoint.config))
    aws.sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=tags)


def _notes(order: Order, config: str, previous: str) -> dict[str, str]:
    return {
        endpoints.VERSION: str(order.version.number),
        endpoints.CONFIG: config,
        endpoints.PREVIOUS: previous,
        endpoints.TRIED_AT: order.approved_at,
        # A person who goes back has judged already.
        endpoints.VERDICT: endpoints.ACCEPTED if order.at_once else endpoints.PENDING,
        endpoints.JUDGED: config if order.at_once else "",
        endpoints.REASON: "",
    }


def _is_new(order: Order, tags: Mapping[str, str]) -> bool:
    """Whether the approval is a later one than that of the last attempt, and not its event a second time."""
    return order.approved_at > tags.get(endpoints.TRIED_AT, "")


def _ensure_config(aws: Clients, settings: Settings, version: Version, config: dict[str, Any]) -> None:
    """Make the model and the endpoint configuration; both may be there from an attempt before."""
    _make(aws.sagemaker.create_model, requests.model(settings, version, config["EndpointConfigName"]))
    _make(aws.sagemaker.create_endpoint_config, config)


def _make(operation: Any, request: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        operation(**request)
    except ClientError as error:
        # SageMaker's words for a name that is taken: "Cannot create already existing model ...".
        if "already existing" not in error.response["Error"]["Message"]:
            raise
