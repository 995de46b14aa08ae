"""Each role may do what its code, the compiled definition and the services ask for, and nothing more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from pipeline.account.deploy_function import code_key
from pipeline.compiling import step_images as images
from pipeline.definition import compile_definition
from pipeline.operations.serving import monitoring
from pipeline.settings import Role, Settings
from steps.contracts import names
from tests.unit.pipeline.account import people, service_roles
from tests.unit.pipeline.account.authorization import takes
from tests.unit.pipeline.account.calls import actions
from tests.unit.pipeline.account.compiled import EXECUTION, TUNING, s3_arn
from tests.unit.pipeline.account.needs import Account, Need
from tests.unit.pipeline.account.policies import Context, Policies
from tests.unit.pipeline.account.stacks import FULL, ISOLATED, KEY, PLAIN, SUBNETS, VARIANTS, Stack, settings

# Another pipeline in the same account.
OTHER = settings(
    data={"bucket": "others-111122223333", "database": "others", "workgroup": "others"},
    registry={"group": "others"},
    endpoint={"name": "others"},
).model_copy(update={"name": "others"})

JOBS: tuple[images.Step, ...] = ("query", "explore", "plan", "shard", "train", "evaluate")


def code_of(*steps: images.Step) -> tuple[str, ...]:
    """The folders of the steps' code."""
    return tuple(sorted({f"steps/{folder}" for step in steps for folder in images.step_folders(step)}))


UPSERTING = ("pipeline/operations/upsert.py", "pipeline/operations/check.py", "pipeline/clients.py")
IMAGES = (
    "pipeline/operations/images/publishing.py",
    "pipeline/operations/images/codebuild.py",
    "pipeline/operations/images/docker.py",
)
OBJECTS = "pipeline/aws/objects.py"
APPROVING = ("pipeline/operations/models/registry.py", "pipeline/operations/links.py", OBJECTS)
CHECKING = ("pipeline/operations/preflight", "pipeline/operations/weights/presence.py")
# Commands that make, and unmake, what everybody else works in or on: an administrator's, who may do anything.
# To a bucket that the account's template does not have: with the permissions of its owner.
IMPORTING = ("pipeline/operations/importing/",)
ADMINISTERING = (
    "pipeline/operations/account/",
    "pipeline/operations/dataset/prune_deletion.py",
    "pipeline/operations/dataset/prune_plan.py",
    "pipeline/operations/dataset/stored.py",
    "pipeline/operations/delete.py",
    "pipeline/operations/inventory.py",
    "pipeline/operations/weights/placing.py",
)
# Calls that a policy does not allow all the same.
WITHHELD = {
    # A pipeline whose model package group could not be made is taken back; here both are allowed, and a machine that
    # could delete the pipeline could delete its runs' history.
    "CiPolicy": {"sagemaker:DeletePipeline"},
    # The operator's commands list versions with the same module by which approvers decide on them.
    "OperatorPolicy": {"sagemaker:UpdateModelPackage"},
}
# Roles that the code or the container of others runs with, and who passes them to SageMaker.
KINDS: tuple[Role, ...] = (
    "pipeline",
    "job",
    "serving",
    "monitor",
    "batch",
    "scheduler",
    "deploy",
    "alert",
    "build",
    "ci",
)
PASSED: dict[str, set[Role]] = {
    "RoleOfPipeline": {"job"},
    "RoleOfSchedules": {"monitor"},
    "RoleOfDeployment": {"serving"},
    "CiPolicy": {"pipeline"},
    "OperatorPolicy": {"batch", "monitor"},
}
# What a request passes a role with.
PASSES = {
    "sagemaker:CreateModel",
    "sagemaker:CreatePipeline",
    "sagemaker:CreateProcessingJob",
    "scheduler:CreateSchedule",
}


@cache
def definition(name: str) -> dict[str, Any]:
    """The compiled definition of a variant."""
    found: dict[str, Any] = json.loads(compile_definition(VARIANTS[name]))
    return found


@cache
def stack(name: str) -> Stack:
    return Stack(VARIANTS[name])


