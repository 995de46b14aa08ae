"""Each feature of the policy language with AWS's answer, the words of a refusal, and policies IAM would not store."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.local.identity.policies import (
    Decision,
    PolicyError,
    Principal,
    Request,
    decide,
    lowered,
    message,
    statements,
)
from tests.unit.pipeline.local.identity.matrix import (
    ACCOUNT,
    CASES,
    GET,
    OBJECT,
    REGISTER,
    ROLE,
    SESSION,
    VERSION,
    Case,
    allow,
    deny,
    policy,
    where,
)


def request_of(case: Case) -> Request:
    principal = Principal(case.caller, case.role, case.service)
    return Request(principal, case.action, case.resource, lowered(case.context))


def decision_of(case: Case) -> Decision:
    def prepared(document: dict[str, Any] | None) -> Any:
        return None if document is None else statements({"p": document})

    return decide(
        request_of(case),
        statements({"identity": case.identity}),
        prepared(case.resource_policy) or (),
        prepared(case.boundary),
        prepared(case.session),
        trust=case.trust,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_is_decided_as_the_page_says(case: Case) -> None:
    decision = decision_of(case)
    assert decision.allowed == case.allowed, (case.page, decision)
    assert bool(decision.reason) != case.allowed


def test_the_cases_have_names_of_their_own_and_both_answers() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.allowed for case in CASES} == {True, False}


# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case("", "", False), f"because no identity-based policy allows the {REGISTER} action"),
        (Case("", "", False, policy(deny())), "with an explicit deny in an identity-based policy"),
        (
            Case("", "", False, policy(allow("*")), boundary=policy()),
            f"because no permissions boundary allows the {REGISTER} action",
        ),
        (
            Case("", "", False, policy(allow("*")), boundary=policy(deny())),
            "with an explicit deny in a permissions boundary",
        ),
        (
            Case("", "", False, policy(allow("*")), session=policy()),
            f"because no session policy allows the {REGISTER} action",
        ),
        (Case("", "", False, policy(allow("*")), session=policy(deny())), "with an explicit deny in a session policy"),
        (
            Case("", "", False, policy(allow("*")), resource_policy=policy({**deny(), "Principal": "*"})),
            "with an explicit deny in a resource-based policy",
        ),
        (
            Case("", "", False, policy(allow("*")), caller="arn:aws:sts::999999999999:assumed-role/x/y", role=""),
            f"because no resource-based policy allows the {REGISTER} action",
        ),
        (
            Case("", "", False, policy(allow("*")), action="sts:AssumeRole", resource=ROLE, trust=True),
            "because no role trust policy allows the sts:AssumeRole action",
        ),
        (
            Case(
                "",
                "",
                False,
                action="sts:AssumeRole",
                resource=ROLE,
                trust=True,
                resource_policy=policy({"Effect": "Deny", "Principal": "*", "Action": "sts:*"}),
            ),
            "with an explicit deny in the role trust policy",
        ),
    ],
)
def test_a_refusal_has_the_words_of_aws(case: Case, words: str) -> None:
    decision = decision_of(case)
    assert message(request_of(case), decision) == (
        f"User: {case.caller} is not authorized to perform: {case.action} on resource: {case.resource} {words}"
    )
    assert decision.explicit == ("explicit" in words)


def test_a_refusal_names_no_resource_where_the_action_has_none() -> None:
    request = Request(Principal("arn:aws:iam::123456789012:user/ada"), "ecr:GetAuthorizationToken", "*", {})
    assert message(request, decide(request, [])) == (
        "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: ecr:GetAuthorizationToken"
        " because no identity-based policy allows the ecr:GetAuthorizationToken action"
    )


def test_a_refused_service_is_named() -> None:
    request = Request(Principal("", service="events.amazonaws.com"), "sqs:SendMessage", f"arn:aws:sqs:::{ACCOUNT}", {})
    assert message(request, decide(request, [])).startswith("User: events.amazonaws.com is not authorized to perform:")


def test_a_decision_names_the_statements_that_allow_or_refuse() -> None:
    document = policy(allow("s3:*"), allow("sqs:*"), allow("s3:Get*"), deny("s3:GetObject", "arn:aws:s3:::b/secret"))
    identity = statements({"read": document})
    bucket = statements({"bucket": policy({**allow("s3:GetObject", "*"), "Principal": {"AWS": ROLE}})})
    principal = Principal(SESSION, ROLE)
    allowed = decide(Request(principal, "s3:GetObject", OBJECT, {}), identity, bucket)
    assert allowed.statements == ("read/S0", "read/S2", "bucket/S0")
    refused = decide(Request(principal, "s3:GetObject", "arn:aws:s3:::b/secret", {}), identity, bucket)
    assert refused.statements == ("read/S3",)
    assert decide(Request(principal, "logs:PutLogEvents", OBJECT, {}), identity, bucket).statements == ()


def test_a_single_statement_may_stand_without_a_list_and_without_an_id() -> None:
    (statement,) = statements({"p": {"Version": "2012-10-17", "Statement": allow()}})
    assert statement.name == "p/"
    assert statement.applies(Request(Principal(SESSION, ROLE), REGISTER, VERSION, {}))


def test_values_of_variables_are_no_patterns() -> None:
    prepared = statements({"p": policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:username}/*"))})
    principal = Principal(SESSION, ROLE)
    request = Request(principal, "s3:GetObject", "arn:aws:s3:::b/ada/x", {"aws:username": "*"})
    assert not decide(request, prepared).allowed
    assert decide(Request(principal, "s3:GetObject", "arn:aws:s3:::b/*/x", {"aws:username": "*"}), prepared).allowed


def test_a_key_of_several_values_is_no_variable() -> None:
    prepared = statements({"p": policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:TagKeys}"))})
    request = Request(Principal(SESSION, ROLE), context={"aws:tagkeys": ["k"]}, **GET)
    assert not decide(request, prepared).allowed


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        (allow(**where("StringSimilar", "a:b", "c")), "StringSimilar is no condition operator"),
        (allow(**where("ForSomeValues:StringEquals", "a:b", "c")), "is no condition operator"),
        (allow(**where("NullIfExists", "a:b", "true")), "is no condition operator"),
        (allow(**where("Null", "a:b", "yes")), "the operator Null takes true or false"),
        ({**allow(), "Effect": "allow"}, "the effect is Allow or Deny"),
        ({**allow(), "NotAction": "s3:*"}, "has Action or NotAction, not both"),
        ({**allow(), "NotResource": "*"}, "has Resource or NotResource, not both"),
        ({"Effect": "Allow", "Resource": "*"}, "has Action or NotAction"),
        ({"Effect": "Allow", "Action": "*"}, "has Resource or NotResource"),
        ({**allow(), "Actions": "s3:*"}, "a statement has no Actions"),
        ({**allow(), "Principal": {"Role": ROLE}}, "a principal has no Role"),
        ({**allow(), "Principal": ROLE}, "a principal is"),
        (allow(resource="arn:aws:s3:::b/${aws:username, team}"), "stands in single quotes"),
    ],
)
def test_a_policy_that_iam_would_not_store_is_refused(element: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        statements({"p": policy(element)})


def test_an_unknown_version_of_the_language_is_refused() -> None:
    with pytest.raises(PolicyError, match="no version 2020-01-01"):
        statements({"p": policy(allow(), version="2020-01-01")})
