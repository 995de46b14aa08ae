"""The account's template: sound by AWS's own schemas, and one with the settings and the code it is made from."""

from __future__ import annotations

import importlib.resources
import json
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cfnlint.api import ManualArgs, lint

from pipeline.account import deploy_function as serving
from pipeline.account.parameters import parameters
from pipeline.account.stages import declared_values, first_stage_template
from pipeline.aws import cloudformation as template
from pipeline.operations.serving import monitoring
from pipeline.operations.serving.deployment import FUNCTION_SECONDS
from pipeline.settings import REPOSITORIES
from steps.alert.settings import Settings as AlertSettings
from steps.contracts import names
from steps.deploy.settings import Settings as FunctionSettings
from tests.unit.pipeline.account.stacks import CODE, FULL, KEY, PLAIN, READ, TEXT, VARIANTS, Stack, alarms, settings

variants = pytest.mark.parametrize("variant", VARIANTS)
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html: bytes of a template in a
# request, and in an object of S3
LARGEST_BODY, LARGEST_OBJECT = 51_200, 1_000_000
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters but white space
LARGEST_MANAGED, LARGEST_INLINE = 6_144, 10_240


@pytest.fixture(scope="module")
def parliament() -> Iterator[Any]:
    """The linter of policies. It asks setuptools for its data's place, by a module that setuptools no longer has."""
    stand_in = types.ModuleType("pkg_resources")
    stand_in.resource_filename = lambda package, name: str(importlib.resources.files(package) / name)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pkg_resources", stand_in)
        import parliament

        yield parliament


def test_cloudformation_would_accept_the_template() -> None:
    assert [str(one) for one in lint(TEXT, config=ManualArgs(regions=["us-east-1", "eu-central-1"]))] == []


def test_the_first_stage_fits_into_a_request_and_the_template_into_an_object() -> None:
    assert len(first_stage_template(TEXT).encode()) <= LARGEST_BODY
    assert len(TEXT.encode()) <= LARGEST_OBJECT


def test_cloudformation_would_accept_the_first_stage() -> None:
    text = first_stage_template(TEXT)
    assert [str(one) for one in lint(text, config=ManualArgs(regions=["us-east-1", "eu-central-1"]))] == []


@variants
def test_the_first_stage_is_what_the_template_has_without_code(variant: str) -> None:
    chosen, text = VARIANTS[variant], first_stage_template(TEXT)
    first = Stack(chosen, "", template.read(text))
    assert first.resources == Stack(chosen, "").resources
    assert set(declared_values(text, parameters(chosen, ""))) == set(template.read(text)["Parameters"])


@variants
def test_the_settings_give_every_parameter_and_no_other(variant: str) -> None:
    assert set(parameters(VARIANTS[variant], "")) == set(READ["Parameters"])


def test_every_parameter_decides_something() -> None:
    body = TEXT.partition("Conditions:")[2]
    assert [name for name in READ["Parameters"] if not re.search(rf"!Ref {name}\b|\${{{name}}}", body)] == []


def test_the_first_stage_has_only_what_stays_when_the_stack_is_deleted() -> None:
    first = set(Stack(FULL, code="").resources)
    retained = {name for name, one in READ["Resources"].items() if one.get("DeletionPolicy") == "Retain"}
    assert first == retained - {"GithubProvider"}
    assert {READ["Resources"][name]["UpdateReplacePolicy"] for name in first} == {"Retain"}
    assert sorted(READ["Resources"][name]["Type"] for name in first) == [
        *["AWS::ECR::Repository"] * 4,
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
    ]


# ------------------------------------------------------------------------------------------------------- policies


# Findings that are right as they are: SageMaker requires "*" (`NetworkPolicy`), and the linter's reference, of April
# 2025, has neither the key VolumeKmsKeyArn nor CodeBuild's yet.
KNOWN = {
    ("NetworkPolicy", "RESOURCE_STAR"),
    ("Guards", "UNKNOWN_CONDITION_FOR_ACTION"),
    ("CiPolicy", "UNKNOWN_CONDITION_FOR_ACTION"),
}


