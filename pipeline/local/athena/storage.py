"""The S3 access of queries: the objects at a location, their bytes, and the results that are written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import obstore
from botocore.exceptions import ClientError
from obstore.store import S3Store

from pipeline.local.athena.statements import QueryError
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

# Requests at the same time: with small objects they limit the speed, not the bytes.
IN_FLIGHT = 64
# Objects in memory before they are decoded.
CHUNK = 2048


@dataclass(frozen=True)
class S3Access:
    """The S3 server and the credentials of a query: `endpoint` is `http://127.0.0.1:PORT`."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    token: str | None = None
    """The token of a session; None with the keys of the account itself."""


@dataclass(frozen=True)
class StoredObject:
    """An object of a table's location, and its size in bytes."""

    uri: str
    size: int


def location_of(uri: str) -> S3Uri:
    """Parse an S3 URI. Raises QueryError."""
    try:
        return S3Uri.parse(uri)
    except StepError as error:
        raise QueryError(f"INVALID_PROPERTY: {error}") from None


def as_folder(location: str) -> str:
    """The location with a slash at its end: without it `s3://b/a` includes `s3://b/ab`."""
    return location if location.endswith("/") else location + "/"


class Storage:
    """Lists, reads and writes with the credentials of a query's caller. `client` is a boto3 client of S3 with them."""

    def __init__(self, access: S3Access, client: Any) -> None:
        self.access = access
        self._client = client

    def objects(self, location: str) -> list[StoredObject]:
        """The objects that a query over `location` reads, in key order.

        Objects with a name that starts with `_` or `.` are hidden from Athena:
        https://docs.aws.amazon.com/athena/latest/ug/tables-location-format.html
        """
        bucket = location_of(location).bucket
        return [
            StoredObject(f"s3://{bucket}/{entry['Key']}", entry["Size"])
            for entry in self._entries(location)
            if not entry["Key"].endswith("/") and not entry["Key"].rsplit("/", 1)[-1].startswith(("_", "."))
        ]

    def is_empty(self, location: str) -> bool:
        """Whether there is no object below `location`."""
        return next(self._entries(location), None) is None

    def _entries(self, location: str) -> Iterator[dict[str, Any]]:
        folder = location_of(as_folder(location))
        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=folder.bucket, Prefix=folder.key):
                yield from page.get("Contents", [])
        except ClientError as error:
            raise QueryError(f"HIVE_FILESYSTEM_ERROR: {location}: {error}") from error

    def read(self, objects: list[StoredObject]) -> Iterator[tuple[str, bytes]]:
        """(URI, bytes) of each object, in order: IN_FLIGHT requests at a time, CHUNK objects in memory."""
        for start in range(0, len(objects), CHUNK):
            chunk = [stored.uri for stored in objects[start : start + CHUNK]]
            yield from zip(chunk, asyncio.run(self._fetch(chunk)), strict=True)

    async def _fetch(self, uris: list[str]) -> list[bytes]:
        stores = {bucket: self._store(bucket) for bucket in {location_of(uri).bucket for uri in uris}}
        in_flight = asyncio.Semaphore(IN_FLIGHT)

        async def fetch(uri: str) -> bytes:
            location = location_of(uri)
            async with in_flight:
                try:
                    result = await obstore.get_async(stores[location.bucket], location.key)
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
            **({"session_token": self.access.token} if self.access.token else {}),
            region=self.access.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def get(self, uri: str) -> bytes:
        """An object's bytes."""
        location = location_of(uri)
        return bytes(self._client.get_object(Bucket=location.bucket, Key=location.key)["Body"].read())

    def put(self, uri: str, content: bytes | BinaryIO) -> None:
        """Write an object. Raises QueryError if S3 refuses it."""
        location = location_of(uri)
        try:
            if isinstance(content, bytes):
                self._client.put_object(Bucket=location.bucket, Key=location.key, Body=content)
            else:
                self._client.upload_fileobj(content, location.bucket, location.key)
        except ClientError as error:
            raise QueryError(f"Unable to write query results to {uri}: {error}") from error

    def delete(self, uri: str) -> None:
        """Delete an object."""
        location = location_of(uri)
        try:
            self._client.delete_object(Bucket=location.bucket, Key=location.key)
        except ClientError as error:
            raise QueryError(f"HIVE_FILESYSTEM_ERROR: {uri}: {error}") from error
