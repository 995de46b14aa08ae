"""Roles, and what they allow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.operations.preflight import roles
from pipeline.operations.preflight.findings import Account
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.operations.preflight.conftest import CALLER, Look, client, make_role

SIMULATE = "iam.SimulatePrincipalPolicy"


def decided(decision: str, missing: str = "") -> str:
    keys = f"<MissingContextValues><member>{missing}</member></MissingContextValues>" if missing else ""
    return (
        "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults><member>"
        f"<EvalActionName>x</EvalActionName><EvalDecision>{decision}</EvalDecision>{keys}"
        "</member></EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )


def test_a_role_that_is_missing_hides_no_other(look: Look) -> None:
    make_role("bins-job", "sagemaker.amazonaws.com")
    found = look("roles")
    assert ("ok", "bins-job") in found
    assert ("failed", "there is no role bins-pipeline; create it: python -m pipeline bootstrap") in found
    assert len(found) == 7


def test_a_role_that_trusts_another_service_is_a_failure(look: Look) -> None:
    make_role("bins-scheduler", "events.amazonaws.com")
    found = look("roles")
    assert any("bins-scheduler does not trust scheduler.amazonaws.com" in detail for _, detail in found)


def test_a_role_with_a_path_is_not_the_one_that_the_definition_names(look: Look) -> None:
    make_role("bins-serving", "sagemaker.amazonaws.com", path="/service-role/")
    [line] = [detail for status, detail in look("roles") if "bins-serving has the ARN" in detail]
    assert "role/service-role/bins-serving" in line


def test_what_these_credentials_may_not_look_at_is_not_checked_and_names_the_action(
    look: Look, answers: Answers
) -> None:
    message = "User: x is not authorized to perform: iam:GetRole on resource: role y"
    answers.error("iam.GetRole", "AccessDenied", message, status=403)
    assert set(look("roles")) == {("not checked", "these credentials may not iam:GetRole")}


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": {"Service": ["a", "b"]}},
        {"Effect": "Allow", "Action": "sts:*", "Principal": {"Service": "b"}},
    ],
)
def test_a_trust_policy_is_read_in_each_of_its_spellings(statement: dict[str, Any]) -> None:
    assert roles.trusts({"Statement": statement}, "b")
    assert roles.trusts({"Statement": [statement]}, "b")
    assert not roles.trusts({"Statement": {**statement, "Effect": "Deny"}}, "b")
    assert not roles.trusts({"Statement": {**statement, "Principal": "*"}}, "b")
    assert not roles.trusts({}, "b")


def test_what_the_policies_allow_is_asked_of_the_simulator_and_nothing_is_tried(look: Look, answers: Answers) -> None:
    answers.say_xml(SIMULATE, decided("allowed"))
    assert look("permissions") == [
        ("ok", "somebody iam:PassRole"),
        ("ok", "bins-pipeline iam:PassRole"),
        ("ok", "bins-pipeline lambda:InvokeFunction"),
        ("ok", "bins-job s3:PutObject"),
        ("ok", "bins-job s3:GetObject"),
    ]


def test_a_role_that_may_not_write_the_bucket_is_a_failure_with_the_resource(look: Look, answers: Answers) -> None:
    answers.say_xml(SIMULATE, decided("implicitDeny"))
    failures = [detail for status, detail in look("permissions") if status == "failed"]
    assert any(
        line.startswith("bins-job may not s3:PutObject on arn:aws:s3:::bins-111122223333/bin-counting/runs/")
        and line.endswith("python -m pipeline bootstrap")
        for line in failures
    )


def test_a_decision_that_hangs_on_an_unknown_condition_is_not_checked(look: Look, answers: Answers) -> None:
    answers.say_xml(SIMULATE, decided("implicitDeny", "aws:SourceVpc"))
    assert {status for status, _ in look("permissions")} == {"not checked"}


def test_a_role_that_is_not_there_has_no_permissions_to_look_at(look: Look, answers: Answers) -> None:
    answers.error(SIMULATE, "NoSuchEntity", "The role cannot be found", status=404)
    assert ("not checked", "bins-job s3:PutObject: there is no bins-job") in look("permissions")


def test_who_may_not_simulate_is_told_once(look: Look, answers: Answers) -> None:
    message = "User: x is not authorized to perform: iam:SimulatePrincipalPolicy on resource: y"
    answers.error(SIMULATE, "AccessDenied", message, status=403)
    assert look("permissions") == [("not checked", "these credentials may not iam:SimulatePrincipalPolicy")]


@pytest.mark.parametrize(
    ("caller", "principal"),
    [
        (CALLER, CALLER),
        ("arn:aws:sts::111122223333:assumed-role/ci/run-1", "arn:aws:iam::111122223333:role/ci"),
        ("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123/me@x", ""),
        ("arn:aws:iam::111122223333:root", ""),
    ],
)
def test_the_principal_of_a_caller_is_whose_policies_count(caller: str, principal: str) -> None:
    assert roles.principal_of(caller) == principal


def test_a_caller_without_a_known_principal_is_not_asked_about(settings: Settings) -> None:
    root = Account(settings, "arn:aws:iam::111122223333:root")
    principals = {permission.principal for permission in roles.permissions(root)}
    assert principals == {
        settings.role_arn("pipeline"),
        settings.role_arn("job"),
    }


def test_nothing_was_written(look: Look) -> None:
    look("roles")
    assert json.dumps(client("iam").list_roles()["Roles"]) == "[]"