@cache
def needs_of(role: str, variant: str) -> list[Need]:
    chosen = VARIANTS[variant]
    by_definition = {"RoleOfPipeline": service_roles.pipeline_role, "RoleOfJobs": service_roles.job_role}
    if role in by_definition:
        return list(by_definition[role](chosen, definition(variant)))
    return list(BY_SETTINGS[role](chosen))


BY_SETTINGS: dict[str, Callable[[Settings], Iterator[Need]]] = {
    "RoleOfServing": service_roles.serving_role,
    "RoleOfMonitor": service_roles.monitor_role,
    "RoleOfBatches": service_roles.batch_role,
    "RoleOfSchedules": service_roles.scheduler_role,
    "RoleOfDeployment": service_roles.deploy_role,
    "RoleOfAlerts": service_roles.alert_role,
    "RoleOfBuilds": service_roles.build_role,
    "CiPolicy": people.ci_policy,
    "CheckPolicy": people.check_policy,
    "ApproverPolicy": people.approver_policy,
    "OperatorPolicy": people.operator_policy,
}
ROLES = ("RoleOfPipeline", "RoleOfJobs", *BY_SETTINGS)
every_role = pytest.mark.parametrize("role", ROLES)
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
@every_role
def test_a_role_may_do_what_is_asked_of_it(role: str, variant: str) -> None:
    policies = stack(variant).policies(role)
    wanted = needs_of(role, variant)
    assert wanted
    assert [one for one in wanted if not policies.allow(one.action, one.resource, one.context)] == []


@every_variant
@every_role
def test_a_role_may_do_nothing_else(role: str, variant: str) -> None:
    """Every action is wanted on a resource of every pattern that it is allowed on, of those that it takes."""
    wanted = needs_of(role, variant)
    unasked = []
    for action, pattern in stack(variant).policies(role).allowed():
        alone = Policies.of({"Statement": [_allow(action, pattern)]})
        if takes(action, pattern) and not any(alone.allow(need.action, need.resource) for need in wanted):
            unasked.append((action, pattern))
    assert unasked == []


# Kinds of resources that cannot be named beforehand: Pipelines, the tuner, EC2 and Application Auto Scaling name them.
UNNAMED = (
    "hyper-parameter-tuning-job/",
    "training-job/",
    "network-interface/",
    "scalable-target/",
    "alarm:",
)


@every_variant
@every_role
def test_a_role_may_do_it_on_no_other_resource_of_the_kind(role: str, variant: str) -> None:
    policies = stack(variant).policies(role)
    wide = []
    for one in needs_of(role, variant):
        unrelated = _unrelated(one.resource)
        if unrelated and policies.allow(one.action, unrelated, one.context):
            wide.append((one.action, unrelated))
    assert wide == []


@every_role
def test_a_role_may_not_touch_what_another_pipeline_owns(role: str) -> None:
    """But what services keep for all, such as the log groups of SageMaker's jobs, and jobs that nobody can name."""
    chosen = {"RoleOfPipeline": service_roles.pipeline_role, "RoleOfJobs": service_roles.job_role}
    theirs = json.loads(json.dumps(definition("plain")).replace("bins", "others"))
    wanted = list(chosen[role](OTHER, theirs)) if role in chosen else list(BY_SETTINGS[role](OTHER))
    shared = {(one.action, one.resource) for one in needs_of(role, "plain")}
    policies = stack("plain").policies(role)
    foreign = [one for one in wanted if (one.action, one.resource) not in shared]
    assert foreign
    assert [one for one in foreign if policies.allow(one.action, one.resource, one.context)] == []


@pytest.mark.parametrize(
    ("role", "places", "but"),
    [
        ("RoleOfJobs", code_of(*JOBS), ()),
        ("RoleOfMonitor", code_of("monitor"), ()),
        ("RoleOfDeployment", ("steps/deploy",), ()),
        ("RoleOfAlerts", ("steps/alert",), ()),
        ("RoleOfServing", ("steps/serve",), ()),
        ("CiPolicy", UPSERTING + IMAGES, ()),
        ("CheckPolicy", CHECKING, ()),
        ("ApproverPolicy", APPROVING, ()),
        ("OperatorPolicy", ("pipeline/operations", OBJECTS), UPSERTING + IMAGES + CHECKING + ADMINISTERING + IMPORTING),
    ],
)
def test_the_needs_of_code_are_the_calls_that_it_makes(
    role: str, places: tuple[str, ...], but: tuple[str, ...]
) -> None:
    called = actions(*places, but=but)
    wanted = [one for variant in VARIANTS for one in needs_of(role, variant)]
    stated = {one.action for one in wanted} | WITHHELD.get(role, set())
    assert {action: lines for action, lines in called.items() if action not in stated} == {}
    by_code = {one.action for one in wanted if one.source == "code"}
    assert by_code - set(called) == ({"iam:PassRole"} if PASSES & set(called) else set())


