"""One data set on 1, 2 and 4 instances: the balance of their shares, and their total work.

The instances run one after another on this machine, so that the sum of their times is the total work.
"""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import server
from benchmarks.bins import Uploaded, bins, upload_photos
from benchmarks.cases import Case, say
from benchmarks.child import measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare, written
from benchmarks.options import Options
from steps.contracts.s3_uri import S3Uri

INSTANCES = (1, 2, 4)
# Small, so that every instance writes several.
SHARD_MEGABYTES = 8


@dataclass(frozen=True)
class Share:
    """Photos and bytes that an instance wrote, and its seconds."""

    photos: int
    bytes: int
    seconds: float


def cases(options: Options) -> Iterator[Case]:
    """Per number of instances: the largest share against the mean, and their total seconds against one instance's.

    The limit of a share's bytes is the mean plus one shard.
    """
    runs: dict[int, list[list[Share]]] = {instances: [] for instances in INSTANCES}
    with server.bucket() as bucket:
        uploaded = upload_photos(bins(options.count), options.count, S3Uri(bucket, "raw"))
        for number in range(options.rounds):
            for instances in INSTANCES if number % 2 == 0 else reversed(INSTANCES):
                runs[instances].append(_run(uploaded, instances, options))
    work = {n: statistics.median(sum(share.seconds for share in shares) for shares in runs[n]) for n in INSTANCES}
    for instances in INSTANCES:
        shares = runs[instances][0]  # the same in every round
        photos, megabytes = [share.photos for share in shares], [share.bytes / 1e6 for share in shares]
        name, mean = f"shard-scale-{instances}", statistics.mean(megabytes)
        yield Case(f"{name}-photos", "photos", max(photos), statistics.mean(photos))
        yield Case(f"{name}-bytes", "MB", max(megabytes), mean, mean + SHARD_MEGABYTES)
        yield Case(f"{name}-work", "s", work[instances], work[1])


def _run(uploaded: Uploaded, instances: int, options: Options) -> list[Share]:
    """The shares of all instances, run one after another."""
    shares = []
    flags = ["--image-location", str(uploaded.location), "--image-size", "0"]
    with server.bucket() as bucket:
        for instance in range(instances):
            base = options.folder / uuid.uuid4().hex[:12]
            prepare(base, uploaded.labels, S3Uri(bucket, "out"), instance, instances)
            megabytes = ["--shard-megabytes", str(SHARD_MEGABYTES)]
            measured = measure(sharding.step, {"base": str(base), "flags": [*flags, *megabytes]})
            shares.append(Share(*written(base), measured.seconds))
    say(f"{instances} instances: " + ", ".join(f"{s.photos} photos in {s.seconds:.2f} s" for s in shares))
    return shares