@variants
def test_no_policy_has_a_finding(variant: str, parliament: Any) -> None:
    findings = []
    for name, document in Stack(VARIANTS[variant]).documents().items():
        analyzed = parliament.analyze_policy_string(json.dumps(document))
        findings += [
            f"{name}: {one.issue} {one.detail} {one.location}"
            for one in analyzed.findings
            if (name, one.issue) not in KNOWN
        ]
    assert findings == []


@variants
def test_every_policy_is_within_its_limit(variant: str) -> None:
    sizes: dict[str, int] = {}
    for name, document in Stack(VARIANTS[variant]).documents().items():
        owner = name.partition("/")[0]
        sizes[owner] = sizes.get(owner, 0) + len(json.dumps(document, separators=(",", ":")))
    limits = {"AWS::IAM::Role": LARGEST_INLINE, "AWS::IAM::ManagedPolicy": LARGEST_MANAGED}
    kinds = {name: READ["Resources"][name]["Type"] for name in sizes}
    assert {name: size for name, size in sizes.items() if size > limits.get(kinds[name], LARGEST_INLINE)} == {}


def test_every_statement_on_all_resources_says_why_right_above() -> None:
    lines = TEXT.splitlines()
    silent = []
    for statement in _statements(yaml.compose(TEXT, Loader=yaml.SafeLoader)):
        fields = {key.value: value for key, value in statement.value}
        if getattr(fields["Resource"], "value", None) != "*":
            continue
        above = lines[statement.start_mark.line - 1].strip()
        if not above.startswith("#"):
            silent.append(fields["Sid"].value)
    assert silent == []


def test_no_statement_allows_a_whole_service_or_everything_but_something() -> None:
    for variant in VARIANTS.values():
        for name, document in Stack(variant).documents().items():
            for statement in document["Statement"]:
                assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), name
                if statement["Effect"] == "Allow":
                    actions = statement["Action"]
                    assert "*" not in "".join([actions] if isinstance(actions, str) else actions), (name, statement)


def test_a_service_takes_a_role_for_this_account_alone() -> None:
    trusted = {}
    for name, properties in Stack(FULL).resources.items():
        for statement in properties.get("AssumeRolePolicyDocument", {}).get("Statement", []):
            trusted[name] = (statement["Principal"], statement.get("Condition", {}).get("StringEquals", {}))
    account_id = {"aws:SourceAccount": PLAIN.account.id}
    arn = f"{PLAIN.account.region}:{PLAIN.account.id}"
    host = "token.actions.githubusercontent.com"
    assert trusted == {
        "RoleOfPipeline": ({"Service": "sagemaker.amazonaws.com"}, account_id),
        "RoleOfJobs": ({"Service": "sagemaker.amazonaws.com"}, account_id),
        "RoleOfServing": ({"Service": "sagemaker.amazonaws.com"}, account_id),
        "RoleOfMonitor": ({"Service": "sagemaker.amazonaws.com"}, account_id),
        "RoleOfBatches": ({"Service": "sagemaker.amazonaws.com"}, account_id),
        "RoleOfSchedules": (
            {"Service": "scheduler.amazonaws.com"},
            {**account_id, "aws:SourceArn": f"arn:aws:scheduler:{arn}:schedule-group/bins"},
        ),
        "RoleOfDeployment": ({"Service": "lambda.amazonaws.com"}, {}),
        "RoleOfAlerts": ({"Service": "lambda.amazonaws.com"}, {}),
        "RoleOfBuilds": (
            {"Service": "codebuild.amazonaws.com"},
            {**account_id, "aws:SourceArn": f"arn:aws:codebuild:{arn}:project/bins-images"},
        ),
        "RoleOfCi": (
            {"Federated": f"arn:aws:iam::{PLAIN.account.id}:oidc-provider/{host}"},
            {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": "repo:example/bins:ref:refs/heads/main"},
        ),
    }


def test_jobs_of_a_github_environment_alone_take_the_role_where_the_settings_name_one() -> None:
    chosen = settings(ci={"github_repository": "example/bins", "environment": "production"})
    (statement,) = Stack(chosen).resources["RoleOfCi"]["AssumeRolePolicyDocument"]["Statement"]
    subject = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject == "repo:example/bins:environment:production"


# ------------------------------------------------------------------------------- one with the settings and the code


@variants
def test_the_function_is_told_what_the_settings_say(variant: str) -> None:
    for function in ("Function", "Rollback"):
        properties = Stack(VARIANTS[variant]).resources[function]
        environment = properties["Environment"]["Variables"]
        assert environment == serving.function_environment(VARIANTS[variant])
        assert FunctionSettings.from_environment(environment).endpoint_name == "bins"


def test_the_function_is_the_deploy_step_and_leaves_what_it_could_not_do() -> None:
    stack = Stack(PLAIN)
    function, queue = stack.resources["Function"], stack.resources["DeadLetters"]
    assert function["FunctionName"] == PLAIN.deploy_function
    assert stack.outputs["DeployFunctionArn"] == PLAIN.deploy_function_arn
    assert function["Timeout"] == 300 < FUNCTION_SECONDS
    assert function["DeadLetterConfig"] == {"TargetArn": PLAIN.dead_letter_queue_arn}
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    assert function["Code"] == {"S3Bucket": PLAIN.data.bucket, "S3Key": "bin-counting-code/deploy-0123456789abcdef.zip"}
    rollback = stack.resources["Rollback"]
    assert rollback["FunctionName"] == PLAIN.rollback_function
    for either in (function, rollback):
        module, name = either["Handler"].rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), name))
    own = {"FunctionName", "Handler", "DeadLetterConfig"}
    assert {key: value for key, value in rollback.items() if key not in own} == {
        key: value for key, value in function.items() if key not in own
    }