def test_schedules_start_what_the_scheduler_s_role_may_start() -> None:
    (_, service, operation) = monitoring.CREATE_JOB.rsplit(":", 2)
    request = monitoring.job_request(PLAIN, monitoring.EXECUTION_ID, monitoring.SCHEDULED_TIME, retrain=True)
    policies = stack("plain").policies("RoleOfSchedules")
    name = request["ProcessingJobName"].replace(monitoring.EXECUTION_ID, "0f1e2d3c")
    job = f"arn:aws:sagemaker:us-east-1:{PLAIN.account.id}:processing-job/{name}"
    assert policies.allow(f"{service}:{operation[0].upper()}{operation[1:]}", job)
    passed: Context = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    assert policies.allow("iam:PassRole", request["RoleArn"], passed)
    assert not policies.allow("iam:PassRole", PLAIN.role_arn("deploy"), passed)


# ------------------------------------------------------------------------------------------------------ conditions


def test_a_role_is_passed_to_the_service_that_it_is_for_alone() -> None:
    for role in ROLES:
        for variant in VARIANTS:
            for one in needs_of(role, variant):
                if one.action == "iam:PassRole":
                    policies = stack(variant).policies(role)
                    assert not policies.allow(one.action, one.resource, {"iam:PassedToService": "ec2.amazonaws.com"})


def test_metrics_go_to_known_namespaces_alone() -> None:
    for role in ("RoleOfJobs", "RoleOfServing", "RoleOfMonitor", "RoleOfBatches"):
        assert not stack("plain").policies(role).allow("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS"})


def test_continuous_integration_approves_nothing_whatever_else_it_may_do() -> None:
    account = Account(PLAIN)
    documents = stack("plain").documents()
    both = Policies.of(documents["CiPolicy"], documents["ApproverPolicy"])
    for status in ("Approved", "Rejected", "PendingManualApproval"):
        context: Context = {"sagemaker:ModelApprovalStatus": status}
        assert not both.allow("sagemaker:UpdateModelPackage", account.version, context)


def test_continuous_integration_sets_no_tag_of_the_deploy_function() -> None:
    policies, group = stack("plain").policies("CiPolicy"), Account(PLAIN).group
    assert policies.allow("sagemaker:AddTags", group, {"aws:TagKeys": ["team"]})
    for key in (names.NEVER_SERVED_TAG, names.RESTORED_TAG, names.APPROVED_AT_TAG):
        assert not policies.allow("sagemaker:AddTags", group, {"aws:TagKeys": ["team", key]})


def test_an_approver_decides_and_changes_nothing_else_of_a_version() -> None:
    account = Account(PLAIN)
    approver, operator = stack("plain").policies("ApproverPolicy"), stack("plain").policies("OperatorPolicy")

    def may(policies: Policies, context: Context) -> bool:
        return policies.allow("sagemaker:UpdateModelPackage", account.version, context)

    assert may(approver, {"sagemaker:ModelApprovalStatus": "Approved"})
    assert not may(approver, {"sagemaker:ModelApprovalStatus": "PendingManualApproval"})
    assert not may(approver, {})
    assert not any(may(operator, {"sagemaker:ModelApprovalStatus": status}) for status in ("Rejected", "Approved"))
    function = stack("plain").policies("RoleOfDeployment")
    assert may(function, {"sagemaker:ModelApprovalStatus": "Rejected"})
    assert not may(function, {"sagemaker:ModelApprovalStatus": "Approved"})
    assert not may(function, {})


