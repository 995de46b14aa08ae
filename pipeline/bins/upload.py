"""Bins into a bucket, many at a time, with no more of them in memory than are under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.bins import layout
from pipeline.bins.layout import Bin
from pipeline.bins.sources import Source
from pipeline.errors import PipelineError

THREADS = 8
WAITING = 64


@dataclass(frozen=True)
class Uploaded:
    """How many bins, their size in bytes, and what the source could not give, by reason."""

    count: int
    bytes: int
    skipped: dict[str, int]


def upload(source: Source, destination: str, progress: Callable[[int], None]) -> Uploaded:
    """Put every bin below `destination` (s3://BUCKET/PREFIX); `progress` is told of each bin that has arrived.

    Credentials and endpoint are the environment's. The first request that fails ends the upload with its error.
    """
    bucket, _, prefix = destination.removeprefix("s3://").partition("/")
    if not destination.startswith("s3://") or not bucket:
        raise PipelineError(f"{destination}: bins go to s3://BUCKET/PREFIX")
    s3 = _client()
    free = threading.Semaphore(WAITING)
    futures: list[Future[int]] = []
    failed = threading.Event()

    def put(one: Bin) -> int:
        try:
            for key, body, kind in (
                (layout.image_key(one.image_id), one.jpeg, "image/jpeg"),
                (layout.metadata_key(one.image_id), one.metadata, "application/json"),
            ):
                s3.put_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{key}".lstrip("/"), Body=body, ContentType=kind)
        except BaseException:
            failed.set()
            raise
        finally:
            free.release()
        progress(1)
        return len(one.jpeg) + len(one.metadata)

    with ThreadPoolExecutor(THREADS) as pool:
        for one in source:
            free.acquire()
            if failed.is_set():
                break
            futures.append(pool.submit(put, one))
    sizes = [future.result() for future in futures]
    return Uploaded(len(sizes), sum(sizes), dict(source.skipped))


def _client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(max_pool_connections=THREADS, retries={"mode": "standard"}))
