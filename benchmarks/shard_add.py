"""A few more photos in a data set with shards, against sharding all of it again."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterator

import pyarrow as pa

from benchmarks import server
from benchmarks.bins import Uploaded, bins, upload_photos
from benchmarks.cases import Bound, Case, say
from benchmarks.child import ContenderError, Measured, measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare, written
from benchmarks.options import Options
from steps.contracts.s3_uri import S3Uri


def cases(options: Options) -> Iterator[Case]:
    """GETs for photos, and seconds, to add `baseline_count` photos to `count`; the baseline shards all of them."""
    more = options.baseline_count
    added, fresh = [], []
    with server.bucket() as bucket:
        uploaded = upload_photos(bins(options.count), options.count + more, S3Uri(bucket, "raw"))
        before = uploaded.labels.slice(0, options.count)
        for number in range(options.rounds):
            for turn in ("added", "fresh") if number % 2 == 0 else ("fresh", "added"):
                with server.bucket() as target:
                    if turn == "added":
                        _shard(uploaded, before, S3Uri(target, "out"), options, options.count)
                        added.append(_shard(uploaded, uploaded.labels, S3Uri(target, "out"), options, more))
                    else:
                        total = len(uploaded.labels)
                        fresh.append(_shard(uploaded, uploaded.labels, S3Uri(target, "out"), options, total))
            say(
                f"round {number + 1} of {options.rounds}: {added[-1].figures['gets']:.0f} GETs in"
                f" {added[-1].seconds:.2f} s, for all {fresh[-1].figures['gets']:.0f} in {fresh[-1].seconds:.2f} s"
            )
    gets = [statistics.median(run.figures["gets"] for run in runs) for runs in (added, fresh)]
    seconds = [statistics.median(run.seconds for run in runs) for runs in (added, fresh)]
    yield Case("shard-add-gets", "GETs", *gets, bounds=(Bound("ratio", "at most", 0.05),))
    yield Case("shard-add-time", "s", *seconds, bounds=(Bound("ratio", "at most", 0.15),))


def _shard(uploaded: Uploaded, labels: pa.Table, output: S3Uri, options: Options, wanted: int) -> Measured:
    """Shard `labels`. Raises ContenderError unless exactly `wanted` photos are written."""
    name = uuid.uuid4().hex[:12]
    base = options.folder / name
    prepare(base, labels, output, job=name)
    flags = ["--image-location", str(uploaded.location), "--image-size", "0"]
    measured = measure(sharding.counted_step, {"base": str(base), "flags": flags})
    photos, _ = written(base)
    if photos != wanted:
        raise ContenderError(f"the step wrote {photos} photos, not {wanted}")
    return measured
