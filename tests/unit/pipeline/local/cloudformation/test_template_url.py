"""Templates that a change set reads from S3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.aws.cloudformation import LARGEST_BODY, LARGEST_OBJECT
from pipeline.local.context import ServiceError
from tests.unit.pipeline.pretended_cloud import Cloud, cloud, no_account

__all__ = ["cloud", "no_account"]

BUCKET, KEY = "photos.of.bins", "code/the template.yaml"
RESOURCES = {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters"}}}
BODY = json.dumps({"Resources": RESOURCES})
S3 = "S3 error: {}\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    client = cloud.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


def change_set(cloud: Cloud, **source: Any) -> dict[str, Any]:
    """A change set of a new stack, through the service itself: botocore would refuse some requests."""
    request = {"StackName": "things", "ChangeSetName": "first", "ChangeSetType": "CREATE", **source}
    answer: dict[str, Any] = cloud.service.operations()["CreateChangeSet"](request)
    return answer


def changes(cloud: Cloud) -> list[str]:
    answer = cloud.client("cloudformation").describe_change_set(StackName="things", ChangeSetName="first")
    return [change["ResourceChange"]["LogicalResourceId"] for change in answer["Changes"]]


@pytest.mark.parametrize(
    "address",
    [
        f"https://s3.us-east-1.amazonaws.com/{BUCKET}/",
        f"https://s3-eu-west-1.amazonaws.com/{BUCKET}/",
        f"https://s3.amazonaws.com/{BUCKET}/",
        f"https://{BUCKET}.s3.us-gov-west-1.amazonaws.com/",
        f"https://{BUCKET}.s3.amazonaws.com/",
    ],
)
def test_an_object_is_read_by_each_form_of_its_url(cloud: Cloud, s3: Any, address: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=BODY + " " * LARGEST_BODY)
    change_set(cloud, TemplateURL=address + "code/the%20template.yaml")
    assert changes(cloud) == ["Queue"]


def test_a_version_of_an_object_is_read_where_the_url_names_one(cloud: Cloud, s3: Any) -> None:
    version = s3.put_object(Bucket=BUCKET, Key="template", Body=BODY)["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="template", Body=BODY.replace("Queue", "Other", 1))
    change_set(cloud, TemplateURL=f"https://s3.amazonaws.com/{BUCKET}/template?versionId={version}")
    assert changes(cloud) == ["Queue"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"https://s3.amazonaws.com/{BUCKET}/other", S3.format("The specified key does not exist.")),
        ("https://s3.amazonaws.com/elsewhere/template", S3.format("The specified bucket does not exist")),
        (f"s3://{BUCKET}/template", "TemplateURL must reference a valid S3 object to which you have access."),
        (
            f"http://{BUCKET}.s3-website-us-east-1.amazonaws.com/template",
            "TemplateURL must reference a valid S3 object to which you have access.",
        ),
        (f"https://s3.amazonaws.com/{BUCKET}/large", "Template may not exceed 1000000 bytes in size."),
        (f"https://s3.amazonaws.com/{BUCKET}/binary", "Template format error: unsupported structure."),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(cloud: Cloud, s3: Any, url: str, message: str) -> None:
    s3.put_object(Bucket=BUCKET, Key="large", Body=BODY + " " * LARGEST_OBJECT)
    s3.put_object(Bucket=BUCKET, Key="binary", Body=b"\xff\xfe")
    with pytest.raises(ServiceError) as refused:
        change_set(cloud, TemplateURL=url)
    assert (refused.value.code, refused.value.message) == ("ValidationError", message)


def test_a_change_set_has_one_source(cloud: Cloud, s3: Any) -> None:
    for source in ({}, {"TemplateBody": BODY, "TemplateURL": f"https://s3.amazonaws.com/{BUCKET}/template"}):
        with pytest.raises(ServiceError, match="You must specify only one of the following parameters"):
            change_set(cloud, **source)


def test_a_template_in_a_request_is_limited(cloud: Cloud) -> None:
    client = cloud.client("cloudformation")
    with pytest.raises(ClientError, match="less than or equal to 51200"):
        client.create_change_set(
            StackName="things", ChangeSetName="a", ChangeSetType="CREATE", TemplateBody=BODY + " " * LARGEST_BODY
        )
