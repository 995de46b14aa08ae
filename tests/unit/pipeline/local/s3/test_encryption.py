"""Objects with KMS encryption, as the SDKs' code upload, the CLI and presigned URLs write them.

The kind: headers that S3 honours and the object server refuses or drops. They are honoured in what S3 answers, though
nothing is encrypted, or refused by name.
"""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.unit.pipeline.local.s3.conftest import Gate, allow, deny

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
KMS = {"ServerSideEncryption": "aws:kms"}


@pytest.mark.parametrize(
    "encryption",
    [
        KMS,
        {**KMS, "SSEKMSKeyId": KEY},
        {**KMS, "SSEKMSKeyId": "alias/mine", "BucketKeyEnabled": True},
        {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": KEY},
        {"ServerSideEncryption": "AES256"},
    ],
)
@pytest.mark.parametrize("as_role", [False, True])
def test_an_object_is_described_with_the_encryption_that_it_was_written_with(
    gate: Gate, encryption: dict[str, Any], as_role: bool
) -> None:
    bucket = gate.bucket()
    client = gate.as_role(allow("s3:*")) if as_role else gate.client()
    written = client.put_object(Bucket=bucket, Key="a b/c", Body=b"content", Metadata={"mine": "1"}, **encryption)
    assert {name: written.get(name) for name in encryption} == encryption
    for read in (client.head_object(Bucket=bucket, Key="a b/c"), client.get_object(Bucket=bucket, Key="a b/c")):
        assert {name: read.get(name) for name in encryption} == encryption
        assert read["Metadata"] == {"mine": "1"}
    assert read["Body"].read() == b"content"


def test_an_upload_in_parts_is_described_too(gate: Gate, tmp_path: Any) -> None:
    client, bucket = gate.client(), gate.bucket()
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 4 * 1024 * 12)
    parts = TransferConfig(multipart_threshold=1024 * 1024, multipart_chunksize=5 * 1024 * 1024)
    client.upload_file(str(file), bucket, "large", ExtraArgs={**KMS, "SSEKMSKeyId": KEY}, Config=parts)
    read = client.get_object(Bucket=bucket, Key="large")
    assert (read["ServerSideEncryption"], read["SSEKMSKeyId"]) == ("aws:kms", KEY)
    assert read["Body"].read() == file.read_bytes()


def test_an_object_without_encryption_is_described_without(gate: Gate) -> None:
    client, bucket = gate.client(), gate.bucket()
    client.put_object(Bucket=bucket, Key="k", Body=b"x", **KMS)
    client.put_object(Bucket=bucket, Key="k", Body=b"y")
    assert "ServerSideEncryption" not in client.head_object(Bucket=bucket, Key="k")


def test_a_presigned_url_writes_with_encryption(gate: Gate) -> None:
    client, bucket = gate.client(signature_version="s3v4"), gate.bucket()
    url = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k", **KMS})
    request = urllib.request.Request(  # the door's own URL
        url, data=b"x", method="PUT", headers={"x-amz-server-side-encryption": "aws:kms"}
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert client.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == "aws:kms"


def test_the_content_and_the_signature_are_verified_all_the_same(gate: Gate) -> None:
    bucket = gate.bucket()
    client = gate.client()

    def change(request: Any, **_: Any) -> None:
        request.headers["x-amz-server-side-encryption-aws-kms-key-id"] = "another"

    client.meta.events.register("before-send.s3.PutObject", change)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.put_object(Bucket=bucket, Key="k", Body=b"x", **KMS, SSEKMSKeyId=KEY)
    with pytest.raises(ClientError, match="404"):
        gate.client().head_object(Bucket=bucket, Key="k")


def test_policies_by_encryption_are_decided_by_what_the_client_sent(gate: Gate) -> None:
    bucket = gate.bucket()
    only = deny("s3:PutObject", Condition={"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}})
    client = gate.as_role(allow("s3:*"), only)
    client.put_object(Bucket=bucket, Key="k", Body=b"x", **KMS)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_what_cannot_be_described_is_refused_by_name(gate: Gate) -> None:
    client, bucket = gate.client(), gate.bucket()
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    source = {"Bucket": bucket, "Key": "k"}
    with pytest.raises(ClientError, match=r"NotImplemented.*a copy with KMS encryption"):
        client.copy_object(Bucket=bucket, Key="copy", CopySource=source, **KMS)
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE", **KMS)
    assert client.head_object(Bucket=bucket, Key="copy")["ServerSideEncryption"] == "aws:kms"
    with pytest.raises(ClientError, match=r"NotImplemented.*an encryption context"):
        client.put_object(Bucket=bucket, Key="k", Body=b"y", SSEKMSEncryptionContext="e30=", **KMS)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    with pytest.raises(ClientError, match=r"NotImplemented.*default encryption by KMS"):
        client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    client.put_object(Bucket=bucket, Key="k", Body=b"z")


@pytest.mark.parametrize(
    "value", ["", "mine", "aws:kms content-length=0", "aws:kms location=http://elsewhere", "aws:kms a"]
)
def test_metadata_of_that_name_puts_no_other_headers_into_a_response(gate: Gate, value: str) -> None:
    client, bucket = gate.client(), gate.bucket()
    client.put_object(Bucket=bucket, Key="k", Body=b"content", Metadata={"local-cloud-kms": value})
    read = client.get_object(Bucket=bucket, Key="k")
    assert read["Body"].read() == b"content"
    assert not {"location", "a"} & set(read["ResponseMetadata"]["HTTPHeaders"])
    assert read["Metadata"].get("local-cloud-kms", "") == value


def test_a_copy_with_encryption_hides_a_missing_source_as_other_copies_do(gate: Gate) -> None:
    bucket = gate.bucket()
    client = gate.as_role(allow("s3:*"), deny("s3:ListBucket"))
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "absent"}}
    for encryption in ({}, {"MetadataDirective": "REPLACE", **KMS}):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.copy_object(**copy, **encryption)
