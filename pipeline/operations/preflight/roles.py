"""The roles exist, trust the service that assumes them, and allow the first actions of a run.

Trust policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
Permissions of execution roles: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.responses import CREATE_IT, exists
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, not_checked, ok, warning
from pipeline.settings import Role
from steps.contracts import s3_inventory
from steps.contracts.s3_uri import S3Uri

# The services that assume the roles. Those of the image builder and continuous integration are not part of a run.
SERVICES: dict[Role, str] = {
    "pipeline": "sagemaker.amazonaws.com",
    "job": "sagemaker.amazonaws.com",
    "serving": "sagemaker.amazonaws.com",
    "monitor": "sagemaker.amazonaws.com",
    "batch": "sagemaker.amazonaws.com",
    "scheduler": "scheduler.amazonaws.com",
    "deploy": "lambda.amazonaws.com",
}
# The roles whose permissions are asked for.
_SIMULATED: tuple[Role, Role, Role] = ("pipeline", "job", "serving")
# The simulator's other answers are explicitDeny and implicitDeny.
_ALLOWED = "allowed"


# Condition keys of the template's policies. They do not decide about the permissions below, whose keys are given.
_OWN_KEYS = frozenset(
    {
        "aws:TagKeys",
        "application-autoscaling:scalable-dimension",
        "application-autoscaling:service-namespace",
        "cloudwatch:namespace",
        "codebuild:environment.image",
        "codebuild:serviceRole",
        "codebuild:source.buildspec",
        "ec2:Subnet",
        "events:source",
        "iam:AWSServiceName",
        "iam:PassedToService",
        "kms:GrantIsForAWSResource",
        "sagemaker:InterContainerTrafficEncryption",
        "sagemaker:ModelApprovalStatus",
        "sagemaker:NetworkIsolation",
        "sagemaker:VolumeKmsKey",
        "sagemaker:VolumeKmsKeyArn",
        "sagemaker:VpcSubnets",
    }
)
# SageMaker's work on network interfaces for a job in a VPC.
_NETWORK_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


@dataclass(frozen=True)
class Permission:
    """Actions that a principal needs on a resource. `context` are the condition keys of the request."""

    principal: str
    actions: tuple[str, ...]
    resource: str
    context: dict[str, str] = field(default_factory=dict)


def check(account: Account) -> Iterator[Finding]:
    """Each role, independently of the others."""
    for kind, service in SERVICES.items():
        yield from explained(_role, account, kind, service)


def _role(account: Account, kind: Role, service: str) -> Finding:
    name, arn = account.settings.role_name(kind), account.settings.role_arn(kind)
    answer = exists(account.client("iam").get_role, RoleName=name)
    if answer is None:
        return failed(f"there is no role {name}; {CREATE_IT}")
    if (actual := answer["Role"]["Arn"]) != arn:
        return failed(
            f"role {name} has the ARN {actual}, but the definition names {arn}; a role with a path cannot be used,"
            " create one without"
        )
    if not trusts(answer["Role"]["AssumeRolePolicyDocument"], service):
        return failed(f"role {name} does not trust {service}; add it to the role's trust policy")
    return ok(name)


def trusts(document: dict[str, Any], service: str) -> bool:
    """Whether a trust policy lets a service assume its role."""
    return any(
        statement.get("Effect") == "Allow"
        and {"sts:AssumeRole", "sts:*", "*"} & set(_listed(statement.get("Action")))
        and isinstance(principal := statement.get("Principal"), dict)
        and service in _listed(principal.get("Service"))
        for statement in _listed(document.get("Statement"))
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def check_permissions(account: Account) -> Iterator[Finding]:
    """The policies allow what is needed, according to IAM's policy simulator: no action is tried."""
    findings = (explained(_permission, account, permission) for permission in permissions(account))
    # One reason may apply to all permissions.
    yield from dict.fromkeys(chain.from_iterable(findings))


