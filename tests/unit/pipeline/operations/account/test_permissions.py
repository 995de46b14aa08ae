"""Roles of the local cloud with what they used, what they were refused, and what they never used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.identity import documents, journal
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.policies import Principal, Request, decide, statements
from pipeline.operations.account.permissions import RoleUse, StatementUse, role_uses
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.conftest import Call

ROLE = "arn:aws:iam::123456789012:role/bins-job"
OTHER = "arn:aws:iam::123456789012:role/bins-deploy"
SESSION = "arn:aws:sts::123456789012:assumed-role/bins-job/SageMaker"


def policy(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(elements)}


READ = {"Sid": "Read", "Effect": "Allow", "Action": ["s3:Get*", "s3:ListBucket"], "Resource": "*"}
QUERY = {"Sid": "Query", "Effect": "Allow", "Action": "athena:StartQueryExecution", "Resource": "*"}
GUARD = {"Sid": "Guard", "Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::b/secret"}
STEPS = policy(READ, QUERY, GUARD)


class Life:
    """A local cloud's files, with requests that are decided by the policies of the moment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.roles = {ROLE: RolePolicies({"steps": STEPS}), OTHER: RolePolicies({"deploy": policy(QUERY)})}
        self._journal = journal.Journal(directory / journal.FOLDER / "api.jsonl")

    def ask(self, action: str, resource: str = "arn:aws:s3:::b/k", **more: Any) -> None:
        principal = more.pop("principal", Principal(SESSION, ROLE))
        request = Request(principal, action, resource, {"aws:securetransport": "true"})
        policies = self.roles.get(principal.role, RolePolicies())
        decision = decide(request, statements(policies.identity), **more)
        self._journal.record(request, decision, service="s3", operation=action.split(":")[1])

    def uses(self, role: str = "") -> dict[str, RoleUse]:
        documents.write(self.directory, self.roles)
        return {use.name: use for use in role_uses(self.directory, role)}


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


def test_a_statement_has_the_actions_that_it_allowed_and_those_it_never_did(life: Life) -> None:
    life.ask("s3:GetObject")
    life.ask("s3:GetObjectTagging", "arn:aws:s3:::b/other")
    assert life.uses()["bins-job"].statements == (
        StatementUse("steps/Read", ("s3:GetObject", "s3:GetObjectTagging"), ("s3:ListBucket",)),
        StatementUse("steps/Query", (), ("athena:StartQueryExecution",)),
    )


def test_a_role_without_any_decision_has_used_nothing(life: Life) -> None:
    life.ask("s3:GetObject")
    assert life.uses()["bins-deploy"] == RoleUse(
        "bins-deploy", (StatementUse("deploy/Query", (), ("athena:StartQueryExecution",)),), ()
    )


def test_refusals_have_the_call_the_resource_and_the_reason(life: Life) -> None:
    life.ask("s3:PutObject")
    life.ask("s3:GetObject", "arn:aws:s3:::b/secret")
    implicit, explicit = life.uses()["bins-job"].denied
    assert (implicit.call, implicit.action, implicit.resource) == ("s3:PutObject", "s3:PutObject", "arn:aws:s3:::b/k")
    assert implicit.reason == "because no identity-based policy allows the s3:PutObject action"
    assert implicit.statements == ()
    assert (explicit.reason, explicit.statements) == (
        "with an explicit deny in an identity-based policy",
        ("steps/Guard",),
    )
    assert list(life.uses()) == ["bins-job", "bins-deploy"]


def test_a_refusal_that_the_present_policies_would_allow_is_left_out(life: Life) -> None:
    life.ask("s3:PutObject")
    life.ask("s3:DeleteObject")
    life.roles[ROLE] = RolePolicies({"steps": policy(READ, {**QUERY, "Action": "s3:PutObject"})})
    assert [refusal.action for refusal in life.uses()["bins-job"].denied] == ["s3:DeleteObject"]


def test_a_refusal_by_another_kind_of_policy_remains(life: Life) -> None:
    life.ask("s3:GetObject", session=[])
    (refusal,) = life.uses()["bins-job"].denied
    assert refusal.reason == "because no session policy allows the s3:GetObject action"


def test_a_boundary_is_part_of_the_present_policies(life: Life) -> None:
    life.ask("s3:GetObject", boundary=[])
    life.roles[ROLE] = RolePolicies({"steps": STEPS}, boundary=policy(QUERY))
    assert len(life.uses()["bins-job"].denied) == 1
    life.roles[ROLE] = RolePolicies({"steps": STEPS})
    assert life.uses()["bins-job"].denied == ()


def test_a_service_has_the_statements_of_resources_that_let_it_in(life: Life) -> None:
    function = policy({"Sid": "Rules", "Effect": "Allow", "Principal": "*", "Action": "lambda:*", "Resource": "*"})
    service = Principal("", service="events.amazonaws.com")
    request = Request(service, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:f", {})
    decision = decide(request, (), statements({"resource": function}))
    life._journal.record(request, decision, service="lambda", operation="Invoke")
    refused = Request(service, "sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:q", {})
    life._journal.record(refused, decide(refused, ()), service="sqs", operation="SendMessage")
    use = life.uses()["events.amazonaws.com"]
    assert use.statements == (StatementUse("resource/Rules", ("lambda:InvokeFunction",), ()),)
    assert [refusal.action for refusal in use.denied] == ["sqs:SendMessage"]


def test_one_role_may_be_chosen_by_its_name_and_another_is_refused(life: Life) -> None:
    life.ask("s3:PutObject")
    assert list(life.uses("bins-deploy")) == ["bins-deploy"]
    with pytest.raises(PipelineError, match="no role bins-jobs; it has bins-deploy, bins-job"):
        life.uses("bins-jobs")


def test_without_any_record_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no decisions are recorded; start the local cloud"):
        role_uses(tmp_path)


def test_a_damaged_record_is_named(life: Life) -> None:
    path = life.directory / journal.FOLDER / "s3.jsonl"
    path.write_text("{}\n")
    with pytest.raises(PipelineError, match=r"s3\.jsonl:1: no decision"):
        life.uses()


@pytest.fixture
def local_life(monkeypatch: pytest.MonkeyPatch, life: Life) -> Life:
    monkeypatch.setattr("pipeline.connection.local_directory", lambda: life.directory)
    documents.write(life.directory, life.roles)
    return life


def test_the_command_prints_roles_for_people_and_for_machines(local_life: Life, call: Call) -> None:
    local_life.ask("s3:GetObject")
    text = call("local", "permissions")
    assert (text.code, text.error) == (0, "")
    assert "steps/Read" in text.out
    roles = json.loads(call("local", "permissions", "--role", "bins-job", "--json").out)
    assert [role["name"] for role in roles] == ["bins-job"]
    assert roles[0]["statements"][0] == {
        "name": "steps/Read",
        "used": ["s3:GetObject"],
        "never_used": ["s3:ListBucket"],
    }


def test_the_commands_status_is_1_with_a_refusal_only_if_asked(local_life: Life, call: Call) -> None:
    local_life.ask("s3:GetObject")
    assert call("local", "permissions", "--check").code == 0
    local_life.ask("s3:PutObject")
    assert call("local", "permissions").code == 0
    assert call("local", "permissions", "--check").code == 1
    assert call("local", "permissions", "--check", "--role", "bins-deploy").code == 0