def test_each_rollback_raises_an_alarm() -> None:
    alarm = Stack(FULL).resources["RolledBack"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Invocations", "Sum")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": FULL.rollback_function}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_an_endpoint_that_fails_raises_an_alarm_by_the_function_s_metric() -> None:
    alarm = Stack(FULL).resources["EndpointFailed"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (names.METRICS_NAMESPACE, names.FAILURES_METRIC)
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": FULL.endpoint.name}]


# A ManagedPolicy's description can only be set at its creation; under a fixed name, CloudFormation refuses the
# replacement that a change would need, and with it the whole update of every account.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
DESCRIPTIONS = {
    "CiPolicy": "Upserts the pipeline and builds its images",
    "CheckPolicy": "Looks at what the pipeline needs, and changes nothing",
    "ApproverPolicy": "Approves and rejects versions of the pipeline's models",
    "OperatorPolicy": "Runs, batches, schedules and the endpoint of the pipeline",
}


def test_descriptions_of_policies_stay_as_they_were_created() -> None:
    policies = {
        name: resource["Properties"].get("Description")
        for name, resource in READ["Resources"].items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    }
    assert {name: text for name, text in policies.items() if text} == DESCRIPTIONS


def test_the_accounts_only_identity_provider_stays() -> None:
    provider = READ["Resources"]["GithubProvider"]
    assert (provider["DeletionPolicy"], provider["UpdateReplacePolicy"]) == ("Retain", "Retain")


@variants
def test_the_rules_are_those_that_deployment_wants(variant: str) -> None:
    resources = Stack(VARIANTS[variant]).resources
    rules = [resources[name] for name in ("OnApproval", "AfterChange")]
    approval = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {
            "ModelPackageGroupName": [PLAIN.registry.group],
            "ModelApprovalStatus": ["Approved"],
            "UpdatedModelPackageFields": ["ModelApprovalStatus"],
        },
    }
    change = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Endpoint State Change"],
        "detail": {"EndpointName": [PLAIN.endpoint.name]},
    }
    on_approval, after_change = serving.deployment_rules(VARIANTS[variant])
    assert {rule["Name"]: rule["EventPattern"] for rule in rules} == {on_approval: approval, after_change: change}
    for rule in rules:
        (target,) = rule["Targets"]
        assert target["Arn"] == PLAIN.deploy_function_arn
        assert target["DeadLetterConfig"] == {"Arn": PLAIN.dead_letter_queue_arn}


