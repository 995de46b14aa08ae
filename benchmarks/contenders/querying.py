"""Metadata files from S3 into Parquet in S3: the direct reader, the usual way, and listing and fetching alone."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.child import Work
from benchmarks.contenders.fetching import fetch_and_drop
from steps.contracts.photo_files import LeftOut, document_id
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import open_store

SUFFIX = ".json"
THREADS = 16


def direct_reader(location: str, target: str, count: int) -> Work:
    """The step's own listing and its direct reader, over all files below `location`."""
    import boto3
    import obstore.auth.boto3
    import obstore.store

    del boto3, obstore
    from steps.query import direct
    from steps.query.listing import list_files

    folder, output = S3Uri.parse(location), S3Uri.parse(target)

    def work() -> None:
        ids = [entry.image_id for entry in list_files(folder, document_id, LeftOut(0))]
        assert len(ids) == count, f"{len(ids)} of {count} files are listed"
        refused = direct.consolidate(folder, ids, output)
        assert not refused, f"{refused} files were refused"

    return work


def step_listing(location: str, count: int) -> Work:
    """The step's own listing of the files below `location`."""
    import boto3

    del boto3
    from steps.query.listing import list_files

    def work() -> None:
        assert sum(1 for _ in list_files(S3Uri.parse(location), document_id, LeftOut(0))) == count

    return work


def page_after_page(location: str, count: int) -> Work:
    """The step's listing with one request at a time: what S3 asks of those who know no keys."""
    import boto3

    del boto3
    from steps.query.listing import entries_of
    from steps.runtime.s3 import listed_pages

    folder = S3Uri.parse(location)

    def work() -> None:
        pages = listed_pages(S3Uri(folder.bucket, f"{folder.key}/"))
        assert sum(1 for _ in entries_of(pages, folder, document_id, LeftOut(0))) == count

    return work


def boto3_listing(location: str, count: int) -> Work:
    """boto3's paginator as it is."""
    import boto3

    folder = S3Uri.parse(location)

    def work() -> None:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=folder.bucket, Prefix=folder.key)
        assert sum(len(page["Contents"]) for page in pages) == count

    return work


def threads(location: str, target: str, count: int) -> Work:
    """boto3 on 16 threads, and one Parquet file by pyarrow."""
    import boto3
    import pyarrow as pa
    import pyarrow.parquet as pq
    from botocore.config import Config

    folder, output = S3Uri.parse(location), S3Uri.parse(target)

    def row(key: str, data: bytes) -> dict[str, Any]:
        document = json.loads(data)
        items = document["BIN_FCSKU_DATA"].values()
        return {
            "image_id": key.rpartition("/")[2].removesuffix(SUFFIX),
            "quantity": document["EXPECTED_QUANTITY"],
            "items": [{name: item.get(name) for name in ("asin", "name", "quantity")} for item in items],
        }

    def work() -> None:
        s3 = boto3.client("s3", config=Config(max_pool_connections=THREADS))
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=folder.bucket, Prefix=f"{folder.key}/")
        keys = [entry["Key"] for page in pages for entry in page["Contents"]]
        assert len(keys) == count

        def fetch(key: str) -> dict[str, Any]:
            return row(key, s3.get_object(Bucket=folder.bucket, Key=key)["Body"].read())

        with ThreadPoolExecutor(THREADS) as pool:
            table = pa.Table.from_pylist(list(pool.map(fetch, keys)))
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="snappy")
        s3.put_object(Bucket=output.bucket, Key=output.join("metadata.parquet").key, Body=buffer.getvalue())

    return work


def list_and_fetch(location: str, count: int) -> Work:
    """List all files and fetch them."""
    import obstore.auth.boto3
    import obstore.store

    folder = S3Uri.parse(location)

    def work() -> None:
        pages = obstore.list(open_store(folder.bucket), f"{folder.key}/")
        keys = [entry["path"] for page in pages for entry in page]
        assert len(keys) == count
        fetch_and_drop(folder.bucket, keys)

    return work
