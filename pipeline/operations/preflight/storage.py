"""S3: the project's own bucket and the raw photos, without writing to either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import CREATE_IT, says_missing
from pipeline.operations.preflight.account import Account, explaining
from pipeline.operations.preflight.results import Finding, failed, not_checked, ok, warning
from pipeline.operations.serving.photos import split_uri

FOLDERS = ("bin-images", "metadata")
# Data transfer from S3 to another region: https://aws.amazon.com/s3/pricing/
_TRANSFER = "0.01 to 0.02 USD from regions of the USA and Europe, more from others, on the bill of the bucket's owner"


def check_bucket(account: Account) -> Iterator[Finding]:
    """The project's bucket: there, the account's own, in the region."""
    settings, name = account.settings, account.settings.data.bucket
    try:
        answer = account.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=settings.account.id)
    except ClientError as error:
        yield _no_bucket(account, error)
        return
    region = region_of(answer)
    if region and region != settings.account.region:
        yield failed(
            f"{name} is in {region}, the account's region is {settings.account.region}; set data.bucket to one there,"
            " or account.region to the bucket's"
        )
    else:
        yield ok(f"{name} is there and {settings.account.id}'s; nothing was written to it")


def _no_bucket(account: Account, error: ClientError) -> Finding:
    name = account.settings.data.bucket
    if says_missing(error):
        return failed(f"there is no bucket {name}; {CREATE_IT}")
    if not aws_errors.has_code(error, aws_errors.DENIED):
        raise error
    # An answer to HEAD has no body that says why; where the owner was the reason, asking without one is answered.
    try:
        account.client("s3").head_bucket(Bucket=name)
    except ClientError:
        return not_checked(f"these credentials may not s3:ListBucket on {name}, or it is another account's")
    return failed(
        f"{name} is not of account {account.settings.account.id}: what is written there is somebody else's; set"
        " data.bucket to one of the account's own"
    )


def check_raw(account: Account) -> Iterator[Finding]:
    """The raw photos: something lies where it is looked for, and in the region that reads it."""
    location = account.settings.data.image_location
    bucket, prefix = split_uri(f"{location.rstrip('/')}/")
    s3 = account.client("s3")
    for folder in FOLDERS:
        findings: list[Finding] = []
        with explaining(findings):
            findings.append(_something(s3, bucket, f"{prefix}{folder}/"))
        yield from findings
    findings = []
    with explaining(findings):
        findings += _distance(account, bucket)
    yield from findings


def _something(s3: Any, bucket: str, prefix: str) -> Finding:
    try:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        if says_missing(error):
            return failed(f"there is no bucket {bucket}; set data.image_location to where the photos are")
        if aws_errors.has_code(error, aws_errors.DENIED):
            return not_checked(f"these credentials may not s3:ListBucket on {bucket} (the job role is what reads it)")
        raise
    if not found.get("KeyCount"):
        return failed(f"nothing lies below s3://{bucket}/{prefix}; data.image_location holds bin-images and metadata")
    return ok(f"s3://{bucket}/{prefix}")


def _distance(account: Account, bucket: str) -> Iterator[Finding]:
    region, own = "", account.settings.account.region
    try:
        region = region_of(account.client("s3").head_bucket(Bucket=bucket))
    except ClientError as error:
        if says_missing(error):
            return  # said already
        region = region_of(error.response)
    if region and region != own:
        yield warning(
            f"{bucket} is in {region}, not in {own}: each GB that is read costs {_TRANSFER}; a copy in {own} costs once"
        )


def region_of(answer: dict[str, Any]) -> str:
    """The bucket's region in HeadBucket's answer, also in a refusal; empty where it does not say."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(answer.get("BucketRegion") or headers.get("x-amz-bucket-region") or "")
