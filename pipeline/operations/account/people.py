"""The people of an account in the local cloud, each with the policies that the stack has for them.

In an AWS account these policies are attached to people's own roles, such as IAM Identity Center's permission sets. Here
each kind of person has a role, and signing in issues a session of it.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Literal, get_args

from pipeline.clients import client
from pipeline.connection import session_variables
from pipeline.settings import Settings

Person = Literal["admin", "ci", "operator", "approver"]
PEOPLE: tuple[Person, ...] = get_args(Person)
# The suffixes of the stack's policies.
_POLICIES: dict[Person, tuple[str, ...]] = {
    "admin": (),
    "ci": ("check", "ci"),
    "operator": ("check", "operator"),
    "approver": ("approver",),
}
# Who starts jobs, creates models, or writes the definition of both.
_GUARDED: tuple[Person, ...] = ("ci", "operator")
# The longest session of a role.
SESSION_SECONDS = 12 * 3600
_EVERYTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}


def role_name(settings: Settings, person: Person) -> str:
    """Name of the role of a kind of person."""
    return f"{settings.name}-person-{person}"


def ensure(settings: Settings) -> None:
    """Create the roles that are missing, with their policies; the environment has an administrator's keys."""
    iam = client(settings, "iam")
    for person in PEOPLE:
        name = role_name(settings, person)
        _create(iam, settings, name)
        if person == "admin":
            iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=json.dumps(_EVERYTHING))
        for suffix in _POLICIES[person]:
            iam.attach_role_policy(RoleName=name, PolicyArn=_policy(settings, suffix))
        if person in _GUARDED:
            # The stack has it only with a network or a key in the settings, and detaches it when it deletes it.
            with contextlib.suppress(iam.exceptions.NoSuchEntityException):
                iam.attach_role_policy(RoleName=name, PolicyArn=_policy(settings, "guards"))


def _policy(settings: Settings, suffix: str) -> str:
    return f"arn:aws:iam::{settings.account.id}:policy/{settings.name}-{suffix}"


def _create(iam: Any, settings: Settings, name: str) -> None:
    account = {"AWS": f"arn:aws:iam::{settings.account.id}:root"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole"}],
    }
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=SESSION_SECONDS)


def sign_in(settings: Settings, person: Person) -> dict[str, str]:
    """The variables of a session of twelve hours for a kind of person, whose role the preparation has created."""
    arn = f"arn:aws:iam::{settings.account.id}:role/{role_name(settings, person)}"
    return session_variables(arn, person, SESSION_SECONDS)
