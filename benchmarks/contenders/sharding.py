"""Photos from S3 into shards in S3: the step, the naive way, and the two rates that limit both."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.child import Work
from benchmarks.contenders.fetching import fetch_and_drop_awaited
from benchmarks.job import LABELS
from benchmarks.step_arguments import SHARD, flags_of
from steps.contracts.s3_uri import S3Uri
from steps.shard.bucket import Photo


def step(base: str, flags: list[str]) -> Work:
    """The real step, in the container's folder `base`."""
    # Imports of the step on first use.
    import boto3
    import cv2
    import obstore.auth.boto3
    import obstore.store
    import simplejpeg

    del boto3, cv2, obstore, simplejpeg
    from steps.shard.__main__ import main

    os.environ["SAGEMAKER_BASE_DIR"] = base
    return lambda: main([*flags_of(SHARD), *flags])


def step_in_processes(base: str, flags: list[str], processes: int) -> Work:
    """The real step, whose buckets are written by this number of processes."""
    from steps.shard import dealing

    def chosen(cores: int, buckets: int, photos: int) -> int:
        del cores, photos
        return min(processes, buckets)

    dealing.number_of_processes = chosen
    return step(base, flags)


def counted_step(base: str, flags: list[str]) -> Work:
    """The real step in a single process, which also counts its GETs of photos."""
    from steps.shard.photos import PhotoSource

    fetch, gets = PhotoSource._fetch, itertools.count()

    async def counted(source: PhotoSource, photo: Photo) -> bytes:
        next(gets)
        return await fetch(source, photo)

    PhotoSource._fetch = counted  # type: ignore[method-assign]
    work = step_in_processes(base, flags, 1)

    def counting() -> dict[str, float]:
        work()
        return {"gets": float(next(gets))}

    return counting


def naive(base: str, location: str, target: str, count: int, shorter_side: int) -> Work:
    """The first `count` photos of the labels in `base` in the simplest way.

    One GET after another, a random split, shards on the local disk, then their upload. With `shorter_side` > 0 Pillow
    resizes each photo.
    """
    import io

    import boto3
    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image
    from webdataset import ShardWriter

    source, destination = S3Uri.parse(location), S3Uri.parse(target)

    def shrink(data: bytes) -> bytes:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = shorter_side / min(image.size)
        buffer = io.BytesIO()
        image.resize((round(image.width * scale), round(image.height * scale))).save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    def work() -> None:
        rows = pq.read_table(Path(base) / LABELS).to_pylist()[:count]
        rows = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
        held_out = max(1, len(rows) // 10)
        splits = {"test": rows[:held_out], "validation": rows[held_out : 2 * held_out], "train": rows[2 * held_out :]}
        s3 = boto3.client("s3")
        with tempfile.TemporaryDirectory(dir=base) as folder:
            for split, photos in splits.items():
                with ShardWriter(f"{folder}/{split}-%06d.tar", maxcount=10**9, maxsize=200e6, verbose=0) as writer:
                    for row in photos:
                        key = source.join(row["image_key"]).key
                        data = s3.get_object(Bucket=source.bucket, Key=key)["Body"].read()
                        jpeg = shrink(data) if shorter_side else data
                        writer.write({"__key__": row["image_id"], "jpg": jpeg, "cls": row["quantity"]})
            for shard in sorted(Path(folder).glob("*.tar")):
                s3.upload_file(str(shard), destination.bucket, destination.join(shard.name).key)

    return work


def raw_gets(base: str, location: str) -> Work:
    """Fetch all photos of the labels in `base`."""
    import obstore.auth.boto3
    import obstore.store
    import pyarrow.parquet as pq

    del obstore
    source = S3Uri.parse(location)
    keys = [source.join(key).key for key in pq.read_table(Path(base) / LABELS)["image_key"].to_pylist()]
    return lambda: asyncio.run(fetch_and_drop_awaited(source.bucket, keys))


def resize(folder: str, count: int, shorter_side: int, quality: int) -> Work:
    """Resize `count` photos from memory, copies of those in `folder`, on one thread per core, as the step does."""
    import cv2

    from steps.photos.jpeg import shrink_jpeg

    cv2.setNumThreads(1)
    photos = [path.read_bytes() for path in sorted(Path(folder).iterdir())]

    def work() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for _ in threads.map(
                lambda number: len(shrink_jpeg(photos[number % len(photos)], shorter_side, quality)), range(count)
            ):
                pass

    return work