def test_nobody_but_the_deploy_function_writes_what_the_endpoint_reads() -> None:
    """And nobody but an administrator writes the function's code, or a role that could."""
    account = Account(PLAIN)
    released = f"{s3_arn(PLAIN.released_uri)}/12-0123456789abcdef/model.tar.gz"
    code = f"{account.bucket}/{code_key(PLAIN, b'anything')}"
    passed: Context = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    writers, readers = set(), set()
    for role in ROLES:
        policies = stack("plain").policies(role)
        if any(policies.allow(f"s3:{action}", released) for action in ("PutObject", "DeleteObject")):
            writers.add(role)
        if policies.allow("s3:GetObject", released):
            readers.add(role)
        assert not policies.allow("s3:PutObject", code), role
        passes = {kind for kind in KINDS if policies.allow("iam:PassRole", PLAIN.role_arn(kind), passed)}
        assert passes == PASSED.get(role, set()), role
    assert writers == {"RoleOfDeployment"}
    assert "RoleOfServing" in readers
    serving = stack("plain").policies("RoleOfServing")
    for writable in ("models/job/output/model.tar.gz", "runs/1/golden.json", "batch/1.out", "captures/1.jsonl"):
        assert not serving.allow("s3:GetObject", f"{account.root}/{writable}")


def test_nobody_but_an_administrator_writes_the_published_weights() -> None:
    """The digits in a file's name show damage, and are too few against a file that was made to fit them."""
    place = f"{s3_arn(PLAIN.published_weights_uri)}/resnet34-b627a593.pth"
    readers = set()
    for role in ROLES:
        policies = stack("plain").policies(role)
        assert not any(policies.allow(f"s3:{action}", place) for action in ("PutObject", "DeleteObject")), role
        if policies.allow("s3:GetObject", place):
            readers.add(role)
    assert "RoleOfJobs" in readers


def test_only_approvers_roll_back_and_operators_deploy_the_approved_version_again() -> None:
    account = Account(PLAIN)
    deploy, rollback = PLAIN.deploy_function_arn, account.rollback
    may = {
        role: (policies.allow("lambda:InvokeFunction", deploy), policies.allow("lambda:InvokeFunction", rollback))
        for role in ROLES
        if (policies := stack("plain").policies(role))
    }
    assert {role: calls for role, calls in may.items() if any(calls)} == {
        "RoleOfPipeline": (True, False),
        "ApproverPolicy": (False, True),
        "OperatorPolicy": (True, False),
    }


def test_jobs_read_no_other_bucket_than_the_settings_name() -> None:
    both = (stack("plain"), stack("full"))
    plain, full = (each.policies("RoleOfJobs") for each in both)
    for resource in (
        "arn:aws:s3:::splits/published/part-0.csv",
        "arn:aws:s3:::weights/resnet34.safetensors",
        "arn:aws:s3:::inventories/lists/aft-vbi-pds/daily/2026-11-28T01-00Z/manifest.json",
    ):
        assert full.allow("s3:GetObject", resource)
        assert not plain.allow("s3:GetObject", resource)
    assert not full.allow("s3:GetObject", "arn:aws:s3:::weights/resnet50.safetensors")
    assert not full.allow("s3:GetObject", "arn:aws:s3:::splits/other/part-0.csv")
    assert not full.allow("s3:GetObject", "arn:aws:s3:::inventories/lists/payroll/daily/data/0.parquet")
    assert [each.policies("RoleOfJobs").allow("s3:ListBucket", "arn:aws:s3:::inventories") for each in both] == [
        False,
        True,
    ]
    assert not full.allow("secretsmanager:GetSecretValue", Account(FULL).arn("secretsmanager", "secret:wandb/keys"))


def test_the_monitor_reads_no_other_true_counts() -> None:
    both = (stack("plain"), stack("full"))
    plain, full = (each.policies("RoleOfMonitor") for each in both)
    table, bucket = "arn:aws:s3:::labels/bins/counts/2026/a.csv", "arn:aws:s3:::labels"
    assert [policies.allow("s3:GetObject", table) for policies in (plain, full)] == [False, True]
    for other in ("bins/counts-old/a.csv", "bins/a.csv", "bins/counts.csv"):
        assert not full.allow("s3:GetObject", f"arn:aws:s3:::labels/{other}")
    assert not full.allow("s3:PutObject", table)
    for prefix, is_allowed in (("bins/counts/", True), ("bins/counts/2026/", True), ("bins/", False), ("", False)):
        assert full.allow("s3:ListBucket", bucket, {"s3:prefix": prefix}) == is_allowed
    assert not plain.allow("s3:ListBucket", bucket, {"s3:prefix": "bins/counts/"})


