"""The policy simulator: its answers in the shape of IAM's, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.aws.validation import validate_response
from pipeline.local.context import ServiceError
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.simulation import simulate
from tests.unit.pipeline.local.identity.matrix import allow, deny, policy, where

ROLE = "arn:aws:iam::123456789012:role/bins-job"
LIMITED = "arn:aws:iam::123456789012:role/bins-limited"
BUCKET = "arn:aws:s3:::b"
STEPS = policy(
    allow("s3:GetObject", f"{BUCKET}/*"),
    deny("s3:GetObject", f"{BUCKET}/secret"),
    allow("iam:PassRole", "*", **where("StringEquals", "iam:PassedToService", "sagemaker.amazonaws.com")),
    allow("sagemaker:CreateProcessingJob", "*", **where("ForAllValues:StringEquals", "sagemaker:VpcSubnets", ["s-1"])),
)
ROLES = {
    ROLE: RolePolicies({"steps": STEPS}),
    LIMITED: RolePolicies({"steps": STEPS}, boundary=policy(allow("iam:*"))),
}


def asked(actions: list[str], resources: list[str] | None = None, **more: Any) -> list[dict[str, Any]]:
    request = {"PolicySourceArn": ROLE, "ActionNames": actions, **more}
    if resources is not None:
        request["ResourceArns"] = resources
    answer = simulate(request, ROLES)
    assert validate_response("iam", "SimulatePrincipalPolicy", answer) == []
    assert answer["IsTruncated"] is False
    return list(answer["EvaluationResults"])


def entry(key: str, *values: str, kind: str = "string") -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}


def test_a_decision_names_action_resource_and_policy() -> None:
    (result,) = asked(["s3:GetObject"], [f"{BUCKET}/k"])
    assert result == {
        "EvalActionName": "s3:GetObject",
        "EvalResourceName": f"{BUCKET}/k",
        "EvalDecision": "allowed",
        "MatchedStatements": [{"SourcePolicyId": "steps", "SourcePolicyType": "role"}],
        "MissingContextValues": ["iam:PassedToService", "sagemaker:VpcSubnets"],
    }


@pytest.mark.parametrize(
    ("action", "resource", "context", "decision"),
    [
        ("s3:PutObject", f"{BUCKET}/k", [], "implicitDeny"),
        ("s3:GetObject", f"{BUCKET}/secret", [], "explicitDeny"),
        ("iam:PassRole", ROLE, [], "implicitDeny"),
        ("iam:PassRole", ROLE, [entry("iam:passedToService", "sagemaker.amazonaws.com")], "allowed"),
        ("iam:PassRole", ROLE, [entry("iam:PassedToService", "lambda.amazonaws.com")], "implicitDeny"),
        (
            "sagemaker:CreateProcessingJob",
            "*",
            [entry("sagemaker:VpcSubnets", "s-1", "s-2", kind="stringList")],
            "implicitDeny",
        ),
        ("sagemaker:CreateProcessingJob", "*", [entry("sagemaker:VpcSubnets", "s-1", kind="stringList")], "allowed"),
    ],
)
def test_policies_and_context_decide(action: str, resource: str, context: list[Any], decision: str) -> None:
    (result,) = asked([action], [resource], ContextEntries=context)
    assert result["EvalDecision"] == decision
    given = {item["ContextKeyName"].lower() for item in context}
    assert not given & {key.lower() for key in result["MissingContextValues"]}


def test_without_a_resource_all_resources_are_asked_about() -> None:
    (result,) = asked(["s3:GetObject"])
    assert (result["EvalResourceName"], result["EvalDecision"]) == ("*", "implicitDeny")


def test_several_resources_have_results_of_their_own() -> None:
    (result,) = asked(["s3:GetObject"], [f"{BUCKET}/k", f"{BUCKET}/secret"])
    assert result["EvalDecision"] == "explicitDeny"
    assert result["EvalResourceName"].startswith("arn:${Partition}:s3:")
    assert [(part["EvalResourceName"], part["EvalResourceDecision"]) for part in result["ResourceSpecificResults"]] == [
        (f"{BUCKET}/k", "allowed"),
        (f"{BUCKET}/secret", "explicitDeny"),
    ]
    assert all(part["MissingContextValues"] for part in result["ResourceSpecificResults"])
    assert result["MissingContextValues"] == []


def test_a_boundary_limits_and_is_named() -> None:
    (result,) = simulate(
        {"PolicySourceArn": LIMITED, "ActionNames": ["s3:GetObject"], "ResourceArns": [f"{BUCKET}/k"]}, ROLES
    )["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}


def test_policies_and_boundary_of_the_request_are_added() -> None:
    more = json.dumps(policy(allow("s3:PutObject")))
    (result,) = asked(["s3:PutObject"], [f"{BUCKET}/k"], PolicyInputList=[more])
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"] == [{"SourcePolicyId": "PolicyInputList.1", "SourcePolicyType": "none"}]
    limit = json.dumps(policy(allow("iam:*")))
    (result,) = asked(["s3:GetObject"], [f"{BUCKET}/k"], PermissionsBoundaryPolicyInputList=[limit])
    assert result["EvalDecision"] == "implicitDeny"


def test_long_answers_come_in_pages() -> None:
    request = {"PolicySourceArn": ROLE, "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "MaxItems": 2}
    first = simulate(request, ROLES)
    assert (len(first["EvaluationResults"]), first["IsTruncated"]) == (2, True)
    second = simulate({**request, "Marker": first["Marker"]}, ROLES)
    assert [result["EvalActionName"] for result in second["EvaluationResults"]] == ["s3:ListBucket"]
    assert "Marker" not in second


@pytest.mark.parametrize(
    ("more", "code", "problem"),
    [
        ({"PolicySourceArn": ROLE + "s"}, "NoSuchEntity", "The role with name bins-jobs cannot be found."),
        ({"PolicySourceArn": "arn:aws:iam::123456789012:user/ada"}, "NoSuchEntity", "The user with name ada"),
        ({"ResourcePolicy": "{}"}, "InvalidInput", "has no ResourcePolicy"),
        ({"PolicyInputList": ["{"]}, "InvalidInput", "the policy is not JSON"),
        ({"PolicyInputList": ['{"Version": "2012-10-17"}']}, "InvalidInput", "malformed"),
        ({"ContextEntries": [entry("a:b", "1", "2")]}, "InvalidInput", "a:b with 2 values"),
    ],
)
def test_what_cannot_be_simulated_is_refused(more: dict[str, Any], code: str, problem: str) -> None:
    with pytest.raises(ServiceError, match=problem) as raised:
        simulate({"PolicySourceArn": ROLE, "ActionNames": ["s3:GetObject"], **more}, ROLES)
    assert raised.value.code == code
