"""Peak memory of a shard worker by the number of photos, the size of shards, and the size of the plan."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from benchmarks import server
from benchmarks.bins import bins, invented_labels, upload_photos
from benchmarks.cases import Bound, Case, say
from benchmarks.child import measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare, written
from benchmarks.options import Options
from pipeline.samples.layout import Bin
from steps.contracts.s3_uri import S3Uri

UNIT = "MB"
LIMIT = 600
# The whole public data set, and a share of it.
LABELS = 535_234
# As many as the plan has buckets, so that the share of an instance is one of them.
INSTANCES = 32
LARGE_SHARD_MEGABYTES = 256
SMALL_SHARD_MEGABYTES = 8
# Training has 0.8 of the photos; a little more, so that one of its shards becomes full.
PHOTOS_PER_SHARD = 1.25 * 1.1
_BOUNDS = (Bound("of_limit", "at most", 1),)


def cases(options: Options) -> Iterator[Case]:
    """The peak at the largest (ours) and at the smallest (the baseline) number of photos, shard size, and plan."""
    small = bins(options.count, small=True)
    counts = [max(1, options.count // part) for part in (16, 4, 1)]
    peaks = [_median(options, partial(_photos, small, count, options)) for count in counts]
    yield Case("memory", UNIT, peaks[-1], peaks[0], LIMIT, _BOUNDS)

    # With a small --count no shard becomes full.
    large = bins(options.count)
    full = int(PHOTOS_PER_SHARD * LARGE_SHARD_MEGABYTES * 1e6 / statistics.mean(len(sample.jpeg) for sample in large))
    count, sizes = min(full, options.count), (SMALL_SHARD_MEGABYTES, LARGE_SHARD_MEGABYTES)
    peaks = [_median(options, partial(_photos, large, count, options, size)) for size in sizes]
    yield Case(f"memory-shards-{LARGE_SHARD_MEGABYTES}", UNIT, peaks[-1], peaks[0], LIMIT, _BOUNDS)

    # Both move the same number of photos.
    peaks = [_median(options, partial(_share, large, parts, options)) for parts in (2, INSTANCES)]
    yield Case("memory-plan", UNIT, peaks[-1], peaks[0], LIMIT, _BOUNDS)


def _median(options: Options, peak: Callable[[], float]) -> float:
    return statistics.median(peak() for _ in range(options.rounds))


def _photos(distinct: list[Bin], count: int, options: Options, megabytes: int = 200) -> float:
    """The peak of an instance that moves `count` photos, in MB."""
    with server.bucket() as bucket:
        uploaded = upload_photos(distinct, count, S3Uri(bucket, "raw"))
        say(f"{count} photos into shards of {megabytes} MB")
        return _peak(uploaded.labels, uploaded.location, options, megabytes=megabytes)


def _share(distinct: list[Bin], parts: int, options: Options) -> float:
    """The peak, in MB, of one of `parts` instances, which plans for all photos and moves its share."""
    with server.bucket() as bucket:
        uploaded = upload_photos(distinct, len(distinct), S3Uri(bucket, "raw"))
        labels = invented_labels(uploaded.labels, LABELS * parts // INSTANCES)
        say(f"a share of {labels.num_rows} photos on {parts} instances")
        return _peak(labels, uploaded.location, options, instances=parts)


def _peak(labels: pa.Table, location: S3Uri, options: Options, instances: int = 1, megabytes: int = 200) -> float:
    base = options.folder / uuid.uuid4().hex[:12]
    prepare(base, labels, S3Uri(location.bucket, "out"), instances=instances)
    flags = ["--image-location", str(location), "--image-size", "0", "--shard-megabytes", str(megabytes)]
    # The photos of a large plan are copies of a few, which would all be of the same bin.
    flags += ["--split", "random"]
    measured = measure(sharding.step, {"base": str(base), "flags": flags})
    (photos, size), peak = written(base), measured.peak_bytes / 1e6
    say(f"  {photos} photos, {size / 1e6:.0f} MB, written in {measured.seconds:.1f} s: peak of {peak:.0f} MB")
    return peak
