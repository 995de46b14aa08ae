"""Regions and policies of buckets: what is stored, what is refused, and who else may write the file."""

import json
from pathlib import Path

import pytest

from pipeline.local.s3.buckets import FILE, MAX_POLICY_BYTES, Buckets, MalformedPolicyError, check_policy

ARN = "arn:aws:s3:::bucket"


def statement(**changes):
    base = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{ARN}/*"}
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def policy(*statements, **changes) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [statement()], **changes})


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return Buckets(tmp_path, "us-east-1")


def test_a_bucket_is_where_it_was_created_and_else_in_the_clouds_region(buckets: Buckets):
    buckets.created("far", "eu-west-1")
    assert (buckets.region("far"), buckets.region("near")) == ("eu-west-1", "us-east-1")
    buckets.deleted("far")
    buckets.deleted("near")
    assert buckets.region("far") == "us-east-1"


def test_a_policy_stays_with_the_region_and_goes_with_the_bucket(buckets: Buckets):
    buckets.created("bucket", "eu-west-1")
    text = policy()
    buckets.set_policy("bucket", text)
    assert (buckets.policy("bucket"), buckets.region("bucket")) == (text, "eu-west-1")
    assert [prepared.name for prepared in buckets.statements("bucket")] == ["bucket/"]
    buckets.set_policy("bucket", None)
    assert (buckets.policy("bucket"), buckets.statements("bucket")) == (None, [])
    assert buckets.region("bucket") == "eu-west-1"
    buckets.set_policy("bucket", text)
    buckets.deleted("bucket")
    assert buckets.policy("bucket") is None


def test_a_bucket_that_is_created_again_keeps_its_region_and_policy(buckets: Buckets):
    buckets.created("bucket", "eu-west-1")
    text = policy()
    buckets.set_policy("bucket", text)
    buckets.created("bucket", "us-east-1")
    assert (buckets.policy("bucket"), buckets.region("bucket")) == (text, "eu-west-1")


def test_a_replaced_policy_replaces_its_statements(buckets: Buckets):
    buckets.set_policy("bucket", policy(statement(Sid="A")))
    assert [prepared.name for prepared in buckets.statements("bucket")] == ["bucket/A"]
    buckets.set_policy("bucket", policy(statement(Sid="B")))
    assert [prepared.name for prepared in buckets.statements("bucket")] == ["bucket/B"]


def test_all_of_it_outlives_the_process_and_changes_by_others_count(buckets: Buckets, tmp_path: Path):
    buckets.created("far", "eu-west-1")
    other = Buckets(tmp_path, "us-east-1")
    assert other.region("far") == "eu-west-1"
    for region in ("eu-west-2", "eu-west-3", "ap-south-1"):
        (tmp_path / "new").write_text(json.dumps({"far": {"region": region}}))
        (tmp_path / "new").replace(tmp_path / FILE)
        assert (other.region("far"), buckets.region("far")) == (region, region)


@pytest.mark.parametrize(
    "text",
    [
        policy(),
        policy(statement(), Version="2008-10-17"),
        policy(statement(Resource=ARN), statement(Resource=[ARN, f"{ARN}/a/*"], Action=["s3:*", "S3:getobject"])),
        policy(statement(Action="*", Condition={"Bool": {"aws:SecureTransport": "false"}}), Id="id"),
        policy(statement(Principal=None, NotPrincipal={"AWS": "123456789012"}, Action=None, NotAction="s3:PutObject")),
        json.dumps({"Statement": statement()}),
    ],
)
def test_policies_that_s3_stores(text):
    check_policy("bucket", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "valid JSON"),
        ("[]", "valid JSON"),
        ("{", "valid JSON"),
        (policy(Statement=[]), "Statement is empty"),
        (json.dumps({"Version": "2012-10-17"}), "Missing required field Statement"),
        (policy(Version="2020-01-01"), "valid version"),
        (policy(Other=1), "Unknown field Other"),
        (policy("text"), "not an object"),
        (policy(statement(Principal=None)), "Missing required field Principal"),
        (policy(statement(Resource=None)), "Missing required field Resource"),
        (policy(statement(Resource="arn:aws:s3:::other/*")), "invalid resource"),
        (policy(statement(Resource="*")), "invalid resource"),
        (policy(statement(Resource=f"{ARN}s/*")), "invalid resource"),
        (policy(statement(Action="ec2:RunInstances")), "invalid action"),
        (policy(statement(Effect="Perhaps")), "Allow or Deny"),
        (policy(statement(Sorts="x")), "Sorts"),
        (policy(statement(Condition={"StringMatches": {"aws:x": "y"}})), "StringMatches"),
        (policy(statement(Sid="x" * MAX_POLICY_BYTES)), str(MAX_POLICY_BYTES)),
    ],
)
def test_policies_that_s3_refuses(text, words):
    with pytest.raises(MalformedPolicyError, match=words):
        check_policy("bucket", text)


def test_a_refused_policy_changes_nothing(buckets: Buckets):
    buckets.set_policy("bucket", policy())
    with pytest.raises(MalformedPolicyError):
        buckets.set_policy("bucket", "{")
    assert buckets.policy("bucket") == policy()
