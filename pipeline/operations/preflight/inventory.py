"""Check of the lists of S3 Inventory that QueryMetadata reads in place of listing the photos."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.objects import fetch
from pipeline.aws.pages import items
from pipeline.aws.responses import says_missing
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, not_checked, ok, warning
from steps.contracts import s3_inventory
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri


def check(account: Account) -> Iterator[Finding]:
    """The newest list is complete, is of the photos' bucket, has the fields, and is not late."""
    data = account.settings.data
    if data.inventory is None:
        yield ok("none is needed: the photos are listed")
        return
    place = S3Uri.parse(data.inventory)
    yield from explained(_newest, account, S3Uri(place.bucket, place.key.rstrip("/")))


def _newest(account: Account, location: S3Uri) -> Finding:
    s3, prefix = account.client("s3"), f"{location.key}/"
    try:
        listed = items(
            s3.get_paginator("list_objects_v2"),
            "CommonPrefixes",
            Bucket=location.bucket,
            Prefix=prefix,
            Delimiter="/",
        )
        folders = [entry["Prefix"].removeprefix(prefix).rstrip("/") for entry in listed]
        uri, manifest = s3_inventory.newest(location, folders, lambda uri: fetch(s3, str(uri)))
        s3_inventory.check(manifest, uri, S3Uri.parse(account.settings.data.image_location).bucket)
    except StepError as error:
        return failed(str(error))
    except ClientError as error:
        if says_missing(error):
            return failed(f"there is no bucket {location.bucket}; set another data.inventory, or leave it out")
        if aws_errors.has_code(error, aws_errors.DENIED):
            return not_checked(f"these credentials may not read {location} (the job role reads it)")
        raise
    now = datetime.now(UTC)
    age = s3_inventory.duration(now - manifest.begun)
    if s3_inventory.is_late(manifest, now):
        return warning(
            f"the newest list below {location} is {age} old, and photos that are newer are not seen; enable its"
            " configuration, or leave data.inventory out"
        )
    return ok(f"{uri} is {age} old; photos that are newer are not seen")
