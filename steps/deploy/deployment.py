"""Bring an approved version to the endpoint: decide, then start the change. Nothing here waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steps.deploy.events import Version
from steps.deploy.settings import DeployError, Settings

VARIANT = "AllTraffic"  # guardrails want the name to stay the same through all updates
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass(frozen=True)
class Decision:
    """What was done about a version, and why."""

    decision: str
    reason: str
    endpoint_name: str
    model_package_version: int
    endpoint_config_name: str = ""

    def as_output(self) -> dict[str, str]:
        """Flat strings, as a pipeline's Lambda step wants them."""
        return {name: str(value) for name, value in vars(self).items()}


def deploy(sagemaker: Any, settings: Settings, version: Version) -> Decision:
    """Deploy `version` if it is to be deployed.

    Events repeat, come late and out of order, so nothing in the event is believed: the package is described again,
    a later approved version wins, and a version that serves already is left alone. Raises DeployError when the
    endpoint is in the middle of another change: whoever invoked asynchronously (EventBridge) tries again, and the
    pipeline's own step shows the reason.
    """
    if version.group != settings.model_package_group:
        raise DeployError(f"{version.arn} is not of the group {settings.model_package_group}")
    if refusal := _refusal(sagemaker, settings, version):
        decision, reason = refusal
    else:
        decision, reason = _change_endpoint(sagemaker, settings, version)
    return Decision(decision, reason, settings.endpoint_name, version.number, settings.config_name(version.number))


def _refusal(sagemaker: Any, settings: Settings, version: Version) -> tuple[str, str] | None:
    """Decision and reason where the registry says that the version is not to be deployed."""
    status = sagemaker.describe_model_package(ModelPackageName=version.arn)["ModelApprovalStatus"]
    if status == "Rejected":
        return "rejected", f"version {version.number} is rejected"
    if status != "Approved":
        return "awaiting-approval", f"version {version.number} waits for approval"
    latest = _latest_approved(sagemaker, settings.model_package_group)
    if latest > version.number:
        return "superseded", f"version {latest} is approved too, and later"
    return None


def _change_endpoint(sagemaker: Any, settings: Settings, version: Version) -> tuple[str, str]:
    """Start what brings the version to the endpoint; gives decision and reason."""
    name, config = settings.endpoint_name, settings.config_name(version.number)
    endpoint = _describe_endpoint(sagemaker, name)
    tags = [{"Key": "model-package-version", "Value": str(version.number)}]
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


def _latest_approved(sagemaker: Any, group: str) -> int:
    """Number of the latest approved version of the group; 0 where there is none."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    return max(
        (package["ModelPackageVersion"] for page in pages for package in page["ModelPackageSummaryList"]), default=0
    )


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
