"""The S3 door as boto3 meets it: who may do what, in S3's words."""

from __future__ import annotations

import io
import json
import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.local import faults
from pipeline.local.identity import journal
from pipeline.local.identity.sessions import Sessions
from pipeline.local.s3.framing import Head
from pipeline.local.s3.judge import PolicyJudge, Settings
from tests.unit.pipeline.local.s3.conftest import ACCOUNT, Gate, allow, deny, document, running_gate


def arn(bucket: str, key: str = "") -> str:
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def refusal(call, *arguments, **parameters) -> tuple[int, str, str]:
    """Status, code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as raised:
        call(*arguments, **parameters)
    answer = raised.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"].get("Message", "")


def denied(call, action: str, **parameters) -> None:
    """The call is refused for want of an identity policy's permission."""
    status, code, message = refusal(call, **parameters)
    assert (status, code) == (403, "AccessDenied")
    assert f"is not authorized to perform: s3:{action} on resource:" in message
    assert message.endswith(f"because no identity-based policy allows the s3:{action} action")


@pytest.fixture(scope="module")
def bucket(gate: Gate) -> str:
    name = gate.bucket()
    for key in ("open/a", "open/b", "closed/a"):
        gate.client().put_object(Bucket=name, Key=key, Body=key.encode())
    return name


# ---------------------------------------------------------------------------------------------------- permissions
def test_a_role_reads_and_writes_where_its_policies_say(gate: Gate, bucket: str):
    s3 = gate.as_role(allow("s3:GetObject", "s3:PutObject", on=arn(bucket, "open/*")))
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"
    assert s3.head_object(Bucket=bucket, Key="open/a")["ContentLength"] == 6
    s3.put_object(Bucket=bucket, Key="open/new", Body=b"1")
    denied(s3.get_object, "GetObject", Bucket=bucket, Key="closed/a")
    denied(s3.put_object, "PutObject", Bucket=bucket, Key="closed/a", Body=b"1")
    denied(s3.delete_object, "DeleteObject", Bucket=bucket, Key="open/a")
    denied(s3.list_objects_v2, "ListBucket", Bucket=bucket)
    assert refusal(s3.head_object, Bucket=bucket, Key="closed/a")[:2] == (403, "403")


def test_the_refusal_is_in_the_words_of_s3(gate: Gate, bucket: str):
    credentials = gate.credentials(allow("s3:PutObject"))
    role = credentials.session.role_arn.rsplit("/", 1)[-1]
    assert refusal(gate.client(credentials).get_object, Bucket=bucket, Key="open/a") == (
        403,
        "AccessDenied",
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session is not authorized to perform: s3:GetObject on"
        f' resource: "{arn(bucket, "open/a")}" because no identity-based policy allows the s3:GetObject action',
    )


def test_an_explicit_deny_wins_and_is_named(gate: Gate, bucket: str):
    s3 = gate.as_role(allow("s3:*"), deny("s3:GetObject", on=arn(bucket, "closed/*")))
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read()
    assert refusal(s3.get_object, Bucket=bucket, Key="closed/a")[2].endswith(
        "with an explicit deny in an identity-based policy"
    )


def test_a_service_that_forwards_a_request_is_a_value_of_conditions(gate: Gate, bucket: str):
    """https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena-calledvia.html"""
    athena = "athena.amazonaws.com"
    via_athena = {"ForAnyValue:StringEquals": {"aws:CalledVia": athena}, "Bool": {"aws:ViaAWSService": "true"}}
    role = gate.role(allow("s3:GetObject", Condition=via_athena))
    forwarded = gate.client(gate.sessions.issue(role, "session", 3600, called_via=(athena,)))
    assert forwarded.get_object(Bucket=bucket, Key="open/a")["Body"].read()
    for others in ((), ("cloudformation.amazonaws.com",)):
        s3 = gate.client(gate.sessions.issue(role, "session", 3600, called_via=others))
        denied(s3.get_object, "GetObject", Bucket=bucket, Key="open/a")
    direct = gate.role(allow("s3:GetObject", Condition={"Bool": {"aws:ViaAWSService": "false"}}))
    denied(
        gate.client(gate.sessions.issue(direct, "session", 3600, called_via=(athena,))).get_object, "GetObject",
        Bucket=bucket, Key="open/a",
    )  # fmt: skip


