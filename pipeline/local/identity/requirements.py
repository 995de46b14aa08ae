"""Which permissions AWS asks of the caller for a call: actions, resources and the values of condition keys.

An operation usually is the action of the same name on the resources that its request names (resources.py); the tables
here have the other names, and the further permissions that a call needs. Each row has its source; list_NAME.html is
a page of https://docs.aws.amazon.com/service-authorization/latest/reference/, whose table "API operations" has the
actions of each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pipeline.local.identity import objects
from pipeline.local.identity.conditions import contexts, tags_of, within
from pipeline.local.identity.modelled import modelled
from pipeline.local.identity.reference import action as reference
from pipeline.local.identity.resources import Account, UnresolvedError, resources

__all__ = ["Account", "Check", "UnresolvedError", "checks", "s3_checks"]


@dataclass(frozen=True)
class Check:
    """A permission that a call needs."""

    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)
    """What the request says under condition keys, in the reference's spelling."""


# Prefix of a service in policies, where it is not botocore's name
# (https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html).
_PREFIXES = {
    "resourcegroupstaggingapi": "tag",
    "sagemaker-runtime": "sagemaker",
    "service-quotas": "servicequotas",
}
# Action of an operation, where it has another name.
_NAMES = {
    # list_awsbudgetservice.html
    "budgets:CreateBudget": "ModifyBudget",
    "budgets:DeleteBudget": "ModifyBudget",
    "budgets:DescribeBudget": "ViewBudget",
    "budgets:DescribeBudgets": "ViewBudget",
    "budgets:DescribeNotificationsForBudget": "ViewBudget",
    "budgets:DescribeSubscribersForNotification": "ViewBudget",
    "budgets:UpdateBudget": "ModifyBudget",
    # list_lambda.html
    "lambda:GetLayerVersionByArn": "GetLayerVersion",
    "lambda:Invoke": "InvokeFunction",
    "lambda:InvokeWithResponseStream": "InvokeFunction",
    # list_sns.html
    "sns:PublishBatch": "Publish",
}
# "No permissions are required", even with a Deny
# (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html, .../API_GetSessionToken.html).
_FREE = frozenset({"sts:GetCallerIdentity", "sts:GetSessionToken"})

# Services that take roles, by the prefix of the call: the value of iam:PassedToService (list_sagemaker.html,
# list_scheduler.html, list_lambda.html, list_events.html, list_application-autoscaling.html; the others by
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html).
_PASSED_TO = {
    "application-autoscaling": "application-autoscaling.amazonaws.com",
    "athena": "athena.amazonaws.com",
    "cloudformation": "cloudformation.amazonaws.com",
    "codebuild": "codebuild.amazonaws.com",
    "events": "events.amazonaws.com",
    "lambda": "lambda.amazonaws.com",
    "sagemaker": "sagemaker.amazonaws.com",
    "scheduler": "scheduler.amazonaws.com",
}
_ROLES = (
    "ExecutionRole",
    "ExecutionRoleArn",
    "Role",
    "RoleARN",
    "RoleArn",
    "ValidationRole",
    "serviceRole",
    "serviceRoleOverride",
)
_PASSING = ("Create", "Put", "Register", "StartBuild", "Update")
# Action that a creation with tags needs besides (the same pages).
_TAGGING = {
    "application-autoscaling": "TagResource",
    "athena": "TagResource",
    "budgets": "TagResource",
    "cloudwatch": "TagResource",
    "ecr": "TagResource",
    "events": "TagResource",
    "glue": "TagResource",
    "lambda": "TagResource",
    "logs": "TagResource",
    "sagemaker": "AddTags",
    "scheduler": "TagResource",
    "secretsmanager": "TagResource",
    "sns": "TagResource",
    "sqs": "TagQueue",
}
_CREATING = ("Create", "Put", "Register")


