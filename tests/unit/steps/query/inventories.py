"""Lists of S3 Inventory as AWS writes them, in a bucket of the tests' S3 server, which writes none itself.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BEGUN = datetime(2026, 11, 28, 1, 0, tzinfo=UTC)
# As in AWS's example.
FIELDS = {
    "bucket": "required binary bucket (UTF8)",
    "key": "required binary key (UTF8)",
    "version_id": "optional binary version_id (UTF8)",
    "is_latest": "optional boolean is_latest",
    "is_delete_marker": "optional boolean is_delete_marker",
    "size": "optional int64 size",
    "last_modified_date": "optional int64 last_modified_date (TIMESTAMP_MILLIS)",
    "e_tag": "optional binary e_tag (UTF8)",
}
TYPES = {
    "is_latest": pa.bool_(),
    "is_delete_marker": pa.bool_(),
    "size": pa.int64(),
    "last_modified_date": pa.timestamp("ms"),
}
VERSIONS = ("version_id", "is_latest", "is_delete_marker")
CURRENT = tuple(name for name in FIELDS if name not in VERSIONS)


@dataclass(frozen=True)
class Destination:
    """A configuration's folder: `bucket`/`prefix`/`source`/daily, for the bucket `source`."""

    s3: Any
    bucket: str
    source: str
    prefix: str = "lists"

    @property
    def folder(self) -> str:
        return f"{self.prefix}/{self.source}/daily"

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.folder}"

    def rows(self, prefix: str = "") -> list[dict[str, Any]]:
        """What a list says of the objects that the source bucket has now."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.source, Prefix=prefix)
        return [
            row(entry["Key"], entry["Size"], entry["ETag"].strip('"'))
            for page in pages
            for entry in page.get("Contents", [])
        ]

    def write(
        self,
        rows: Sequence[dict[str, Any]],
        begun: datetime = BEGUN,
        *,
        fields: Iterable[str] = CURRENT,
        files: int = 2,
        checksum: bool = True,
        **manifest: Any,
    ) -> str:
        """Write a list of these objects, and return the key of its manifest; `manifest` replaces members of it."""
        names = tuple(fields)
        entries = [self._file(rows[number::files], names, f"{begun:%d%H}-{number}") for number in range(files)]
        content: dict[str, Any] = {
            "sourceBucket": self.source,
            "destinationBucket": f"arn:aws:s3:::{self.bucket}",
            "version": "2016-11-30",
            "creationTimestamp": str(int(begun.timestamp() * 1000)),
            "fileFormat": "Parquet",
            "fileSchema": f"message s3.inventory {{ {' '.join(f'{FIELDS[name]};' for name in names)} }}",
            "files": entries,
        }
        body = json.dumps({**content, **manifest}, indent=4).encode()
        place = f"{self.folder}/{begun:%Y-%m-%dT%H-%MZ}"
        self.put(f"{place}/manifest.json", body)
        if checksum:
            self.put(f"{place}/manifest.checksum", hashlib.md5(body).hexdigest().encode())
        self.put(f"{self.folder}/hive/dt={begun:%Y-%m-%d-%H-%M}/symlink.txt", b"s3://somewhere")
        return f"{place}/manifest.json"

    def _file(self, rows: Sequence[dict[str, Any]], names: Sequence[str], title: str) -> dict[str, Any]:
        columns = {
            name: pa.array([{"bucket": self.source, **each}.get(name) for each in rows], TYPES.get(name, pa.string()))
            for name in names
        }
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, compression="snappy")
        key = f"{self.folder}/data/{title}.parquet"
        self.put(key, buffer.getvalue())
        return {"key": key, "size": buffer.tell(), "MD5checksum": hashlib.md5(buffer.getvalue()).hexdigest()}

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)


def row(key: str, size: int | None = 3, etag: str = "e", **versions: Any) -> dict[str, Any]:
    return {"key": key, "size": size, "e_tag": etag, "last_modified_date": BEGUN.replace(tzinfo=None), **versions}
