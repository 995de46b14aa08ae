"""Features of IAM's policy language: a policy, a request, and AWS's answer with the page that documents it.

Pages are those of https://docs.aws.amazon.com/IAM/latest/UserGuide/NAME.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/bins-job/SageMaker"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/bins-job"
REGISTER = "sagemaker:CreateModelPackage"
VERSION = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package/bins/1"
STATUS = "sagemaker:ModelApprovalStatus"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
KEY_OF_VOLUME = "sagemaker:VolumeKmsKeyArn"
OBJECT = "arn:aws:s3:::b/k"

LOGIC = "reference_policies_evaluation-logic_policy-eval-denyallow"
BASICS = "reference_policies_evaluation-logic_policy-eval-basics"
CROSS = "reference_policies_evaluation-logic-cross-account"
ACTION = "reference_policies_elements_action"
RESOURCE = "reference_policies_elements_resource"
NOT_ACTION = "reference_policies_elements_notaction"
NOT_RESOURCE = "reference_policies_elements_notresource"
PRINCIPAL = "reference_policies_elements_principal"
NOT_PRINCIPAL = "reference_policies_elements_notprincipal"
CONDITION = "reference_policies_elements_condition"
OPERATORS = "reference_policies_elements_condition_operators"
LOGIC_OF_VALUES = "reference_policies_condition-logic-multiple-context-keys-or-values"
SETS = "reference_policies_condition-single-vs-multi-valued-context-keys"
VARIABLES = "reference_policies_variables"
LANGUAGE = "reference_policies_elements_version"
BOUNDARY = "access_policies_boundaries"
SESSION_POLICIES = "access_policies"
PASS_ROLE = "id_roles_use_passrole"


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    """A document; each statement has its number as its id."""
    return {"Version": version, "Statement": [{"Sid": f"S{n}", **element} for n, element in enumerate(statements)]}


def allow(action: str = REGISTER, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str = REGISTER, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def where(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


def on(operator: str, key: str, wanted: Any, given: Any = None, *, refusing: bool = False) -> dict[str, Any]:
    """An Allow with a condition, or an Allow and a Deny with it, and a request that has a value of the key."""
    condition = where(operator, key, wanted)
    identity = policy(allow(), deny(**condition)) if refusing else policy(allow(**condition))
    return {"identity": identity, "context": {} if given is None else {key: given}}


@dataclass(frozen=True)
class Case:
    """A question, AWS's answer and where AWS says so."""

    name: str
    page: str
    allowed: bool
    identity: dict[str, Any] = field(default_factory=policy)
    action: str = REGISTER
    resource: str = VERSION
    context: dict[str, Any] = field(default_factory=dict)
    resource_policy: dict[str, Any] | None = None
    boundary: dict[str, Any] | None = None
    session: dict[str, Any] | None = None
    caller: str = SESSION
    role: str = ROLE
    service: str = ""
    trust: bool = False


def _not(element: str, effect: str, **more: Any) -> dict[str, Any]:
    value = more.pop("value")
    base: dict[str, Any] = {"Effect": effect, "Action": "*", "Resource": "*", element: value, **more}
    base.pop(element.removeprefix("Not"))
    return base


_TLS = {**deny("s3:*", ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]), "Principal": "*"} | where(
    "Bool", "aws:SecureTransport", "false"
)
_GUARD = deny(Condition={"Null": {KEY_OF_VOLUME: "false"}, "ArnNotEquals": {KEY_OF_VOLUME: KEY}})
_SUBNETS = where("ForAnyValue:StringNotEquals", "sagemaker:VpcSubnets", ["subnet-1", "subnet-2"])