def test_conditions_have_the_values_of_the_request(gate: Gate, bucket: str):
    listing = allow("s3:ListBucket", on=arn(bucket), Condition={"StringLike": {"s3:prefix": "open/*"}})
    encrypted = allow(
        "s3:PutObject", on=arn(bucket, "*"), Condition={"StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}}
    )
    secure = allow("s3:GetObject", Condition={
        "Bool": {"aws:SecureTransport": "true"},
        "StringEquals": {"aws:PrincipalAccount": ACCOUNT, "aws:ResourceAccount": ACCOUNT,
                         "aws:RequestedRegion": "us-east-1"},
        "ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"},
        "IpAddress": {"aws:SourceIp": "127.0.0.0/8"},
        "DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"},
    })  # fmt: skip
    s3 = gate.as_role(listing, encrypted, secure)
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="open/a")["Contents"]] == ["open/a"]
    denied(s3.list_objects_v2, "ListBucket", Bucket=bucket, Prefix="closed/")
    denied(s3.list_objects, "ListBucket", Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="x", Body=b"1", StorageClass="STANDARD_IA")
    denied(s3.put_object, "PutObject", Bucket=bucket, Key="x", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read()


def test_a_changed_policy_counts_at_once_for_living_sessions(gate: Gate, bucket: str):
    credentials = gate.credentials(allow("s3:GetObject"))
    s3, role = gate.client(credentials), credentials.session.role_arn
    for _ in range(5):
        assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read()
        gate.change(role, allow("s3:PutObject"))
        denied(s3.get_object, "GetObject", Bucket=bucket, Key="open/a")
        gate.change(role, allow("s3:GetObject"))


def test_a_role_without_policies_or_unknown_may_nothing(gate: Gate, bucket: str):
    unknown = gate.sessions.issue(f"arn:aws:iam::{ACCOUNT}:role/unknown", "s", 60)
    for credentials in (unknown, gate.credentials()):
        denied(gate.client(credentials).get_object, "GetObject", Bucket=bucket, Key="open/a")


def test_boundary_and_session_policy_limit_what_the_role_may(gate: Gate, bucket: str):
    limits = document(allow("s3:GetObject"))
    role = gate.role(allow("s3:*"), boundary=limits)
    bounded = gate.client(gate.sessions.issue(role, "s", 60))
    narrowed = gate.client(gate.credentials(allow("s3:*"), policy=json.dumps(limits)))
    for s3, kind in ((bounded, "permissions boundary"), (narrowed, "session policy")):
        assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read()
        assert refusal(s3.delete_object, Bucket=bucket, Key="open/a")[2].endswith(
            f"because no {kind} allows the s3:DeleteObject action"
        )


def test_a_missing_object_is_access_denied_to_those_who_may_not_list(gate: Gate, bucket: str):
    reader = gate.as_role(allow("s3:GetObject", "s3:PutObject", on=arn(bucket, "*")))
    denied(reader.get_object, "ListBucket", Bucket=bucket, Key="none")
    assert refusal(reader.head_object, Bucket=bucket, Key="none")[:2] == (403, "403")
    denied(reader.copy_object, "ListBucket", Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "none"})
    lister = gate.as_role(allow("s3:GetObject", "s3:PutObject", "s3:ListBucket"))
    assert refusal(lister.get_object, Bucket=bucket, Key="none")[:2] == (404, "NoSuchKey")
    assert refusal(lister.head_object, Bucket=bucket, Key="none")[:2] == (404, "404")
    assert refusal(reader.get_object, Bucket="no-such-bucket-here", Key="none")[1] == "AccessDenied"
    everywhere = gate.as_role(allow("s3:GetObject"))
    assert refusal(everywhere.get_object, Bucket="no-such-bucket-here", Key="none")[:2] == (404, "NoSuchBucket")


