"""Decisions by the policies of the account as they are: after changes, and after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend

from pipeline.local.context import ServiceError
from pipeline.local.identity.authorizer import Authorizer, check_documents
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.policies import Principal
from pipeline.local.identity.requirements import Account, Check

ACCOUNT = Account("123456789012", "us-east-1")
ROLE = f"arn:aws:iam::{ACCOUNT.id}:role/people/reader"
CALLER = Caller(Principal(f"arn:aws:sts::{ACCOUNT.id}:assumed-role/reader/me", ROLE))


def policy(effect: str, action: str) -> str:
    statement = {"Sid": "S", "Effect": effect, "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
)


@pytest.fixture
def iam() -> Iterator[Any]:
    get_backend("iam").reset()
    yield get_backend("iam")[ACCOUNT.id]["aws"]
    get_backend("iam").reset()


def allowed(authorizer: Authorizer, *actions: str) -> list[str]:
    return [action for action in actions if authorizer.allows(CALLER, Check(action, "*", {}), "x", "X")]


def create(iam: Any) -> None:
    """A role with a policy of its own, an attached one and a boundary."""
    boundary = iam.create_policy("", "/", policy("Allow", "sns:*"), "limit", {})
    attached = iam.create_policy("", "/team/", policy("Allow", "sns:ListTopics"), "both", {})
    iam.create_role("reader", TRUST, "/people/", boundary.arn, "", [], "7200")
    iam.put_role_policy("reader", "both", policy("Allow", "sns:ListSubscriptions"))
    iam.put_role_policy("reader", "more", policy("Allow", "sqs:ListQueues"))
    iam.attach_role_policy(attached.arn, "reader")


def test_policies_of_one_name_both_count_and_the_boundary_limits_them(iam: Any, tmp_path: Path) -> None:
    create(iam)
    actions = ("sns:ListTopics", "sns:ListSubscriptions", "sqs:ListQueues")
    assert allowed(Authorizer(tmp_path, ACCOUNT), *actions) == ["sns:ListTopics", "sns:ListSubscriptions"]


def test_a_restart_brings_roles_back_as_they_were(iam: Any, tmp_path: Path) -> None:
    create(iam)
    before = Authorizer(tmp_path, ACCOUNT)
    before.changed()
    roles = before.roles()
    get_backend("iam").reset()
    after = Authorizer(tmp_path, ACCOUNT)
    after.restore()
    assert after.roles() == roles
    actions = ("sns:ListTopics", "sns:ListSubscriptions", "sqs:ListQueues")
    assert allowed(after, *actions) == ["sns:ListTopics", "sns:ListSubscriptions"]
    # An attached policy is the managed one, also from now on.
    backend = get_backend("iam")[ACCOUNT.id]["aws"]
    arn = f"arn:aws:iam::{ACCOUNT.id}:policy/team/both"
    backend.create_policy_version(arn, policy("Deny", "sns:*"), "True")
    after.changed()
    assert allowed(after, *actions) == []


def test_a_revoked_permission_is_gone_at_once(iam: Any, tmp_path: Path) -> None:
    create(iam)
    authorizer = Authorizer(tmp_path, ACCOUNT)
    assert allowed(authorizer, "sns:ListSubscriptions") == ["sns:ListSubscriptions"]
    iam.delete_role_policy("reader", "both")
    authorizer.changed()
    assert allowed(authorizer, "sns:ListSubscriptions") == []


def test_a_caller_without_a_role_in_the_account_may_do_nothing(iam: Any, tmp_path: Path) -> None:
    del iam
    with pytest.raises(ServiceError, match="no identity-based policy allows the sns:ListTopics action"):
        Authorizer(tmp_path, ACCOUNT).require(CALLER, Check("sns:ListTopics", "*", {}), "sns", "ListTopics")


def test_an_audit_records_and_answers(iam: Any, tmp_path: Path) -> None:
    del iam
    Authorizer(tmp_path, ACCOUNT, audit=True).require(CALLER, Check("sns:ListTopics", "*", {}), "sns", "ListTopics")
    [line] = (tmp_path / "decisions" / "api.jsonl").read_text().splitlines()
    assert json.loads(line)["allowed"] is False


@pytest.mark.parametrize("text", ["{", "{}", '{"Statement": [{}]}', '{"Version": "1999", "Statement": []}', "[]"])
def test_a_policy_that_iam_would_not_store_is_refused(text: str) -> None:
    with pytest.raises(ServiceError) as error:
        check_documents({"PolicyDocument": text})
    assert error.value.code == "MalformedPolicyDocument"