def test_jobs_cannot_touch_captures_and_code_nor_delete_what_runs_have_made() -> None:
    account, policies = Account(PLAIN), stack("plain").policies("RoleOfJobs")
    for others in (
        "captures/bins/AllTraffic/1.jsonl",
        "released/12-0/model.tar.gz",
        "monitor/1/report.html",
        "batch/1",
    ):
        assert not policies.allow("s3:PutObject", f"{account.root}/{others}")
    code = f"{account.bucket}/{PLAIN.code_prefix}/source.zip"
    assert not any(policies.allow(f"s3:{one}Object", code) for one in ("Get", "Put", "Delete"))
    for kept in ("shards/a.tar", "models/job/output/model.tar.gz", f"runs/{EXECUTION}/evaluate/evaluation/a"):
        assert not policies.allow("s3:DeleteObject", f"{account.root}/{kept}")


def test_a_run_registers_an_approved_version_only_where_the_settings_let_it() -> None:
    approving = settings(registry={"approval": "Approved"})
    for chosen, expected in ((PLAIN, False), (approving, True)):
        policies = Stack(chosen).policies("RoleOfPipeline")
        for resource in (Account(chosen).group, Account(chosen).version):
            for status, may in (("PendingManualApproval", True), ("Approved", expected)):
                context: Context = {"sagemaker:ModelApprovalStatus": status}
                assert policies.allow("sagemaker:CreateModelPackage", resource, context) is may


def test_ci_chooses_no_code_of_the_deploy_function_and_registers_nothing_whatever_else_is_attached() -> None:
    account, policies = Account(PLAIN), stack("plain").policies("CiPolicy")
    assert not policies.allow("s3:PutObject", f"{account.bucket}/{code_key(PLAIN, b'anything')}")
    anything = Policies.of({"Statement": [_allow("*", "*")]}, stack("plain").documents()["CiPolicy"])
    assert anything.allow("sagemaker:DescribeModelPackage", account.version)
    for action in ("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"):
        assert not anything.allow(action, account.version)


def test_ci_builds_as_the_project_defines_it() -> None:
    policies, builder = stack("plain").policies("CiPolicy"), stack("plain").resources["Builder"]
    project = Account(PLAIN).arn("codebuild", f"project/{PLAIN.image_builder}")
    source, image = builder["Source"]["BuildSpec"], builder["Environment"]["Image"]
    own = {
        "codebuild:source.buildspec": source,
        "codebuild:environment.image": image,
        "codebuild:serviceRole": PLAIN.role_arn("build"),
    }
    assert policies.allow("codebuild:StartBuild", project)
    assert policies.allow("codebuild:StartBuild", project, own)
    for key in own:
        assert not policies.allow("codebuild:StartBuild", project, {**own, key: "another"})


def test_an_operator_makes_no_model_that_an_approval_would_serve() -> None:
    account, policies = Account(PLAIN), stack("plain").policies("OperatorPolicy")
    assert PLAIN.name == PLAIN.endpoint.name
    assert not policies.allow("sagemaker:CreateModel", account.model)


# ---------------------------------------------------------------------------------------------------------- guards

IN_VPC: Context = {"sagemaker:VpcSubnets": SUBNETS, "sagemaker:InterContainerTrafficEncryption": "true"}


