"""What comes after a change of the endpoint: its smoke test, scaling, going back, clearing away, and what is due."""

from __future__ import annotations

from collections.abc import Callable

from steps.deploy import endpoint as endpoints
from steps.deploy import requests, scaling, smoke_test
from steps.deploy.clients import Clients
from steps.deploy.deployment import Decision, deploy, latest_approved
from steps.deploy.endpoint import Endpoint
from steps.deploy.events import EndpointChange, Order, Version
from steps.deploy.settings import DeployError, Settings

Record = Callable[[Decision], None]


def conclude(aws: Clients, settings: Settings, change: EndpointChange, record: Record) -> Decision:
    """Judge the version that was tried last, if it has not been judged; then deploy what waits to be deployed.

    Every decision is handed to `record` as it is made; the last one is given back. A version that was tried is not
    tried again, be it that it serves, was rolled back or never came up: that would go on for ever.

    Raises DeployError to be invoked again with the same event.
    """
    name = settings.endpoint_name
    if change.endpoint_name != name:
        raise DeployError(f"the event is about endpoint {change.endpoint_name}; this function deploys to {name}")
    endpoint = endpoints.describe(aws.sagemaker, name)
    if endpoint is None or endpoint.status == "Deleting":
        return _after_clearing(aws, settings, endpoint, record)
    if endpoint.busy:
        reason = f"the endpoint is {endpoint.status}; the end of that is an event too"
        return _recorded(record, Decision("unchanged", reason, name))
    tried = endpoint.tags.get(endpoints.VERSION, "")
    verdict = _judge(aws, settings, endpoint, record)
    if verdict is not None and verdict.decision == "rolling-back":
        return verdict
    due = _due(aws, settings, tried)
    if due is not None and verdict is not None and verdict.decision == "cleaned-up":
        raise DeployError(f"endpoint {name} is being deleted; deploy version {due.number} after that")
    if due is not None:
        return _recorded(record, deploy(aws, settings, Order(due)))
    return verdict or _recorded(record, Decision("unchanged", "nothing waits to be deployed", name, tried))


def settle(aws: Clients, settings: Settings, record: Record) -> None:
    """Judge what has come up and waits for its event, before another version takes its place.

    Otherwise a version that nobody tested would be the one to go back to.
    """
    endpoint = endpoints.describe(aws.sagemaker, settings.endpoint_name)
    if endpoint is not None and endpoint.status == "InService" and endpoint.verdict == endpoints.PENDING:
        _judge(aws, settings, endpoint, record)


def _after_clearing(aws: Clients, settings: Settings, endpoint: Endpoint | None, record: Record) -> Decision:
    """Make the endpoint anew for what waited behind a first version that never served; else leave it deleted."""
    never = endpoints.tags_of(aws.sagemaker, _group_arn(aws, settings)).get(endpoints.NEVER_SERVED, "")
    due = _due(aws, settings, never) if never else None
    if due is not None and endpoint is not None:
        raise DeployError(f"endpoint {endpoint.name} is being deleted; deploy version {due.number} after that")
    if due is not None:
        return _recorded(record, deploy(aws, settings, Order(due)))
    return _recorded(record, Decision("unchanged", "there is no endpoint any more", settings.endpoint_name))


def _judge(aws: Clients, settings: Settings, endpoint: Endpoint, record: Record) -> Decision | None:
    """The verdict on the version that was tried last; None where it was judged before.

    Where it stays, the endpoint scales as the settings say, be it judged now or before.
    """
    tried = endpoint.tags.get(endpoints.VERSION)
    if tried is None:
        return None  # not made by this function
    if endpoint.status == "Failed":
        return _clear_away(aws, settings, endpoint, f"version {tried} did not come up: {endpoint.failure}", record)
    if not _is_back(endpoint) and endpoint.verdict != endpoints.PENDING:
        scaling.follow(aws.scaling, settings)
        return None
    if not _is_back(endpoint):
        version = Version.of(f"{_package_prefix(aws, settings)}/{tried}")
        outcome = smoke_test.run(aws, settings, version)
        if not outcome.passed:
            return _go_back(aws, settings, endpoint, outcome.reason, record)
        decision = Decision("accepted", outcome.reason, endpoint.name, tried, endpoint.config)
    else:
        reason = endpoint.failure or "the endpoint has gone back to the configuration before"
        decision = Decision("rolled-back", f"version {tried}: {reason}", endpoint.name, tried, endpoint.config)
    scaling.follow(aws.scaling, settings)
    verdict = endpoints.ACCEPTED if decision.decision == "accepted" else endpoints.ROLLED_BACK
    _note(aws, endpoint, verdict, decision.reason)
    return _recorded(record, decision)


