"""Each statement of the template is needed: without it, a request of a recorded life is refused, or a named test fails.

The life is that of tests/life.py. A statement that it does not use stands in UNUSED, with who needs it: a test in which
a command or a service uses it, or AWS's page. A statement that denies has a request that only it refuses.
"""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline import ROOT
from pipeline.local.identity.journal import Journal, read
from pipeline.local.identity.policies import Decision, Principal, Request, decide, lowered, statements
from tests import life
from tests.life import PROFILE, Allowed
from tests.unit.pipeline.account import needs
from tests.unit.pipeline.account.mutations import (
    Judge,
    Mutant,
    condition_keys,
    demo,
    holders,
    lost,
    mutants,
    stack,
    trusts,
    unmet,
    without,
)
from tests.unit.pipeline.account.stacks import KEY, SUBNETS, VARIANTS
from tests.unit.pipeline.account.test_roles import needs_of

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/bins-job"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}],
}
# Statements that the life does not use: the page or the test for which they are.
ROLE_TRUST = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
GITHUB = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html"
VPC = "https://docs.aws.amazon.com/sagemaker/latest/dg/host-vpc.html"
ROLES_TESTS = "tests/unit/pipeline/account/test_roles.py"
DEPLOYMENTS = "tests/integration/test_deployments.py"
PEOPLE_TESTS = "tests/integration/test_people.py"
UNUSED: dict[str, str] = {
    "RoleOfPipeline/run/Trials": needs.PIPELINES,
    "RoleOfPipeline/run/Key": needs.S3_KMS,
    "RoleOfJobs/steps/AthenaBeginsThere": needs.ATHENA_GLUE,
    "RoleOfJobs/steps/Uploads": needs.ATHENA_S3,
    "RoleOfJobs/steps/Checkpoints": needs.CHECKPOINTS,
    "RoleOfJobs/steps/FindInventory": f"{ROLES_TESTS}::test_jobs_read_no_other_bucket_than_the_settings_name",
    "RoleOfJobs/steps/ReadInventory": f"{ROLES_TESTS}::test_jobs_read_no_other_bucket_than_the_settings_name",
    "RoleOfJobs/steps/FindSplit": f"{ROLES_TESTS}::test_jobs_read_no_other_bucket_than_the_settings_name",
    "RoleOfJobs/steps/ReadSplit": f"{ROLES_TESTS}::test_jobs_read_no_other_bucket_than_the_settings_name",
    "RoleOfJobs/steps/Weights": f"{ROLES_TESTS}::test_jobs_read_no_other_bucket_than_the_settings_name",
    "RoleOfJobs/steps/Tracker": f"{ROLES_TESTS}::test_jobs_read_no_other_bucket_than_the_settings_name",
    "RoleOfJobs/steps/Mlflow": "https://docs.aws.amazon.com/service-authorization/latest/reference/"
    "list_amazonsagemakerwithmlflow.html",
    "RoleOfJobs/trust/0": ROLE_TRUST,
    "RoleOfServing/serve/Find": needs.MISSING_OBJECTS,
    "RoleOfServing/serve/WatchedByAlarms": needs.GUARDRAILS,
    "RoleOfServing/trust/0": ROLE_TRUST,
    "RoleOfBatches/trust/0": ROLE_TRUST,
    "RoleOfMonitor/watch/FindTruth": f"{ROLES_TESTS}::test_the_monitor_reads_no_other_true_counts",
    "RoleOfMonitor/watch/ReadTruth": f"{ROLES_TESTS}::test_the_monitor_reads_no_other_true_counts",
    "RoleOfMonitor/watch/Retrain": f"{ROLES_TESTS}::test_the_needs_of_code_are_the_calls_that_it_makes",
    "RoleOfMonitor/trust/0": ROLE_TRUST,
    "RoleOfSchedules/start/DeadLetters": needs.SCHEDULER_DEAD_LETTERS,
    "RoleOfDeployment/deploy/Metrics": f"{ROLES_TESTS}::test_the_needs_of_code_are_the_calls_that_it_makes",
    "RoleOfDeployment/deploy/Reject": f"{DEPLOYMENTS}::test_a_rollback_rejects_the_later_version_and_returns_at_once",
    "RoleOfDeployment/deploy/WatchedByAlarms": needs.GUARDRAILS,
    "RoleOfDeployment/deploy/Scaling": needs.SCALING,
    "RoleOfDeployment/deploy/ScaledEndpoint": needs.SCALING,
    "RoleOfDeployment/deploy/ScalingAlarms": needs.SCALING,
    "RoleOfDeployment/deploy/ScalingRole": needs.SCALING,
    "RoleOfDeployment/deploy/DeadLetters": needs.LAMBDA_DEAD_LETTERS,
    "RoleOfDeployment/deploy/Decisions": f"{DEPLOYMENTS}::test_a_bad_version_goes_back_and_the_old_one_never_stopped"
    "_answering",
    "RoleOfAlerts/alert/DeadLetters": needs.LAMBDA_DEAD_LETTERS,
    "RoleOfAlerts/alert/Key": needs.S3_KMS,
    "RoleOfAlerts/trust/0": needs.LAMBDA_ROLES,
    # CodeBuild: the local cloud stores its projects and builds nothing.
    "RoleOfBuilds/build/Source": needs.CODEBUILD,
    "RoleOfBuilds/build/Push": needs.ECR_PUSH,
    "RoleOfBuilds/build/Bases": needs.ECR_PUSH,
    "RoleOfBuilds/build/Registry": needs.ECR_PUSH,
    "RoleOfBuilds/build/Logs": needs.CODEBUILD,
    "RoleOfBuilds/build/Key": needs.S3_KMS,
    "RoleOfBuilds/trust/0": needs.CODEBUILD,
    "CiPolicy/GroupTags": f"{ROLES_TESTS}::test_continuous_integration_sets_no_tag_of_the_deploy_function",
    "CiPolicy/Code": needs.STARTING_BUILDS,
    "CiPolicy/Builds": needs.STARTING_BUILDS,
    "CiPolicy/BuildLogs": needs.STARTING_BUILDS,
    "CiPolicy/Images": needs.ECR_PUSH,
    "CiPolicy/Bases": needs.ECR_PUSH,
    "CiPolicy/Registry": needs.ECR_PUSH,
    "CiPolicy/Key": needs.S3_KMS,
    "RoleOfCi/trust/0": GITHUB,
    "CheckPolicy/QuotasAndNetwork": needs.CHECKING,
    "CheckPolicy/Key": needs.S3_KMS,
    "ApproverPolicy/Missing": needs.MISSING_OBJECTS,
    "ApproverPolicy/Key": needs.S3_KMS,
    # Links to Studio are for accounts; the local cloud has none.
    "ApproverPolicy/Studio": f"{ROLES_TESTS}::test_the_needs_of_code_are_the_calls_that_it_makes",
    "ApproverPolicy/RollBack": f"{PEOPLE_TESTS}::test_an_approver_rolls_back_and_an_operator_cannot",
    "OperatorPolicy/DeployAgain": f"{DEPLOYMENTS}::test_settings_of_the_endpoint_that_have_changed_come_with_the"
    "_next_deployment",
    "OperatorPolicy/OtherSchedules": f"{ROLES_TESTS}::test_the_needs_of_code_are_the_calls_that_it_makes",
    # In the check policy too, which operators need not have.
    "OperatorPolicy/Subscribers": f"{ROLES_TESTS}::test_a_role_may_do_what_is_asked_of_it",
    "OperatorPolicy/Alarms": f"{ROLES_TESTS}::test_a_role_may_do_what_is_asked_of_it",
    "OperatorPolicy/Find": f"{ROLES_TESTS}::test_a_role_may_do_what_is_asked_of_it",
    "OperatorPolicy/Key": needs.S3_KMS,
    "KeyPolicy/Data": needs.SAGEMAKER_ROLES,
    "KeyPolicy/Volumes": needs.SAGEMAKER_ROLES,
    "NetworkPolicy/Interfaces": needs.SAGEMAKER_ROLES,
    "ServingNetworkPolicy/Look": VPC,
    "ServingNetworkPolicy/Make": VPC,
    "ServingNetworkPolicy/Use": VPC,
}

