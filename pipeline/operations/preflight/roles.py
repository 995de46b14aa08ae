"""The roles: there, trusting the service that assumes them, and allowed what a run begins with.

Trust policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws.responses import CREATE_IT, says_missing
from pipeline.operations.preflight.account import Account, explaining
from pipeline.operations.preflight.results import Finding, failed, not_checked, ok
from pipeline.settings import Role

# Who assumes a role. The roles of the image builder and of continuous integration are not part of a run.
SERVICES: dict[Role, str] = {
    "pipeline": "sagemaker.amazonaws.com",
    "job": "sagemaker.amazonaws.com",
    "serving": "sagemaker.amazonaws.com",
    "scheduler": "scheduler.amazonaws.com",
    "deploy": "lambda.amazonaws.com",
}
# The simulator's other answers are explicitDeny and implicitDeny.
_ALLOWED = "allowed"


@dataclass(frozen=True)
class Permission:
    """An action that a principal must be allowed. `context` are the condition keys that the request would carry."""

    holder: str
    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)


def check(account: Account) -> Iterator[Finding]:
    """Each role by itself."""
    for kind, service in SERVICES.items():
        findings: list[Finding] = []
        with explaining(findings):
            findings.append(_role(account, kind, service))
        yield from findings


def _role(account: Account, kind: Role, service: str) -> Finding:
    settings, name = account.settings, account.settings.role_name(kind)
    try:
        found = account.client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if says_missing(error):
            return failed(f"there is no role {name}; {CREATE_IT}")
        raise
    if found["Arn"] != settings.role_arn(kind):
        return failed(
            f"role {name} has the ARN {found['Arn']}, but the definition names {settings.role_arn(kind)};"
            " a role with a path cannot be used, make one without"
        )
    if not trusts(found["AssumeRolePolicyDocument"], service):
        return failed(f"role {name} does not trust {service}; add it to the role's trust policy")
    return ok(name)


def trusts(document: dict[str, Any], service: str) -> bool:
    """Whether a trust policy lets a service assume its role."""
    return any(
        statement.get("Effect") == "Allow"
        and {"sts:AssumeRole", "sts:*", "*"} & set(_listed(statement.get("Action")))
        and service in _services(statement.get("Principal"))
        for statement in _listed(document.get("Statement"))
    )


def _services(principal: Any) -> list[Any]:
    return _listed(principal.get("Service")) if isinstance(principal, dict) else []


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


# ------------------------------------------------------------------------------------------------- permissions


def check_permissions(account: Account) -> Iterator[Finding]:
    """What the policies allow, by IAM's policy simulator, so that nothing has to be tried."""
    if account.is_local:
        yield not_checked("the local cloud enforces no policies")
        return
    findings: list[Finding] = []
    for permission in permissions(account):
        with explaining(findings):
            findings.append(_allowed(account, permission))
    # One reason is said once, not for each of the questions.
    yield from dict.fromkeys(findings)


def permissions(account: Account) -> list[Permission]:
    """What upsert, the pipeline and its jobs begin with."""
    settings = account.settings
    passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    pipeline, job = settings.role_arn("pipeline"), settings.role_arn("job")
    raw = settings.data.image_location.removeprefix("s3://").rstrip("/")
    wanted = [
        Permission(pipeline, "iam:PassRole", job, passed),
        Permission(pipeline, "lambda:InvokeFunction", settings.deploy_function_arn),
        Permission(job, "s3:PutObject", f"arn:aws:s3:::{settings.data.bucket}/{settings.data.prefix}/runs/preflight"),
        Permission(job, "s3:GetObject", f"arn:aws:s3:::{raw}/metadata/preflight.json"),
    ]
    if caller := principal(account.caller):
        wanted.insert(0, Permission(caller, "iam:PassRole", pipeline, passed))
    return wanted


def principal(caller: str) -> str:
    """The user or role whose policies count for a caller's ARN; empty for the account's root, who may do all.

    An assumed role's ARN lacks the role's path, so of roles with one (single sign-on's) nothing can be said.
    """
    if ":user/" in caller:
        return caller
    parts = caller.split(":")
    if len(parts) == 6 and parts[5].startswith("assumed-role/"):
        name = parts[5].split("/")[1]
        return "" if name.startswith("AWSReservedSSO_") else f"arn:aws:iam::{parts[4]}:role/{name}"
    return ""


def _allowed(account: Account, permission: Permission) -> Finding:
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in permission.context.items()
    ]
    who = permission.holder.rsplit("/", 1)[-1]
    said = f"{who} {permission.action}"
    try:
        answer = account.client("iam").simulate_principal_policy(
            PolicySourceArn=permission.holder,
            ActionNames=[permission.action],
            ResourceArns=[permission.resource],
            ContextEntries=context,
        )
    except ClientError as error:
        if says_missing(error):
            return not_checked(f"{said}: there is no {who}")
        raise
    result = answer["EvaluationResults"][0]
    if result["EvalDecision"] == _ALLOWED:
        return ok(said)
    if result.get("MissingContextValues"):
        return not_checked(f"{said}: it depends on {', '.join(result['MissingContextValues'])}")
    return failed(
        f"{who} may not {permission.action} on {permission.resource} ({result['EvalDecision']}); allow it in its"
        " policies, or bring the roles up to date: python -m pipeline bootstrap"
    )
