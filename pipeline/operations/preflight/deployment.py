"""What brings an approved version to the endpoint: images, the deploy function, its rules, its alarms, its queue."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from pipeline.account import deploy_function as serving
from pipeline.aws.responses import CREATE_IT, says_missing
from pipeline.operations.images import publishing as images
from pipeline.operations.preflight.account import Account, explaining
from pipeline.operations.preflight.results import Finding, failed, ok, warning


def check_images(account: Account) -> Iterator[Finding]:
    """The image of every step, under the tag that the definition names."""
    try:
        missing = images.missing(account.settings)
    except ClientError as error:
        if says_missing(error):
            yield failed(f"{error.response['Error']['Message']}; {CREATE_IT}, then: python -m pipeline images push")
            return
        raise
    for one in missing:
        yield failed(f"{one.step}: {one.uri} is not in the registry; put it there: python -m pipeline images push")
    if not missing:
        yield ok("those of every step are in the registry")


def check_function(account: Account) -> Iterator[Finding]:
    """The deploy function, made with the settings as they are."""
    settings, name = account.settings, account.settings.deploy_function
    try:
        found = account.client("lambda").get_function_configuration(FunctionName=name)
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no function {name}; {CREATE_IT}")
            return
        raise
    given = found.get("Environment", {}).get("Variables", {})
    wanted = serving.function_environment(settings)
    # A variable that is not set and one that is empty are the same to the function.
    changed = sorted(key for key, value in wanted.items() if given.get(key, "") != value)
    if changed:
        yield warning(
            f"the function {name} was made with other settings ({', '.join(changed)}); bring it up to date:"
            " python -m pipeline bootstrap"
        )
    else:
        yield ok(name)


def check_rules(account: Account) -> Iterator[Finding]:
    """The rules that invoke the function on an approval, and after a change of the endpoint."""
    for name in serving.deployment_rules(account.settings):
        findings: list[Finding] = []
        with explaining(findings):
            findings.append(_rule(account, name))
        yield from findings


def _rule(account: Account, name: str) -> Finding:
    try:
        state = account.client("events").describe_rule(Name=name)["State"]
    except ClientError as error:
        if says_missing(error):
            return failed(f"there is no rule {name}, so an approval deploys nothing; {CREATE_IT}")
        raise
    if state == "DISABLED":
        return warning(f"the rule {name} is disabled, so an approval deploys nothing; enable it in EventBridge")
    return ok(name)


def check_alarms(account: Account) -> Iterator[Finding]:
    """The alarms that roll a deployment back."""
    names = account.settings.alarms
    found = account.client("cloudwatch").describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    missing = sorted(set(names) - {alarm["AlarmName"] for alarm in found})
    for name in missing:
        yield failed(f"there is no alarm {name}, so a deployment behind it is refused; {CREATE_IT}")
    if not missing:
        yield ok(", ".join(names))


def check_queue(account: Account) -> Iterator[Finding]:
    """The queue for what a schedule, a rule or the function could not do."""
    name = account.settings.dead_letter_queue
    try:
        account.client("sqs").get_queue_url(QueueName=name)
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no queue {name}; {CREATE_IT}")
            return
        raise
    yield ok(name)