@variants
def test_the_alert_function_is_told_what_the_settings_say(variant: str) -> None:
    chosen = VARIANTS[variant].of_profile("prod")
    function = Stack(chosen).resources["Alert"]
    environment = function["Environment"]["Variables"]
    assert environment == serving.alert_environment(chosen)
    assert AlertSettings.from_environment(environment).command == "python -m pipeline --profile prod"
    assert (function["FunctionName"], function["Code"]["S3Key"]) == (chosen.alert_function, CODE)
    assert function["DeadLetterConfig"] == {"TargetArn": chosen.dead_letter_queue_arn}
    module, name = function["Handler"].rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name))


@variants
def test_the_rules_of_alerts_match_this_pipeline_and_this_endpoint_alone(variant: str) -> None:
    chosen = VARIANTS[variant]
    resources = Stack(chosen).resources
    rules = [resources[name] for name in ("OnFailedRun", "OnDecision", "OnMonitor")]
    assert tuple(rule["Name"] for rule in rules) == serving.alert_rules(chosen)
    assert [rule["EventPattern"]["detail"] for rule in rules] == [
        {"pipelineArn": [f"arn:aws:sagemaker:us-east-1:{chosen.account.id}:pipeline/bins"],
         "currentPipelineExecutionStatus": ["Failed"]},
        {"endpoint_name": ["bins"]},
        {"ProcessingJobName": [{"prefix": "bins-monitor-"}], "ProcessingJobStatus": ["Completed", "Failed"]},
    ]  # fmt: skip
    assert rules[1]["EventPattern"]["source"] == [names.EVENT_SOURCE]
    assert rules[1]["EventPattern"]["detail-type"] == [names.DEPLOYMENT_EVENT]
    for rule in rules:
        (target,) = rule["Targets"]
        assert target["Arn"] == f"arn:aws:lambda:us-east-1:{chosen.account.id}:function:{chosen.alert_function}"
        assert target["DeadLetterConfig"] == {"Arn": chosen.dead_letter_queue_arn}


def test_each_function_is_called_by_its_own_rules_and_they_alone_leave_messages() -> None:
    resources = Stack(PLAIN).resources
    own = (
        ("Function", serving.deployment_rules(PLAIN), ("CallOnApproval", "CallAfterChange")),
        ("Alert", serving.alert_rules(PLAIN), ("CallOnFailedRun", "CallOnDecision", "CallOnMonitor")),
    )
    every = []
    for function, rules, calls in own:
        arns = [f"arn:aws:events:us-east-1:{PLAIN.account.id}:rule/{name}" for name in rules]
        assert [resources[call]["SourceArn"] for call in calls] == arns
        assert {resources[call]["Principal"] for call in calls} == {"events.amazonaws.com"}
        assert {resources[call]["FunctionName"] for call in calls} == {resources[function]["FunctionName"]}
        every += arns
    allowed = resources["DeadLettersPolicy"]["PolicyDocument"]["Statement"][0]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": every}}


@variants
def test_the_endpoint_s_alarms_are_those_that_roll_back(variant: str) -> None:
    resources = Stack(VARIANTS[variant]).resources
    found = []
    for name in ("EndpointErrors", "EndpointLatency"):
        alarm = {key: value for key, value in resources[name].items() if key != "AlarmActions"}
        found.append({**alarm, "Threshold": float(alarm["Threshold"])})
    assert found == alarms(VARIANTS[variant])


