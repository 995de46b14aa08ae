"""Deploy an approved version to the endpoint: decide, then start the change. Nothing here waits for its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from steps.contracts import names
from steps.deploy import endpoint as endpoints
from steps.deploy import release, requests, scaling
from steps.deploy.endpoint import Endpoint
from steps.deploy.events import DeployRequest, RollbackRequest, Version
from steps.deploy.release import ChangedError, Release, ReleaseError
from steps.deploy.settings import Clients, DeployError, Settings


@dataclass(frozen=True)
class Decision:
    """What the function did about a version, and why."""

    decision: str
    reason: str
    endpoint_name: str
    model_package_version: str = ""
    endpoint_config_name: str = ""
    alert: str = ""
    """What an alert is about, however often it is decided: a deployment that goes back or cannot be. Empty: none.

    Another approval of the same version is something else.
    """

    def as_output(self) -> dict[str, str]:
        """Flat strings, which a pipeline's Lambda step requires."""
        return {name: value for name, value in vars(self).items() if name != "alert"}


@dataclass(frozen=True)
class Plan:
    """The release of a version, CreateEndpointConfig's request for it, and the tags of what is created."""

    release: Release
    config: dict[str, Any]
    tags: list[dict[str, str]]

    @property
    def name(self) -> str:
        """The endpoint configuration's name."""
        return str(self.config["EndpointConfigName"])


def deploy(aws: Clients, settings: Settings, request: DeployRequest) -> Decision:
    """Deploy the requested version if it is due.

    Events repeat, come late and out of order, so the function does not rely on their content: it describes the package
    again, prefers a later approved version, and leaves a version alone that serves already or was rolled back since.

    Raises DeployError during another change of the endpoint, which takes minutes, since this function never waits.
    Lambda invokes it again for an event of EventBridge, after one minute and after two
    (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html). If the endpoint is still busy,
    the event of the endpoint's own change deploys what is due (`conclusion.conclude`). The pipeline's step shows the
    reason.
    """
    version = request.version
    _check_group(settings, version)
    number, config_name, alert = str(version.number), "", ""
    package = aws.sagemaker.describe_model_package(ModelPackageName=version.arn)
    changed = _changed(package)
    # A later time would try a version again that was rolled back, and make each approval that follows an old one.
    request = replace(request, approved_at=min(request.approved_at, changed))
    try:
        refusal = _refusal(aws, settings, request, package["ModelApprovalStatus"])
        if refusal is None:
            released = release.ensure(aws, settings, version)
            config = requests.endpoint_config(settings, version, released)
            config_name = config["EndpointConfigName"]
            tags = endpoints.inherited_tags(aws.sagemaker, version.group_arn)
            refusal = _change(aws, settings, request, Plan(released, config, tags))
        decision, reason = refusal
    except ChangedError as error:
        # Otherwise each event of the endpoint would lead here again.
        reject(aws, version, str(error))
        decision, reason, alert = "rejected", f"{error}; it is rejected", changed
    except ReleaseError as error:
        decision, reason, alert = "refused", str(error), f"{changed} {error}"
    return Decision(decision, reason, settings.endpoint_name, number, config_name, alert)


def roll_back(
    aws: Clients, settings: Settings, request: RollbackRequest, record: Callable[[Decision], None]
) -> Decision:
    """Reject the approved versions after the requested one, and deploy that at once.

    Each rejection is passed to `record`. Raises DeployError, before anything is changed, for a version that is not
    approved or cannot be released; and during another change of the endpoint, after the rejections: otherwise the end
    of that change would deploy a later version again.
    """
    version = request.version
    _check_group(settings, version)
    status = aws.sagemaker.describe_model_package(ModelPackageName=version.arn)["ModelApprovalStatus"]
    if status != "Approved":
        raise DeployError(f"version {version.number} is {status}; only an approved version can be rolled back to")
    try:
        release.ensure(aws, settings, version)
    except ReleaseError as error:
        raise DeployError(str(error)) from error
    reason = request.comment or f"rolled back to version {version.number}"
    for later in sorted(approved(aws, settings.model_package_group), key=lambda item: item.number):
        if later.number > version.number:
            reject(aws, later, reason)
            record(Decision("rejected", reason, settings.endpoint_name, str(later.number)))
    return deploy(aws, settings, DeployRequest(version, at_once=True))


