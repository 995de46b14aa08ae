"""The bootstrap command: what it shows, when it asks, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from pipeline.account import stack
from pipeline.account.events import Change
from pipeline.cli.views.bootstrap import warnings
from pipeline.operations.account import bootstrap
from pipeline.operations.account.bootstrap import BootstrapPlan
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.pretended_cloud import Cloud, cloud, no_account

__all__ = ["cloud", "no_account"]

TEMPLATE = """
Parameters: {Bucket: {Type: String}, DeployCode: {Type: String}}
Conditions: {HasCode: !Not [!Equals [!Ref DeployCode, ""]]}
Resources:
  Photos: {Type: AWS::S3::Bucket, DeletionPolicy: Retain, Properties: {BucketName: !Ref Bucket}}
  Letters: {Type: AWS::SQS::Queue, Condition: HasCode, Properties: {QueueName: letters}}
Outputs: {BucketName: {Value: !Ref Photos}}
"""
BUCKET = "bins-111122223333"


@pytest.fixture
def account(call: Call, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A project in an account, with a template of two resources."""
    settings = (tmp_path / "pipeline.yaml").read_text().replace("123456789012", "111122223333")
    (tmp_path / "pipeline.yaml").write_text(settings)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    monkeypatch.setattr(stack, "TEMPLATE", tmp_path / "template.yaml")
    monkeypatch.setattr(bootstrap, "parameters", lambda one, code: {"Bucket": one.data.bucket, "DeployCode": code})
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    return cloud


def test_a_plan_shows_each_resource_and_leaves_nothing(call: Call, account: Cloud) -> None:
    outcome = call("bootstrap", "--plan")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert outcome.code == 0
    assert lines[0] == "a new stack, bins-account in account 111122223333, us-east-1:"
    assert lines[2:] == ["add Photos AWS::S3::Bucket", "add Letters AWS::SQS::Queue"]
    assert account.client("cloudformation").describe_stacks()["Stacks"] == []


def test_without_an_answer_nothing_is_done(call: Call, account: Cloud) -> None:
    outcome = call("bootstrap")
    assert outcome.code == 1
    assert (
        outcome.error
        == "Make these changes in account 111122223333, us-east-1? There is no terminal to answer at; add --yes\n"
    )
    assert account.client("cloudformation").describe_stacks()["Stacks"] == []


def test_a_bootstrap_tells_what_it_makes_and_what_came_of_it(call: Call, account: Cloud) -> None:
    outcome = call("bootstrap", "--yes")
    assert outcome.code == 0
    assert "created Letters (AWS::SQS::Queue)" in outcome.out
    assert outcome.out.index("created Photos") < outcome.out.index("created: bins-account")
    assert outcome.out.split()[-2:] == ["BucketName", BUCKET]
    assert call("bootstrap", "--yes").out.startswith("unchanged: bins-account")


def test_other_outputs_alone_are_a_change_too(call: Call, account: Cloud, tmp_path: Path) -> None:
    call("bootstrap", "--yes")
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace("BucketName: {Value", "Photos: {Value"))
    assert "outputs only, no resource" in call("bootstrap", "--plan").out
    assert call("bootstrap", "--yes").out.split()[-2:] == ["Photos", BUCKET]
    assert call("bootstrap", "--yes").out.startswith("unchanged")


def test_machines_get_json_alone(call: Call, account: Cloud) -> None:
    assert call("bootstrap", "--json").error == "--json asks no question; check with --plan first, then add --yes\n"
    planned = json.loads(call("bootstrap", "--plan", "--json").out)
    assert [(one["resource"], one["action"]) for one in planned["changes"]] == [("Photos", "Add"), ("Letters", "Add")]
    made = json.loads(call("bootstrap", "--yes", "--json").out)
    assert made == {"stack": "bins-account", "change": "created", "outputs": {"BucketName": BUCKET}}


def test_a_deletion_says_what_goes_and_what_stays(call: Call, account: Cloud) -> None:
    call("bootstrap", "--yes")
    outcome = call("bootstrap", "--delete", "--yes")
    assert outcome.code == 0
    assert "Letters    AWS::SQS::Queue   letters" in outcome.out
    assert outcome.out.splitlines()[-2:] == ["deleted: bins-account", f"retained: {BUCKET}"]
    assert call("bootstrap", "--delete", "--yes").out.splitlines() == [
        "there is no stack to delete",
        f"retained: {BUCKET}",
    ]


ERASED = f"every version of all objects below s3://{BUCKET}/bin-counting/ and s3://{BUCKET}/bin-counting-code/"