def _is_back(endpoint: Endpoint) -> bool:
    """Whether SageMaker has gone back to the configuration before: the status says InService then as well.

    Of a version that a person went back to at once, too, and that did not come up. One that was rolled back before is
    no news.
    """
    if endpoint.verdict == endpoints.ACCEPTED:
        return endpoint.config == endpoint.tags.get(endpoints.PREVIOUS)
    pending = endpoint.verdict == endpoints.PENDING
    return pending and endpoint.config != endpoint.tags.get(endpoints.CONFIG, endpoint.config)


def _go_back(aws: Clients, settings: Settings, endpoint: Endpoint, reason: str, record: Record) -> Decision:
    """Return to the configuration before, or clear the endpoint away where there is none."""
    tried, previous = endpoint.tags[endpoints.VERSION], endpoint.tags.get(endpoints.PREVIOUS, "")
    if not previous:
        return _clear_away(aws, settings, endpoint, f"version {tried}: {reason}", record)
    request = {"EndpointName": endpoint.name, "EndpointConfigName": previous}
    if settings.mode == "real-time":
        aws.sagemaker.update_endpoint(**request, DeploymentConfig=requests.swift_deployment_config(settings))
    else:
        aws.sagemaker.update_endpoint(**request)
    _note(aws, endpoint, endpoints.ROLLED_BACK, reason)
    return _recorded(record, Decision("rolling-back", f"version {tried}: {reason}", endpoint.name, tried, previous))


def _clear_away(aws: Clients, settings: Settings, endpoint: Endpoint, reason: str, record: Record) -> Decision:
    """Delete an endpoint that never served well: there is nothing to go back to, and its name is wanted again."""
    tried = endpoint.tags.get(endpoints.VERSION, "")
    notes = {endpoints.NEVER_SERVED: tried, endpoints.TRIED_AT: endpoint.tags.get(endpoints.TRIED_AT, "")}
    aws.sagemaker.add_tags(ResourceArn=_group_arn(aws, settings), Tags=endpoints.as_tags(notes))
    aws.sagemaker.delete_endpoint(EndpointName=endpoint.name)
    return _recorded(record, Decision("cleaned-up", reason, endpoint.name, tried, endpoint.config))


def _due(aws: Clients, settings: Settings, tried: str) -> Version | None:
    """The latest approved version, unless it is the one that was tried last."""
    latest = latest_approved(aws, settings.model_package_group)
    return None if latest is None or str(latest.number) == tried else latest


def _group_arn(aws: Clients, settings: Settings) -> str:
    group = aws.sagemaker.describe_model_package_group(ModelPackageGroupName=settings.model_package_group)
    return str(group["ModelPackageGroupArn"])


def _package_prefix(aws: Clients, settings: Settings) -> str:
    return _group_arn(aws, settings).replace(":model-package-group/", ":model-package/")


def _note(aws: Clients, endpoint: Endpoint, verdict: str, reason: str) -> None:
    judged = endpoint.tags.get(endpoints.CONFIG, "")
    notes = {endpoints.VERDICT: verdict, endpoints.REASON: reason, endpoints.JUDGED: judged}
    aws.sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=endpoints.as_tags(notes))


def _recorded(record: Record, decision: Decision) -> Decision:
    record(decision)
    return decision