def test_multipart_uploads_need_their_own_permissions(gate: Gate):
    bucket = gate.bucket()
    writer = gate.as_role(allow("s3:PutObject", on=arn(bucket, "*")))
    upload = writer.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    names = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    tag = writer.upload_part(**names, PartNumber=1, Body=os.urandom(6_000_000))["ETag"]
    denied(writer.list_parts, "ListMultipartUploadParts", **names)
    denied(writer.abort_multipart_upload, "AbortMultipartUpload", **names)
    denied(writer.list_multipart_uploads, "ListBucketMultipartUploads", Bucket=bucket)
    writer.complete_multipart_upload(**names, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    assert gate.client().head_object(Bucket=bucket, Key="k")["ContentLength"] == 6_000_000
    janitor = gate.as_role(allow("s3:PutObject", "s3:AbortMultipartUpload"))
    names["UploadId"] = janitor.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    janitor.abort_multipart_upload(**names)


def test_copies_need_the_source_and_tags_their_own_permission(gate: Gate, bucket: str):
    writer = gate.as_role(allow("s3:PutObject", on=arn(bucket, "*")), allow("s3:GetObject", on=arn(bucket, "open/*")))
    writer.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "open/a"})
    assert gate.client().get_object(Bucket=bucket, Key="copy")["Body"].read() == b"open/a"
    denied(writer.copy_object, "GetObject", Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "closed/a"})
    denied(writer.put_object, "PutObjectTagging", Bucket=bucket, Key="t", Body=b"1", Tagging="a=b")
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    denied(writer.put_object_tagging, "PutObjectTagging", Bucket=bucket, Key="copy", Tagging=tags)
    tagger = gate.as_role(allow("s3:PutObject", "s3:PutObjectTagging", "s3:GetObjectTagging"))
    tagger.put_object(Bucket=bucket, Key="t", Body=b"1", Tagging="a=b")
    assert tagger.get_object_tagging(Bucket=bucket, Key="t")["TagSet"] == tags["TagSet"]


def test_an_operation_that_the_tables_do_not_have_is_not_implemented(gate: Gate, bucket: str):
    assert refusal(gate.as_role(allow("s3:*")).get_bucket_replication, Bucket=bucket)[:2] == (501, "NotImplemented")


def test_another_bucket_owner_is_refused(gate: Gate, bucket: str):
    s3 = gate.client()
    assert refusal(s3.get_object, Bucket=bucket, Key="open/a", ExpectedBucketOwner="999999999999")[1] == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="open/a", ExpectedBucketOwner=ACCOUNT)["Body"].read()


# ------------------------------------------------------------------------------------------------------- callers
def test_sessions_that_have_ended_or_are_not_genuine_are_refused(gate: Gate, bucket: str):
    role = gate.role(allow("s3:*"))
    good, other = gate.sessions.issue(role, "a", 600), gate.sessions.issue(role, "b", 600)
    ended = gate.sessions.issue(role, "c", -10)

    def asked(key: str, secret: str, token: str | None) -> tuple[int, str, str]:
        client = gate.client(type(good)(good.session, key, secret, token))  # type: ignore[arg-type]
        return refusal(client.get_object, Bucket=bucket, Key="open/a")

    assert asked(ended.access_key, ended.secret_key, ended.token) == (
        400,
        "ExpiredToken",
        "The provided token has expired.",
    )
    malformed = (400, "InvalidToken", "The provided token is malformed or otherwise not valid.")
    tampered = good.token[:-8] + ("A" * 8 if good.token[-8:] != "A" * 8 else "B" * 8)
    for token in (other.token, tampered, "a.b.c", "x"):
        assert asked(good.access_key, good.secret_key, token) == malformed
    assert asked(good.access_key, good.secret_key, None)[:2] == (403, "InvalidAccessKeyId")
    assert asked(good.access_key, "x" * 40, good.token)[:2] == (403, "SignatureDoesNotMatch")


def test_a_forged_signature_is_named_before_a_missing_permission(gate: Gate, bucket: str):
    credentials = gate.credentials()
    forged = type(credentials)(credentials.session, credentials.access_key, "x" * 40, credentials.token)
    for call in (gate.client(forged).get_bucket_policy, gate.client(forged).list_objects_v2):
        assert refusal(call, Bucket=bucket)[:2] == (403, "SignatureDoesNotMatch")


