"""Checks of the data: the project's bucket and the raw photos in S3, Athena's workgroup and Glue's database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import CREATE_IT, exists, says_missing
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, not_checked, ok, warning
from steps.contracts.s3_uri import S3Uri

FOLDERS = ("bin-images", "metadata")
# Data transfer from S3 to another region: https://aws.amazon.com/s3/pricing/
_TRANSFER = "0.01 to 0.02 USD from regions of the USA and Europe, more from others, billed to the bucket's owner"


def check_bucket(account: Account) -> Finding:
    """The project's bucket exists, in the settings' account and region."""
    settings, name = account.settings, account.settings.data.bucket
    try:
        answer = account.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=settings.account.id)
    except ClientError as error:
        return _no_bucket(account, error)
    if (region := region_of(answer)) and region != settings.account.region:
        return failed(
            f"{name} is in {region}, the account's region is {settings.account.region}; set data.bucket to a bucket"
            " there, or account.region to the bucket's"
        )
    return ok(f"{name} exists in account {settings.account.id}; nothing was written to it")


def _no_bucket(account: Account, error: ClientError) -> Finding:
    name = account.settings.data.bucket
    if says_missing(error):
        return failed(f"there is no bucket {name}; {CREATE_IT}")
    if not aws_errors.has_code(error, aws_errors.DENIED):
        raise error
    # The answer to HEAD has no body with a reason. Where the owner is the reason, a request without it succeeds.
    try:
        account.client("s3").head_bucket(Bucket=name)
    except ClientError:
        return not_checked(f"these credentials may not s3:ListBucket on {name}, or it belongs to another account")
    return failed(
        f"{name} does not belong to account {account.settings.account.id}, so that another account would get the data;"
        " set data.bucket to a bucket of the account"
    )


def check_raw(account: Account) -> Iterator[Finding]:
    """The raw photos exist, in the region of the account."""
    location = S3Uri.parse(account.settings.data.image_location)
    for folder in FOLDERS:
        yield from explained(_folder, account.client("s3"), location.join(folder))
    yield from explained(_distance, account, location.bucket)


def _folder(s3: Any, folder: S3Uri) -> Finding:
    try:
        listing = s3.list_objects_v2(Bucket=folder.bucket, Prefix=f"{folder.key}/", MaxKeys=1)
    except ClientError as error:
        if says_missing(error):
            return failed(f"there is no bucket {folder.bucket}; set data.image_location to the photos' prefix")
        if aws_errors.has_code(error, aws_errors.DENIED):
            return not_checked(f"these credentials may not s3:ListBucket on {folder.bucket} (the job role reads it)")
        raise
    if listing.get("KeyCount"):
        return ok(f"{folder}/")
    return failed(f"there is no object below {folder}/; data.image_location needs bin-images and metadata")


def check_files(account: Account) -> Iterator[Finding]:
    """The objects that the settings name exist: the initial weights, and the split file or its prefix."""
    settings = account.settings
    named = {"training.weights": settings.training.weights, "shard.split_file": settings.shard.split_file}
    for place, uri in named.items():
        if uri:
            yield from explained(_named_object, account.client("s3"), place, S3Uri.parse(uri))
    if not any(named.values()):
        yield ok("none is named")


def _named_object(s3: Any, place: str, uri: S3Uri) -> Finding:
    """A listing, since a split file may be a prefix."""
    try:
        listing = s3.list_objects_v2(Bucket=uri.bucket, Prefix=uri.key, MaxKeys=1)
    except ClientError as error:
        if says_missing(error):
            return failed(f"{place}: there is no bucket {uri.bucket}; set the location of the file")
        if aws_errors.has_code(error, aws_errors.DENIED):
            return not_checked(f"these credentials may not s3:ListBucket on {uri.bucket} (the job role reads it)")
        raise
    if not listing.get("KeyCount"):
        return failed(f"{place}: there is no object {uri}; upload it, or set another one")
    return ok(str(uri))


def _distance(account: Account, bucket: str) -> Iterator[Finding]:
    own = account.settings.account.region
    try:
        region = region_of(account.client("s3").head_bucket(Bucket=bucket))
    except ClientError as error:
        if says_missing(error):
            return  # reported already
        region = region_of(error.response)
    if region and region != own:
        # A gateway endpoint routes to the S3 of its own region; not looked up, a NAT gateway may be there as well:
        # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-s3.html
        nat = "; a gateway endpoint does not lead there, so network.subnets need a NAT gateway"
        yield warning(
            f"{bucket} is in {region}, not in {own}; runs read it there: each GB read costs {_TRANSFER}; a copy in"
            f" {own} costs once{nat if account.settings.network.subnets else ''}"
        )


def region_of(answer: dict[str, Any]) -> str:
    """The bucket's region in HeadBucket's answer, also in a refusal; empty where it is missing."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(answer.get("BucketRegion") or headers.get("x-amz-bucket-region") or "")


def check_workgroup(account: Account) -> Finding:
    """The workgroup exists, is enabled, has a location for results, and lets a CTAS choose its own."""
    name = account.settings.data.workgroup
    answer = exists(account.client("athena").get_work_group, WorkGroup=name)
    if answer is None:
        return failed(f"there is no workgroup {name}; {CREATE_IT}")
    workgroup = answer["WorkGroup"]
    configuration = workgroup.get("Configuration", {})
    if workgroup.get("State", "ENABLED") != "ENABLED":
        return failed(f"the workgroup {name} is disabled; enable it in Athena, or set another data.workgroup")
    if configuration.get("EnforceWorkGroupConfiguration"):
        return failed(
            f"the workgroup {name} enforces its configuration, so that a CTAS may not choose its table's location; turn"
            " off 'override client-side settings' in Athena, or set another data.workgroup"
        )
    if not configuration.get("ResultConfiguration", {}).get("OutputLocation"):
        return failed(f"the workgroup {name} has no location for results; set one in Athena")
    return ok(name)


def check_database(account: Account) -> Finding:
    """The Glue database exists."""
    name = account.settings.data.database
    if exists(account.client("glue").get_database, Name=name) is None:
        return failed(f"there is no Glue database {name}; {CREATE_IT}")
    return ok(name)
