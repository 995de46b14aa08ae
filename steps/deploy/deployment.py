"""Bring an approved version to the endpoint: decide, then start the change. Nothing here waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steps.deploy.events import EndpointChange, Version
from steps.deploy.settings import DeployError, Settings

VERSION_TAG = "model-package-version"
VARIANT = "AllTraffic"  # guardrails want the name to stay the same through all updates
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


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


def deploy(sagemaker: Any, settings: Settings, version: Version) -> Decision:
    """Deploy `version` if it is to be deployed.

    Events repeat, come late and out of order, so nothing in the event is believed: the package is described again,
    a later approved version wins, and a version that serves already is left alone.

    Raises DeployError when the endpoint is in the middle of another change, which takes minutes, while this function
    never waits. Lambda invokes it again for an event of EventBridge, after one minute and after two
    (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html); if the endpoint is busy even
    then, the event of the endpoint's own change deploys what is due (`deploy_pending`). The pipeline's step shows the
    reason.
    """
    if version.group != settings.model_package_group:
        raise DeployError(f"{version.arn} is not of the group {settings.model_package_group}")
    if refusal := _refusal(sagemaker, settings, version):
        decision, reason = refusal
    else:
        decision, reason = _change_endpoint(sagemaker, settings, version)
    config = settings.config_name(version.number)
    return Decision(decision, reason, settings.endpoint_name, str(version.number), config)


def deploy_pending(sagemaker: Any, settings: Settings, change: EndpointChange) -> Decision:
    """Deploy the latest approved version if its approval came while the endpoint was busy.

    The endpoint's tag names the version that was tried last. That version is not tried again, be it that it serves,
    was rolled back or failed: that would go on for ever.
    """
    name = settings.endpoint_name
    if change.endpoint_name != name:
        raise DeployError(f"the event is about endpoint {change.endpoint_name}; this function deploys to {name}")
    latest = _latest_approved(sagemaker, settings.model_package_group)
    if latest is None:
        return Decision("unchanged", "no version is approved", name)
    endpoint = _describe_endpoint(sagemaker, name)
    if endpoint is None:
        # Deleted by a person, unless it had failed: then an attempt before cleared it away for what is due.
        pending, reason = change.status == "FAILED", "there is no endpoint any more"
    elif endpoint["EndpointStatus"] in _BUSY:
        pending, reason = False, f"the endpoint is {endpoint['EndpointStatus']}; the end of that is an event too"
    else:
        pending = _tried_version(sagemaker, endpoint["EndpointArn"]) != str(latest.number)
        reason = f"version {latest.number} was deployed already"
    if pending:
        return deploy(sagemaker, settings, latest)
    return Decision("unchanged", reason, name, str(latest.number), settings.config_name(latest.number))


def _refusal(sagemaker: Any, settings: Settings, version: Version) -> tuple[str, str] | None:
    """Decision and reason where the registry says that the version is not to be deployed."""
    status = sagemaker.describe_model_package(ModelPackageName=version.arn)["ModelApprovalStatus"]
    if status == "Rejected":
        return "rejected", f"version {version.number} is rejected"
    if status != "Approved":
        return "awaiting-approval", f"version {version.number} waits for approval"
    latest = _latest_approved(sagemaker, settings.model_package_group)
    if latest is not None and latest.number > version.number:
        return "superseded", f"version {latest.number} is approved too, and later"
    return None


def _change_endpoint(sagemaker: Any, settings: Settings, version: Version) -> tuple[str, str]:
    """Start what brings the version to the endpoint; gives decision and reason."""
    name, config = settings.endpoint_name, settings.config_name(version.number)
    endpoint = _describe_endpoint(sagemaker, name)
    tags = [{"Key": VERSION_TAG, "Value": str(version.number)}]
    if endpoint is None:
        _ensure_config(sagemaker, settings, version, config)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tags)
        return "creating", f"the endpoint is made with version {version.number}"
    status = endpoint["EndpointStatus"]
    if status in _BUSY:
        if config in (endpoint["EndpointConfigName"], _target(endpoint)):
            return "unchanged", f"the endpoint is {status} and on its way to this version"
        raise DeployError(f"endpoint {name} is {status}; deploy version {version.number} again after that")
    if status == "Failed":
        # A first deployment that failed has nothing to go back to, and blocks the name.
        sagemaker.delete_endpoint(EndpointName=name)
        raise DeployError(f"endpoint {name} had failed and is being deleted; deploy again after that")
    if endpoint["EndpointConfigName"] == config:
        return "unchanged", f"version {version.number} serves already"
    _ensure_config(sagemaker, settings, version, config)
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    sagemaker.add_tags(ResourceArn=endpoint["EndpointArn"], Tags=tags)
    return "updating", f"the endpoint moves to version {version.number}"


def _latest_approved(sagemaker: Any, group: str) -> Version | None:
    """The latest approved version of the group; None where there is none."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    versions = [Version.of(package["ModelPackageArn"]) for page in pages for package in page["ModelPackageSummaryList"]]
    return max(versions, key=lambda version: version.number, default=None)


def _tried_version(sagemaker: Any, endpoint_arn: str) -> str:
    """Number of the version that this function last set the endpoint to; empty where it never did."""
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint_arn)
    tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    return str(tags.get(VERSION_TAG, ""))


def _describe_endpoint(sagemaker: Any, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        endpoint: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if _says_missing(error):
            return None
        raise
    return endpoint


def _target(endpoint: dict[str, Any]) -> str:
    """Configuration that a change under way leads to."""
    return str(endpoint.get("PendingDeploymentSummary", {}).get("EndpointConfigName", ""))


def _ensure_config(sagemaker: Any, settings: Settings, version: Version, name: str) -> None:
    """Make the model and the endpoint configuration; both may be there from an attempt before."""
    model = f"{name}-model"[-63:].lstrip("-")
    container = {"ModelPackageName": version.arn, "Environment": {"MODEL_VERSION": str(version.number)}}
    _create(
        sagemaker.create_model,
        ModelName=model,
        Containers=[container],
        ExecutionRoleArn=settings.serving_role_arn,
    )
    variant = {
        "VariantName": VARIANT,
        "ModelName": model,
        "InstanceType": settings.instance_type,
        "InitialInstanceCount": settings.instance_count,
    }
    _create(sagemaker.create_endpoint_config, EndpointConfigName=name, ProductionVariants=[variant])


def _create(operation: Any, **request: Any) -> None:
    from botocore.exceptions import ClientError

    try:
        operation(**request)
    except ClientError as error:
        # SageMaker's words for a name that is taken: "Cannot create already existing model ...".
        if "already existing" not in error.response["Error"]["Message"]:
            raise


def _says_missing(error: Any) -> bool:
    """SageMaker answers ValidationException 'Could not find endpoint ...' for an endpoint that is not there."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    return code == "ResourceNotFound" or (code == "ValidationException" and "could not find" in message.lower())