def reject(aws: Clients, version: Version, reason: str) -> None:
    """Reject a version, with at most 1,024 characters of the reason."""
    aws.sagemaker.update_model_package(
        ModelPackageArn=version.arn, ModelApprovalStatus="Rejected", ApprovalDescription=reason[:1024]
    )


def _check_group(settings: Settings, version: Version) -> None:
    if version.group != settings.model_package_group:
        raise DeployError(f"{version.arn} is not in the group {settings.model_package_group}")


def latest_approved(aws: Clients, group: str) -> Version | None:
    """The latest approved version of the group; None where there is none."""
    return max(approved(aws, group), key=lambda version: version.number, default=None)


def approved(aws: Clients, group: str) -> list[Version]:
    """The approved versions of the group."""
    pages = aws.sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    return [Version.of(package["ModelPackageArn"]) for page in pages for package in page["ModelPackageSummaryList"]]


def _changed(package: Mapping[str, Any]) -> str:
    """Time of a version's last change, also of its approval, as in events: in whole seconds.

    No approval is later, whatever time an event has: every caller of the function writes its own.
    """
    changed = package.get("LastModifiedTime", package["CreationTime"])
    return str(changed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _refusal(aws: Clients, settings: Settings, request: DeployRequest, status: str) -> tuple[str, str] | None:
    """Decision and reason for not deploying the version, from the registry; None where it may be deployed."""
    version = request.version
    if status == "Rejected":
        return "rejected", f"version {version.number} is rejected"
    if status != "Approved":
        return "awaiting-approval", f"version {version.number} waits for approval"
    if request.restores:
        return None
    latest = latest_approved(aws, settings.model_package_group)
    if latest is not None and latest.number > version.number:
        return "superseded", f"version {latest.number} is approved too, and newer"
    return None


def _change(aws: Clients, settings: Settings, request: DeployRequest, plan: Plan) -> tuple[str, str]:
    """Start the deployment of the version. Returns decision and reason."""
    number, name = request.version.number, plan.name
    endpoint = endpoints.describe(aws.sagemaker, settings.endpoint_name)
    if endpoint is None:
        return _create(aws, settings, request, plan)
    if endpoint.is_busy:
        if name not in (endpoint.config, endpoint.pending_config):
            raise DeployError(
                f"endpoint {endpoint.name} is {endpoint.status}; deploy version {number} again after that"
            )
        if name == endpoint.pending_config and endpoint.tags.get(names.CONFIG_TAG) != name:
            # An earlier attempt ended between the change and its tags.
            _tag_attempt(aws, endpoint, request, plan)
        return "unchanged", f"the endpoint is {endpoint.status} and on its way to this version"
    if endpoint.status == "UpdateRollbackFailed":
        raise DeployError(
            f"endpoint {endpoint.name} is {endpoint.status}; deploy version {number} again after its repair"
        )
    if endpoint.status == "Failed":
        # A failed first deployment has no previous configuration, and blocks the name.
        aws.sagemaker.delete_endpoint(EndpointName=endpoint.name)
        raise DeployError(f"endpoint {endpoint.name} has failed and is being deleted; deploy again after that")
    if endpoint.config == name:
        # Scaling and tags are not part of the configuration, so their settings may have changed.
        scaling.follow(aws.scaling, settings)
        _tag(aws, endpoint, plan.tags)
        return "unchanged", f"version {number} serves already"
    rolled_back = endpoint.tags.get(names.CONFIG_TAG) == name and endpoint.verdict == names.ROLLED_BACK
    if rolled_back and not (request.at_once or _is_new(request, endpoint.tags)):
        return "unchanged", f"version {number} was rolled back; reject it and approve it again to try it again"
    _update(aws, settings, request, endpoint, plan)
    return "updating", f"the endpoint moves to version {number}"


def _create(aws: Clients, settings: Settings, request: DeployRequest, plan: Plan) -> tuple[str, str]:
    version = request.version
    group = endpoints.tags_of(aws.sagemaker, version.group_arn)
    never_served = group.get(names.NEVER_SERVED_TAG)
    if never_served == str(version.number) and request.approved_at and not _is_new(request, group):
        return "unchanged", f"version {version.number} did not come up; reject it and approve it again to try it again"
    _ensure_config(aws, settings, plan)
    if never_served not in (None, str(version.number)):
        aws.sagemaker.add_tags(ResourceArn=version.group_arn, Tags=endpoints.as_tags({names.NEVER_SERVED_TAG: ""}))
    aws.sagemaker.create_endpoint(
        EndpointName=settings.endpoint_name,
        EndpointConfigName=plan.name,
        Tags=[*endpoints.as_tags(_attempt(request, plan.name, previous="")), *plan.tags],
    )
    return "creating", f"the endpoint is created with version {version.number}"


def _update(aws: Clients, settings: Settings, request: DeployRequest, endpoint: Endpoint, plan: Plan) -> None:
    _ensure_config(aws, settings, plan)
    before = aws.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint.config)["ProductionVariants"][0]
    variant = plan.config["ProductionVariants"][0]
    if "InstanceType" in before and "InstanceType" not in variant:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-update.html
        raise DeployError(
            f"endpoint {endpoint.name} runs on instances, which SageMaker does not convert to a serverless one;"
            " delete the endpoint, then deploy again"
        )
    update: dict[str, Any] = {"EndpointName": endpoint.name, "EndpointConfigName": plan.name}
    if settings.mode == "real-time":
        instances = settings.instance_count
        if settings.scales and before.get("InstanceType") == variant["InstanceType"]:
            # Keep the number of instances, which follows the traffic; data capture is that of the new configuration.
            instances = endpoint.instances or instances
            update["RetainAllVariantProperties"] = True
            update["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DataCaptureConfig"}]
        is_guarded = "InstanceType" in before and not request.at_once
        update["DeploymentConfig"] = (
            requests.deployment_config(settings, instances)
            if is_guarded
            else requests.swift_deployment_config(settings)
        )
    if before.get("InstanceType") != variant.get("InstanceType"):
        # SageMaker refuses another instance type while a scaling target is registered.
        scaling.deregister(aws.scaling, endpoint.name)
    aws.sagemaker.update_endpoint(**update)
    _tag_attempt(aws, endpoint, request, plan)