def _granting(principal: Any, action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/*") -> dict[str, Any]:
    return policy({**allow(action, resource), "Principal": principal})


def _trusting(principal: Any, **more: Any) -> dict[str, Any]:
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


ASSUME = {"action": "sts:AssumeRole", "resource": ROLE, "trust": True}
SERVICE = {"caller": "", "role": ""}
USER = f"arn:aws:iam::{ACCOUNT}:user/ada"
OTHER = "arn:aws:sts::999999999999:assumed-role/theirs/x"
GET = {"action": "s3:GetObject", "resource": OBJECT}

CASES = [
    # ---- effects
    Case("plain allow", LOGIC, True, policy(allow())),
    Case("implicit deny", LOGIC, False, policy(allow("s3:*"))),
    Case("no policy", LOGIC, False),
    Case("explicit deny wins", LOGIC, False, policy(allow("*"), deny())),
    Case("deny on another resource", LOGIC, True, policy(allow("*"), deny(resource=VERSION + "0"))),
    Case("the root user needs no policy", LOGIC, True, caller=f"arn:aws:iam::{ACCOUNT}:root", role=""),
    # ---- actions
    Case("action in other letters", ACTION, True, policy(allow("SAGEMAKER:createmodelpackage"))),
    Case("question mark in an action", ACTION, True, policy(allow("sagemaker:CreateModelPackag?"))),
    Case("question mark is one letter", ACTION, False, policy(allow("sagemaker:CreateModelPackage?"))),
    Case("dot in an action is a dot", ACTION, False, policy(allow("sagemaker.CreateModelPackage"))),
    Case("NotAction", NOT_ACTION, True, policy(_not("NotAction", "Allow", value="s3:*"))),
    Case("NotAction excludes", NOT_ACTION, False, policy(_not("NotAction", "Allow", value="sagemaker:*"))),
    # ---- resources
    Case("resource in other letters", RESOURCE, False, policy(allow(resource=VERSION.replace("bins", "BINS")))),
    Case("star crosses slashes", RESOURCE, True, policy(allow(resource=VERSION.replace("bins/1", "*")))),
    Case(
        "star crosses no colon",
        RESOURCE,
        False,
        policy(allow(resource=f"arn:aws:sagemaker:*:{ACCOUNT}")),
        resource=f"arn:aws:sagemaker:us-east-1:other:{ACCOUNT}",
    ),
    Case("missing parts are stars", RESOURCE, True, policy(allow(resource="arn:aws:sagemaker"))),
    Case(
        "a missing part moves the others",
        RESOURCE,
        False,
        policy(allow(resource="arn:aws:sagemaker:*:model-package/bins/1")),
    ),
    Case(
        "dot in a resource is a dot",
        RESOURCE,
        False,
        policy(allow("s3:GetObject", "arn:aws:s3:::a.b/*")),
        "s3:GetObject",
        "arn:aws:s3:::axb/k",
    ),
    Case("an ARN does not cover no resource", RESOURCE, False, policy(allow(resource=VERSION)), resource="*"),
    Case("NotResource", NOT_RESOURCE, True, policy(_not("NotResource", "Allow", value="arn:aws:s3:::x"))),
    Case("NotResource excludes", NOT_RESOURCE, False, policy(_not("NotResource", "Allow", value=VERSION))),
    Case("Deny NotResource", NOT_RESOURCE, True, policy(allow("*"), _not("NotResource", "Deny", value=VERSION))),
    Case(
        "Deny NotResource hits",
        NOT_RESOURCE,
        False,
        policy(allow("*"), _not("NotResource", "Deny", value="arn:aws:s3:::x")),
    ),
    # ---- strings
    Case("StringEquals", OPERATORS, True, **on("StringEquals", STATUS, ["Pending"], "Pending")),
    Case("StringEquals, another value", OPERATORS, False, **on("StringEquals", STATUS, ["Pending"], "Approved")),
    Case("StringEquals, other letters", OPERATORS, False, **on("StringEquals", STATUS, "approved", "Approved")),
    Case("StringEquals knows no wildcard", OPERATORS, False, **on("StringEquals", STATUS, "App*", "Approved")),
    Case("StringEquals, missing key", OPERATORS, False, **on("StringEquals", STATUS, "Approved")),
    Case("key in other letters", CONDITION, True, **on("StringEquals", STATUS.lower(), "Approved", "Approved")),
    Case("StringEqualsIgnoreCase", OPERATORS, True, **on("StringEqualsIgnoreCase", STATUS, "APPROVED", "Approved")),
    Case(
        "StringNotEqualsIgnoreCase", OPERATORS, False, **on("StringNotEqualsIgnoreCase", STATUS, "APPROVED", "Approved")
    ),
    Case(
        "Deny whose condition is not met",
        OPERATORS,
        True,
        **on("StringEquals", STATUS, "Approved", "Rejected", refusing=True),
    ),
    Case("StringNotEquals, missing key", OPERATORS, True, **on("StringNotEquals", STATUS, "Approved")),
    Case(
        "StringNotEquals is none of the values",
        LOGIC_OF_VALUES,
        False,
        **on("StringNotEquals", STATUS, ["Approved", "Rejected"], "Rejected"),
    ),
    Case("StringEqualsIfExists, missing key", OPERATORS, True, **on("StringEqualsIfExists", STATUS, "Approved")),
    Case(
        "StringEqualsIfExists, another value",
        OPERATORS,
        False,
        **on("StringEqualsIfExists", STATUS, "Approved", "Rejected"),
    ),
    Case(
        "StringLike",
        OPERATORS,
        True,
        policy(
            allow(
                "cloudwatch:PutMetricData", **where("StringLike", "cloudwatch:namespace", ["/aws/sagemaker/*", "Bins"])
            )
        ),
        "cloudwatch:PutMetricData",
        "*",
        {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"},
    ),
    Case(
        "StringLike, another value",
        OPERATORS,
        False,
        policy(
            allow(
                "cloudwatch:PutMetricData", **where("StringLike", "cloudwatch:namespace", ["/aws/sagemaker/*", "Bins"])
            )
        ),
        "cloudwatch:PutMetricData",
        "*",
        {"cloudwatch:namespace": "AWS/EC2"},
    ),
    Case("StringNotLike", OPERATORS, False, **on("StringNotLike", STATUS, "App*", "Approved")),
    Case(
        "two operators are and",
        LOGIC_OF_VALUES,
        False,
        policy(allow(Condition={"StringEquals": {STATUS: "Approved"}, "Bool": {"aws:SecureTransport": "true"}})),
        context={STATUS: "Approved", "aws:SecureTransport": "false"},
    ),
    Case(
        "two keys are and",
        LOGIC_OF_VALUES,
        False,
        policy(allow(Condition={"StringEquals": {STATUS: "Approved", "aws:x": "y"}})),
        context={STATUS: "Approved"},
    ),
    # ---- booleans and absence
    Case(
        "Bool true",
        OPERATORS,
        True,
        policy(allow("kms:CreateGrant", **where("Bool", "kms:GrantIsForAWSResource", "true"))),
        "kms:CreateGrant",
        KEY,
        {"kms:GrantIsForAWSResource": "true"},
    ),
    Case(
        "Bool, missing key",
        OPERATORS,
        False,
        policy(allow("kms:CreateGrant", **where("Bool", "kms:GrantIsForAWSResource", "true"))),
        "kms:CreateGrant",
        KEY,
    ),
    Case("Bool of JSON", OPERATORS, True, **on("Bool", "aws:SecureTransport", True, "true")),
    Case(
        "BoolIfExists false refuses silence",
        OPERATORS,
        False,
        **on("BoolIfExists", "sagemaker:NetworkIsolation", "false", refusing=True),
    ),
    Case(
        "BoolIfExists false, key true",
        OPERATORS,
        True,
        **on("BoolIfExists", "sagemaker:NetworkIsolation", "false", "true", refusing=True),
    ),
    Case("Null true refuses silence", OPERATORS, False, **on("Null", "sagemaker:VpcSubnets", "true", refusing=True)),
    Case(
        "Null true, key exists",
        OPERATORS,
        True,
        **on("Null", "sagemaker:VpcSubnets", "true", ["subnet-1"], refusing=True),
    ),
    Case("Null false, key exists", OPERATORS, True, **on("Null", STATUS, "false", "x")),
    Case("Null false, missing key", OPERATORS, False, **on("Null", STATUS, False)),
    # ---- sets
    Case(
        "ForAnyValue:StringNotEquals, a foreign value",
        SETS,
        False,
        policy(allow(), deny(**_SUBNETS)),
        context={"sagemaker:VpcSubnets": ["subnet-1", "subnet-9"]},
    ),
    Case(
        "ForAnyValue:StringNotEquals, listed values",
        SETS,
        True,
        policy(allow(), deny(**_SUBNETS)),
        context={"sagemaker:VpcSubnets": ["subnet-2", "subnet-1"]},
    ),
    Case("ForAnyValue, missing key", SETS, False, **on("ForAnyValue:StringEquals", "aws:TagKeys", "a")),
    Case("ForAnyValue, one of two", SETS, True, **on("ForAnyValue:StringLike", "aws:TagKeys", "a*", ["b", "ab"])),
    Case("ForAllValues, missing key", SETS, True, **on("ForAllValues:StringEquals", "aws:TagKeys", ["a"])),
    Case(
        "ForAllValues, a foreign value",
        SETS,
        False,
        **on("ForAllValues:StringEquals", "aws:TagKeys", ["a"], ["a", "b"]),
    ),
    Case(
        "ForAllValues:StringNotEquals",
        SETS,
        False,
        **on("ForAllValues:StringNotEquals", "aws:TagKeys", ["a"], ["a", "b"]),
    ),
    Case(
        "ForAnyValue IfExists, missing key",
        OPERATORS,
        True,
        **on("ForAnyValue:StringEqualsIfExists", "aws:TagKeys", ["a"]),
    ),
    # ---- ARNs
    Case(
        "ArnLike",
        OPERATORS,
        True,
        **on(
            "ArnLike",
            "ec2:Subnet",
            f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/*",
            f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-1",
        ),
    ),
    Case(
        "ArnLike, star in one part only",
        OPERATORS,
        False,
        **on("ArnLike", "ec2:Subnet", "arn:aws:ec2:*:subnet/s", f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/s"),
    ),
    Case(
        "ArnEquals takes wildcards",
        OPERATORS,
        True,
        **on("ArnEquals", "ec2:Subnet", "arn:aws:ec2:*:*:subnet/?", f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/s"),
    ),
    Case("ArnNotEquals, another key", OPERATORS, False, policy(allow(), _GUARD), context={KEY_OF_VOLUME: f"{KEY}0"}),
    Case("ArnNotEquals, the right key", OPERATORS, True, policy(allow(), _GUARD), context={KEY_OF_VOLUME: KEY}),
    # ---- numbers, dates, addresses, bytes
    Case(
        "NumericLessThanEquals",
        OPERATORS,
        True,
        **on("NumericLessThanEquals", "sagemaker:MaxRuntimeInSeconds", "3600", "3600"),
    ),
    Case(
        "NumericLessThan of a JSON number",
        OPERATORS,
        False,
        **on("NumericLessThan", "sagemaker:MaxRuntimeInSeconds", 3600, "3600"),
    ),
    Case(
        "NumericLessThan, missing key",
        OPERATORS,
        False,
        **on("NumericLessThan", "sagemaker:MaxRuntimeInSeconds", "3600"),
    ),
    Case(
        "NumericGreaterThan is no order of texts",
        OPERATORS,
        False,
        **on("NumericGreaterThan", "s3:max-keys", "10", "9"),
    ),
    Case("NumericNotEquals", OPERATORS, True, **on("NumericNotEquals", "s3:max-keys", "10", "9")),
    Case("IpAddress", OPERATORS, True, **on("IpAddress", "aws:SourceIp", "127.0.0.0/8", "127.0.0.1")),
    Case("IpAddress of version 6", OPERATORS, True, **on("IpAddress", "aws:SourceIp", "2001:db8::/32", "2001:db8::1")),
    Case(
        "NotIpAddress",
        OPERATORS,
        False,
        **on("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "203.0.113.7"], "127.0.0.1", refusing=True),
    ),
    Case(
        "DateLessThan",
        OPERATORS,
        True,
        **on("DateLessThan", "aws:CurrentTime", "2030-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ),
    Case(
        "DateGreaterThan of seconds",
        OPERATORS,
        False,
        **on("DateGreaterThan", "aws:EpochTime", "2030-01-01T00:00:00Z", "1767225600"),
    ),
    Case("BinaryEquals", OPERATORS, True, **on("BinaryEquals", "x:digest", "QmluYXJ5", "QmluYXJ5")),
    # ---- variables
    Case(
        "variable in a resource",
        VARIABLES,
        True,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:PrincipalAccount}/*")),
        "s3:GetObject",
        f"arn:aws:s3:::b/{ACCOUNT}/x",
        {"aws:PrincipalAccount": ACCOUNT},
    ),
    Case(
        "variable without a value",
        VARIABLES,
        False,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:username}/*")),
        "s3:GetObject",
        "arn:aws:s3:::b//x",
    ),
    Case(
        "variable with a default",
        VARIABLES,
        True,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:PrincipalTag/team, 'company-wide'}/*")),
        "s3:GetObject",
        "arn:aws:s3:::b/company-wide/x",
    ),
    Case(
        "a value comes before the default",
        VARIABLES,
        False,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:PrincipalTag/team, 'company-wide'}/*")),
        "s3:GetObject",
        "arn:aws:s3:::b/company-wide/x",
        {"aws:PrincipalTag/team": "blue"},
    ),
    Case(
        "variable in a condition",
        VARIABLES,
        True,
        policy(allow(**where("StringEquals", "aws:ResourceAccount", "${aws:PrincipalAccount}"))),
        context={"aws:ResourceAccount": ACCOUNT, "aws:PrincipalAccount": ACCOUNT},
    ),
    Case(
        "variable without a value in StringNotEquals",
        VARIABLES,
        True,
        **on("StringNotEquals", STATUS, "${aws:username}", "x"),
    ),
    Case(
        "a star as itself",
        VARIABLES,
        False,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${*}")),
        "s3:GetObject",
        OBJECT,
    ),
    Case(
        "a dollar as itself",
        VARIABLES,
        True,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${$}{k}")),
        "s3:GetObject",
        "arn:aws:s3:::b/${k}",
    ),
    Case(
        "no variables in the first version",
        LANGUAGE,
        True,
        policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:username}"), version="2008-10-17"),
        "s3:GetObject",
        "arn:aws:s3:::b/${aws:username}",
        {"aws:username": "ada"},
    ),
    # ---- passed roles
    Case(
        "PassRole to the right service",
        PASS_ROLE,
        True,
        policy(allow("iam:PassRole", ROLE, **where("StringEquals", "iam:PassedToService", "sagemaker.amazonaws.com"))),
        "iam:PassRole",
        ROLE,
        {"iam:PassedToService": "sagemaker.amazonaws.com"},
    ),
    Case(
        "PassRole to another",
        PASS_ROLE,
        False,
        policy(allow("iam:PassRole", ROLE, **where("StringEquals", "iam:PassedToService", "sagemaker.amazonaws.com"))),
        "iam:PassRole",
        ROLE,
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    # ---- boundary and session policies
    Case("the boundary limits", BOUNDARY, False, policy(allow("*")), boundary=policy(allow("s3:*"))),
    Case("the boundary allows", BOUNDARY, True, policy(allow("*")), boundary=policy(allow("sagemaker:*"))),
    Case("the boundary grants nothing", BOUNDARY, False, boundary=policy(allow("*"))),
    Case("a deny in the boundary", LOGIC, False, policy(allow("*")), boundary=policy(allow("*"), deny())),
    Case("the session policy limits", SESSION_POLICIES, False, policy(allow("*")), session=policy(allow("s3:*"))),
    Case(
        "the session policy grants nothing", SESSION_POLICIES, False, policy(allow("s3:*")), session=policy(allow("*"))
    ),
    Case("an empty session policy refuses all", SESSION_POLICIES, False, policy(allow("*")), session=policy()),
    # ---- resource policies
    Case(
        "a bucket policy's deny",
        BASICS,
        False,
        policy(allow("s3:*")),
        context={"aws:SecureTransport": "false"},
        resource_policy=policy(_TLS),
        **GET,
    ),
    Case(
        "a bucket policy's deny, not met",
        BASICS,
        True,
        policy(allow("s3:*")),
        context={"aws:SecureTransport": "true"},
        resource_policy=policy(_TLS),
        **GET,
    ),
    Case("a bucket policy allows the role", LOGIC, True, resource_policy=_granting({"AWS": ROLE}), **GET),
    Case("a bucket policy allows another role", LOGIC, False, resource_policy=_granting({"AWS": ROLE + "x"}), **GET),
    Case(
        "the account alone is not enough",
        PRINCIPAL,
        False,
        resource_policy=_granting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
        **GET,
    ),
    Case(
        "the account and an identity policy",
        PRINCIPAL,
        True,
        policy(allow("s3:GetObject")),
        resource_policy=_granting({"AWS": ACCOUNT}),
        **GET,
    ),
    Case("everybody", PRINCIPAL, True, resource_policy=_granting("*"), **GET),
    Case(
        "a role in a bucket policy within its boundary",
        LOGIC,
        False,
        resource_policy=_granting({"AWS": ROLE}),
        boundary=policy(allow("sqs:*")),
        **GET,
    ),
    Case(
        "a session in a bucket policy beyond its boundary",
        LOGIC,
        True,
        resource_policy=_granting({"AWS": SESSION}),
        boundary=policy(allow("sqs:*")),
        session=policy(),
        **GET,
    ),
    Case(
        "a user in a bucket policy beyond their boundary",
        LOGIC,
        True,
        resource_policy=_granting({"AWS": USER}),
        boundary=policy(allow("sqs:*")),
        caller=USER,
        role="",
        **GET,
    ),
    Case(
        "NotPrincipal with the account, the role and the session",
        NOT_PRINCIPAL,
        True,
        policy(allow("s3:*")),
        resource_policy=policy(
            {**deny("s3:*", "*"), "NotPrincipal": {"AWS": [ROLE, SESSION, f"arn:aws:iam::{ACCOUNT}:root"]}}
        ),
        **GET,
    ),
    Case(
        "NotPrincipal without the account",
        NOT_PRINCIPAL,
        False,
        policy(allow("s3:*")),
        resource_policy=policy({**deny("s3:*", "*"), "NotPrincipal": {"AWS": [ROLE, SESSION]}}),
        **GET,
    ),
    Case(
        "NotPrincipal with another role",
        NOT_PRINCIPAL,
        False,
        policy(allow("s3:*")),
        resource_policy=policy({**deny("s3:*", "*"), "NotPrincipal": {"AWS": [ROLE + "x", ACCOUNT]}}),
        **GET,
    ),
    # ---- other accounts
    Case("another account with an identity policy alone", CROSS, False, policy(allow("*")), caller=OTHER, role=""),
    Case(
        "another account with both policies",
        CROSS,
        True,
        policy(allow("*")),
        resource_policy=_granting({"AWS": "999999999999"}, REGISTER, VERSION),
        caller=OTHER,
        role="",
    ),
    Case(
        "another account with a resource policy alone",
        CROSS,
        False,
        resource_policy=_granting({"AWS": OTHER}, REGISTER, VERSION),
        caller=OTHER,
        role="",
    ),
    Case(
        "a bucket of another account",
        CROSS,
        False,
        policy(allow("*")),
        context={"aws:ResourceAccount": "999999999999"},
        **GET,
    ),
    # ---- services and trust
    Case(
        "a service by the function's policy",
        PRINCIPAL,
        True,
        action="lambda:InvokeFunction",
        resource="arn:aws:lambda:us-east-1:123456789012:function:f",
        resource_policy=_granting({"Service": "events.amazonaws.com"}, "lambda:InvokeFunction", "*"),
        service="events.amazonaws.com",
        **SERVICE,
    ),
    Case(
        "another service",
        PRINCIPAL,
        False,
        action="lambda:InvokeFunction",
        resource="arn:aws:lambda:us-east-1:123456789012:function:f",
        resource_policy=_granting({"Service": "sns.amazonaws.com"}, "lambda:InvokeFunction", "*"),
        service="events.amazonaws.com",
        **SERVICE,
    ),
    Case(
        "a service has no identity policies",
        PRINCIPAL,
        False,
        policy(allow("*")),
        service="events.amazonaws.com",
        **SERVICE,
    ),
    Case(
        "a trusted service",
        PRINCIPAL,
        True,
        resource_policy=_trusting(
            {"Service": ["a.amazonaws.com", "sagemaker.amazonaws.com"]},
            **where("StringEquals", "aws:SourceAccount", ACCOUNT),
        ),
        context={"aws:SourceAccount": ACCOUNT},
        service="sagemaker.amazonaws.com",
        **SERVICE,
        **ASSUME,
    ),
    Case(
        "a trusted service from another account",
        PRINCIPAL,
        False,
        resource_policy=_trusting(
            {"Service": "sagemaker.amazonaws.com"}, **where("StringEquals", "aws:SourceAccount", ACCOUNT)
        ),
        context={"aws:SourceAccount": "999999999999"},
        service="sagemaker.amazonaws.com",
        **SERVICE,
        **ASSUME,
    ),
    Case(
        "a trusted provider",
        PRINCIPAL,
        True,
        resource_policy=_trusting({"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/x"}),
        service=f"arn:aws:iam::{ACCOUNT}:oidc-provider/x",
        **SERVICE,
        **ASSUME,
    ),
    Case(
        "a trusted account leaves it to identity policies",
        PRINCIPAL,
        False,
        resource_policy=_trusting({"AWS": ACCOUNT}),
        caller=USER,
        role="",
        **ASSUME,
    ),
    Case(
        "a trusted account and an identity policy",
        PRINCIPAL,
        True,
        policy(allow("sts:AssumeRole", ROLE)),
        resource_policy=_trusting({"AWS": ACCOUNT}),
        caller=USER,
        role="",
        **ASSUME,
    ),
    Case("a trusted user", PRINCIPAL, True, resource_policy=_trusting({"AWS": USER}), caller=USER, role="", **ASSUME),
    Case(
        "an identity policy without trust",
        LOGIC,
        False,
        policy(allow("*")),
        resource_policy=_trusting({"Service": "sagemaker.amazonaws.com"}),
        caller=USER,
        role="",
        **ASSUME,
    ),
]