def checks(service: str, operation: str, request: Mapping[str, Any], account: Account) -> list[Check]:
    """All permissions that AWS asks of the caller; none if it asks nothing.

    `service` is botocore's name, `request` has the members of botocore's model, in any order; others do not count.
    Operations of Athena that name a query need its workgroup besides, as a member WorkGroup. Raises UnresolvedError for
    a call that the tables do not cover, or that names two resources where it is about one.
    """
    prefix = _PREFIXES.get(service, service)
    if prefix == "s3":
        return [Check(*need) for need in objects.needs(operation, request)]
    name = _NAMES.get(f"{prefix}:{operation}", operation)
    if f"{prefix}:{name}" in _FREE:
        return []
    action = reference(prefix, name)
    if action is None:
        raise UnresolvedError(f"{service}:{operation}: the reference has no action {prefix}:{name}")
    request, members = modelled(service, operation, request)
    arns = resources(action, prefix, request, members, account)
    values = contexts(action, prefix, operation, request, account)
    needed = [Check(f"{prefix}:{action.name}", arn, context) for context in values for arn in arns]
    needed += _passed_roles(prefix, operation, request, arns[0], account)
    needed += _tags(prefix, operation, request, arns[0])
    for further in _FURTHER.get(f"{prefix}:{operation}", ()):
        needed += further(request, account)
    return needed


def s3_checks(
    method: str,
    target: str,
    headers: Mapping[str, str],
    keys: Iterable[objects.Key] | None = None,
) -> list[Check]:
    """All permissions that S3 asks for an HTTP request.

    `target` is the request line's, with the bucket in its path; names of headers are in lower case. `keys` are those
    of a DeleteObjects request's body, each perhaps with its version. Raises UnresolvedError.
    """
    return [Check(*need) for need in objects.needs_of_http(method, target, headers, keys)]


def _passed_roles(
    prefix: str, operation: str, request: Mapping[str, Any], resource: str, account: Account
) -> Iterator[Check]:
    """iam:PassRole for each role that the request passes to the service, by its ARN or by its name.

    A name: https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html (serviceRoleOverride).
    """
    if not operation.startswith(_PASSING) or prefix not in _PASSED_TO:
        return
    values = {"iam:PassedToService": _PASSED_TO[prefix], "iam:AssociatedResourceArn": resource}
    for role in dict.fromkeys(str(role) for role in within(request, *_ROLES) if role):
        arn = role if role.startswith("arn:") else f"arn:aws:iam::{account.id}:role/{role}"
        yield Check("iam:PassRole", arn, values)


def _tags(prefix: str, operation: str, request: Mapping[str, Any], resource: str) -> Iterator[Check]:
    """The action that adds the tags of a creation."""
    if not tags_of(request) or not operation.startswith(_CREATING):
        return
    if prefix == "iam":
        # list_awsidentityandaccessmanagementiam.html: iam:TagRole, iam:TagPolicy, ...
        tagging = f"Tag{operation.removeprefix('Create')}"
    elif prefix in _TAGGING:
        tagging = _TAGGING[prefix]
    else:
        return
    action = reference(prefix, tagging)
    if action is None:
        raise UnresolvedError(f"{prefix}:{operation}: the reference has no action {prefix}:{tagging}")
    tags = tags_of(request)
    values: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    values["aws:TagKeys"] = list(tags)
    if prefix == "sagemaker":
        # "The API actions to which users are allowed to apply tags": list_amazonsagemaker.html.
        values["sagemaker:TaggingAction"] = operation
    yield Check(f"{prefix}:{action.name}", resource, values)


# ------------------------------------------------------------------------------------------- further permissions
def _alarms_of_update(request: Mapping[str, Any], account: Account) -> list[Check]:
    """Alarms of a guarded update: the role needs cloudwatch:DescribeAlarms on them.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
    """
    alarms = within(request.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {}), "AlarmName")
    place = f"arn:aws:cloudwatch:{account.region}:{account.id}:alarm"
    return [Check("cloudwatch:DescribeAlarms", f"{place}:{alarm}") for alarm in dict.fromkeys(alarms)]


