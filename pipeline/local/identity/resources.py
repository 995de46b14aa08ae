"""ARNs of the resources that a call names.

The reference (reference.py) has each action's resource types with the templates of their ARNs. The tables here say
which member of a request has a placeholder's value where the names differ, and replace templates where the service asks
for another resource than the reference names; each row has its source.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.local.identity.reference import Action

Values = Mapping[str, Any]
_PLACEHOLDER = re.compile(r"\$\{(\w+)(?:=([^}]*))?\}")


@dataclass(frozen=True)
class Account:
    """The account and the region in which a call is made."""

    id: str
    region: str


class UnresolvedError(Exception):
    """A call whose permissions are not in the tables."""


# ------------------------------------------------------------------------------------------- members by placeholder
def _at(request: Mapping[str, Any], path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _first(request: Mapping[str, Any], *paths: str) -> Any:
    return next((value for path in paths if (value := _at(request, path)) not in (None, "", [])), None)


def _athena(request: Mapping[str, Any]) -> Values:
    return {"WorkGroupName": _first(request, "WorkGroup", "Name")}


def _budgets(request: Mapping[str, Any]) -> Values:
    return {"BudgetName": _first(request, "BudgetName", "Budget.BudgetName")}


def _codebuild(request: Mapping[str, Any]) -> Values:
    # A build's id is PROJECT:UUID (https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Build.html).
    builds = request.get("ids") or ([request["id"]] if "id" in request else [])
    return {"ProjectName": _first(request, "name", "projectName", "names") or [build.split(":")[0] for build in builds]}


def _cloudwatch(request: Mapping[str, Any]) -> Values:
    return {"AlarmName": _first(request, "AlarmName", "AlarmNames")}


def _ecr(request: Mapping[str, Any]) -> Values:
    return {"RepositoryName": _first(request, "repositoryName", "repositoryNames")}


def _events(request: Mapping[str, Any]) -> Values:
    bus = request.get("EventBusName", "default").rsplit("/", 1)[-1]
    rule = _first(request, "Rule", "Name")
    # The reference has a type of rule for the default bus, and another for all others.
    return {"RuleName": rule, "EventBusName": None} if bus == "default" else {"EventBusName": f"{bus}/{rule}"}


def _glue(request: Mapping[str, Any]) -> Values:
    return {
        "DatabaseName": _first(request, "DatabaseName", "DatabaseInput.Name", "Name"),
        "TableName": _first(request, "TableName", "TableInput.Name", "TablesToDelete", "Name"),
    }


def _iam(request: Mapping[str, Any]) -> Values:
    path = request.get("Path", "/").lstrip("/")
    named = {kind: request.get(f"{kind}Name") for kind in ("Role", "Policy", "User", "Group")}
    # Where a request has no path, the one of the existing entity is taken to be "/", as all of this project have it.
    values = {f"{kind}NameWithPath": path + name if name else None for kind, name in named.items()}
    policy, provider = request.get("PolicyArn"), request.get("Url")
    return {
        **values,
        "PolicyNameWithPath": policy or values["PolicyNameWithPath"],
        "OIDCProviderName": request.get("OpenIDConnectProviderArn") or (provider and provider.split("://", 1)[-1]),
    }


def _lambda(request: Mapping[str, Any]) -> Values:
    # A name, a partial or a full ARN, each perhaps with a qualifier
    # (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html).
    name = str(request.get("FunctionName", "")).rsplit("function:", 1)[-1]
    qualifier = request.get("Qualifier")
    return {"FunctionName": f"{name}:{qualifier}" if name and qualifier and ":" not in name else name or None}


def _logs(request: Mapping[str, Any]) -> Values:
    group = _first(request, "logGroupName", "logGroupIdentifier") or ""
    return {"LogGroupName": group.rsplit(":log-group:", 1)[-1].removesuffix(":*") or None}


def _secretsmanager(request: Mapping[str, Any]) -> Values:
    secret = _first(request, "SecretId", "Name")
    # Secrets Manager appends a hyphen and six characters to the name, which a request by name does not have
    # (https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html).
    return {"SecretId": secret if secret is None or secret.startswith("arn:") else f"{secret}-*"}


def _sns(request: Mapping[str, Any]) -> Values:
    subscription = request.get("SubscriptionArn")
    topic = subscription.rsplit(":", 1)[0] if subscription else None
    # A subscription's ARN looks like a topic's.
    return {"TopicName": topic or _first(request, "TopicArn", "TargetArn", "Name"), "SubscriptionArn": None}


def _sqs(request: Mapping[str, Any]) -> Values:
    return {"QueueName": request.get("QueueName") or str(request.get("QueueUrl", "")).rsplit("/", 1)[-1] or None}


def _sts(request: Mapping[str, Any]) -> Values:
    return {"RoleNameWithPath": request.get("RoleArn")}


_VALUES: dict[str, Callable[[Mapping[str, Any]], Values]] = {
    "athena": _athena,
    "budgets": _budgets,
    "cloudwatch": _cloudwatch,
    "codebuild": _codebuild,
    "ecr": _ecr,
    "events": _events,
    "glue": _glue,
    "iam": _iam,
    "lambda": _lambda,
    "logs": _logs,
    "secretsmanager": _secretsmanager,
    "sns": _sns,
    "sqs": _sqs,
    "sts": _sts,
}

# ------------------------------------------------------------------------------------------------ other templates
_ARN = "arn:${Partition}:"
# By service and type.
_TYPES = {
    # A scalable target's id is chosen at its registration, and a request does not have it
    # (https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_service-with-iam.html).
    "application-autoscaling:ScalableTarget": _ARN + "application-autoscaling:${Region}:${Account}:scalable-target/*",
    # A request does not have the stack's id, unless StackName is the ARN.
    "cloudformation:stack": _ARN + "cloudformation:${Region}:${Account}:stack/${StackName}/*",
    # EventBusName is BUS/RULE here, see _events.
    "events:rule-on-custom-event-bus": _ARN + "events:${Region}:${Account}:rule/${EventBusName}",
    # Messages of refused calls name groups so: "logs:CreateLogGroup on resource: arn:aws:logs:...:log-group:/ecs/x:
    # log-stream:"; so all policies but those about tags have to end with ":*"
    # (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html).
    "logs:log-group": _ARN + "logs:${Region}:${Account}:log-group:${LogGroupName}:log-stream:",
    "scheduler:schedule": _ARN + "scheduler:${Region}:${Account}:schedule/${GroupName=default}/${Name}",
    "scheduler:schedule-group": _ARN + "scheduler:${Region}:${Account}:schedule-group/${Name}",
}
_GROUP = _ARN + "sagemaker:${Region}:${Account}:model-package-group/${ModelPackageGroupName}"
_VERSIONS = _ARN + "sagemaker:${Region}:${Account}:model-package/${ModelPackageGroupName}/*"
_GLUE = _ARN + "glue:${Region}:${Account}:"
# By action.
_ACTIONS: dict[str, tuple[str, ...]] = {
    # Without names it asks about all alarms
    # (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html: "narrower scope").
    "cloudwatch:DescribeAlarms": (_ARN + "cloudwatch:${Region}:${Account}:alarm:${AlarmName=*}",),
    # The data sets that the reference has as optional are not part of these requests.
    "cloudwatch:PutMetricData": ("*",),
    "cloudformation:DescribeStacks": (_ARN + "cloudformation:${Region}:${Account}:stack/${StackName=*}/*",),
    "cloudformation:ValidateTemplate": ("*",),
    "ecr:DescribeRepositories": (_ARN + "ecr:${Region}:${Account}:repository/${RepositoryName=*}",),
    "events:PutEvents": (_ARN + "events:${Region}:${Account}:event-bus/${EventBusName=default}",),
    # https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html: catalog, database and all tables.
    "glue:GetDatabases": (_GLUE + "catalog", _GLUE + "database/*"),
    "glue:GetTables": (_GLUE + "catalog", _GLUE + "database/${DatabaseName}", _GLUE + "table/${DatabaseName}/*"),
    # The same page: the database's tables and functions are deleted with it.
    "glue:DeleteDatabase": (
        _GLUE + "catalog",
        _GLUE + "database/${DatabaseName}",
        _GLUE + "table/${DatabaseName}/*",
        _GLUE + "userDefinedFunction/${DatabaseName}/*",
    ),
    # The role's name follows from the service's (https://docs.aws.amazon.com/IAM/latest/UserGuide/
    # using-service-linked-roles.html).
    "iam:CreateServiceLinkedRole": (_ARN + "iam::${Account}:role/aws-service-role/${AWSServiceName}/*",),
    # The reference names the package alone, without requiring it; earlier editions name the group too. A new version's
    # number is not known before. Assumed: both, with "*" for the number.
    "sagemaker:CreateModelPackage": (_GROUP, _VERSIONS),
    # The reference names the package, without requiring it. Assumed: all versions of the group.
    "sagemaker:ListModelPackages": (_VERSIONS,),
    # https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html: "primary" by default.
    "athena:ListQueryExecutions": (_ARN + "athena:${Region}:${Account}:workgroup/${WorkGroupName=primary}",),
    "athena:StartQueryExecution": (_ARN + "athena:${Region}:${Account}:workgroup/${WorkGroupName=primary}",),
}


# -------------------------------------------------------------------------------------------------------- filling
def resources(action: Action, prefix: str, request: Mapping[str, Any], account: Account) -> list[str]:
    """ARNs of the resources of a call, the main one first; ["*"] for an action without resource types.

    Raises UnresolvedError if the request does not have the name of a required resource.
    """
    key = f"{prefix}:{action.name}"
    values = {name.lower(): value for name, value in request.items()}
    values |= {name.lower(): value for name, value in _VALUES.get(prefix, _no_values)(request).items()}
    values |= {"partition": "aws", "region": account.region, "account": account.id}
    if key in _ACTIONS and (key not in _GROUPED or "ModelPackageGroupName" in request):
        arns = [arn for template in _ACTIONS[key] for arn in _required(key, template, values)]
        return list(dict.fromkeys(arns))
    if not action.types:
        return ["*"]
    arns = []
    for kind in sorted(action.types, key=lambda kind: not kind.required):
        template = _TYPES.get(f"{prefix}:{kind.name}", kind.template)
        filled = list(_filled(template, values))
        if kind.required and not filled:
            raise UnresolvedError(f"{key}: the request has no name of the {kind.name}: {', '.join(sorted(request))}")
        arns += filled
    if not arns and key not in _UNNAMED:
        raise UnresolvedError(f"{key}: the request names no resource: {', '.join(sorted(request))}")
    return list(dict.fromkeys(arns)) or ["*"]


# Packages without a group have a name of their own.
_GROUPED = ("sagemaker:CreateModelPackage", "sagemaker:ListModelPackages")
# Actions that may name a resource, and whose request may leave it out.
_UNNAMED = ("sagemaker:ListModelPackages",)


def _no_values(_request: Mapping[str, Any]) -> Values:
    return {}


def _required(key: str, template: str, values: Mapping[str, Any]) -> list[str]:
    arns = list(_filled(template, values))
    if not arns:
        raise UnresolvedError(f"{key}: the request has no value for {template}")
    return arns


def _filled(template: str, values: Mapping[str, Any]) -> Iterator[str]:
    """ARNs by a template: none if a name is missing, several if a name is a list.

    A member whose value is an ARN of this type is taken as it is.
    """
    pattern = _pattern(template)
    for value in values.values():
        if isinstance(value, str) and value.startswith("arn:") and pattern.fullmatch(value):
            yield value
            return
    texts = [template]
    for match in _PLACEHOLDER.finditer(template):
        value = values.get(match[1].lower()) or match[2]
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str | int) for item in items):
            return
        if any(str(item).startswith("arn:") for item in items) and not all(map(pattern.fullmatch, map(str, items))):
            return
        texts = [
            str(item) if str(item).startswith("arn:") else text.replace(match[0], str(item))
            for text in texts
            for item in items
        ]
    yield from texts


@functools.lru_cache(maxsize=2048)
def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    # Text, name and default of a placeholder take turns.
    return re.compile(".+".join(re.escape(text).replace(r"\*", ".*") for text in parts[::3]))