REQUESTS = life.read()
SETTINGS = (PROFILE, *VARIANTS)


def allowing(variant: str) -> list[Mutant]:
    """The statements of identity and trust policies that allow; a resource's policy is of the service's tests."""
    chosen = stack(variant)
    held = {document for documents in holders(chosen).values() for document in documents}
    identity = {name: document for name, document in chosen.documents().items() if name in held}
    return list(mutants({**identity, **trusts(chosen)}, "Allow"))


def test_the_template_allows_the_life() -> None:
    judge = Judge(demo())
    mine = [entry for entry in REQUESTS if judge.knows(entry)]
    assert {entry.role for entry in mine} >= {"bins-job", "bins-pipeline", "bins-deploy", "bins-serving"}
    assert [entry for entry in mine if not judge.allows(entry)] == []


@cache
def unused_by_the_life() -> set[str]:
    """Names of the statements without which the life goes on."""
    judge = Judge(demo())
    return {mutant.name for mutant in allowing(PROFILE) if not lost(judge, REQUESTS, mutant)}


@pytest.mark.parametrize("variant", SETTINGS)
def test_without_a_statement_the_life_breaks_or_the_statement_has_another_reason(variant: str) -> None:
    own = {mutant.name for mutant in allowing(PROFILE)}
    without_reason = [
        mutant.name
        for mutant in allowing(variant)
        if (mutant.name in unused_by_the_life() or mutant.name not in own) and mutant.name not in UNUSED
    ]
    assert without_reason == []


