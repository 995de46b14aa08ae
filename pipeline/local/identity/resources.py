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
# Each function gets the request's members, and the names of all that the operation has; both are botocore's.
Reader = Callable[[Mapping[str, Any], frozenset[str]], Values]


def _at(request: Mapping[str, Any], path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _same(request: Mapping[str, Any], *paths: str) -> Any:
    """The value of members that all name the same resource. Raises UnresolvedError if they name two."""
    values = {path: value for path in paths if (value := _at(request, path)) not in (None, "", [])}
    _only(list(values.values()), " and ".join(values))
    return next(iter(values.values()), None)


def _only(values: list[Any], names: str) -> None:
    if any(value != values[0] for value in values):
        raise UnresolvedError(f"the request names several resources: {names} differ")


def _athena(request: Mapping[str, Any], members: frozenset[str]) -> Values:
    # GetDataCatalog has the catalog's name as Name, CreateWorkGroup the group's.
    catalog = request.get("CatalogName") or (None if "Configuration" in members else request.get("Name"))
    return {"WorkGroupName": request.get("WorkGroup"), "DataCatalogName": catalog}


def _budgets(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    return {"BudgetName": _same(request, "BudgetName", "Budget.BudgetName", "NewBudget.BudgetName")}


def _codebuild(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    # A build's id is PROJECT:UUID (https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Build.html).
    build = request.get("id")
    builds = request.get("ids") or ([build] if build else [])
    projects = _same(request, "name", "projectName", "names")
    if projects and builds:
        raise UnresolvedError("the request names both a project and a build")
    return {"ProjectName": projects or [str(item).split(":")[0] for item in builds]}


def _cloudwatch(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    return {"AlarmName": _same(request, "AlarmName", "AlarmNames")}


def _ecr(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    return {"RepositoryName": _same(request, "repositoryName", "repositoryNames")}


def _events(request: Mapping[str, Any], members: frozenset[str]) -> Values:
    if "Entries" in members:
        # Each event has a bus of its own
        # (https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html).
        buses = [entry.get("EventBusName") or "default" for entry in request.get("Entries", [])]
        return {"EventBusName": list(dict.fromkeys(buses))}
    bus = (request.get("EventBusName") or "default").rsplit("/", 1)[-1]
    rule = _same(request, "Rule", "Name")
    # The reference has a type of rule for the default bus, and another for all others.
    if bus == "default":
        return {"RuleName": rule, "EventBusName": None}
    return {"RuleName": None, "EventBusName": f"{bus}/{rule}" if rule else None}


def _glue(request: Mapping[str, Any], members: frozenset[str]) -> Values:
    if "DatabaseName" not in members:
        return {"DatabaseName": _same(request, "Name", "DatabaseInput.Name")}
    # An operation on a part of a table has a TableName, and perhaps a Name of the part.
    tables = ("TableName",) if "TableName" in members else ("Name", "TableInput.Name", "TablesToDelete")
    return {"DatabaseName": request.get("DatabaseName"), "TableName": _same(request, *tables)}


def _iam(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
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


# A name, a partial or a full ARN, each perhaps with a qualifier
# (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html).
_FUNCTION = re.compile(r"(?:arn:[^:]+:lambda:[^:]*:\d+:|\d+:)?(?:function:)?(.+)")


def _lambda(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    match = _FUNCTION.fullmatch(str(request.get("FunctionName", "")))
    name = match[1] if match else None
    qualifier = request.get("Qualifier")
    return {"FunctionName": f"{name}:{qualifier}" if name and qualifier and ":" not in name else name}


def _logs(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    given = {name: request[name] for name in ("logGroupName", "logGroupIdentifier") if request.get(name)}
    groups = {name: str(text).rsplit(":log-group:", 1)[-1].removesuffix(":*") for name, text in given.items()}
    return {"LogGroupName": _same(groups, *groups)}


def _sagemaker(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    # "The name or Amazon Resource Name (ARN) of the model package group" (botocore's model of CreateModelPackage): the
    # versions' ARNs have the name alone.
    group = request.get("ModelPackageGroupName")
    return {} if group is None else {"ModelPackageGroupName": str(group).rsplit("/", 1)[-1]}


def _secretsmanager(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    secret = _same(request, "SecretId", "Name")
    # Secrets Manager appends a hyphen and six characters to the name, which a request by name does not have
    # (https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html).
    return {"SecretId": secret if secret is None or secret.startswith("arn:") else f"{secret}-*"}


def _sns(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    # A subscription's ARN is its topic's and an id.
    subscription = request.get("SubscriptionArn")
    topic = subscription.rsplit(":", 1)[0] if subscription else None
    return {
        "TopicName": _same({**request, "SubscriptionArn": topic}, "TopicArn", "TargetArn", "SubscriptionArn", "Name")
    }


def _sqs(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    queue = str(request.get("QueueUrl", "")).rsplit("/", 1)[-1]
    return {"QueueName": _same({**request, "QueueUrl": queue}, "QueueName", "QueueUrl")}


def _sts(request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    return {"RoleNameWithPath": request.get("RoleArn")}


_VALUES: dict[str, Reader] = {
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
    "sagemaker": _sagemaker,
    "secretsmanager": _secretsmanager,
    "sns": _sns,
    "sqs": _sqs,
    "sts": _sts,
}
# Members whose value is the ARN of the resource that the call is about, whatever its type: of AddTags and the like, of
# Lambda's TagResource and GetLayerVersionByArn, of IAM's simulator. Lower case: services write them in several ways.
_ANY_ARN = frozenset({"arn", "policysourcearn", "resource", "resourcearn"})
# By service and type: a member whose value may be the resource's ARN though its name does not say so.
_NAMED_ARN = {"cloudformation:changeset": "changesetname"}

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
    "cloudwatch:GetMetricData": ("*",),
    "cloudwatch:ListMetrics": ("*",),
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
    "athena:CreateWorkGroup": (_ARN + "athena:${Region}:${Account}:workgroup/${Name}",),
    # https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html: "primary" by default.
    "athena:ListQueryExecutions": (_ARN + "athena:${Region}:${Account}:workgroup/${WorkGroupName=primary}",),
    "athena:StartQueryExecution": (_ARN + "athena:${Region}:${Account}:workgroup/${WorkGroupName=primary}",),
}


# -------------------------------------------------------------------------------------------------------- filling
def resources(
    action: Action, prefix: str, request: Mapping[str, Any], members: frozenset[str], account: Account
) -> list[str]:
    """ARNs of the resources of a call, the main one first; ["*"] for an action without resource types.

    `request` has members of the operation's model alone, and `members` are the names of all of them (modelled.py).
    A resource is taken from the members whose names say that they are its name or its ARN. Raises UnresolvedError if
    the request does not have the name of a required resource, or names two resources where the call is about one.
    """
    key = f"{prefix}:{action.name}"
    try:
        special = _VALUES.get(prefix, _no_values)(request, members)
    except UnresolvedError as error:
        raise UnresolvedError(f"{key}: {error}") from None
    values = {name.lower(): value for name, value in request.items()}
    given = dict(values)
    values |= {name.lower(): value for name, value in special.items()}
    values |= {"partition": "aws", "region": account.region, "account": account.id}
    if key in _ACTIONS and (key not in _GROUPED or "ModelPackageGroupName" in request):
        arns = [arn for template in _ACTIONS[key] for arn in _required(key, template, values)]
        return list(dict.fromkeys(arns))
    if not action.types:
        return ["*"]
    arns = []
    for kind in sorted(action.types, key=lambda kind: not kind.required):
        template = _TYPES.get(f"{prefix}:{kind.name}", kind.template)
        by_name = list(dict.fromkeys(_filled(template, values)))
        by_arn = {name: [value] for name, value in _arns(f"{prefix}:{kind.name}", kind.name, template, given).items()}
        ways = [way for way in (by_name, *by_arn.values()) if way]
        try:
            _only(ways, f"the {kind.name}'s name and {' and '.join(by_arn)}")
        except UnresolvedError as error:
            raise UnresolvedError(f"{key}: {error}") from None
        if kind.required and not ways:
            raise UnresolvedError(f"{key}: the request has no name of the {kind.name}: {', '.join(sorted(request))}")
        arns += ways[0] if ways else []
    if not arns and key not in _UNNAMED:
        raise UnresolvedError(f"{key}: the request names no resource: {', '.join(sorted(request))}")
    return list(dict.fromkeys(arns)) or ["*"]


# Packages without a group have a name of their own.
_GROUPED = ("sagemaker:CreateModelPackage", "sagemaker:ListModelPackages")
# Actions that may name a resource, and whose request may leave it out.
_UNNAMED = ("sagemaker:ListModelPackages",)


def _no_values(_request: Mapping[str, Any], _members: frozenset[str]) -> Values:
    return {}


def _required(key: str, template: str, values: Mapping[str, Any]) -> list[str]:
    arns = list(_filled(template, values))
    if not arns:
        raise UnresolvedError(f"{key}: the request has no value for {template}")
    return arns


def _arns(key: str, name: str, template: str, given: Mapping[str, Any]) -> dict[str, str]:
    """ARNs of a type by the member: of PipelineExecutionArn for a pipeline-execution, and of members of any type."""
    own = f"{name.replace('-', '').replace(' ', '').lower()}arn"
    names = {own, *_ANY_ARN, _NAMED_ARN.get(key, own)}
    pattern = _pattern(template)
    return {
        member: value
        for member, value in given.items()
        if member in names and isinstance(value, str) and value.startswith("arn:") and pattern.fullmatch(value)
    }


def _filled(template: str, values: Mapping[str, Any]) -> Iterator[str]:
    """ARNs by a template: none if a name is missing, several if a name is a list.

    A name may be an ARN of this type if it is the only one of the template: it is taken as it is.
    """
    pattern = _pattern(template)
    names = [match for match in _PLACEHOLDER.finditer(template) if match[1].lower() not in _PLACE]
    texts = [template]
    for match in _PLACEHOLDER.finditer(template):
        value = values.get(match[1].lower()) or match[2]
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str | int) for item in items):
            return
        if any(str(item).startswith("arn:") for item in items) and (
            len(names) > 1 or not all(pattern.fullmatch(str(item)) for item in items if str(item).startswith("arn:"))
        ):
            return
        texts = [
            str(item) if str(item).startswith("arn:") else text.replace(match[0], str(item))
            for text in texts
            for item in items
        ]
    yield from texts


# Placeholders that are not part of a resource's name.
_PLACE = ("partition", "region", "account")


@functools.lru_cache(maxsize=2048)
def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    # Text, name and default of a placeholder take turns.
    return re.compile(".+".join(re.escape(text).replace(r"\*", ".*") for text in parts[::3]))