def _scaled_endpoint(request: Mapping[str, Any], account: Account) -> list[Check]:
    """The target service's permissions, of the caller.

    https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_id-based-policy-examples.html
    ("Permissions required for API actions on target services and CloudWatch"). The service-linked role is created at
    the first registration in an account; a later one does not need the permission, which is asked each time here.
    """
    if request.get("ServiceNamespace") != "sagemaker":
        raise UnresolvedError(f"application-autoscaling of {request.get('ServiceNamespace')} is not in the tables")
    endpoint = str(request.get("ResourceId", "")).split("/")[1]
    arn = f"arn:aws:sagemaker:{account.region}:{account.id}:endpoint/{endpoint}"
    linked = "sagemaker.application-autoscaling.amazonaws.com"
    role = (
        f"arn:aws:iam::{account.id}:role/aws-service-role/{linked}"
        "/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    )
    return [
        Check("sagemaker:DescribeEndpoint", arn),
        Check("sagemaker:UpdateEndpointWeightsAndCapacities", arn),
        Check("iam:CreateServiceLinkedRole", role, {"iam:AWSServiceName": linked}),
    ]


def _scaling_alarms(request: Mapping[str, Any], account: Account) -> list[Check]:
    """Alarms of a target tracking policy: TargetTracking-RESOURCE-AlarmHigh-ID. The same page as _scaled_endpoint."""
    place = f"arn:aws:cloudwatch:{account.region}:{account.id}:alarm"
    alarm = f"{place}:TargetTracking-{request.get('ResourceId', '')}-*"
    return [Check("cloudwatch:DescribeAlarms", f"{place}:*"), Check("cloudwatch:PutMetricAlarm", alarm)]


def _deleted_scaling_alarms(request: Mapping[str, Any], account: Account) -> list[Check]:
    place = f"arn:aws:cloudwatch:{account.region}:{account.id}:alarm"
    return [Check("cloudwatch:DeleteAlarms", f"{place}:TargetTracking-{request.get('ResourceId', '')}-*")]


def _function_code(request: Mapping[str, Any], _account: Account) -> list[Check]:
    """Lambda reads a function's code from S3 with the caller's permissions.

    "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for
    BUCKET/KEY": https://repost.aws/knowledge-center/lambda-deployment-package-errors
    """
    code = request.get("Code", request)
    if not code.get("S3Bucket"):
        return []
    read = "s3:GetObjectVersion" if code.get("S3ObjectVersion") else "s3:GetObject"
    return [Check(read, f"arn:aws:s3:::{code['S3Bucket']}/{code.get('S3Key', '')}")]


def _layers(request: Mapping[str, Any], _account: Account) -> list[Check]:
    """Layers of a function: list_lambda.html."""
    return [Check("lambda:GetLayerVersion", layer) for layer in request.get("Layers", [])]


def _tags_of_function(request: Mapping[str, Any], account: Account) -> list[Check]:
    """GetFunction answers with the tags: list_lambda.html."""
    needed = checks("lambda", "GetFunctionConfiguration", request, account)
    return [Check("lambda:ListTags", check.resource) for check in needed]


def _schedules_of_group(request: Mapping[str, Any], account: Account) -> list[Check]:
    """A group is deleted with its schedules: list_scheduler.html."""
    arn = f"arn:aws:scheduler:{account.region}:{account.id}:schedule/{request.get('Name', '')}/*"
    return [Check("scheduler:DeleteSchedule", arn)]


def _template(request: Mapping[str, Any], _account: Account) -> list[Check]:
    """CloudFormation reads a template from S3 with the caller's permissions.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-using-console-create-stack.html (assumed to be so
    for a change set).
    """
    url = request.get("TemplateURL")
    if not url:
        return []
    parts = urlsplit(url)
    host = parts.hostname or ""
    bucket, dot, _ = host.partition(".s3")
    path = parts.path.lstrip("/")
    return [Check("s3:GetObject", f"arn:aws:s3:::{f'{bucket}/{path}' if dot else path}")]


_FURTHER: dict[str, tuple[Callable[[Mapping[str, Any], Account], list[Check]], ...]] = {
    "application-autoscaling:DeleteScalingPolicy": (_deleted_scaling_alarms,),
    "application-autoscaling:DeregisterScalableTarget": (_deleted_scaling_alarms,),
    "application-autoscaling:PutScalingPolicy": (_scaling_alarms,),
    "application-autoscaling:RegisterScalableTarget": (_scaled_endpoint,),
    "cloudformation:CreateChangeSet": (_template,),
    "cloudformation:CreateStack": (_template,),
    "cloudformation:UpdateStack": (_template,),
    "lambda:CreateFunction": (_function_code, _layers),
    "lambda:GetFunction": (_tags_of_function,),
    "lambda:UpdateFunctionCode": (_function_code,),
    "lambda:UpdateFunctionConfiguration": (_layers,),
    "scheduler:DeleteScheduleGroup": (_schedules_of_group,),
    "sagemaker:CreateEndpoint": (_alarms_of_update,),
    "sagemaker:UpdateEndpoint": (_alarms_of_update,),
}