def test_no_statement_has_a_reason_that_it_does_not_need() -> None:
    own = {mutant.name for mutant in allowing(PROFILE)}
    conditional = {mutant.name for variant in VARIANTS for mutant in allowing(variant)} - own
    assert sorted(set(UNUSED) - unused_by_the_life() - conditional) == []


@pytest.mark.parametrize("reason", sorted(set(UNUSED.values())))
def test_a_reason_is_a_page_or_a_test(reason: str) -> None:
    if not reason.startswith("https://docs.aws.amazon.com/"):
        place, _, name = reason.partition("::")
        assert name in names_of_tests(ROOT / place), "the test has moved"


def names_of_tests(path: Path) -> set[str]:
    """Names of the test functions of a module."""
    functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    return {name for name in functions if name.startswith("test_")}


def test_only_a_test_function_is_a_test() -> None:
    names = names_of_tests(ROOT / ROLES_TESTS)
    assert "test_a_role_may_do_what_is_asked_of_it" in names
    assert not names & {"", "test_", "definition", "needs_of"}


@pytest.mark.parametrize("name", sorted(name for name in UNUSED if not name.endswith("/trust/0")))
def test_without_an_unused_statement_a_stated_need_is_not_met(name: str) -> None:
    """Needs are stated in tests/unit/pipeline/account/service_roles.py and people.py, with the page or the code."""
    missing = []
    for variant in VARIANTS:
        chosen = stack(variant)
        for mutant in allowing(variant):
            if mutant.name == name:
                for role in roles_with(variant, mutant.document):
                    documents = {document: chosen.documents()[document] for document in documents_of(variant, role)}
                    missing += unmet(without(documents, mutant), needs_of(role, variant))
    assert missing


def roles_with(variant: str, document: str) -> list[str]:
    """The template's names of the roles, or of the policy itself, whose needs a document meets."""
    chosen = stack(variant)
    if document in ("CiPolicy", "CheckPolicy", "ApproverPolicy", "OperatorPolicy"):
        return [document]
    names = {properties.get("RoleName"): name for name, properties in chosen.resources.items()}
    return [names[role] for role, held in holders(chosen).items() if document in held and role in names]


def documents_of(variant: str, role: str) -> tuple[str, ...]:
    """The documents of a role, or the policy itself."""
    chosen = stack(variant)
    return holders(chosen)[chosen.resources[role]["RoleName"]] if role.startswith("RoleOf") else (role,)


# ------------------------------------------------------------------------------------------------------- denials
IN_VPC = {"sagemaker:VpcSubnets": SUBNETS}
JOB = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:processing-job/pipelines-a-b-c"
TUNING = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:hyper-parameter-tuning-job/t"
MODEL = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/bins-v1"
VERSION = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package/bins/1"
OTHER_KEY = KEY.replace("1234", "4321")
BUILDER = "arn:aws:codebuild:us-east-1:111122223333:project/bins-images"
PLAIN_HTTP = {"aws:SecureTransport": "false"}
# Variant, statement, and a request that it alone refuses to somebody who may do everything else.
DENIED: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("full", "Guards/Vpc", "sagemaker:CreateProcessingJob", JOB, {}),
    ("full", "Guards/Subnets", "sagemaker:CreateProcessingJob", JOB, {"sagemaker:VpcSubnets": [*SUBNETS, "subnet-9"]}),
    ("full", "Guards/Key", "sagemaker:CreateProcessingJob", JOB, {**IN_VPC, "sagemaker:VolumeKmsKeyArn": OTHER_KEY}),
    ("full", "Guards/FormerKey", "sagemaker:CreateProcessingJob", JOB, {**IN_VPC, "sagemaker:VolumeKmsKey": OTHER_KEY}),
    ("full", "Guards/Traffic", "sagemaker:CreateHyperParameterTuningJob", TUNING, IN_VPC),
    ("isolated", "Guards/Isolation", "sagemaker:CreateHyperParameterTuningJob", TUNING, {}),
    ("isolated", "Guards/IsolatedModel", "sagemaker:CreateModel", MODEL, {"sagemaker:NetworkIsolation": "false"}),
    (
        "plain",
        "CiPolicy/NeverApprove",
        "sagemaker:UpdateModelPackage",
        VERSION,
        {"sagemaker:ModelApprovalStatus": "Approved"},
    ),
    ("plain", "CiPolicy/OwnBuildspec", "codebuild:StartBuild", BUILDER, {"codebuild:source.buildspec": "version: 0.2"}),
    ("plain", "CiPolicy/OwnImage", "codebuild:StartBuild", BUILDER, {"codebuild:environment.image": "another"}),
    ("plain", "CiPolicy/OwnRole", "codebuild:StartBuild", BUILDER, {"codebuild:serviceRole": ROLE}),
    ("plain", "ProjectBucketPolicy/TlsOnly", "s3:GetObject", "arn:aws:s3:::bins-111122223333/k", PLAIN_HTTP),
    (
        "plain",
        "DeadLettersPolicy/TlsOnly",
        "sqs:SendMessage",
        "arn:aws:sqs:us-east-1:111122223333:bins-dead-letters",
        PLAIN_HTTP,
    ),
]


