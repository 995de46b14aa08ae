"""The people of a local account, with IAM as moto answers it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.clients import client
from pipeline.operations.account import people
from pipeline.settings import Settings

ALLOWS = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}


def create(iam: Any, settings: Settings, *suffixes: str) -> None:
    for suffix in suffixes:
        iam.create_policy(PolicyName=f"{settings.name}-{suffix}", PolicyDocument=json.dumps(ALLOWS))


def attached(iam: Any, settings: Settings) -> dict[str, set[str]]:
    """The suffixes of the policies by kind of person."""
    answers = {
        person: iam.list_attached_role_policies(RoleName=people.role_name(settings, person)) for person in people.PEOPLE
    }
    return {
        person: {policy["PolicyName"].removeprefix(f"{settings.name}-") for policy in answer["AttachedPolicies"]}
        for person, answer in answers.items()
    }


@pytest.mark.usefixtures("account")
def test_who_starts_jobs_has_the_guards_where_the_stack_has_them(settings: Settings) -> None:
    iam = client(settings, "iam")
    create(iam, settings, "check", "ci", "operator", "approver")
    people.ensure(settings)
    plain = {"admin": set(), "ci": {"check", "ci"}, "operator": {"check", "operator"}, "approver": {"approver"}}
    assert attached(iam, settings) == plain
    create(iam, settings, "guards")
    people.ensure(settings)
    guarded = {"ci": {"check", "ci", "guards"}, "operator": {"check", "operator", "guards"}}
    assert attached(iam, settings) == {**plain, **guarded}


@pytest.mark.usefixtures("account")
def test_a_missing_policy_that_every_stack_has_is_an_error(settings: Settings) -> None:
    iam = client(settings, "iam")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        people.ensure(settings)
