"""Fetching objects from S3 and nothing else: the limit of every contender that fetches them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.child import Work
from steps.runtime.s3 import open_store

# With more requests in flight the rate does not grow.
IN_FLIGHT = 64


def fetch_and_drop(bucket: str, keys: Iterable[str]) -> None:
    """Fetch all objects, on threads: a blocking get takes less processor time than two awaits."""
    import obstore

    store = open_store(bucket)

    def fetch(key: str) -> None:
        obstore.get(store, key).bytes()

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        for _ in threads.map(fetch, keys):
            pass


async def fetch_and_drop_awaited(bucket: str, keys: Iterable[str], in_flight: int = IN_FLIGHT) -> None:
    """Fetch all objects with awaits, as the shard step does.

    On two cores that also run the server, blocking threads are a fifth faster. A step on threads is not: it loses the
    gain by handing photos from thread to thread.
    """
    import obstore

    store = open_store(bucket)
    remaining = iter(keys)

    async def fetch() -> None:
        for key in remaining:
            await (await obstore.get_async(store, key)).bytes_async()

    await asyncio.gather(*(fetch() for _ in range(in_flight)))


def keys(prefix: str, count: int) -> list[str]:
    """The keys of numbered objects."""
    return [f"{prefix}/{number:06d}" for number in range(count)]


def numbered(bucket: str, prefix: str, count: int, in_flight: int) -> Work:
    """Fetch numbered objects, `in_flight` at a time."""
    import obstore.auth.boto3
    import obstore.store

    del obstore
    return lambda: asyncio.run(fetch_and_drop_awaited(bucket, keys(prefix, count), in_flight))
