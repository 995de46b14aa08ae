"""Roles, and what they allow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.local.context import ServiceError
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.policies import statements
from pipeline.local.identity.simulation import simulate
from pipeline.operations.preflight import Result, roles
from pipeline.operations.preflight.checks import run
from pipeline.operations.preflight.findings import Account
from pipeline.settings import Role, Settings
from tests.answers import Answers
from tests.unit.pipeline.account.stacks import VARIANTS, Stack
from tests.unit.pipeline.operations.preflight.conftest import CALLER, Look, changed, client, make_role

SIMULATE = "iam.SimulatePrincipalPolicy"


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


def statement(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


class Simulator:
    """IAM's policy simulator for roles with these statements, in place of the account's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: dict[str, list[dict[str, Any]]] = {}
        others = Account.client
        monkeypatch.setattr(
            Account, "client", lambda account, service: self if service == "iam" else others(account, service)
        )

    def simulate_principal_policy(self, **request: Any) -> Any:
        policies = {
            arn: RolePolicies({"own": {"Version": "2012-10-17", "Statement": elements}})
            for arn, elements in self.statements.items()
        }
        try:
            return simulate(request, policies)
        except ServiceError as error:
            answer: Any = {"Error": {"Code": error.code, "Message": error.message}}
            raise ClientError(answer, "SimulatePrincipalPolicy") from None


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Simulator:
    """All that a run in a VPC needs, and nothing else."""
    fake = Simulator(monkeypatch)
    passed = {"Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}}
    fake.statements = {
        CALLER: [statement("iam:PassRole", **passed)],
        settings.role_arn("pipeline"): [
            statement("iam:PassRole", **passed),
            statement("lambda:InvokeFunction"),
            statement("sagemaker:CreateModelPackageGroup"),
            statement("s3:GetObject", Resource="arn:aws:s3:::*/models/*"),
        ],
        settings.role_arn("job"): [
            statement("s3:PutObject"),
            statement("s3:GetObject"),
            statement("ec2:*NetworkInterface*", "ec2:Describe*"),
        ],
        settings.role_arn("serving"): [statement("cloudwatch:DescribeAlarms")],
    }
    return fake


def in_vpc(settings: Settings) -> Settings:
    subnets = {"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]}
    return changed(settings, "network", **subnets)


@pytest.mark.usefixtures("simulator")
def test_what_the_policies_allow_is_asked_of_the_simulator_and_nothing_is_tried(look: Look, settings: Settings) -> None:
    assert look("permissions") == [
        ("ok", "somebody iam:PassRole"),
        ("ok", "bins-pipeline iam:PassRole"),
        ("ok", "bins-pipeline lambda:InvokeFunction"),
        ("ok", "bins-pipeline sagemaker:CreateModelPackageGroup"),
        ("ok", "bins-pipeline s3:GetObject"),
        ("ok", "bins-job s3:PutObject"),
        ("ok", "bins-job s3:GetObject"),
        ("ok", "bins-serving cloudwatch:DescribeAlarms"),
    ]
    within_vpc = look("permissions", in_vpc(settings))
    assert ("ok", "bins-job ec2:CreateNetworkInterface") in within_vpc
    assert {status for status, _ in within_vpc} == {"ok"}


@pytest.mark.parametrize(
    ("role", "lost", "line"),
    [
        ("pipeline", 0, "bins-pipeline may not iam:PassRole on arn:aws:iam::111122223333:role/bins-job"),
        ("pipeline", 1, "bins-pipeline may not lambda:InvokeFunction on arn:aws:lambda:"),
        ("pipeline", 2, "bins-pipeline may not sagemaker:CreateModelPackageGroup on arn:aws:sagemaker:"),
        ("pipeline", 3, "bins-pipeline may not s3:GetObject on arn:aws:s3:::bins-111122223333/bin-counting/models/"),
        ("job", 0, "bins-job may not s3:PutObject on arn:aws:s3:::bins-111122223333/bin-counting/runs/"),
        ("job", 1, "bins-job may not s3:GetObject on arn:aws:s3:::"),
        ("job", 2, "bins-job may not ec2:CreateNetworkInterface on *"),
        ("serving", 0, "bins-serving may not cloudwatch:DescribeAlarms on arn:aws:cloudwatch:"),
    ],
)
def test_a_lacking_permission_is_a_failure_with_the_resource(
    look: Look, settings: Settings, simulator: Simulator, role: Role, lost: int, line: str
) -> None:
    simulator.statements[settings.role_arn(role)].pop(lost)
    failures = [detail for status, detail in look("permissions", in_vpc(settings)) if status == "failed"]
    assert failures[0].startswith(line)
    assert failures[0].endswith("update the roles: python -m pipeline bootstrap")


def test_permissions_on_network_interfaces_are_needed_without_a_condition(
    look: Look, settings: Settings, simulator: Simulator
) -> None:
    """As SageMaker validates a processing job: with all resources, and without a subnet."""
    scoped = {"ArnLike": {"ec2:Subnet": "arn:aws:ec2:*:*:subnet/subnet-0123456789abcdef0"}}
    simulator.statements[settings.role_arn("job")][2] = statement("ec2:*", Condition=scoped)
    failures = [detail for status, detail in look("permissions", in_vpc(settings)) if status == "failed"]
    assert len(failures) == 9


def test_alarms_matter_for_an_endpoint_with_instances_only(
    look: Look, settings: Settings, simulator: Simulator
) -> None:
    simulator.statements[settings.role_arn("serving")] = []
    assert [status for status, _ in look("permissions")].count("failed") == 1
    assert {status for status, _ in look("permissions", changed(settings, "endpoint", mode="serverless"))} == {"ok"}


def test_a_decision_that_hangs_on_an_unknown_condition_is_a_warning(
    look: Look, settings: Settings, simulator: Simulator
) -> None:
    condition = {"StringEquals": {"aws:SourceVpc": "vpc-1"}}
    simulator.statements[settings.role_arn("job")][0] = statement("s3:PutObject", Condition=condition)
    assert [(status, detail) for status, detail in look("permissions") if status != "ok"] == [
        (
            "warning",
            f"bins-job may not s3:PutObject on arn:aws:s3:::bins-111122223333/bin-counting/{folder}/preflight unless a"
            " condition on aws:SourceVpc holds; allow it in its policies, or update the roles: python -m pipeline"
            " bootstrap",
        )
        for folder in ("runs", "plans")
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_templates_roles_have_all_permissions(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, stack = VARIANTS[variant], Stack(VARIANTS[variant])
    fake = Simulator(monkeypatch)
    for name, role in (("RoleOfPipeline", "pipeline"), ("RoleOfJobs", "job"), ("RoleOfServing", "serving")):
        attached = stack.resources[name].get("ManagedPolicyArns", [])
        managed = {
            f"arn:aws:iam::{chosen.account.id}:policy/{policy['ManagedPolicyName']}": policy["PolicyDocument"]
            for policy in stack.resources.values()
            if "ManagedPolicyName" in policy
        }
        documents = [policy["PolicyDocument"] for policy in stack.resources[name]["Policies"]]
        documents += [managed[arn] for arn in attached]
        fake.statements[chosen.role_arn(role)] = [
            element for document in documents for element in document["Statement"]
        ]
    results: list[Result] = run("permissions", Account(chosen))
    assert {result.status for result in results} == {"ok"}
    network = "bins-job ec2:CreateNetworkInterface" in [result.detail for result in results]
    assert network == bool(chosen.network.subnets)


def test_the_templates_own_conditions_do_not_make_a_refusal_uncertain() -> None:
    documents = {
        name: document for stack in map(Stack, VARIANTS.values()) for name, document in stack.documents().items()
    }
    keys = {key for statement in statements(documents) for key in statement.keys}
    # These belong to the policies of a bucket and a queue.
    assert keys - {"aws:SecureTransport", "aws:SourceArn"} <= roles._OWN_KEYS


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
        settings.role_arn("serving"),
    }


def test_nothing_was_written(look: Look) -> None:
    look("roles")
    assert json.dumps(client("iam").list_roles()["Roles"]) == "[]"


def test_the_job_role_is_asked_about_the_lists_of_an_inventory(settings: Settings) -> None:
    chosen = changed(settings, "data", inventory="s3://lists/photos/daily")
    asked = {(each.principal, each.resource) for each in roles.permissions(Account(chosen))}
    wanted = (settings.role_arn("job"), "arn:aws:s3:::lists/photos/daily/preflight/manifest.json")
    assert wanted in asked
    assert not any("lists" in each.resource for each in roles.permissions(Account(settings)))
