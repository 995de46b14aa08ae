"""Actions that services need of a job's or a model's role besides the caller's call, with AWS's page for each.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html (ROLES) lists the permissions of execution roles
by API: reading the image, logs, metrics, network interfaces. What AWS does where an action is refused is part of the
callers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.local.identity.requirements import Account, Check

ROLES = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
# Action or kind of actions: the page that says that the role needs it.
SOURCES = {
    "image": f"{ROLES}#sagemaker-roles-createprocessingjob-perms",
    "logs": f"{ROLES}#sagemaker-roles-createprocessingjob-perms",
    "metrics": f"{ROLES}#sagemaker-roles-createprocessingjob-perms",
    "network": f"{ROLES}#sagemaker-roles-createprocessingjob-perms",
    "alarms": "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html",
}
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_REPOSITORY = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)")
_INTERFACE = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
_DESCRIBE_NETWORK = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


def image(uri: str) -> Iterator[Check]:
    """Pulling an image from ECR. An image of another registry needs nothing of IAM."""
    if match := _REPOSITORY.match(uri):
        yield Check("ecr:GetAuthorizationToken", "*", {})
        arn = f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['name']}"
        yield from (Check(action, arn, {}) for action in _PULL)


def looked_up(uri: str) -> Iterator[Check]:
    """Looking up an image's digest in ECR, with requests that are signed and need no token of the registry: assumed."""
    if match := _REPOSITORY.match(uri):
        arn = f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['name']}"
        yield from (Check(action, arn, {}) for action in ("ecr:BatchGetImage", "ecr:DescribeImages"))


def logs(account: Account, group: str) -> Iterator[Check]:
    """Writing a log stream of a group."""
    arn = f"arn:aws:logs:{account.region}:{account.id}:log-group:{group}:*"
    for action in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"):
        yield Check(f"logs:{action}", arn, {})


def function_logs(account: Account, group: str) -> Iterator[Check]:
    """Writing a function's log, whose group exists: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html."""
    arn = f"arn:aws:logs:{account.region}:{account.id}:log-group:{group}:*"
    for action in ("CreateLogStream", "PutLogEvents"):
        yield Check(f"logs:{action}", arn, {})


def metrics(namespace: str) -> Iterator[Check]:
    """Metrics of the instances."""
    yield Check("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": namespace})


def network(account: Account, vpc: Mapping[str, Any] | None, *, processing: bool) -> Iterator[Check]:
    """Network interfaces in the caller's VPC.

    Processing jobs are validated with all resources and without condition keys: AWS's page says that conditions and
    resource filters on these actions make "the validation checks fail". Other jobs' interfaces are ARNs of their own.
    """
    if not vpc or not vpc.get("Subnets"):
        return
    base = f"arn:aws:ec2:{account.region}:{account.id}"
    interface = "*" if processing else f"{base}:network-interface/eni-0"
    context = {} if processing else {"ec2:Subnet": f"{base}:subnet/{vpc['Subnets'][0]}"}
    for action in _INTERFACE:
        yield Check(action, interface, context)
    if not processing:
        for kind, member in (("subnet", "Subnets"), ("security-group", "SecurityGroupIds")):
            yield from (Check(_INTERFACE[0], f"{base}:{kind}/{name}", {}) for name in vpc.get(member, ()))
    yield from (Check(action, "*", {}) for action in _DESCRIBE_NETWORK)


def alarms(account: Account) -> Iterator[Check]:
    """Reading the alarms of a guarded update: both the caller and the execution role need it."""
    yield Check("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{account.region}:{account.id}:alarm:*", {})