@pytest.mark.parametrize("role", ["RoleOfPipeline", "RoleOfSchedules"])
def test_jobs_outside_the_settings_network_and_key_are_refused(role: str) -> None:
    account, policies = Account(FULL), stack("full").policies(role)
    name = f"processing-job/pipelines-{EXECUTION}-ShardImages-a"
    job = account.monitor_job if role == "RoleOfSchedules" else account.arn("sagemaker", name)

    def may(context: Context) -> bool:
        return policies.allow("sagemaker:CreateProcessingJob", job, context)

    assert may(IN_VPC)
    assert not may({})
    assert not may({**IN_VPC, "sagemaker:VpcSubnets": [*SUBNETS, "subnet-fedcba9876543210f"]})
    # The present name of the key, and the former one.
    for name in ("sagemaker:VolumeKmsKeyArn", "sagemaker:VolumeKmsKey"):
        assert may({**IN_VPC, "sagemaker:VpcSubnets": SUBNETS[:1], name: KEY})
        assert not may({**IN_VPC, name: KEY.replace("1234", "4321")})


def test_models_and_endpoints_outside_the_settings_network_and_key_are_refused() -> None:
    account, policies = Account(FULL), stack("full").policies("RoleOfDeployment")
    assert policies.allow("sagemaker:CreateModel", account.model, IN_VPC)
    assert not policies.allow("sagemaker:CreateModel", account.model)
    other: Context = {"sagemaker:VpcSubnets": [*SUBNETS, "subnet-fedcba9876543210f"]}
    assert not policies.allow("sagemaker:CreateModel", account.model, other)
    for key, expected in ((KEY, True), (KEY.replace("1234", "4321"), False)):
        context: Context = {"sagemaker:VolumeKmsKeyArn": key}
        assert policies.allow("sagemaker:CreateEndpointConfig", account.config, context) is expected
    assert policies.allow("sagemaker:CreateEndpointConfig", account.config)


def test_a_model_on_the_network_is_refused_where_the_settings_isolate_and_the_endpoint_can() -> None:
    serverless = settings(network={"isolation": True}, training={"input": "fastfile"}, endpoint={"mode": "serverless"})
    for chosen, expected in ((ISOLATED, False), (serverless, True), (PLAIN, True)):
        context: Context = {"sagemaker:NetworkIsolation": "false"}
        policies = Stack(chosen).policies("RoleOfDeployment")
        assert policies.allow("sagemaker:CreateModel", Account(chosen).model, context) is expected


def test_an_approver_sees_what_an_approval_leads_to_and_invokes_nothing() -> None:
    account, policies = Account(PLAIN), stack("plain").policies("ApproverPolicy")
    assert policies.allow("sagemaker:DescribeEndpoint", account.endpoint)
    for action in ("InvokeEndpoint", "UpdateEndpoint", "DeleteEndpoint", "AddTags"):
        assert not policies.allow(f"sagemaker:{action}", account.endpoint)


def test_trials_in_the_clear_or_on_the_network_are_refused_where_the_settings_say_so() -> None:
    for variant, key, rest in (
        ("full", "sagemaker:InterContainerTrafficEncryption", IN_VPC),
        ("isolated", "sagemaker:NetworkIsolation", {}),
    ):
        policies = stack(variant).policies("RoleOfPipeline")
        job = Account(VARIANTS[variant]).arn("sagemaker", TUNING)
        for value, expected in (("true", True), ("false", False)):
            context: Context = {**rest, key: value}
            assert policies.allow("sagemaker:CreateHyperParameterTuningJob", job, context) is expected
        silent = {name: said for name, said in rest.items() if name != key}
        assert not policies.allow("sagemaker:CreateHyperParameterTuningJob", job, silent)
    plain = stack("plain").policies("RoleOfPipeline")
    assert plain.allow("sagemaker:CreateHyperParameterTuningJob", Account(ISOLATED).arn("sagemaker", TUNING))


def _allow(action: str, pattern: str) -> dict[str, str]:
    return {"Sid": "One", "Effect": "Allow", "Action": action, "Resource": pattern}


def _unrelated(resource: str) -> str:
    """Another resource of the same kind; empty for those of kinds that cannot be named."""
    if resource == "*":
        return ""
    *place, name = resource.split(":", 5)
    if ":s3:" in resource:
        return ":".join([*place, "zz-unrelated/zz" if "/" in name else "zz-unrelated"])
    if name.startswith(UNNAMED):
        return ""
    kind = re.match(r"[a-z-]+[/:]", name)
    return ":".join([*place, f"{kind[0] if kind else ''}zz-unrelated"])
