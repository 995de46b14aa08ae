"""An account of the local cloud from nothing to its stack, again, deleted, imported, and erased."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pipeline import ROOT
from pipeline.cli import app
from pipeline.local import cloud
from tests.integration.conftest import ACCOUNT, keys

NAME = "depot"
# Besides the name: the word that distinguishes it.
SETTINGS = f"""\
name: {NAME}
account: {{target: local, id: "123456789012", region: us-east-1}}
data: {{bucket: {NAME}-data, image_location: s3://{NAME}-raw}}
alerts: {{email: somebody@example.com, monthly_budget: 100}}
ci: {{github_repository: example/bins, make_provider: true}}
profiles: {{local: {{}}}}
"""


@pytest.fixture
def bootstrap(local_cloud, tmp_path, monkeypatch):
    """Calls the command as a shell would, with JSON for an answer."""
    monkeypatch.chdir(ROOT)
    file = tmp_path / "pipeline.yaml"

    def call(*arguments, settings=SETTINGS, refused=""):
        file.write_text(settings)
        result = CliRunner().invoke(app, ["--settings", str(file), "bootstrap", "--json", *arguments])
        if refused:
            assert refused in result.stderr
            return None
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return call


def test_an_account_is_made_kept_taken_over_and_erased(bootstrap, local_cloud):
    client = local_cloud.client
    made = bootstrap("--yes")
    assert (made["stack"], made["change"]) == (f"{NAME}-account", "created")

    assert_every_resource_is_answered_by_its_own_service(client)

    assert bootstrap("--yes")["change"] == "unchanged"
    assert bootstrap("--plan")["changes"] == []
    cloud.down(local_cloud.settings.directory)
    cloud.up(local_cloud.settings.directory, ACCOUNT.id, ACCOUNT.region)
    # Resources that other services lose with the process are created again.
    assert_every_resource_is_answered_by_its_own_service(client)

    other = SETTINGS.replace(f"bucket: {NAME}-data", f"bucket: {NAME}-other")
    bootstrap("--yes", settings=other, refused=f"the stack {NAME}-account has the bucket {NAME}-data")
    assert_every_resource_is_answered_by_its_own_service(client)

    s3, bucket, photo = client("s3"), f"{NAME}-data", "bin-counting/photo.jpg"
    s3.put_object(Bucket=bucket, Key=photo, Body=b"1")
    s3.put_object(Bucket=bucket, Key=photo, Body=b"2")
    iam, operator = client("iam"), f"arn:aws:iam::{ACCOUNT.id}:policy/{NAME}-operator"
    iam.create_user(UserName="ana")
    iam.attach_user_policy(UserName="ana", PolicyArn=operator)
    bootstrap("--delete", "--yes", refused=f"{NAME}-operator to the user ana")
    iam.detach_user_policy(UserName="ana", PolicyArn=operator)
    assert bootstrap("--delete", "--yes")["stack"] == f"{NAME}-account"
    assert s3.get_object(Bucket=bucket, Key=photo)["Body"].read() == b"2"
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=f"{NAME}-pipeline")

    longer = f"{SETTINGS}retention: {{superseded_days: 77}}\n"
    # The account's only provider was retained.
    bootstrap("--plan", settings=longer, refused="can have one only; set ci.make_provider: false")
    longer = longer.replace("make_provider: true", "make_provider: false")
    planned = {change["resource"]: change for change in bootstrap("--plan", settings=longer)["changes"]}
    assert {planned[name]["action"] for name in ("ProjectBucket", "ProcessingImages")} == {"Import"}
    assert "LifecycleConfiguration" in planned["ProjectBucket"]["properties"]
    assert planned["Function"]["action"] == "Add"
    assert bootstrap("--yes", settings=longer)["change"] == "created"
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["superseded"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 77

    s3.put_object(Bucket=bucket, Key="bin-counting-books/1.pdf", Body=b"1")
    erased = bootstrap("--delete", "--data", "--yes", "--confirm", bucket)
    assert erased["left"] == {"bucket": bucket, "repositories": {}, "others": "bin-counting-books/"}
    versions = s3.list_object_versions(Bucket=bucket)
    assert [version["Key"] for version in versions["Versions"]] == ["bin-counting-books/1.pdf"]

    s3.delete_object(Bucket=bucket, Key="bin-counting-books/1.pdf", VersionId=versions["Versions"][0]["VersionId"])
    bootstrap("--delete", "--data", "--yes", "--confirm", bucket)
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=bucket)
    assert bootstrap("--delete", "--data", "--yes")["stack"] == ""  # and nothing to confirm


def assert_every_resource_is_answered_by_its_own_service(client):
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=f"{NAME}-account")
    resources = [item for page in pages for item in page["StackResourceSummaries"]]
    for resource in resources:
        ANSWERS[resource["ResourceType"]](client, resource["PhysicalResourceId"])
    # All types of the template but those that need a network or a key.
    assert {resource["ResourceType"] for resource in resources} == set(ANSWERS)


def in_list(values, key, wanted):
    assert wanted in [value[key] for value in values]


ANSWERS = {
    "AWS::Athena::WorkGroup": lambda client, name: client("athena").get_work_group(WorkGroup=name),
    "AWS::Budgets::Budget": lambda client, name: client("budgets").describe_budget(
        AccountId=ACCOUNT.id, BudgetName=name
    ),
    "AWS::CloudWatch::Alarm": lambda client, name: in_list(
        client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"], "AlarmName", name
    ),
    "AWS::CodeBuild::Project": lambda client, name: in_list(
        client("codebuild").batch_get_projects(names=[name])["projects"], "name", name
    ),
    "AWS::ECR::Repository": lambda client, name: client("ecr").describe_repositories(repositoryNames=[name]),
    "AWS::Events::Rule": lambda client, name: in_list(
        client("events").list_targets_by_rule(Rule=name)["Targets"], "Id", "alert" if "-alert-" in name else "deploy"
    ),
    "AWS::Glue::Database": lambda client, name: client("glue").get_database(Name=name),
    "AWS::IAM::ManagedPolicy": lambda client, name: client("iam").get_policy(PolicyArn=name),
    "AWS::IAM::OIDCProvider": lambda client, name: client("iam").get_open_id_connect_provider(
        OpenIDConnectProviderArn=name
    ),
    "AWS::IAM::Role": lambda client, name: client("iam").get_role(RoleName=name),
    "AWS::Lambda::Function": lambda client, name: client("lambda").get_function(FunctionName=name),
    "AWS::Lambda::Permission": lambda client, name: in_list(
        [
            statement
            for function in ("deploy", "alert")
            for statement in json.loads(client("lambda").get_policy(FunctionName=f"{NAME}-{function}")["Policy"])[
                "Statement"
            ]
        ],
        "Sid",
        name,
    ),
    "AWS::Logs::LogGroup": lambda client, name: in_list(
        client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"], "retentionInDays", 90
    ),
    "AWS::S3::Bucket": lambda client, name: in_list(
        client("s3").get_bucket_lifecycle_configuration(Bucket=name)["Rules"], "ID", "superseded"
    ),
    # It refuses plain HTTP alone, which is all there is on loopback.
    "AWS::S3::BucketPolicy": lambda client, name: keys(client("s3"), name),
    "AWS::SNS::Topic": lambda client, name: in_list(
        client("sns").list_subscriptions_by_topic(TopicArn=name)["Subscriptions"], "Endpoint", "somebody@example.com"
    ),
    "AWS::SQS::Queue": lambda client, name: client("sqs").get_queue_attributes(
        QueueUrl=name, AttributeNames=["MessageRetentionPeriod"]
    ),
    "AWS::SQS::QueuePolicy": lambda client, name: client("sqs").get_queue_attributes(
        QueueUrl=client("sqs").get_queue_url(QueueName=f"{NAME}-dead-letters")["QueueUrl"], AttributeNames=["Policy"]
    )["Attributes"]["Policy"],
}
