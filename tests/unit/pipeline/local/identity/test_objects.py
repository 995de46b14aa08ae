"""S3's permissions, of HTTP requests and of botocore's operations.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from pipeline.local.identity.requirements import Account, UnresolvedError, checks, s3_checks

ACCOUNT = Account("123456789012", "us-east-1")
B = "arn:aws:s3:::b"
K = "arn:aws:s3:::b/k"

REQUESTS: list[tuple[str, str, dict[str, str], list[tuple[str, str, dict[str, Any]]]]] = [
    ("GET", "/", {}, [("s3:ListAllMyBuckets", "*", {})]),
    ("HEAD", "/b", {}, [("s3:ListBucket", B, {})]),
    ("GET", "/b/", {}, [("s3:ListBucket", B, {})]),
    (
        "GET",
        "/b?list-type=2&prefix=a%2Fb&delimiter=%2F&max-keys=1&encoding-type=url&continuation-token=x",
        {},
        [("s3:ListBucket", B, {"s3:prefix": "a/b", "s3:delimiter": "/", "s3:max-keys": "1"})],
    ),
    ("GET", "/b?list-type=2&prefix=", {}, [("s3:ListBucket", B, {"s3:prefix": ""})]),
    ("GET", "/b?versions&prefix=a", {}, [("s3:ListBucketVersions", B, {"s3:prefix": "a"})]),
    ("GET", "/b?uploads", {}, [("s3:ListBucketMultipartUploads", B, {})]),
    ("GET", "/b?location", {}, [("s3:GetBucketLocation", B, {})]),
    ("PUT", "/b", {"x-amz-acl": "private"}, [
        ("s3:CreateBucket", B, {"s3:x-amz-acl": "private"}), ("s3:PutBucketAcl", B, {"s3:x-amz-acl": "private"})]),
    ("DELETE", "/b?lifecycle", {}, [("s3:PutLifecycleConfiguration", B, {})]),
    ("PUT", "/b?policy", {}, [("s3:PutBucketPolicy", B, {})]),
    ("PUT", "/b?encryption=", {}, [("s3:PutEncryptionConfiguration", B, {})]),
    ("GET", "/b/a%20b/%C3%BC?x-id=GetObject", {}, [("s3:GetObject", f"{B}/a b/ü", {})]),
    ("GET", "/b/k?versionId=3", {}, [("s3:GetObjectVersion", K, {"s3:versionid": "3"})]),
    ("HEAD", "/b/k", {}, [("s3:GetObject", K, {})]),
    ("GET", "/b/k?X-Amz-Signature=1&X-Amz-Expires=60&response-content-type=text%2Fhtml", {}, [("s3:GetObject", K, {})]),
    ("GET", "/b/k?tagging", {}, [("s3:GetObjectTagging", K, {})]),
    ("GET", "/b/k?attributes", {}, [("s3:GetObjectAttributes", K, {}), ("s3:GetObject", K, {})]),
    ("PUT", "/b/k", {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "1a"}, [
        ("s3:PutObject", K, {"s3:x-amz-server-side-encryption": "aws:kms",
                             "s3:x-amz-server-side-encryption-aws-kms-key-id": "1a"})]),
    ("PUT", "/b/k", {"x-amz-tagging": "team=bins&x=y", "if-none-match": "*"}, [
        ("s3:PutObject", K, {"s3:RequestObjectTag/team": "bins", "s3:RequestObjectTag/x": "y",
                             "s3:RequestObjectTagKeys": ["team", "x"], "s3:if-none-match": "*"}),
        ("s3:PutObjectTagging", K, {"s3:RequestObjectTag/team": "bins", "s3:RequestObjectTag/x": "y",
                                    "s3:RequestObjectTagKeys": ["team", "x"]})]),
    ("PUT", "/b/k", {"x-amz-object-lock-mode": "GOVERNANCE"}, [
        ("s3:PutObject", K, {"s3:object-lock-mode": "GOVERNANCE"}),
        ("s3:PutObjectRetention", K, {"s3:object-lock-mode": "GOVERNANCE"})]),
    ("PUT", "/b/k", {"x-amz-copy-source": "/c/a%20b"}, [
        ("s3:PutObject", K, {"s3:x-amz-copy-source": "/c/a%20b"}), ("s3:GetObject", "arn:aws:s3:::c/a b", {})]),
    ("PUT", "/b/k?partNumber=2&uploadId=u", {"x-amz-copy-source": "c/k?versionId=7"}, [
        ("s3:PutObject", K, {"s3:x-amz-copy-source": "c/k?versionId=7"}),
        ("s3:GetObjectVersion", "arn:aws:s3:::c/k", {"s3:versionid": "7"})]),
    ("POST", "/b/k?uploads", {}, [("s3:PutObject", K, {})]),
    ("PUT", "/b/k?partNumber=2&uploadId=u", {}, [("s3:PutObject", K, {})]),
    ("POST", "/b/k?uploadId=u", {}, [("s3:PutObject", K, {})]),
    ("GET", "/b/k?uploadId=u&max-parts=3", {}, [("s3:ListMultipartUploadParts", K, {})]),
    ("DELETE", "/b/k?uploadId=u", {}, [("s3:AbortMultipartUpload", K, {})]),
    ("DELETE", "/b/k", {}, [("s3:DeleteObject", K, {})]),
    ("DELETE", "/b/k?versionId=3", {"x-amz-bypass-governance-retention": "true"}, [
        ("s3:DeleteObjectVersion", K, {"s3:versionid": "3"}), ("s3:BypassGovernanceRetention", K, {})]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "headers", "needed"), REQUESTS, ids=[f"{row[0]} {row[1]}" for row in REQUESTS]
)
def test_a_request_needs_these_permissions(
    method: str, target: str, headers: dict[str, str], needed: list[tuple[str, str, dict[str, Any]]]
) -> None:
    given = [(check.action, check.resource, check.context) for check in s3_checks(method, target, headers)]
    assert given == needed


def test_each_object_of_a_batch_is_asked_for() -> None:
    needed = s3_checks("POST", "/b?delete", {}, ["a/b", ("c", "7"), "a/b"])
    assert [(check.action, check.resource) for check in needed] == [
        ("s3:DeleteObject", "arn:aws:s3:::b/a/b"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::b/c"),
    ]
    with pytest.raises(UnresolvedError, match="the keys of its body are needed"):
        s3_checks("POST", "/b?delete", {})


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/"),
        ("PATCH", "/b/k"),
        ("GET", "/b?replication"),
        ("PUT", "/b/k?torrent"),
        ("GET", "/b?website&prefix=x"),
        ("POST", "/b/k"),
        ("GET", "/?policy"),
        ("DELETE", "/b?versions"),
    ],
)
def test_a_request_that_the_tables_do_not_have_is_refused_and_not_guessed(method: str, target: str) -> None:
    with pytest.raises(UnresolvedError):
        s3_checks(method, target, {})


def test_an_object_with_a_part_of_a_bucket_in_its_name_is_an_object() -> None:
    (needed,) = s3_checks("GET", "/b/policy%3Facl", {})
    assert (needed.action, needed.resource) == ("s3:GetObject", "arn:aws:s3:::b/policy?acl")


# Operations with their members; boto3 writes the request.
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    ("list_buckets", {}),
    ("head_bucket", {"Bucket": "b"}),
    ("list_objects_v2", {"Bucket": "b", "Prefix": "a/", "Delimiter": "/", "MaxKeys": 5}),
    ("list_object_versions", {"Bucket": "b", "Prefix": "a"}),
    ("list_multipart_uploads", {"Bucket": "b"}),
    ("create_bucket", {"Bucket": "b"}),
    ("delete_bucket", {"Bucket": "b"}),
    ("get_bucket_versioning", {"Bucket": "b"}),
    ("put_bucket_versioning", {"Bucket": "b", "VersioningConfiguration": {"Status": "Enabled"}}),
    ("get_bucket_lifecycle_configuration", {"Bucket": "b"}),
    ("put_bucket_lifecycle_configuration", {"Bucket": "b", "LifecycleConfiguration": {"Rules": []}}),
    ("delete_bucket_lifecycle", {"Bucket": "b"}),
    ("get_bucket_policy", {"Bucket": "b"}),
    ("put_bucket_policy", {"Bucket": "b", "Policy": "{}"}),
    ("delete_bucket_policy", {"Bucket": "b"}),
    ("get_bucket_location", {"Bucket": "b"}),
    ("get_object", {"Bucket": "b", "Key": "a b/ü", "VersionId": "3"}),
    ("head_object", {"Bucket": "b", "Key": "k"}),
    ("get_object_tagging", {"Bucket": "b", "Key": "k"}),
    ("put_object", {"Bucket": "b", "Key": "k", "Body": b"", "Tagging": "a=b", "ServerSideEncryption": "aws:kms"}),
    ("copy_object", {"Bucket": "b", "Key": "k", "CopySource": "c/k?versionId=7", "MetadataDirective": "COPY"}),
    ("delete_object", {"Bucket": "b", "Key": "k", "VersionId": "3"}),
    ("create_multipart_upload", {"Bucket": "b", "Key": "k", "StorageClass": "GLACIER"}),
    ("upload_part", {"Bucket": "b", "Key": "k", "PartNumber": 1, "UploadId": "u", "Body": b""}),
    ("upload_part_copy", {"Bucket": "b", "Key": "k", "PartNumber": 1, "UploadId": "u", "CopySource": "c/k"}),
    ("list_parts", {"Bucket": "b", "Key": "k", "UploadId": "u"}),
    ("complete_multipart_upload", {"Bucket": "b", "Key": "k", "UploadId": "u", "MultipartUpload": {"Parts": []}}),
    ("abort_multipart_upload", {"Bucket": "b", "Key": "k", "UploadId": "u"}),
]


@pytest.mark.parametrize(("method", "members"), OPERATIONS, ids=[row[0] for row in OPERATIONS])
def test_boto3s_request_needs_what_its_operation_needs(method: str, members: dict[str, Any]) -> None:
    requests: list[AWSPreparedRequest] = []

    def answered(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        requests.append(request)

        class Raw:
            def stream(self, **_: Any) -> Any:
                yield b"<Answer/>"

        return AWSResponse(request.url, 200, {}, Raw())

    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    client.meta.events.register_first("before-send.s3", answered)
    operation = client.meta.method_to_api_mapping[method]
    getattr(client, method)(**members)
    (request,) = requests
    parts = urlsplit(request.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
    }
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    by_request = s3_checks(request.method, target, headers)
    by_operation = checks("s3", operation, members, ACCOUNT)
    assert by_request == by_operation
