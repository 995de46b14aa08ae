"""After a change of the endpoint: smoke test, scaling, rollback, deletion, and the version that is due next."""

from __future__ import annotations

from collections.abc import Callable

from steps.contracts import names
from steps.deploy import endpoint as endpoints
from steps.deploy import requests, scaling, smoke_test
from steps.deploy.deployment import Decision, deploy, latest_approved
from steps.deploy.endpoint import Endpoint
from steps.deploy.events import DeployRequest, EndpointChange, Version
from steps.deploy.settings import Clients, DeployError, Settings

Record = Callable[[Decision], None]


def conclude(aws: Clients, settings: Settings, change: EndpointChange, record: Record) -> Decision:
    """Evaluate the version of the last attempt, if that is pending; then deploy what is due.

    Every decision is passed to `record` when it is taken; the last one is returned. A version is not tried twice,
    whether it serves, was rolled back or never came up: otherwise this would repeat without end.

    Raises DeployError so that Lambda invokes the function again with the same event.
    """
    name = settings.endpoint_name
    if change.endpoint_name != name:
        raise DeployError(f"the event is about endpoint {change.endpoint_name}; this function deploys to {name}")
    endpoint = endpoints.describe(aws.sagemaker, name)
    if endpoint is None or endpoint.status == "Deleting":
        return _after_deletion(aws, settings, endpoint, record)
    if endpoint.is_busy:
        reason = f"the endpoint is {endpoint.status}; the end of this change is another event"
        return _recorded(record, Decision("unchanged", reason, name))
    tried = endpoint.tags.get(names.VERSION_TAG, "")
    verdict = _evaluate(aws, settings, endpoint, record)
    if verdict is not None and verdict.decision == "rolling-back":
        return verdict
    is_deleting = verdict is not None and verdict.decision == "cleaned-up"
    due = _deploy_due(aws, settings, tried, record, is_deleting=is_deleting)
    return due or verdict or _recorded(record, Decision("unchanged", "no version is due", name, tried))


def settle(aws: Clients, settings: Settings, record: Record) -> None:
    """Evaluate a version that is in service and waits for its event, before another version replaces it.

    Otherwise the configuration to roll back to would be that of an untested version.
    """
    endpoint = endpoints.describe(aws.sagemaker, settings.endpoint_name)
    if endpoint is not None and endpoint.status == "InService" and endpoint.verdict == names.PENDING:
        _evaluate(aws, settings, endpoint, record)


def _after_deletion(aws: Clients, settings: Settings, endpoint: Endpoint | None, record: Record) -> Decision:
    """Create the endpoint again for a version that waited behind a first one that never served; else leave it."""
    never = endpoints.tags_of(aws.sagemaker, _group_arn(aws, settings)).get(names.NEVER_SERVED_TAG, "")
    due = _deploy_due(aws, settings, never, record, is_deleting=endpoint is not None) if never else None
    return due or _recorded(record, Decision("unchanged", "the endpoint is deleted", settings.endpoint_name))


def _evaluate(aws: Clients, settings: Settings, endpoint: Endpoint, record: Record) -> Decision | None:
    """The verdict on the version of the last attempt; None where it has one already.

    An endpoint that stays gets the scaling of the settings in either case.
    """
    tried = endpoint.tags.get(names.VERSION_TAG)
    if tried is None:
        return None  # not created by this function
    if endpoint.status == "Failed":
        return _delete(aws, settings, endpoint, f"version {tried} did not come up: {endpoint.failure}", record)
    if not _is_back(endpoint) and endpoint.verdict != names.PENDING:
        scaling.follow(aws.scaling, settings)
        return None
    if not _is_back(endpoint):
        packages = _group_arn(aws, settings).replace(":model-package-group/", ":model-package/")
        try:
            reason = smoke_test.run(aws, settings, Version.of(f"{packages}/{tried}"))
        except smoke_test.SmokeTestError as error:
            return _roll_back(aws, settings, endpoint, f"smoke test: {error}", record)
        decision = Decision("accepted", reason, endpoint.name, tried, endpoint.config)
    else:
        reason = endpoint.failure or "SageMaker has rolled the endpoint back to the previous configuration"
        decision = Decision("rolled-back", f"version {tried}: {reason}", endpoint.name, tried, endpoint.config)
    scaling.follow(aws.scaling, settings)
    verdict = names.ACCEPTED if decision.decision == "accepted" else names.ROLLED_BACK
    _tag_verdict(aws, endpoint, verdict, decision.reason)
    return _recorded(record, decision)


