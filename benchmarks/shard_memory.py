"""Peak memory of a shard worker under plans of different sizes."""

from __future__ import annotations

import asyncio
import statistics
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import server
from benchmarks.bins import bins, upload_photos
from benchmarks.cases import Bound, Case, say
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare_planned, written
from benchmarks.options import Options
from benchmarks.step_arguments import SHARD, flags_of
from steps.contracts import shard_plan
from steps.contracts.dataset import SPLITS, Sharding
from steps.contracts.names import COMPLETE_MARKER
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKET, BUCKETS, DESCRIPTION, LEFT_OUT_NAME, Bucket, ShardPlan
from steps.contracts.shard_summary import Leakage, Overlap
from steps.planning.bucket_files import bucket_file, bucket_name
from steps.planning.buckets import bucket_count
from steps.planning.run import StoredPlan
from steps.planning.settings import DatasetSettings
from steps.runtime.arguments import parse
from steps.runtime.s3 import open_store
from steps.shard.ledger import PHOTOS, Record, record_of
from steps.shard.settings import Settings

UNIT = "MB"
# Instances of the job, of which the first is measured, and photos that are left for it to write.
INSTANCES, MISSING = 4, 200
# Photos of a split, of each hundred.
SHARES = (80, 10, 10)
QUANTITIES = 6
TAR = b"tar"


