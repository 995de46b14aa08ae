"""An instance that writes by a process per core, against one that writes by a single process."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterator
from functools import partial

import pyarrow.parquet as pq

from benchmarks import server
from benchmarks.bins import Uploaded, bins, upload_photos
from benchmarks.cases import Bound, Case, say, take_turns
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare_planned, written
from benchmarks.options import Options
from benchmarks.step_arguments import SHARD, flags_of
from steps.contracts.s3_uri import S3Uri
from steps.planning.local import LocalEngine
from steps.planning.run import Places, StoredPlan, make_plan
from steps.runtime.arguments import parse
from steps.runtime.machine import available_cores
from steps.shard.settings import Settings

UNIT = "photos/s"
# Photos that keep their bytes cost the interpreter most; those that are resized are resized on all cores anyway.
CASES = (("shard-cores", 0), ("shard-cores-resize", 256))
# Several processes take the same processor time as a single one, besides their start.
BOUND = Bound("ratio", "at most", 1.25)


def cases(options: Options) -> Iterator[Case]:
    """Photos per second with `options.threads` processes (default: one per core) against a single process.

    The plan is made before. Where the S3 server has the same cores, more processes take them from the server; the
    processor time per photo says what they cost in any case.
    """
    processes = options.threads or available_cores()
    with server.bucket() as bucket:
        uploaded = upload_photos(bins(options.count), options.count, S3Uri(bucket, "raw"))
        for name, image_size in CASES:
            flags = ["--image-location", str(uploaded.location), "--image-size", str(image_size)]
            plan = _plan(uploaded, flags, S3Uri(bucket, name), options)
            milliseconds: dict[int, list[float]] = {1: [], processes: []}
            contenders = {
                "baseline": partial(_rate, plan, flags, 1, milliseconds[1], options),
                "ours": partial(_rate, plan, flags, processes, milliseconds[processes], options),
            }
            yield Case(name, UNIT, **take_turns(contenders, options.rounds, UNIT))
            ours, baseline = (statistics.median(milliseconds[number]) for number in (processes, 1))
            yield Case(f"{name}-cpu", "ms", ours, baseline, bounds=(BOUND,))


def _plan(uploaded: Uploaded, flags: list[str], place: S3Uri, options: Options) -> StoredPlan:
    labels = options.folder / uuid.uuid4().hex[:12]
    labels.mkdir()
    pq.write_table(uploaded.labels, labels / "part.parquet")
    places = Places(place.join("assignments"), place.join("plans"))
    return make_plan(parse(Settings, [*flags_of(SHARD), *flags]), labels, places, LocalEngine())


def _rate(plan: StoredPlan, flags: list[str], processes: int, milliseconds: list[float], options: Options) -> float:
    """Photos per second of an instance with this number of processes, which writes to a new bucket.

    Adds the milliseconds of processor time per photo.
    """
    base = options.folder / uuid.uuid4().hex[:12]
    with server.bucket() as target:
        prepare_planned(base, plan, S3Uri(target, "out"))
        arguments = {"base": str(base), "flags": flags, "processes": processes}
        measured = measure(sharding.step_in_processes, arguments)
        photos, _ = written(base)
    if photos != plan.plan.photos:
        raise ContenderError(f"the step wrote {photos} of {plan.plan.photos} photos")
    milliseconds.append(measured.cpu_seconds / photos * 1e3)
    cpu = f"{milliseconds[-1]:.2f} ms of processor time per photo"
    say(f"  processes {processes}: {photos} photos in {measured.seconds:.2f} s, {cpu}")
    return photos / measured.seconds