def _is_back(endpoint: Endpoint) -> bool:
    """Whether SageMaker has rolled back to the previous configuration, which has the status InService as well.

    True also after a person moved the endpoint back to a version that then did not come up. False for a version that
    was rolled back before: its verdict exists.
    """
    if endpoint.verdict == names.ACCEPTED:
        return endpoint.config == endpoint.tags.get(names.PREVIOUS_CONFIG_TAG)
    pending = endpoint.verdict == names.PENDING
    return pending and endpoint.config != endpoint.tags.get(names.CONFIG_TAG, endpoint.config)


def _roll_back(aws: Clients, settings: Settings, endpoint: Endpoint, reason: str, record: Record) -> Decision:
    """Return to the previous configuration, or delete the endpoint where there is none."""
    tried, previous = endpoint.tags[names.VERSION_TAG], endpoint.tags.get(names.PREVIOUS_CONFIG_TAG, "")
    if not previous:
        return _delete(aws, settings, endpoint, f"version {tried}: {reason}", record)
    request = {"EndpointName": endpoint.name, "EndpointConfigName": previous}
    if settings.mode == "real-time":
        aws.sagemaker.update_endpoint(**request, DeploymentConfig=requests.swift_deployment_config(settings))
    else:
        aws.sagemaker.update_endpoint(**request)
    _tag_verdict(aws, endpoint, names.ROLLED_BACK, reason)
    return _recorded(record, Decision("rolling-back", f"version {tried}: {reason}", endpoint.name, tried, previous))


def _delete(aws: Clients, settings: Settings, endpoint: Endpoint, reason: str, record: Record) -> Decision:
    """Delete an endpoint that never served well: it has no previous configuration, and its name is needed again."""
    tried = endpoint.tags.get(names.VERSION_TAG, "")
    tags = {names.NEVER_SERVED_TAG: tried, names.APPROVED_AT_TAG: endpoint.tags.get(names.APPROVED_AT_TAG, "")}
    aws.sagemaker.add_tags(ResourceArn=_group_arn(aws, settings), Tags=endpoints.as_tags(tags))
    aws.sagemaker.delete_endpoint(EndpointName=endpoint.name)
    return _recorded(record, Decision("cleaned-up", reason, endpoint.name, tried, endpoint.config))


def _deploy_due(aws: Clients, settings: Settings, tried: str, record: Record, *, is_deleting: bool) -> Decision | None:
    """Deploy the latest approved version; None if it is the version `tried` of the last attempt."""
    latest = latest_approved(aws, settings.model_package_group)
    if latest is None or str(latest.number) == tried:
        return None
    if is_deleting:
        name = settings.endpoint_name
        raise DeployError(f"endpoint {name} is being deleted; deploy version {latest.number} after that")
    return _recorded(record, deploy(aws, settings, DeployRequest(latest)))


def _group_arn(aws: Clients, settings: Settings) -> str:
    group = aws.sagemaker.describe_model_package_group(ModelPackageGroupName=settings.model_package_group)
    return str(group["ModelPackageGroupArn"])


def _tag_verdict(aws: Clients, endpoint: Endpoint, verdict: str, reason: str) -> None:
    tags = {
        names.VERDICT_TAG: verdict,
        names.REASON_TAG: reason,
        names.EVALUATED_CONFIG_TAG: endpoint.tags.get(names.CONFIG_TAG, ""),
    }
    aws.sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=endpoints.as_tags(tags))


def _recorded(record: Record, decision: Decision) -> Decision:
    record(decision)
    return decision
