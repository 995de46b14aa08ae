"""The bins that benchmarks work on: real ones where they are at hand, synthetic ones elsewhere, as many as it takes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa

from benchmarks.cases import say
from benchmarks.child import ROOT
from pipeline.samples import synthetic
from pipeline.samples.layout import Bin, image_key, metadata_key
from pipeline.samples.sources import open_source
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import shrink_jpeg
from steps.runtime.s3 import open_store

# Different bins; the rest are copies of them under other ids and with other items.
DISTINCT = 450
SMALL_SIDE = 224
IN_FLIGHT = 32
# Of the real data set: its photos with 0 to 5 objects, and how many photos show one item.
QUANTITIES = (9_701, 41_147, 76_863, 90_058, 80_550, 62_448)
PHOTOS_AN_ITEM = 3


def samples_folder() -> Path:
    """Where the samples of the Amazon Bin Image Dataset are, if they are at hand: $ABID_SAMPLE."""
    return Path(os.environ.get("ABID_SAMPLE", ROOT.parent / "shared" / "data" / "abid"))


def bins(count: int, *, small: bool = False) -> list[Bin]:
    """Different bins, `count` of them or as many as are kept apart; `small` ones have photos of about 224 pixels.

    They are taken from $ABID_SAMPLE (a folder with the samples of the Amazon Bin Image Dataset) where it is there.
    """
    archive = samples_folder() / ("resized-224.tar" if small else "originals.tar")
    if archive.exists():
        found = list(open_source(str(archive), count=0, seed=0, limit=min(count, DISTINCT)))
        kind = "real"
    else:
        found = list(synthetic.generate(min(count, DISTINCT), seed=1))
        if small:
            found = [Bin(one.image_id, shrink_jpeg(one.jpeg, SMALL_SIDE, 90), one.metadata) for one in found]
        kind = "synthetic"
    size = sum(len(one.jpeg) for one in found) / len(found)
    say(f"{len(found)} {kind} photos of {size / 1000:.0f} KB on average")
    return found


@dataclass(frozen=True)
class Uploaded:
    """Photos below `location`, and their labels (the labels contract)."""

    location: S3Uri
    labels: pa.Table


def upload_photos(distinct: Sequence[Bin], count: int, location: S3Uri) -> Uploaded:
    """`count` photos below `location`: each of `distinct` as often as it takes, as another bin each time."""

    async def put(store: Any, number: int) -> dict[str, Any]:
        copy, place = divmod(number, len(distinct))
        one, key = distinct[place], image_key(f"{number:06d}")
        answer = await obstore.put_async(store, location.join(key).key, one.jpeg)
        document = json.loads(one.metadata)
        return {
            "image_id": f"{number:06d}",
            "quantity": int(document["EXPECTED_QUANTITY"]),
            "asins": sorted(f"{copy}-{item}" for item in document["BIN_FCSKU_DATA"]),
            "image_key": key,
            "image_etag": str(answer["e_tag"]).strip('"'),
            "image_bytes": len(one.jpeg),
        }

    rows = asyncio.run(_all(put, location.bucket, count))
    return Uploaded(location, pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["image_id"])), SCHEMA))


def upload_metadata(distinct: Sequence[Bin], count: int, location: S3Uri) -> None:
    """`count` metadata files below `location`: each of `distinct` as often as it takes."""

    async def put(store: Any, number: int) -> None:
        key = metadata_key(f"{number:06d}")
        await obstore.put_async(store, location.join(key).key, distinct[number % len(distinct)].metadata)

    asyncio.run(_all(put, location.bucket, count))


async def _all(put: Any, bucket: str, count: int) -> list[Any]:
    store, numbers = open_store(bucket), iter(range(count))

    async def some() -> list[Any]:
        return [await put(store, number) for number in numbers]

    return list(itertools.chain(*await asyncio.gather(*[some() for _ in range(IN_FLIGHT)])))


def invented_labels(photos: pa.Table, count: int, seed: int = 1) -> pa.Table:
    """Labels of `count` bins, with quantities and items as frequent as in the real data set.

    All of them share the objects of `photos`, labels of a few, so that half a million bins need no terabyte.
    """
    rng = np.random.default_rng(seed)
    shares = np.array(QUANTITIES) / sum(QUANTITIES)
    quantities = rng.choice(len(shares), count, p=shares / shares.sum()).astype(np.int32)
    # A few items are everywhere and most are rare.
    drawn = (int(quantities.sum() / PHOTOS_AN_ITEM) * rng.random(int(quantities.sum())) ** 2).astype(np.int64)
    held = np.split(drawn, np.cumsum(quantities)[:-1])
    objects = photos.take(np.arange(count) % photos.num_rows)
    columns = {
        "image_id": pa.array([f"{number:06d}" for number in range(count)]),
        "quantity": pa.array(quantities),
        "asins": pa.array([sorted({f"B{item:09d}" for item in items}) for items in held], pa.list_(pa.string())),
    }
    columns |= {name: objects[name] for name in SCHEMA.names if name not in columns}
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
