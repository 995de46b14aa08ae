"""The parts of a deployment: images, the deploy function, its rules, alarms and queue."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from pipeline.account import deploy_function as serving
from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import CREATE_IT, exists, says_missing
from pipeline.operations.images import publishing as images
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, ok, warning


def check_images(account: Account) -> Iterator[Finding]:
    """Every step's image exists, under the tag in the definition."""
    try:
        missing = images.missing(account.settings)
    except ClientError as error:
        if not says_missing(error):
            raise
        yield failed(f"{aws_errors.message_of(error)}; {CREATE_IT}, then: python -m pipeline images push")
        return
    for image in missing:
        yield failed(f"{image.step}: {image.uri} is missing in the registry; push it: python -m pipeline images push")
    if not missing:
        yield ok("every step's image is in the registry")


def check_function(account: Account) -> Finding:
    """The deploy function exists and has the present settings."""
    settings, name = account.settings, account.settings.deploy_function
    function = exists(account.client("lambda").get_function_configuration, FunctionName=name)
    if function is None:
        return failed(f"there is no function {name}; {CREATE_IT}")
    environment = function.get("Environment", {}).get("Variables", {})
    wanted = serving.function_environment(settings)
    # The function treats an unset variable as an empty one.
    changed = sorted(key for key, value in wanted.items() if environment.get(key, "") != value)
    if changed:
        return warning(
            f"the function {name} has other settings ({', '.join(changed)}); update it: python -m pipeline bootstrap"
        )
    return ok(name)


def check_rules(account: Account) -> Iterator[Finding]:
    """The rules that invoke the function, on an approval and after a change of the endpoint, are enabled."""
    for name in serving.deployment_rules(account.settings):
        yield from explained(_rule, account, name)


def _rule(account: Account, name: str) -> Finding:
    rule = exists(account.client("events").describe_rule, Name=name)
    if rule is None:
        return failed(f"there is no rule {name}, so that an approval deploys nothing; {CREATE_IT}")
    if rule["State"] == "DISABLED":
        return warning(f"the rule {name} is disabled, so that an approval deploys nothing; enable it in EventBridge")
    return ok(name)


def check_alarms(account: Account) -> Iterator[Finding]:
    """The alarms that roll a deployment back exist."""
    names = account.settings.alarms
    alarms = account.client("cloudwatch").describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    missing = sorted(set(names) - {alarm["AlarmName"] for alarm in alarms})
    for name in missing:
        yield failed(f"there is no alarm {name}, so that SageMaker refuses a deployment with it; {CREATE_IT}")
    if not missing:
        yield ok(", ".join(names))


def check_queue(account: Account) -> Finding:
    """The dead-letter queue of schedules, rules and the function exists."""
    name = account.settings.dead_letter_queue
    if exists(account.client("sqs").get_queue_url, QueueName=name) is None:
        return failed(f"there is no queue {name}; {CREATE_IT}")
    return ok(name)
