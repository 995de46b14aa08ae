"""The roles exist, trust the service that assumes them, and allow the first actions of a run.

Trust policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.responses import CREATE_IT, exists
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, not_checked, ok
from pipeline.settings import Role
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
# The simulator's other answers are explicitDeny and implicitDeny.
_ALLOWED = "allowed"


@dataclass(frozen=True)
class Permission:
    """An action that a principal needs. `context` are the condition keys of the request."""

    principal: str
    action: str
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
    if account.is_local:
        yield not_checked("the local cloud enforces no policies")
        return
    findings = (explained(_permission, account, permission) for permission in permissions(account))
    # One reason may apply to all permissions.
    yield from dict.fromkeys(chain.from_iterable(findings))


def permissions(account: Account) -> list[Permission]:
    """The first permissions that upsert, the pipeline and its jobs need."""
    settings = account.settings
    passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    pipeline, job = settings.role_arn("pipeline"), settings.role_arn("job")
    photo = S3Uri.parse(settings.data.image_location).join("metadata", "preflight.json")
    wanted = [
        Permission(pipeline, "iam:PassRole", job, passed),
        Permission(pipeline, "lambda:InvokeFunction", settings.deploy_function_arn),
        Permission(job, "s3:PutObject", f"arn:aws:s3:::{settings.data.bucket}/{settings.data.prefix}/runs/preflight"),
        Permission(job, "s3:GetObject", f"arn:aws:s3:::{photo.bucket}/{photo.key}"),
    ]
    if caller := principal_of(account.caller):
        wanted.insert(0, Permission(caller, "iam:PassRole", pipeline, passed))
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


def _permission(account: Account, permission: Permission) -> Finding:
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in permission.context.items()
    ]
    name = name_of(permission.principal)
    title = f"{name} {permission.action}"
    answer = exists(
        account.client("iam").simulate_principal_policy,
        PolicySourceArn=permission.principal,
        ActionNames=[permission.action],
        ResourceArns=[permission.resource],
        ContextEntries=context,
    )
    if answer is None:
        return not_checked(f"{title}: there is no {name}")
    result = answer["EvaluationResults"][0]
    if result["EvalDecision"] == _ALLOWED:
        return ok(title)
    if result.get("MissingContextValues"):
        return not_checked(f"{title}: it depends on {', '.join(result['MissingContextValues'])}")
    return failed(
        f"{name} may not {permission.action} on {permission.resource} ({result['EvalDecision']}); allow it in its"
        " policies, or update the roles: python -m pipeline bootstrap"
    )