def test_what_the_door_does_by_itself_needs_a_genuine_signature_too(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    root.put_object(Bucket=bucket, Key="open/a", Body=b"1")
    genuine = gate.credentials(allow("s3:*"), deny("s3:DeleteObject", on=arn(bucket, "closed/*")))
    forged = gate.client(type(genuine)(genuine.session, genuine.access_key, "x" * 40, genuine.token))
    wrong = (403, "SignatureDoesNotMatch")
    policy = json.dumps(document({**deny("s3:*", on=arn(bucket, "*")), "Principal": "*"}))
    assert refusal(forged.put_bucket_policy, Bucket=bucket, Policy=policy)[:2] == wrong
    assert refusal(root.get_bucket_policy, Bucket=bucket)[1] == "NoSuchBucketPolicy"
    root.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert refusal(forged.get_bucket_policy, Bucket=bucket)[:2] == wrong
    assert refusal(forged.delete_bucket_policy, Bucket=bucket)[:2] == wrong
    root.delete_bucket_policy(Bucket=bucket)
    for key in ("closed/a", "closed/b"):
        batch = {"Objects": [{"Key": "open/a"}, {"Key": key}]}
        assert refusal(forged.delete_objects, Bucket=bucket, Delete=batch)[:2] == wrong
    assert root.head_object(Bucket=bucket, Key="open/a")["ContentLength"] == 1
    assert refusal(forged.delete_bucket, Bucket=bucket)[:2] == wrong


def test_the_token_of_another_cloud_is_refused(gate: Gate, bucket: str, tmp_path):
    foreign = Sessions(tmp_path).issue(gate.role(allow("s3:*")), "s", 60)
    assert refusal(gate.client(foreign).get_object, Bucket=bucket, Key="open/a")[:2] == (400, "InvalidToken")


def test_a_session_is_used_until_its_end_and_not_longer(gate: Gate, bucket: str):
    credentials = gate.credentials(allow("s3:GetObject"), seconds=2)
    s3, given_up = gate.client(credentials), time.monotonic() + 120
    refused = None
    while refused is None and time.monotonic() < given_up:
        try:
            s3.get_object(Bucket=bucket, Key="open/a")
        except ClientError as error:
            refused = error.response
        time.sleep(0.05)
    assert refused is not None
    assert (refused["ResponseMetadata"]["HTTPStatusCode"], refused["Error"]["Code"]) == (400, "ExpiredToken")
    # Until then it was used: an earlier refusal would have ended the loop.
    assert time.time() >= int(credentials.session.expires)


def test_anonymous_requests_are_refused(gate: Gate, bucket: str):
    for path in ("", f"/{bucket}", f"/{bucket}/open/a"):
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(gate.door.endpoint + path)
        assert (raised.value.code, b"<Code>AccessDenied</Code>" in raised.value.read()) == (403, True)


def test_a_request_has_one_signature(gate: Gate, bucket: str):
    url = gate.client(signature_version="s3v4").generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "open/a"}
    )
    request = urllib.request.Request(url, headers={"Authorization": "AWS a:b"})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request)
    assert (raised.value.code, b"<Code>InvalidArgument</Code>" in raised.value.read()) == (400, True)


