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


def conclude(
    aws: Clients, settings: Settings, change: EndpointChange, record: Record, seconds_left: Callable[[], float]
) -> Decision:
    """Evaluate the version of the last attempt, if that is pending; then deploy what is due.

    `seconds_left` is the rest of the function's time. Every decision is passed to `record` when it is taken; the last
    one is returned. A version is not tried twice, whether it serves, was rolled back or never came up: otherwise this
    would repeat without end.

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
    verdict = _evaluate(aws, settings, endpoint, record, seconds_left)
    if verdict is not None and verdict.decision == "rolling-back":
        return verdict
    is_deleting = verdict is not None and verdict.decision == "cleaned-up"
    due = _deploy_due(aws, settings, tried, record, is_deleting=is_deleting)
    return due or verdict or _recorded(record, Decision("unchanged", "no version is due", name, tried))


def settle(aws: Clients, settings: Settings, record: Record, seconds_left: Callable[[], float]) -> None:
    """Evaluate a version that is in service and waits for its event, before another version replaces it.

    Otherwise the configuration to roll back to would be that of an untested version.
    """
    endpoint = endpoints.describe(aws.sagemaker, settings.endpoint_name)
    if endpoint is not None and endpoint.status == "InService" and endpoint.verdict == names.PENDING:
        _evaluate(aws, settings, endpoint, record, seconds_left)


def _after_deletion(aws: Clients, settings: Settings, endpoint: Endpoint | None, record: Record) -> Decision:
    """Create the endpoint again for the version that served before it failed, or for one that waited behind a first one
    that never served; else leave it.
    """
    group = _group_arn(aws, settings)
    tags = endpoints.tags_of(aws.sagemaker, group)
    if restored := tags.get(names.RESTORED_TAG, ""):
        return _restore(aws, settings, endpoint, restored, record)
    never = tags.get(names.NEVER_SERVED_TAG, "")
    due = _deploy_due(aws, settings, never, record, is_deleting=endpoint is not None) if never else None
    return due or _recorded(record, Decision("unchanged", "the endpoint is deleted", settings.endpoint_name))


def _evaluate(
    aws: Clients, settings: Settings, endpoint: Endpoint, record: Record, seconds_left: Callable[[], float]
) -> Decision | None:
    """The verdict on the version of the last attempt; None where it has one already.

    An endpoint that stays gets the scaling of the settings in either case.
    """
    tried = endpoint.tags.get(names.VERSION_TAG)
    if tried is None:
        return None  # not created by this function
    if endpoint.status in ("Failed", "UpdateRollbackFailed"):
        return _after_failure(aws, settings, endpoint, tried, record)
    if not _is_back(endpoint) and endpoint.verdict != names.PENDING:
        scaling.follow(aws.scaling, settings)
        return None
    if not _is_back(endpoint):
        packages = _group_arn(aws, settings).replace(":model-package-group/", ":model-package/")
        try:
            reason = smoke_test.run(aws, settings, Version.of(f"{packages}/{tried}"), seconds_left)
        except smoke_test.SmokeTestError as error:
            return _roll_back(aws, settings, endpoint, f"smoke test: {error}", record)
        decision = Decision("accepted", reason, endpoint.name, tried, endpoint.config)
    else:
        reason = endpoint.failure or "SageMaker has rolled the endpoint back to the previous configuration"
        reason = f"version {tried}: {reason}"
        decision = Decision("rolled-back", reason, endpoint.name, tried, endpoint.config, _attempt(endpoint))
    scaling.follow(aws.scaling, settings)
    verdict = names.ACCEPTED if decision.decision == "accepted" else names.ROLLED_BACK
    _tag_verdict(aws, endpoint, verdict, decision.reason)
    return _recorded(record, decision)


def _after_failure(aws: Clients, settings: Settings, endpoint: Endpoint, tried: str, record: Record) -> Decision:
    if endpoint.status == "UpdateRollbackFailed":
        return _repair(aws, settings, endpoint, record)
    if endpoint.served is not None:
        return _replace(aws, settings, endpoint, record)
    return _delete(aws, settings, endpoint, f"version {tried} did not come up: {endpoint.failure}", record)


def _replace(aws: Clients, settings: Settings, endpoint: Endpoint, record: Record) -> Decision:
    """Delete an endpoint that has failed after it had served, to create it again with the version that served.

    "Failed: Endpoint could not be created, updated, or re-scaled. ... DeleteEndpoint is the only operation that can be
    performed on a failed endpoint": https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
    """
    served = str(endpoint.served)
    _count_failure(aws, endpoint)
    tags = endpoints.as_tags({names.RESTORED_TAG: served})
    aws.sagemaker.add_tags(ResourceArn=_group_arn(aws, settings), Tags=tags)
    aws.sagemaker.delete_endpoint(EndpointName=endpoint.name)
    reason = f"the endpoint has failed ({endpoint.failure or 'no reason given'}); version {served} is deployed again"
    _recorded(record, Decision("replacing", reason, endpoint.name, served, endpoint.config))
    # Lambda invokes the function again, once the endpoint is gone.
    raise DeployError(f"endpoint {endpoint.name} is being deleted; deploy version {served} again after that")


def _restore(aws: Clients, settings: Settings, endpoint: Endpoint | None, restored: str, record: Record) -> Decision:
    """Deploy the version that served before the endpoint failed, or what is approved since that was rejected."""
    if endpoint is not None:
        raise DeployError(f"endpoint {endpoint.name} is being deleted; deploy version {restored} again after that")
    group = _group_arn(aws, settings)
    version = Version.of(f"{group.replace(':model-package-group/', ':model-package/')}/{restored}")
    decision = deploy(aws, settings, DeployRequest(version, restores=True))
    if decision.decision != "creating" and (latest := latest_approved(aws, settings.model_package_group)):
        _recorded(record, decision)
        decision = deploy(aws, settings, DeployRequest(latest))
    aws.sagemaker.add_tags(ResourceArn=group, Tags=endpoints.as_tags({names.RESTORED_TAG: ""}))
    return _recorded(record, decision)


def _repair(aws: Clients, settings: Settings, endpoint: Endpoint, record: Record) -> Decision:
    """Return to the version that served, from a mix of two configurations that an update and its rollback left.

    "UpdateRollbackFailed: Both the rolling deployment and auto-rollback failed. Your endpoint is in service with a mix
    of the old and new endpoint configurations":
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
    """
    tried, reason = endpoint.tags[names.VERSION_TAG], endpoint.failure or "neither the update nor its rollback ended"
    if endpoint.verdict == names.PENDING:
        _count_failure(aws, endpoint)
        return _roll_back(aws, settings, endpoint, reason, record)
    raise DeployError(
        f"endpoint {endpoint.name} serves a mix of configurations, also after the return from version {tried}"
        f" ({reason}); see it in SageMaker's console, and delete it if nothing else helps: it is created again"
    )


def _count_failure(aws: Clients, endpoint: Endpoint) -> None:
    """Count the failure in a metric, which has an alarm: an endpoint that does not exist has no errors of its own."""
    dimensions = [{"Name": "EndpointName", "Value": endpoint.name}]
    data = {"MetricName": names.FAILURES_METRIC, "Dimensions": dimensions, "Value": 1.0, "Unit": "Count"}
    aws.cloudwatch.put_metric_data(Namespace=names.METRICS_NAMESPACE, MetricData=[data])


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
    reason = f"version {tried}: {reason}"
    return _recorded(record, Decision("rolling-back", reason, endpoint.name, tried, previous, _attempt(endpoint)))


def _delete(aws: Clients, settings: Settings, endpoint: Endpoint, reason: str, record: Record) -> Decision:
    """Delete an endpoint that never served well: it has no previous configuration, and its name is needed again."""
    tried = endpoint.tags.get(names.VERSION_TAG, "")
    tags = {names.NEVER_SERVED_TAG: tried, names.APPROVED_AT_TAG: endpoint.tags.get(names.APPROVED_AT_TAG, "")}
    aws.sagemaker.add_tags(ResourceArn=_group_arn(aws, settings), Tags=endpoints.as_tags(tags))
    aws.sagemaker.delete_endpoint(EndpointName=endpoint.name)
    return _recorded(record, Decision("cleaned-up", reason, endpoint.name, tried, endpoint.config, _attempt(endpoint)))


def _deploy_due(aws: Clients, settings: Settings, tried: str, record: Record, *, is_deleting: bool) -> Decision | None:
    """Deploy the latest approved version; None if it is the version `tried` of the last attempt."""
    latest = latest_approved(aws, settings.model_package_group)
    if latest is None or str(latest.number) == tried:
        return None
    if is_deleting:
        name = settings.endpoint_name
        raise DeployError(f"endpoint {name} is being deleted; deploy version {latest.number} after that")
    return _recorded(record, deploy(aws, settings, DeployRequest(latest)))


def _attempt(endpoint: Endpoint) -> str:
    """What makes an attempt another one of the same version: two events may come to its end at the same time."""
    return f"tried {endpoint.tags.get(names.APPROVED_AT_TAG, '')}"


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
