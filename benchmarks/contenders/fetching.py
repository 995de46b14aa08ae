"""Objects out of S3 and nothing else: what no contender that fetches them can be faster than."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from steps.runtime.s3 import open_store

# Past this many requests in flight the rate no longer grows.
IN_FLIGHT = 64


def fetch_and_drop(bucket: str, keys: Iterable[str]) -> None:
    """Fetch every object whole. On threads: a blocking get takes less of the processor than two awaits."""
    import obstore

    store = open_store(bucket)

    def fetch(key: str) -> None:
        obstore.get(store, key).bytes()

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        for _ in threads.map(fetch, keys):
            pass


async def fetch_and_drop_awaited(bucket: str, keys: Iterable[str]) -> None:
    """Fetch every object whole, awaited as the shard step does it.

    On two cores that also run the server, blocking threads reach a fifth more. They do not when the step is built on
    them: what they spare is spent on handing photos over.
    """
    import obstore

    store = open_store(bucket)
    remaining = iter(keys)

    async def fetch() -> None:
        for key in remaining:
            await (await obstore.get_async(store, key)).bytes_async()

    await asyncio.gather(*(fetch() for _ in range(IN_FLIGHT)))