def test_alarms_go_to_the_topic_and_a_mail_to_whoever_is_to_be_told() -> None:
    told, silent = Stack(FULL).resources, Stack(PLAIN).resources
    alarms = [name for name, one in READ["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    topic = f"arn:aws:sns:us-east-1:{PLAIN.account.id}:{PLAIN.alerts_topic}"
    # Without minimums there are no alarms on true counts.
    by_true_counts = {
        "AccuracyLow": (names.ACCURACY_METRIC, "0.8"),
        "SetCoverageLow": (names.SET_COVERAGE_METRIC, "0.85"),
        "SureAccuracyLow": (names.SURE_ACCURACY_METRIC, "0.95"),
    }
    assert len(alarms) == 9
    assert [told[name]["AlarmActions"] for name in alarms] == [[topic]] * 9
    assert [silent[name]["AlarmActions"] for name in alarms if name in silent] == [[topic]] * 6
    assert not by_true_counts.keys() & silent.keys()
    for name, (metric, minimum) in by_true_counts.items():
        alarm = told[name]
        assert (alarm["MetricName"], alarm["Threshold"]) == (metric, minimum)
        assert f"of endpoint {FULL.endpoint.name}" in alarm["AlarmDescription"]
        assert f"below {minimum}. Look: {FULL.command} monitor --last" in alarm["AlarmDescription"]
        assert (alarm["Namespace"], alarm["TreatMissingData"]) == (monitoring.NAMESPACE, "notBreaching")
    assert tuple(told[name]["AlarmName"] for name in by_true_counts) == FULL.accuracy_alarms
    assert all(f" Look: {FULL.command} " in told[name]["AlarmDescription"] for name in alarms)
    assert told["Alerts"]["Subscription"] == [{"Protocol": "email", "Endpoint": "bins@example.com"}]
    assert told["Budget"]["Budget"]["BudgetLimit"] == {"Amount": "250.5", "Unit": "USD"}
    # Chats and other programs may subscribe to the topic.
    assert silent["Alerts"] == {"TopicName": PLAIN.alerts_topic}
    assert "Budget" not in silent
    assert "Budget" not in Stack(settings(alerts={"email": "bins@example.com"})).resources


def test_the_bucket_forgets_what_nothing_needs_any_more() -> None:
    kept = settings(retention={"checkpoint_days": 3, "capture_days": 40, "superseded_days": 5})
    bucket = Stack(kept).resources["ProjectBucket"]
    checkpoints, captures, superseded = bucket["LifecycleConfiguration"]["Rules"]
    root = f"s3://{kept.data.bucket}/"
    assert (root + checkpoints["Prefix"], checkpoints["ExpirationInDays"]) == (f"{kept.checkpoints_uri}/", "3")
    assert (root + captures["Prefix"], captures["ExpirationInDays"]) == (f"{kept.captures_uri}/", "40")
    assert superseded["NoncurrentVersionExpiration"] == {"NoncurrentDays": "5"}
    assert "ExpirationInDays" not in superseded


def test_the_bucket_is_private_versioned_and_under_the_key_that_is_set() -> None:
    for chosen, algorithm, key in ((PLAIN, "AES256", None), (FULL, "aws:kms", KEY)):
        bucket = Stack(chosen, code="").resources["ProjectBucket"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == algorithm
        assert rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID") == key
        (statement,) = Stack(chosen, code="").resources["ProjectBucketPolicy"]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_images_cannot_be_overwritten_and_do_not_vanish() -> None:
    resources = Stack(FULL, code="").resources
    repositories = [resources[f"{image.title()}Images"] for image in REPOSITORIES]
    assert [one["RepositoryName"] for one in repositories] == [
        "bins-processing",
        "bins-spark",
        "bins-training",
        "bins-inference",
    ]
    for one in repositories:
        assert one["ImageTagMutability"] == "IMMUTABLE"
        assert one["ImageScanningConfiguration"] == {"ScanOnPush": True}
        assert "LifecyclePolicy" not in one
        assert one["EncryptionConfiguration"] == {"EncryptionType": "KMS", "KmsKey": KEY}


def test_a_query_that_scans_too_much_is_stopped_and_a_ctas_chooses_its_place() -> None:
    workgroup = Stack(settings(data={"query_gigabytes": 7})).resources["Queries"]
    assert workgroup["Name"] == "bins"
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["BytesScannedCutoffPerQuery"] == "7000000000"
    assert configuration["EnforceWorkGroupConfiguration"] is False
    assert configuration["ResultConfiguration"]["OutputLocation"] == f"{PLAIN.root_uri}/athena/"


def _statements(node: Any) -> Iterator[Any]:
    """Mappings of the YAML that are statements with resources."""
    if isinstance(node, yaml.MappingNode):
        if {"Sid", "Effect", "Resource"} <= {key.value for key, _ in node.value}:
            yield node
        for _, value in node.value:
            yield from _statements(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _statements(value)