def test_data_is_deleted_only_with_the_buckets_name(call: Call, account: Cloud) -> None:
    call("bootstrap", "--yes")
    account.client("s3").put_object(Bucket=BUCKET, Key="bin-counting/photo.jpg", Body=b"1")

    unnamed = call("bootstrap", "--delete", "--data", "--yes")
    wrong = call("bootstrap", "--delete", "--data", "--yes", "--confirm", "other")

    assert f"also deleted, without undo: {ERASED}, the bucket {BUCKET}\n" in unnamed.out
    assert unnamed.error == (
        f"--data deletes without undo: {ERASED}, the bucket {BUCKET}; confirm it with --confirm {BUCKET}\n"
    )
    assert wrong.error == f"--confirm names other, the bucket is {BUCKET}\n"
    account.client("s3").head_object(Bucket=BUCKET, Key="bin-counting/photo.jpg")
    done = call("bootstrap", "--delete", "--data", "--yes", "--confirm", BUCKET)
    assert done.out.splitlines()[-2:] == ["deleted: bins-account", f"deleted: {BUCKET}"]
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_what_else_lies_in_the_bucket_is_told_and_stays(call: Call, account: Cloud) -> None:
    call("bootstrap", "--yes")
    s3 = account.client("s3")
    s3.put_object(Bucket=BUCKET, Key="bin-counting/photo.jpg", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="books/1.pdf", Body=b"1")

    done = call("bootstrap", "--delete", "--data", "--yes", "--confirm", BUCKET)

    stays = f"{BUCKET} contains other objects, such as books/: they and the bucket are retained"
    assert f"also deleted, without undo: {ERASED}; {stays}\n" in done.out
    assert done.out.splitlines()[-2:] == [f"retained: {BUCKET}", stays]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["books/1.pdf"]


def test_images_without_a_bucket_are_deleted_only_with_the_stacks_name(call: Call, account: Cloud) -> None:
    ecr = account.client("ecr")
    ecr.create_repository(repositoryName="bins-training")

    unnamed = call("bootstrap", "--delete", "--data", "--yes")
    wrong = call("bootstrap", "--delete", "--data", "--yes", "--confirm", BUCKET)

    assert unnamed.error == (
        "--data deletes without undo: bins-training (0 images); confirm it with --confirm bins-account\n"
    )
    assert wrong.error == f"--confirm names {BUCKET}, the stack is bins-account\n"
    assert ecr.describe_repositories()["repositories"]
    done = call("bootstrap", "--delete", "--data", "--yes", "--confirm", "bins-account")
    assert done.out.splitlines()[-1] == "deleted: bins-training"
    assert ecr.describe_repositories()["repositories"] == []


def test_an_import_is_shown_with_the_properties_that_change(call: Call, account: Cloud, tmp_path: Path) -> None:
    account.client("s3").create_bucket(Bucket=BUCKET)
    versioned = "BucketName: !Ref Bucket, VersioningConfiguration: {Status: Enabled}"
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace("BucketName: !Ref Bucket", versioned))
    lines = [" ".join(line.split()) for line in call("bootstrap", "--plan").out.splitlines()]
    assert lines[2] == f"import Photos AWS::S3::Bucket {BUCKET}; VersioningConfiguration"
    assert lines[-1] == ("imported resources exist in the account and keep their content; the named properties are set")


def test_a_deletion_says_where_it_could_not_look(call: Call, account: Cloud, tmp_path: Path) -> None:
    def denied(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "ListEntitiesForPolicy")

    policy = """
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Condition: HasCode
    Properties:
      ManagedPolicyName: bins-operator
      PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}
"""
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace("Outputs:", f"{policy.strip(chr(10))}\nOutputs:"))
    call("bootstrap", "--yes")
    account.session.events.register_first("before-call.iam.ListEntitiesForPolicy", denied)
    assert (
        "not checked: attachments of the stack's policies (these credentials may not ListEntitiesForPolicy); the"
        " deletion fails while a policy is attached outside the stack\n"
    ) in call("bootstrap", "--delete", "--plan").out


def test_options_that_go_with_delete_are_refused_without_it(call: Call, account: Cloud) -> None:
    assert call("bootstrap", "--data").error == "--data and --confirm need --delete\n"


def test_an_error_leads_to_the_same_profile(call: Call, account: Cloud) -> None:
    account.client("sagemaker").create_pipeline(
        PipelineName="bins",
        PipelineDefinition="{}",
        RoleArn="arn:aws:iam::111122223333:role/x",
        ClientRequestToken="x" * 32,
    )
    outcome = call("bootstrap", "--delete", "--yes")
    assert outcome.error == (
        "these still exist: the pipeline bins; delete the pipeline first: python -m pipeline --profile aws delete\n"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            Change("Remove", "Letters", "AWS::SQS::Queue", physical="letters"),
            ["cannot be undone: Letters (letters) is"],
        ),
        (Change("Remove", "Photos", "AWS::S3::Bucket", retained=True), ["Photos is removed: the old one is"]),
        (Change("Modify", "Catalog", "AWS::Glue::Database", "True"), ["cannot be undone: Catalog is replaced, its"]),
        (
            Change("Modify", "Catalog", "AWS::Glue::Database", "Conditional"),
            ["cannot be undone: Catalog may be"],
        ),
        (Change("Modify", "Role", "AWS::IAM::Role", "True"), []),
        (Change("Modify", "Letters", "AWS::SQS::Queue", "False"), []),
        (Change("Add", "Letters", "AWS::SQS::Queue"), []),
    ],
)
def test_what_cannot_be_undone_is_called_out(change: Change, words: list[str]) -> None:
    found = warnings(BootstrapPlan("bins-account", exists=True, changes=(change,)))
    assert [line[: len(start)] for line, start in zip(found, words, strict=True)] == words