def cases(options: Options) -> Iterator[Case]:
    """The peak under a plan of `options.count` photos (ours), and of a fifth of them (the baseline).

    The worker plans nothing: it reads its buckets and the records of the photos that are written already, which are
    all but a few.
    """
    with server.bucket() as bucket:
        distinct = bins(MISSING, small=True)
        uploaded = upload_photos(distinct, MISSING, S3Uri(bucket, "raw"))
        flags = ["--image-location", str(uploaded.location), "--image-size", "0"]
        settings = parse(Settings, [*flags_of(SHARD), *flags])
        peaks = []
        for photos in (options.count // 5, options.count):
            output = S3Uri(bucket, f"out-{photos}")
            plan = _store(settings, photos, uploaded.labels, output)
            peaks.append(statistics.median(_peak(plan, output, flags, options) for _ in range(options.rounds)))
        yield Case("shard-memory-growth", UNIT, peaks[1], peaks[0], bounds=(Bound("ratio", "at most", 1.1),))


def _peak(plan: StoredPlan, output: S3Uri, flags: list[str], options: Options) -> float:
    """The peak of the first instance, in MB."""
    base = options.folder / uuid.uuid4().hex[:12]
    prepare_planned(base, plan, output, instances=INSTANCES)
    # A single process, so that its peak is all of the instance's work.
    measured = measure(sharding.step_in_processes, {"base": str(base), "flags": flags, "processes": 1})
    photos, _ = written(base)
    # So that the next round finds the same photos missing.
    _delete(output, plan)
    if photos != MISSING:
        raise ContenderError(f"the step wrote {photos} of {MISSING} photos")
    peak, share = measured.peak_bytes / 1e6, sum(bucket.photos for bucket in plan.plan.share(0, INSTANCES))
    say(f"{share} of {plan.plan.photos} photos, {photos} written, in {measured.seconds:.1f} s: peak of {peak:.0f} MB")
    return peak


def _store(settings: DatasetSettings, photos: int, missing: pa.Table, output: S3Uri) -> StoredPlan:
    """A made-up plan of `photos`, and shards of all that the first instance writes but the `missing` ones."""
    buckets, count = [], bucket_count(photos, first=True)
    folder = output.join("plans", uuid.uuid4().hex)
    with ThreadPoolExecutor(4) as threads:
        stored = []
        for number in range(count):
            name = bucket_name(1, number)
            size = photos // count + (number < photos % count)
            rows = _rows(number, size, missing if number == 0 else None)
            bucket, content = bucket_file(name, rows)
            buckets.append(bucket)
            if number % INSTANCES == 0:
                shards = output.join("shards", settings.dataset, name)
                stored.append(threads.submit(_store_bucket, folder, bucket, content, rows, shards))
        for each in stored:
            each.result()
    uri = folder.join(DESCRIPTION)
    plan = _described(settings, photos, buckets)
    store = open_store(uri.bucket)
    obstore.put(store, uri.join(shard_plan.NAME).key, plan.model_dump_json().encode())
    obstore.put(store, uri.join(LEFT_OUT_NAME).key, b"")
    say(f"a plan of {photos} photos in {count} buckets")
    return StoredPlan(uri, plan)


def _rows(number: int, size: int, missing: pa.Table | None) -> pa.Table:
    """The photos of a bucket in the order of writing; those that are `missing` have other ids and are of training."""
    splits = np.repeat(np.arange(len(SPLITS), dtype=np.int8), _counts(size))
    ids = [f"{number:05d}{row:06d}" for row in range(size)]
    columns = {
        "image_id": pa.array(ids),
        "image_key": pa.array([f"{image_id}.jpg" for image_id in ids]),
        "quantity": pa.array(np.arange(size) % QUANTITIES, pa.int32()),
        "image_etag": pa.array([f"{hash_:032x}" for hash_ in range(number << 20, (number << 20) + size)]),
        "image_bytes": pa.array(np.full(size, 57_000), pa.int64()),
        "split": pa.array(splits),
    }
    rows = pa.table(columns).cast(BUCKET)
    if missing is None:
        return rows
    first = missing.select(BUCKET.names[:-1]).append_column("split", pa.array([0] * len(missing), pa.int8()))
    return pa.concat_tables([first.cast(BUCKET), rows.slice(len(missing))])


def _counts(size: int) -> list[int]:
    held_out = [size * share // 100 for share in SHARES[1:]]
    return [size - sum(held_out), *held_out]


def _store_bucket(folder: S3Uri, bucket: Bucket, content: bytes, rows: pa.Table, shards: S3Uri) -> None:
    """Store a bucket, and a complete generation with all of its photos but those with real bytes, a shard per split."""
    store = open_store(folder.bucket)
    obstore.put(store, folder.join(BUCKETS, f"{bucket.name}.parquet").key, content)
    generation = shards.join(f"000001-{'0' * 16}")
    written = rows.filter(pc.equal(rows["image_bytes"], 57_000))
    for place, split in enumerate(SPLITS):
        held = written.filter(pc.equal(written["split"], place))
        reasons = pa.nulls(len(held), pa.string())
        table = held.select(["image_id", "image_etag", "quantity"]).append_column("reason", reasons).cast(PHOTOS)
        uri = generation.join(split, f"{split}-000000.tar")
        obstore.put(store, uri.key, TAR)
        obstore.put(store, record_of(uri).key, Record(uri, len(TAR), "0" * 64, table).content())
    obstore.put(store, generation.join(COMPLETE_MARKER).key, b"{}\n")


def _delete(output: S3Uri, plan: StoredPlan) -> None:
    """Delete the generation that the measured worker added to the first bucket."""
    store = open_store(output.bucket)
    folder = output.join("shards", plan.plan.dataset, plan.plan.buckets[0].name)

    async def delete() -> None:
        pages = obstore.list(store, prefix=f"{folder.key}/")
        added = [each["path"] for page in pages for each in page if "/000002-" in each["path"]]
        await obstore.delete_async(store, added)

    asyncio.run(delete())


def _described(settings: DatasetSettings, photos: int, buckets: list[Bucket]) -> ShardPlan:
    nothing = Overlap(photos=0, same_bin=0, same_item=0)
    return ShardPlan(
        dataset=settings.dataset,
        sharding=Sharding(
            split=settings.split,
            seed=settings.seed,
            fractions=settings.fractions,
            image_size=settings.image_size,
            quality=settings.quality,
        ),
        labelled=photos,
        left_out={},
        left_out_sha256="0" * 64,
        later=0,
        class_counts={split: {} for split in SPLITS},
        leakage=Leakage(split=nothing, random=nothing),
        largest_group=0,
        assignments="s3://benchmark/assignments",
        buckets=buckets,
    )