def test_presigned_urls_have_the_permissions_of_their_session(gate: Gate, bucket: str):
    s3 = gate.as_role(allow("s3:GetObject", "s3:PutObject", on=arn(bucket, "open/*")), signature_version="s3v4")

    def sent(operation: str, key: str, method: str = "GET", body: bytes | None = None, seconds: int = 60) -> bytes:
        url = s3.generate_presigned_url(operation, {"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method=method)) as response:
            return response.read()

    assert sent("get_object", "open/a") == b"open/a"
    sent("put_object", "open/by-url", "PUT", b"by url")
    assert sent("get_object", "open/by-url") == b"by url"
    for operation, key, method in (("get_object", "closed/a", "GET"), ("delete_object", "open/a", "DELETE")):
        with pytest.raises(urllib.error.HTTPError) as raised:
            sent(operation, key, method)
        assert (raised.value.code, b"is not authorized to perform" in raised.value.read()) == (403, True)


def test_the_root_user_may_everything_but_for_an_explicit_deny_of_a_bucket(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    root.put_object(Bucket=bucket, Key="k", Body=b"1")
    shut = document({**deny("s3:*", on=[arn(bucket), arn(bucket, "*")]), "Principal": "*", "Sid": "Shut"})
    root.put_bucket_policy(Bucket=bucket, Policy=json.dumps(shut))
    for call, parameters in ((root.get_object, {"Key": "k"}), (root.list_objects_v2, {}), (root.head_bucket, {})):
        assert refusal(call, Bucket=bucket, **parameters)[0] == 403
    assert json.loads(root.get_bucket_policy(Bucket=bucket)["Policy"]) == shut
    root.delete_bucket_policy(Bucket=bucket)
    assert root.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"


# ------------------------------------------------------------------------------------------------- bucket policies
def test_a_bucket_policy_allows_and_denies_and_ends_with_its_bucket(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    root.put_object(Bucket=bucket, Key="k", Body=b"1")
    credentials = gate.credentials()
    s3, role = gate.client(credentials), credentials.session.role_arn
    denied(s3.get_object, "GetObject", Bucket=bucket, Key="k")
    shared = {**allow("s3:GetObject", on=arn(bucket, "*")), "Principal": {"AWS": role}}
    tls_only = {**deny("s3:*", on=[arn(bucket), arn(bucket, "*")]), "Principal": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    text = json.dumps(document(shared, tls_only), indent=1)
    root.put_bucket_policy(Bucket=bucket, Policy=text)
    assert root.get_bucket_policy(Bucket=bucket)["Policy"] == text
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    root.delete_object(Bucket=bucket, Key="k")
    root.delete_bucket(Bucket=bucket)
    root.create_bucket(Bucket=bucket)
    assert refusal(root.get_bucket_policy, Bucket=bucket)[:2] == (404, "NoSuchBucketPolicy")


def test_a_bucket_with_objects_versions_or_markers_is_not_deleted(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    root.put_object(Bucket=bucket, Key="k", Body=b"1")
    not_empty = (409, "BucketNotEmpty")
    assert refusal(root.delete_bucket, Bucket=bucket)[:2] == not_empty
    root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    root.delete_object(Bucket=bucket, Key="k")
    assert refusal(root.delete_bucket, Bucket=bucket)[:2] == not_empty
    listing = root.list_object_versions(Bucket=bucket)
    for item in (*listing["Versions"], *listing["DeleteMarkers"]):
        root.delete_object(Bucket=bucket, Key="k", VersionId=item["VersionId"])
    denied(gate.as_role(allow("s3:ListBucket")).delete_bucket, "DeleteBucket", Bucket=bucket)
    root.delete_bucket(Bucket=bucket)
    assert refusal(root.delete_bucket, Bucket=bucket)[:2] == (404, "NoSuchBucket")


def test_bucket_policies_have_permissions_of_their_own(gate: Gate):
    bucket = gate.bucket()
    policy = json.dumps(document({**deny("s3:PutObject", on=arn(bucket, "*")), "Principal": "*"}))
    keeper = gate.as_role(allow("s3:PutBucketPolicy", on=arn(bucket)))
    keeper.put_bucket_policy(Bucket=bucket, Policy=policy)
    denied(keeper.get_bucket_policy, "GetBucketPolicy", Bucket=bucket)
    denied(keeper.delete_bucket_policy, "DeleteBucketPolicy", Bucket=bucket)
    everything = gate.as_role(allow("s3:*"))
    assert refusal(everything.put_object, Bucket=bucket, Key="k", Body=b"1")[2].endswith(
        "with an explicit deny in a resource-based policy"
    )
    everything.delete_bucket_policy(Bucket=bucket)
    everything.put_object(Bucket=bucket, Key="k", Body=b"1")


def test_the_policy_of_a_bucket_that_does_not_exist(gate: Gate):
    for call in (gate.client().get_bucket_policy, gate.client().delete_bucket_policy):
        assert refusal(call, Bucket="no-such-bucket-here")[:2] == (404, "NoSuchBucket")


def test_a_malformed_policy_is_refused_and_the_old_one_stays(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    policy = json.dumps(document({**deny("s3:PutObject", on=arn(bucket, "*")), "Principal": "*"}))
    root.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert refusal(root.put_bucket_policy, Bucket=bucket, Policy="{")[:2] == (400, "MalformedPolicy")
    assert root.get_bucket_policy(Bucket=bucket)["Policy"] == policy


# ---------------------------------------------------------------------------------------------------- batch deletion
def test_a_batch_deletes_what_the_caller_may_and_names_the_rest(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    keys = ["open/a", "open/<&> ü", "closed/a", "closed/b"]
    for key in keys:
        root.put_object(Bucket=bucket, Key=key, Body=b"1")
    s3 = gate.as_role(allow("s3:DeleteObject", on=arn(bucket, "open/*")))

    def delete(*names: str, quiet: bool = False) -> dict:
        batch = {"Objects": [{"Key": name} for name in names], "Quiet": quiet}
        return s3.delete_objects(Bucket=bucket, Delete=batch)

    answer = delete("open/a", "closed/a", "open/<&> ü")
    assert sorted(item["Key"] for item in answer["Deleted"]) == ["open/<&> ü", "open/a"]
    (failure,) = answer["Errors"]
    assert (failure["Key"], failure["Code"]) == ("closed/a", "AccessDenied")
    assert (
        f'is not authorized to perform: s3:DeleteObject on resource: "{arn(bucket, "closed/a")}"' in failure["Message"]
    )
    assert [item["Key"] for item in root.list_objects_v2(Bucket=bucket)["Contents"]] == ["closed/a", "closed/b"]
    answer = delete("closed/a", "closed/b")
    assert [item["Key"] for item in answer["Errors"]] == ["closed/a", "closed/b"]
    assert "Deleted" not in answer
    assert [item["Key"] for item in delete("open/x", "closed/b", quiet=True)["Errors"]] == ["closed/b"]
    assert "Errors" not in delete("open/x", "open/y")


def test_versions_of_a_batch_need_the_permission_for_versions(gate: Gate):
    bucket, root = gate.bucket(), gate.client()
    root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = root.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    batch = {"Objects": [{"Key": "k", "VersionId": version}]}
    s3 = gate.as_role(allow("s3:DeleteObject", on=arn(bucket, "*")))
    (failure,) = s3.delete_objects(Bucket=bucket, Delete=batch)["Errors"]
    assert (failure["VersionId"], "s3:DeleteObjectVersion" in failure["Message"]) == (version, True)
    s3 = gate.as_role(allow("s3:DeleteObjectVersion", on=arn(bucket, "*")))
    assert s3.delete_objects(Bucket=bucket, Delete=batch)["Deleted"][0]["VersionId"] == version


# --------------------------------------------------------------------------------------------------------- regions
def test_a_bucket_in_another_region_redirects_and_clients_follow(gate: Gate):
    bucket = gate.bucket(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3 = gate.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"far")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"far"
    assert gate.client().head_bucket(Bucket=bucket)["BucketRegion"] == "eu-west-1"
    assert gate.client(region="eu-west-1").get_object(Bucket=bucket, Key="k")["Body"].read() == b"far"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "eu-west-1"
    assert gate.client(region="eu-west-1").head_object(Bucket=bucket, Key="k")["ContentLength"] == 3


def test_the_redirection_has_no_location_but_the_region(gate: Gate):
    bucket = gate.bucket(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3 = gate.client(signature_version="s3v4")

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments):
            return None

    opener = urllib.request.build_opener(NoRedirect)
    with pytest.raises(urllib.error.HTTPError) as raised:
        opener.open(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}))
    assert raised.value.code == 301
    assert raised.value.headers["x-amz-bucket-region"] == "eu-west-1"
    assert raised.value.headers["Location"] is None
    body = raised.value.read()
    for part in (b"<Code>PermanentRedirect</Code>", b"<Endpoint>", f"<Bucket>{bucket}</Bucket>".encode()):
        assert part in body


def test_buckets_are_created_in_the_region_of_the_endpoint_or_from_us_east_1_anywhere(gate: Gate):
    europe = gate.client(region="eu-west-1")
    ireland = {"LocationConstraint": "eu-west-1"}
    europe.create_bucket(Bucket="test-made-in-europe", CreateBucketConfiguration=ireland)
    assert europe.get_bucket_location(Bucket="test-made-in-europe")["LocationConstraint"] == "eu-west-1"
    wrong = (400, "IllegalLocationConstraintException")
    assert refusal(europe.create_bucket, Bucket="test-unspecified")[:2] == wrong
    elsewhere = {"LocationConstraint": "ap-south-1"}
    assert refusal(europe.create_bucket, Bucket="test-else", CreateBucketConfiguration=elsewhere)[:2] == wrong
    assert gate.client().get_bucket_location(Bucket=gate.bucket())["LocationConstraint"] is None


def test_a_head_of_a_bucket_tells_its_region_even_to_strangers(gate: Gate):
    bucket = gate.bucket(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(urllib.request.Request(f"{gate.door.endpoint}/{bucket}", method="HEAD"))
    assert (raised.value.code, raised.value.headers["x-amz-bucket-region"]) == (403, "eu-west-1")


# ------------------------------------------------------------------------------------------------------------ keys
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(min_codepoint=0x20, exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="/\\\x7f"),
            min_size=1, max_size=20)
    .filter(lambda key: key.strip() == key and key not in (".", ".."))
)  # fmt: skip
def test_any_key_is_the_one_that_the_policies_mean(gate: Gate, bucket: str, key: str):
    literal = "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(letter, letter) for letter in key)
    s3 = gate.as_role(allow("s3:GetObject", "s3:PutObject", on=arn(bucket, f"keys/{literal}")))
    s3.put_object(Bucket=bucket, Key=f"keys/{key}", Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=f"keys/{key}")["Body"].read() == key.encode()
    denied(s3.get_object, "GetObject", Bucket=bucket, Key=f"keys/{key}x")


@pytest.mark.parametrize("key", ["a*b", "a?b", "a b", "ü/ö", "a%2Fb", "100%", "a+b", "a&b=c", "a#b", ".a", "a..b"])
def test_awkward_keys(gate: Gate, bucket: str, key: str):
    s3 = gate.as_role(allow("s3:*", on=[arn(bucket), arn(bucket, "*")]))
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == key.encode()
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    assert s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})["Deleted"] == [{"Key": key}]


@pytest.mark.parametrize("key", ["open/../closed/a", "open//a", "./open/a", "/open/a"])
def test_keys_that_the_object_server_takes_for_others_are_refused_whatever_the_policies(
    gate: Gate, bucket: str, key: str
):
    s3 = gate.client()
    assert refusal(s3.get_object, Bucket=bucket, Key=key)[:2] == (400, "InvalidURI")
    assert refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"1")[:2] == (400, "InvalidURI")
    batch = {"Objects": [{"Key": key}]}
    assert refusal(s3.delete_objects, Bucket=bucket, Delete=batch)[:2] == (400, "MalformedXML")


# ------------------------------------------------------------------------------------------------ bodies, many clients
def test_refused_uploads_of_every_kind_end_in_the_refusal(gate: Gate, bucket: str):
    s3 = gate.as_role(allow("s3:GetObject"))
    large = os.urandom(9_000_000)
    for body in (b"small", large, io.BytesIO(large)):
        denied(s3.put_object, "PutObject", Bucket=bucket, Key="x", Body=body)
    with pytest.raises(Exception, match="s3:PutObject"):
        s3.upload_fileobj(io.BytesIO(large), bucket, "x")
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"


def test_large_bodies_pass_unchanged_in_both_directions(gate: Gate, bucket: str):
    s3 = gate.as_role(allow("s3:*"))
    body = os.urandom(20_000_000)
    s3.put_object(Bucket=bucket, Key="large", Body=io.BytesIO(body))
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == body
    assert s3.get_object(Bucket=bucket, Key="large", Range="bytes=5-9")["Body"].read() == body[5:10]
    s3.upload_fileobj(io.BytesIO(body), bucket, "parts")
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == body


@pytest.mark.parametrize(
    ("method", "target", "length", "reads"),
    [
        ("POST", "/bucket?delete", 5, True),
        ("PUT", "/bucket", -1, True),
        ("DELETE", "/bucket", 5, True),
        ("PUT", "/bucket", 0, False),
        ("PUT", "/bucket/key", 5, False),
        ("POST", "/bucket/key?uploads", 5, False),
        ("PUT", "/bucket//key", 5, False),
    ],
)
def test_bodies_are_read_of_requests_about_buckets_only(tmp_path, method, target, length, reads):
    judge = PolicyJudge(Settings(tmp_path, "us-east-1", ACCOUNT, "K", "S"), lambda *_: None, lambda *_: None)
    assert judge.reads_body(Head(b"", method, target, {}, length, True)) is reads


def test_a_fault_of_the_door_itself_is_an_internal_error_and_its_log_has_no_credentials(tmp_path, monkeypatch, caplog):
    judge = PolicyJudge(Settings(tmp_path, "us-east-1", ACCOUNT, "K", "S"), lambda *_: None, lambda *_: None)
    monkeypatch.setattr(judge, "_plan", lambda head, body: {}["missing"])
    plan = judge.plan(Head(b"", "GET", "/bucket/key?X-Amz-Security-Token=token", {}, 0, True), b"")
    assert (plan.answer.status, b"<Code>InternalError</Code>" in plan.answer.body) == (500, True)
    assert "the S3 door failed at GET /bucket/key" in caplog.text
    assert "token" not in caplog.text.lower()


def test_many_clients_with_different_rights_at_once(gate: Gate, bucket: str):
    allowed, refused = gate.as_role(allow("s3:GetObject")), gate.as_role(allow("s3:PutObject"))

    def ask(number: int) -> bool:
        if number % 2:
            return allowed.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"
        return refusal(refused.get_object, Bucket=bucket, Key="open/a")[1] == "AccessDenied"

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


# ----------------------------------------------------------------------------------------- records, audits and faults
def test_each_kind_of_decision_is_recorded_once(gate: Gate, bucket: str):
    credentials = gate.credentials(allow("s3:GetObject", Sid="Read"))
    s3 = gate.client(credentials)
    for _ in range(3):
        s3.get_object(Bucket=bucket, Key="open/a")
        refusal(s3.delete_object, Bucket=bucket, Key="open/a")
    entries = [
        (entry.action, entry.operation, entry.statements, entry.allowed)
        for entry in journal.read(gate.directory / journal.FOLDER)
        if entry.role == credentials.session.role_arn
    ]
    assert sorted(entries) == [
        ("s3:DeleteObject", "DeleteObject", (), False),
        ("s3:GetObject", "GetObject", ("policy/Read",), True),
    ]


def test_a_fault_is_answered_in_place_of_the_object(gate: Gate, bucket: str):
    faults.write(gate.directory, faults.Plan(seed=1, slow_downs=5))
    try:
        codes = set()
        s3 = gate.client()
        for _ in range(600):
            try:
                s3.get_object(Bucket=bucket, Key="open/a")["Body"].read()
            except ClientError as error:
                codes.add((error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]))
    finally:
        faults.write(gate.directory, faults.Plan())
    assert codes == {(503, "SlowDown")}
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"


def test_an_audit_records_refusals_and_passes_requests_on(tmp_path):
    for gate in running_gate(tmp_path, audit=True):
        bucket = gate.bucket()
        credentials = gate.credentials()
        s3 = gate.client(credentials)
        s3.put_object(Bucket=bucket, Key="k", Body=b"1")
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
        assert refusal(s3.get_object, Bucket=bucket, Key="none")[1] == "NoSuchKey"
        assert s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})["Deleted"]
        entries = journal.read(gate.directory / journal.FOLDER)
        assert {(entry.action, entry.allowed) for entry in entries if entry.role == credentials.session.role_arn} == {
            (f"s3:{action}", False) for action in ("PutObject", "GetObject", "ListBucket", "DeleteObject")
        }


def test_a_write_that_fails_for_want_of_space_says_so(tmp_path):
    """Kind: a full disk ends what it hits with "no space left" and the folder; the object server says neither."""
    door = SimpleNamespace(_settings=SimpleNamespace(directory=tmp_path))

    def after(length, status):
        plan = PolicyJudge._writing(door, SimpleNamespace(head=SimpleNamespace(length=length)))
        return plan.after(status, b"")

    answer = after(2**60, 500)
    assert answer.status == 500
    assert f"no space left on the disk of {tmp_path}" in answer.body.decode()
    assert after(2**60, 200) is None
    assert after(10, 500) is None  # there is space: the failure has another cause
