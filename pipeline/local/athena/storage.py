"""S3 as the query engine sees it: which objects a location holds, their bytes, and where results are put."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import boto3
import obstore
from botocore.config import Config
from botocore.exceptions import ClientError
from obstore.store import S3Store

from pipeline.local.athena.failures import QueryError

# Small objects are a matter of requests in flight, not of bytes.
IN_FLIGHT = 64
# How many objects are held in memory before they are decoded.
CHUNK = 2048
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True)
class S3Access:
    """The one S3 server that queries reach: `endpoint` is `http://127.0.0.1:PORT`."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str


@dataclass(frozen=True)
class StoredObject:
    """An object of a table's location, and its size in bytes."""

    uri: str
    size: int


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an S3 URI. Raises QueryError for anything else."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise QueryError(f"INVALID_PROPERTY: {uri!r} is not an S3 location; write s3://bucket/prefix/")
    return match[1], match[2] or ""


def as_folder(location: str) -> str:
    """The location with the slash that keeps `s3://b/a` from meaning `s3://b/ab` as well."""
    return location if location.endswith("/") else location + "/"


class Storage:
    """Lists, reads and writes with the credentials of the local cloud."""

    def __init__(self, access: S3Access) -> None:
        self.access = access
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=access.endpoint,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            region_name=access.region,
            config=Config(s3={"addressing_style": "path"}),
        )

    def objects(self, location: str) -> list[StoredObject]:
        """What a query over `location` reads, in key order.

        Objects whose name starts with `_` or `.` are hidden from Athena:
        https://docs.aws.amazon.com/athena/latest/ug/tables-location-format.html
        """
        bucket, _ = split_uri(location)
        return [
            StoredObject(f"s3://{bucket}/{entry['Key']}", entry["Size"])
            for entry in self._entries(location)
            if not entry["Key"].endswith("/") and not entry["Key"].rsplit("/", 1)[-1].startswith(("_", "."))
        ]

    def is_empty(self, location: str) -> bool:
        """Whether nothing at all lies below `location`."""
        return next(self._entries(location), None) is None

    def _entries(self, location: str) -> Iterator[dict[str, Any]]:
        bucket, prefix = split_uri(as_folder(location))
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from page.get("Contents", [])
        except ClientError as error:
            raise QueryError(f"HIVE_FILESYSTEM_ERROR: {location}: {error}") from error

    def read(self, objects: list[StoredObject]) -> Iterator[tuple[str, bytes]]:
        """(URI, bytes) of each object, in order, read IN_FLIGHT at a time and held CHUNK at a time."""
        for start in range(0, len(objects), CHUNK):
            chunk = [stored.uri for stored in objects[start : start + CHUNK]]
            yield from zip(chunk, asyncio.run(self._fetch(chunk)), strict=True)

    async def _fetch(self, uris: list[str]) -> list[bytes]:
        stores: dict[str, S3Store] = {}
        for uri in uris:
            bucket, _ = split_uri(uri)
            if bucket not in stores:
                stores[bucket] = self._store(bucket)
        in_flight = asyncio.Semaphore(IN_FLIGHT)

        async def fetch(uri: str) -> bytes:
            bucket, key = split_uri(uri)
            async with in_flight:
                try:
                    result = await obstore.get_async(stores[bucket], key)
                    return bytes(await result.bytes_async())
                except Exception as error:
                    raise QueryError(f"HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split {uri}: {error}") from error

        return await asyncio.gather(*[fetch(uri) for uri in uris])

    def _store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.access.endpoint,
            access_key_id=self.access.access_key,
            secret_access_key=self.access.secret_key,
            region=self.access.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def get(self, uri: str) -> bytes:
        """One object's bytes."""
        bucket, key = split_uri(uri)
        body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def put(self, uri: str, content: bytes | BinaryIO) -> None:
        """Write one object. Raises QueryError where the result location cannot be written."""
        bucket, key = split_uri(uri)
        try:
            if isinstance(content, bytes):
                self._client.put_object(Bucket=bucket, Key=key, Body=content)
            else:
                self._client.upload_fileobj(content, bucket, key)
        except ClientError as error:
            raise QueryError(f"Unable to write query results to {uri}: {error}") from error

    def delete(self, uri: str) -> None:
        """Remove one object."""
        bucket, key = split_uri(uri)
        self._client.delete_object(Bucket=bucket, Key=key)