def _tag_attempt(aws: Clients, endpoint: Endpoint, request: DeployRequest, plan: Plan) -> None:
    tags = endpoints.as_tags(_attempt(request, plan.name, previous=endpoint.config))
    aws.sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=tags)
    _tag(aws, endpoint, plan.tags)


def _tag(aws: Clients, endpoint: Endpoint, tags: list[dict[str, str]]) -> None:
    """Add the tags that the endpoint lacks."""
    missing = [tag for tag in tags if endpoint.tags.get(tag["Key"]) != tag["Value"]]
    if missing:
        aws.sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=missing)


def _attempt(request: DeployRequest, config: str, previous: str) -> dict[str, str]:
    """The tags of an attempt by their keys."""
    return {
        names.VERSION_TAG: str(request.version.number),
        names.CONFIG_TAG: config,
        names.PREVIOUS_CONFIG_TAG: previous,
        names.APPROVED_AT_TAG: request.approved_at,
        # A person who moves the endpoint back has evaluated the version already.
        names.VERDICT_TAG: names.ACCEPTED if request.at_once else names.PENDING,
        names.EVALUATED_CONFIG_TAG: config if request.at_once else "",
        names.REASON_TAG: "",
    }


def _is_new(request: DeployRequest, tags: Mapping[str, str]) -> bool:
    """Whether the approval is later than that of the last attempt; False for the same event a second time."""
    return request.approved_at > tags.get(names.APPROVED_AT_TAG, "")


def _ensure_config(aws: Clients, settings: Settings, plan: Plan) -> None:
    """Create the model and the endpoint configuration; both may exist from an earlier attempt."""
    tagged = {"Tags": plan.tags} if plan.tags else {}
    _create_if_missing(aws.sagemaker.create_model, {**requests.model(settings, plan.release, plan.name), **tagged})
    _create_if_missing(aws.sagemaker.create_endpoint_config, {**plan.config, **tagged})


def _create_if_missing(operation: Any, request: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        operation(**request)
    except ClientError as error:
        # SageMaker's message for a name in use: "Cannot create already existing model ...".
        if "already existing" not in error.response["Error"]["Message"]:
            raise
