"""A list that S3 Inventory wrote of a bucket: where it is, whether it is complete, what it contains, and its age.

Below a configuration's folder `DESTINATION-PREFIX/SOURCE-BUCKET/CONFIG-ID/`, each list has a folder of its own, named
after the time when S3 began to scan the bucket, with `manifest.json`, which names the list's files, and with
`manifest.checksum`, the MD5 of the manifest:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html

"when the manifest checksum file is created" the list is complete:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-notification.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from steps.contracts.errors import StepError
from steps.contracts.parsing import Contract, parse
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of

MANIFEST, CHECKSUM = "manifest.json", "manifest.checksum"
FORMAT = "Parquet"
# The columns of the files, and their names in a configuration and in the console.
KEY, SIZE, ETAG = "key", "size", "e_tag"
REQUIRED = {KEY: "Key", SIZE: "Size", ETAG: "ETag"}
# Only where a list has all versions of the objects: "This field is not included if the list is only for the current
# version": https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
IS_LATEST, IS_DELETE_MARKER = "is_latest", "is_delete_marker"
# "published daily or weekly", and "it might take up to 48 hours to deliver the first inventory report":
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/configure-inventory.html
LATE = timedelta(days=9)
# The newest lists that are looked at for a complete one.
ATTEMPTS = 3
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
_COLUMN = re.compile(r"\b(?:required|optional)\s+\w+\s+(\w+)")
_BUCKET = "arn:aws:s3:::"


class _Foreign(BaseModel):
    """A part of AWS's file, which may have more than is read of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class File(_Foreign):
    """A file of a list: its key in the bucket of the lists, its size in bytes and its MD5 in hexadecimal."""

    key: str
    size: int
    md5: Annotated[str, Field(alias="MD5checksum")]


class Manifest(_Foreign):
    """The manifest of one list; `begun` is the time when S3 began to scan the source bucket."""

    source_bucket: Annotated[str, Field(alias="sourceBucket")]
    destination_bucket: Annotated[str, Field(alias="destinationBucket")]
    begun_milliseconds: Annotated[int, Field(alias="creationTimestamp")]
    file_format: Annotated[str, Field(alias="fileFormat")]
    file_schema: Annotated[str, Field(alias="fileSchema")]
    files: list[File]

    @property
    def begun(self) -> datetime:
        """The time when S3 began to scan the source bucket: an object that is newer may be missing."""
        return datetime.fromtimestamp(self.begun_milliseconds / 1000, UTC)

    @property
    def columns(self) -> frozenset[str]:
        """Names of the Parquet files' columns."""
        return frozenset(_COLUMN.findall(self.file_schema))


class ListedBy(Contract):
    """The list that a query read in place of listing the bucket: its manifest, its time, and its age then."""

    manifest: str
    begun: datetime
    age_seconds: int

    def sentence(self) -> str:
        """A line for a person."""
        return (
            f"S3 Inventory of {self.begun:%Y-%m-%d %H:%M} UTC, {duration(timedelta(seconds=self.age_seconds))} old when"
            " it was read; photos that are newer are not in it"
        )


def newest(location: S3Uri, folders: Iterable[str], read: Callable[[S3Uri], bytes | None]) -> tuple[S3Uri, Manifest]:
    """The newest complete manifest below a configuration's folder, and its URI.

    `folders` are the names of the folders there; `read` returns an object, None where there is none. Raises StepError
    where no manifest is complete, with the reason of the newest one.
    """
    dated = sorted((name for name in folders if _DATED.fullmatch(name)), reverse=True)
    if not dated:
        raise StepError(
            f"{location}/ has no list of S3 Inventory; set data.inventory to the folder of its configuration,"
            " s3://BUCKET/PREFIX/SOURCE-BUCKET/CONFIG-ID, and wait for its first list, which takes up to 48 hours"
        )
    problems = []
    for name in dated[:ATTEMPTS]:
        uri = location.join(name, MANIFEST)
        checksum, content = read(location.join(name, CHECKSUM)), read(uri)
        if checksum is None or content is None:
            problems.append(f"{uri} is not complete: there is no {CHECKSUM if content is not None else MANIFEST}")
        elif hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum.decode(errors="replace").strip():
            problems.append(f"{uri} does not have the MD5 that its {CHECKSUM} has")
        else:
            return uri, parse(Manifest, content, str(uri), "manifest of S3 Inventory")
    raise StepError(f"{problems[0]}; nor is another one of the last {count_of(len(problems), 'list')}")


def check(manifest: Manifest, uri: S3Uri, source_bucket: str) -> None:
    """Raise StepError, with the remedy, if the list cannot be read in place of listing `source_bucket`."""
    if manifest.source_bucket != source_bucket:
        raise StepError(
            f"{uri} lists the bucket {manifest.source_bucket}, and the photos are in {source_bucket}; set"
            f" data.inventory to the folder of a configuration of {source_bucket}"
        )
    if manifest.file_format != FORMAT:
        raise StepError(
            f"{uri}: its files are {manifest.file_format}, which is not read; set the output format of the inventory"
            f" configuration to {FORMAT}"
        )
    if missing := [name for column, name in REQUIRED.items() if column not in manifest.columns]:
        raise StepError(f"{uri}: its files lack {', '.join(missing)}; add them to the configuration's optional fields")
    if manifest.destination_bucket.removeprefix(_BUCKET) != uri.bucket:
        raise StepError(
            f"{uri}: its files are in {manifest.destination_bucket.removeprefix(_BUCKET)}; set data.inventory to the"
            " folder there"
        )


def duration(age: timedelta) -> str:
    """`3 hours`, `2 days`: whole hours below two days, then whole days."""
    hours = int(age.total_seconds() // 3600)
    return count_of(hours, "hour") if hours < 48 else count_of(hours // 24, "day")


def is_late(manifest: Manifest, now: datetime) -> bool:
    """Whether a newer list should be there, even of a weekly configuration."""
    return now - manifest.begun > LATE
