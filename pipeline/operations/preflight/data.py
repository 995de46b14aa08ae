"""Checks of the data: the project's bucket and the raw photos in S3, Athena's workgroup and Glue's database."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.objects import fetch
from pipeline.aws.pages import items
from pipeline.aws.responses import CREATE_IT, exists, says_missing
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, not_checked, ok, warning
from pipeline.operations.weights import presence
from steps.contracts import split_table, truth_table
from steps.contracts.errors import StepError
from steps.contracts.photo_files import LeftOut, document_id, is_folder, photo_id, reason_of
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of

# The folders of the raw data, and the function that returns the id of a file there, None for a file that is none.
FOLDERS = {"bin-images": photo_id, "metadata": document_id}
# Metadata files that are read to see whether they name the bin.
_SAMPLE = 20
_EXAMPLES = 3
# A larger table of true counts is not read before a run: 32 MiB.
_LARGEST_TABLE = 32 * 1024 * 1024
# Data transfer from S3 to another region: https://aws.amazon.com/s3/pricing/
_IMPORT = "for other formats: python -m pipeline import"
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
    for folder, id_of in FOLDERS.items():
        yield from explained(_folder, account.client("s3"), location.join(folder), id_of)
    yield from explained(_distance, account, location.bucket)


def _folder(s3: Any, folder: S3Uri, id_of: Callable[[str], str | None]) -> Iterator[Finding]:
    """What the first page of the listing shows, and for metadata a sample of the files."""
    prefix = f"{folder.key}/"
    try:
        listing = s3.list_objects_v2(Bucket=folder.bucket, Prefix=prefix)
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no bucket {folder.bucket}; set data.image_location to the photos' prefix")
            return
        if aws_errors.has_code(error, aws_errors.DENIED):
            yield not_checked(f"these credentials may not s3:ListBucket on {folder.bucket} (the job role reads it)")
            return
        raise
    names = [entry["Key"].removeprefix(prefix) for entry in listing.get("Contents", [])]
    names = [name for name in names if not is_folder(name)]
    left_out = LeftOut(_EXAMPLES)
    for name in names:
        if id_of(name) is None:
            left_out.add(reason_of(name), name)
    usable = [name for name in names if id_of(name) is not None]
    if not names:
        yield failed(f"there is no object below {folder}/; data.image_location needs bin-images and metadata")
    elif not usable and not listing.get("IsTruncated"):
        yield failed(f"no object below {folder}/ has the name of a run's files: {left_out.sentence()}; {_IMPORT}")
    else:
        yield ok(f"{folder}/")
        if left_out.totals:
            first = "the first " if listing.get("IsTruncated") else ""
            total = count_of(len(names), "object")
            yield warning(f"of {first}{total} below {folder}/ a run leaves out {left_out.sentence()}; {_IMPORT}")
        if id_of is document_id:
            yield from explained(_names_bins, s3, folder, usable[:_SAMPLE])


def _names_bins(s3: Any, folder: S3Uri, names: list[str]) -> Iterator[Finding]:
    """A warning where none of these metadata files names items or a group: then leakage cannot be measured."""
    filled = named = 0
    for name in names:
        try:
            content = fetch(s3, str(folder.join(name)))
        except ClientError as error:
            if not aws_errors.has_code(error, aws_errors.DENIED):
                raise
            yield not_checked(f"these credentials may not s3:GetObject in {folder}/: do the metadata name items?")
            return
        fields = _fields(content or b"")
        if fields.get("expected_quantity"):
            filled += 1
            named += bool(fields.get("bin_fcsku_data")) or fields.get("group") not in (None, "")
    if filled and not named:
        yield warning(
            f"the metadata in {folder}/ ({count_of(filled, 'file')} of them read) name neither items nor a group, so"
            " that nobody knows which photos show the same bin: leakage is not known; add `group` (docs/own-photos.md)"
        )


def _fields(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return {key.lower(): value for key, value in document.items()} if isinstance(document, dict) else {}


def check_split(account: Account) -> Iterator[Finding]:
    """The given split can be read, as ShardImages reads it after the query was paid for."""
    settings = account.settings.shard
    if settings.split_file is None:
        yield ok(f"none is needed: shard.split is {settings.split}")
        return
    location, s3 = S3Uri.parse(settings.split_file), account.client("s3")
    try:
        listed = items(s3.get_paginator("list_objects_v2"), "Contents", Bucket=location.bucket, Prefix=location.key)
        uris = split_table.files(location, ((entry["Key"], entry["Size"]) for entry in listed))
        contents = ((str(uri), fetch(s3, str(uri))) for uri in uris)
        tables = [split_table.parse(content or b"", name) for name, content in contents]
        split = split_table.combined(tables, settings.split_file)
    except StepError as error:
        yield failed(f"{error}; set another shard.split_file")
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no bucket {location.bucket}; set another shard.split_file")
        elif aws_errors.has_code(error, aws_errors.DENIED):
            yield not_checked(f"these credentials may not read {location} (the job role reads it)")
        else:
            raise
    else:
        yield ok(f"{location} assigns {count_of(len(split), 'photo')}")


def check_truth(account: Account) -> Iterator[Finding]:
    """The location of true counts can be listed, and its newest table read, as the monitor reads it."""
    uri = account.settings.monitoring.truth
    if uri is None:
        yield ok("monitoring.truth is not set: the monitor measures no accuracy")
        return
    location, s3 = S3Uri.parse(uri), account.client("s3")
    try:
        yield _truth(s3, location)
    except StepError as error:
        yield failed(f"{error}; correct the table, or set another monitoring.truth")
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no bucket {location.bucket}; create it, or set another monitoring.truth")
        elif aws_errors.has_code(error, aws_errors.DENIED):
            yield not_checked(f"these credentials may not read {location} (the monitor's role reads it)")
        else:
            raise
    else:
        yield from _distance(account, location.bucket)


def _truth(s3: Any, location: S3Uri) -> Finding:
    prefix = truth_table.listed_prefix(location)
    listed = items(s3.get_paginator("list_objects_v2"), "Contents", Bucket=prefix.bucket, Prefix=prefix.key)
    entries = {entry["Key"]: entry for entry in listed if entry["Size"]}
    tables = truth_table.tables(location, entries)
    if not tables:
        others = f"; {count_of(len(entries), 'object')} of other names there" if entries else ""
        return warning(
            f"{location}: no .parquet or .csv object with true counts yet{others}; the monitor measures no accuracy"
            " until there is one"
        )
    newest = max(tables, key=lambda table: entries[table.key]["LastModified"])
    size = entries[newest.key]["Size"]
    if size > _LARGEST_TABLE:
        return ok(f"{location} has {count_of(len(tables), 'table')}; not read, since the newest has {size:,} bytes")
    counts = sum(1 for _ in truth_table.rows(io.BytesIO(fetch(s3, str(newest)) or b""), str(newest)))
    return ok(f"{location} has {count_of(len(tables), 'table')}, the newest with {count_of(counts, 'true count')}")


def check_weights(account: Account) -> Iterator[Finding]:
    """The initial weights of the settings exist, and published ones have their size."""
    settings = account.settings
    uris = list(settings.imagenet_uris.values()) or [uri for uri in [settings.training.weights_file] if uri]
    if not uris:
        yield ok("none are named")
    for uri in uris:
        yield from explained(_weights, account, S3Uri.parse(uri))


def _weights(account: Account, uri: S3Uri) -> Finding:
    try:
        problem = presence.problem(account.client("s3"), account.settings, str(uri))
    except ClientError as error:
        if aws_errors.has_code(error, aws_errors.DENIED):
            return not_checked(f"these credentials may not s3:ListBucket on {uri.bucket} (the job role reads it)")
        raise
    return failed(problem) if problem else ok(str(uri))


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
