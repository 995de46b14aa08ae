"""The real photos that a training is measured on, and their split."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from benchmarks.bins import physical_bins, samples_folder, upload_photos
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare
from benchmarks.options import Options
from pipeline.samples.sources import open_source
from steps.contracts.s3_uri import S3Uri

SAMPLE = "resized-224.tar"
MAXIMUM_QUANTITY = 5


def shard(options: Options, bucket: str) -> tuple[Path, dict[str, int]]:
    """A folder as in a container, with the index of a grouped split as the training's channel; and the bins."""
    archive = samples_folder() / SAMPLE
    if not archive.exists():
        raise ContenderError(f"{archive} is missing: set ABID_SAMPLE to the folder with {SAMPLE}")
    bins = list(open_source(str(archive), count=0, seed=0))
    uploaded = upload_photos(bins, len(bins), S3Uri(bucket, "raw"))
    few = uploaded.labels.filter(pa.compute.less_equal(uploaded.labels["quantity"], MAXIMUM_QUANTITY))
    few = few.slice(0, options.count)
    base = options.folder / "shard"
    prepare(base, few, S3Uri(bucket, "out"))
    flags = ["--image-location", str(uploaded.location), "--image-size", "0", "--split", "grouped", "--seed", "1"]
    measure(sharding.step, {"base": str(base), "flags": flags})
    return base, physical_bins(few)