def permissions(account: Account) -> list[Permission]:
    """Permissions that upsert, the pipeline, its jobs and a deployment need, and whose lack shows late in a run."""
    settings = account.settings
    passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    pipeline, job, serving = (settings.role_arn(kind) for kind in _SIMULATED)
    photo = S3Uri.parse(settings.data.image_location).join("metadata", "preflight.json")
    root = f"arn:aws:s3:::{settings.data.bucket}/{settings.data.prefix}"
    place = f"{settings.account.region}:{settings.account.id}"
    group = f"arn:aws:sagemaker:{place}:model-package-group/{settings.registry.group}"
    wanted = [
        Permission(pipeline, ("iam:PassRole",), job, passed),
        Permission(pipeline, ("lambda:InvokeFunction",), settings.deploy_function_arn),
        # RegisterModel makes this call for an existing group too; CreateModelPackage reads the model with this role.
        Permission(pipeline, ("sagemaker:CreateModelPackageGroup",), group),
        Permission(pipeline, ("s3:GetObject",), f"{root}/models/preflight"),
        *(Permission(job, ("s3:PutObject",), f"{root}/{folder}/preflight") for folder in ("runs", "plans")),
        Permission(job, ("s3:GetObject",), f"arn:aws:s3:::{photo.bucket}/{photo.key}"),
    ]
    if settings.data.inventory:
        manifest = S3Uri.parse(settings.data.inventory).join("preflight", s3_inventory.MANIFEST)
        wanted.append(Permission(job, ("s3:GetObject",), f"arn:aws:s3:::{manifest.bucket}/{manifest.key}"))
    if settings.network.subnets:
        # "Otherwise, the validation checks that occur during the creation of the processing job fail": all resources.
        wanted.append(Permission(job, _NETWORK_ACTIONS, "*"))
    if settings.endpoint.mode == "real-time":
        # https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
        alarms = f"arn:aws:cloudwatch:{place}:alarm:{settings.alarms[0]}"
        wanted.append(Permission(serving, ("cloudwatch:DescribeAlarms",), alarms))
    if caller := principal_of(account.caller):
        wanted.insert(0, Permission(caller, ("iam:PassRole",), pipeline, passed))
    return wanted


def principal_of(caller: str) -> str:
    """ARN of the user or role whose policies apply to a caller's ARN; empty for the account's root, who may do all.

    Empty too for roles of single sign-on: they have a path, which the ARN of an assumed role lacks.
    """
    if ":user/" in caller:
        return caller
    parts = caller.split(":")
    if len(parts) == 6 and parts[5].startswith("assumed-role/"):
        name = parts[5].split("/")[1]
        return "" if name.startswith("AWSReservedSSO_") else f"arn:aws:iam::{parts[4]}:role/{name}"
    return ""


def _permission(account: Account, permission: Permission) -> Iterator[Finding]:
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in permission.context.items()
    ]
    name = name_of(permission.principal)
    answer = exists(
        account.client("iam").simulate_principal_policy,
        PolicySourceArn=permission.principal,
        ActionNames=list(permission.actions),
        ResourceArns=[permission.resource],
        ContextEntries=context,
    )
    if answer is None:
        yield not_checked(f"{name} {', '.join(permission.actions)}: there is no {name}")
        return
    for result in answer["EvaluationResults"]:
        yield _decision(name, permission.resource, result)


def _decision(name: str, resource: str, result: dict[str, Any]) -> Finding:
    action = result["EvalActionName"]
    if result["EvalDecision"] == _ALLOWED:
        return ok(f"{name} {action}")
    remedy = "allow it in its policies, or update the roles: python -m pipeline bootstrap"
    # The simulator lists the keys of all statements, whatever they allow: https://github.com/boto/boto3/issues/3111
    if others := sorted(_missing_keys(result) - _OWN_KEYS):
        return warning(
            f"{name} may not {action} on {resource} unless a condition on {', '.join(others)} holds; {remedy}"
        )
    return failed(f"{name} may not {action} on {resource} ({result['EvalDecision']}); {remedy}")


def _missing_keys(result: dict[str, Any]) -> set[str]:
    parts = [result, *result.get("ResourceSpecificResults", [])]
    return {key for part in parts for key in part.get("MissingContextValues", [])}
