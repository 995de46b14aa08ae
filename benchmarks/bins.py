"""The bins of the benchmarks: real ones where they are at hand, else synthetic ones, copied to any number."""

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
from benchmarks.contenders.planning.groups import connect, item_sets
from benchmarks.contenders.planning.links import copies_of, groups_of, link
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
# Numbers of photos with 0 to 5 objects in the real data set, and of photos per item.
QUANTITIES = (9_701, 41_147, 76_863, 90_058, 80_550, 62_448)
PHOTOS_PER_ITEM = 3


def samples_folder() -> Path:
    """The folder with the samples of the Amazon Bin Image Dataset: $ABID_SAMPLE. It may be missing."""
    return Path(os.environ.get("ABID_SAMPLE", ROOT.parent / "shared" / "data" / "abid"))


def bins(count: int, *, small: bool = False) -> list[Bin]:
    """Different bins, `count` or at most `DISTINCT`; `small` ones have photos of about 224 pixels.

    They are from `samples_folder` where it exists, else synthetic.
    """
    archive = samples_folder() / ("resized-224.tar" if small else "originals.tar")
    if archive.exists():
        samples = list(open_source(str(archive), count=0, seed=0, limit=min(count, DISTINCT)))
        kind = "real"
    else:
        samples = list(synthetic.generate(min(count, DISTINCT), seed=1))
        if small:
            samples = [Bin(each.image_id, shrink_jpeg(each.jpeg, SMALL_SIDE, 90), each.metadata) for each in samples]
        kind = "synthetic"
    size = sum(len(sample.jpeg) for sample in samples) / len(samples)
    say(f"{len(samples)} {kind} photos of {size / 1000:.0f} KB on average")
    return samples


@dataclass(frozen=True)
class Uploaded:
    """Photos below `location`, and their labels (the labels contract)."""

    location: S3Uri
    labels: pa.Table


def upload_photos(distinct: Sequence[Bin], count: int, location: S3Uri) -> Uploaded:
    """Upload `count` photos below `location`: copies of `distinct`, each as a bin of its own."""

    async def put(store: Any, number: int) -> dict[str, Any]:
        copy, place = divmod(number, len(distinct))
        sample, key = distinct[place], image_key(f"{number:06d}")
        answer = await obstore.put_async(store, location.join(key).key, sample.jpeg)
        document = json.loads(sample.metadata)
        return {
            "image_id": f"{number:06d}",
            "quantity": int(document["EXPECTED_QUANTITY"]),
            "asins": sorted(f"{copy}-{item}" for item in document["BIN_FCSKU_DATA"]),
            "image_key": key,
            "image_etag": str(answer["e_tag"]).strip('"'),
            "image_bytes": len(sample.jpeg),
            "bin_group": None,
        }

    rows = asyncio.run(_all(put, location.bucket, count))
    return Uploaded(location, pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["image_id"])), SCHEMA))


def physical_bins(labels: pa.Table) -> dict[str, int]:
    """A number per physical bin for each photo of the labels, by the rule of the grouped split."""
    usable = np.ones(len(labels), bool)
    links = link(item_sets(labels["asins"]), groups_of(labels, usable), copies_of(labels, usable))
    every = np.ones(links.count, bool)
    roots = connect(links.count, np.concatenate([links.alike.edges(every), links.shared(usable)]))
    alone = links.count + np.arange(len(labels))
    numbers = np.where(links.of_photo >= 0, roots[links.of_photo], alone)
    return dict(zip(labels["image_id"].to_pylist(), numbers.tolist(), strict=True))


def upload_metadata(distinct: Sequence[Bin], count: int, location: S3Uri) -> None:
    """Upload `count` metadata files below `location`: copies of those of `distinct`."""

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

    All of them share the objects of `photos`, which has labels of a few: half a million bins need no storage.
    """
    rng = np.random.default_rng(seed)
    shares = np.array(QUANTITIES) / sum(QUANTITIES)
    quantities = rng.choice(len(shares), count, p=shares / shares.sum()).astype(np.int32)
    # A few items are frequent, most are rare.
    drawn = (int(quantities.sum() / PHOTOS_PER_ITEM) * rng.random(int(quantities.sum())) ** 2).astype(np.int64)
    held = np.split(drawn, np.cumsum(quantities)[:-1])
    objects = photos.take(np.arange(count) % photos.num_rows)
    columns = {
        "image_id": pa.array([f"{number:06d}" for number in range(count)]),
        "quantity": pa.array(quantities),
        "asins": pa.array([sorted({f"B{item:09d}" for item in items}) for items in held], pa.list_(pa.string())),
    }
    columns |= {name: objects[name] for name in SCHEMA.names if name not in columns}
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