@pytest.mark.parametrize(
    ("variant", "name", "action", "resource", "context"), DENIED, ids=[f"{row[0]} {row[1]}" for row in DENIED]
)
def test_without_a_denial_a_request_is_allowed(
    variant: str, name: str, action: str, resource: str, context: dict[str, Any]
) -> None:
    chosen = stack(variant)
    (mutant,) = [mutant for mutant in mutants(chosen.documents(), "Deny") if mutant.name == name]
    documents = {mutant.document: chosen.documents()[mutant.document]}
    assert not allowed(documents, action, resource, context)
    assert allowed(without(documents, mutant), action, resource, context)


def allowed(documents: dict[str, Any], action: str, resource: str, context: dict[str, Any]) -> bool:
    """Whether somebody may do it who may do everything but for these policies."""
    account = resource.split(":")[4] or ACCOUNT
    principal = Principal(f"arn:aws:sts::{account}:assumed-role/somebody/s", f"arn:aws:iam::{account}:role/somebody")
    request = Request(principal, action, resource, lowered(context))
    prepared = statements(documents)
    of_resources = [statement for statement in prepared if statement.has_principal]
    of_roles = [statement for statement in prepared if not statement.has_principal]
    return decide(request, [*of_roles, *statements({"own": EVERYTHING})], of_resources).allowed


def test_every_denial_has_a_case() -> None:
    denials = {(variant, mutant.name) for variant in VARIANTS for mutant in mutants(stack(variant).documents(), "Deny")}
    assert {name for _, name in denials} == {name for _, name, *_ in DENIED}


# ------------------------------------------------------------------------------------------------------ the harness
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
        {"Sid": "Again", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/again"},
        {"Sid": "Write", "Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
    ],
}


class Small:
    """A stack of one role."""

    settings = demo().settings
    resources: ClassVar[dict[str, Any]] = {
        "RoleOfJobs": {
            "RoleName": "bins-job",
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
                ],
            },
            "Policies": [{"PolicyName": "steps", "PolicyDocument": POLICY}],
        }
    }

    @staticmethod
    def documents() -> dict[str, Any]:
        return {"RoleOfJobs/steps": POLICY}


def test_a_request_is_lost_without_the_only_statement_that_allows_it() -> None:
    judge = Judge(Small())  # type: ignore[arg-type]
    entries = [
        Allowed("bins-job", "s3:GetObject", "arn:aws:s3:::b/k"),
        Allowed("bins-job", "s3:GetObject", "arn:aws:s3:::b/again"),
        Allowed("sagemaker.amazonaws.com", "sts:AssumeRole", ROLE),
        Allowed("bins-other", "s3:PutObject", "arn:aws:s3:::b/k"),
    ]
    documents = {**Small.documents(), **trusts(Small())}  # type: ignore[arg-type]
    assert {mutant.name: lost(judge, entries, mutant) for mutant in mutants(documents, "Allow")} == {
        "RoleOfJobs/steps/Read": [entries[0]],
        "RoleOfJobs/steps/Again": [],
        "RoleOfJobs/steps/Write": [],
        "RoleOfJobs/trust/0": [entries[2]],
    }


def test_a_life_is_written_with_what_policies_look_at(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "api.jsonl")
    principal = Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/bins-job/x", ROLE)
    context = {"aws:securetransport": "true", "aws:currenttime": "2026-01-01T00:00:00Z", "cloudwatch:namespace": "N"}
    request = Request(principal, "cloudwatch:PutMetricData", "*", context)
    journal.record(request, Decision(True, "", ("steps/Metrics",)), service="cloudwatch", operation="PutMetricData")
    journal.record(request, Decision(False, "because"), service="cloudwatch", operation="PutMetricData")
    root = Request(Principal(f"arn:aws:iam::{ACCOUNT}:root"), "iam:CreateRole", "*", {})
    journal.record(root, Decision(True, ""), service="iam", operation="CreateRole")
    (line,) = life.compact(read(tmp_path), condition_keys())
    assert json.loads(line) == {
        "role": "bins-job",
        "action": "cloudwatch:PutMetricData",
        "resource": "*",
        "context": {"aws:securetransport": "true", "cloudwatch:namespace": "N"},
    }
