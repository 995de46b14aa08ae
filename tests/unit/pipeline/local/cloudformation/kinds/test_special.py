"""Requests of resource types with parts of their own."""

from types import SimpleNamespace

import pytest

from pipeline.local.cloudformation.kinds import KINDS


@pytest.mark.parametrize(
    ("region", "place"),
    [("us-east-1", {}), ("eu-west-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}})],
)
def test_a_bucket_is_created_in_the_region_of_its_stack(region, place):
    account = SimpleNamespace(context=SimpleNamespace(region=region))
    request = KINDS["AWS::S3::Bucket"].request(account, "bins", {"BucketName": "bins"})
    assert request == {"Bucket": "bins", **place}


def test_a_bucket_policy_is_put_as_a_whole():
    policy = {"Version": "2012-10-17", "Statement": [{"Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}
    request = KINDS["AWS::S3::BucketPolicy"].request(SimpleNamespace(), "bins", {"PolicyDocument": policy})
    assert request["Policy"] == policy
