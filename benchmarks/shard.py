"""Sharding against the naive way, and against the best rates of the server and the processor."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import proxy, server
from benchmarks.bins import Uploaded, bins, upload_photos
from benchmarks.cases import Bound, Case, say, take_turns
from benchmarks.child import ContenderError, Measured, measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare, written
from benchmarks.options import Options
from pipeline.samples.layout import Bin
from steps.contracts.s3_uri import S3Uri

UNIT = "photos/s"
LATENCY_SECONDS = 0.015
SHORTER_SIDE = 256
QUALITY = 90


class Trials:
    """The contenders over the same photos, each time with a new job folder and a new bucket for the shards.

    In a bucket with shards of the same photos, the step would not write them again.
    """

    def __init__(self, uploaded: Uploaded, options: Options, environment: Mapping[str, str] | None = None) -> None:
        self.uploaded = uploaded
        self.options = options
        self.environment = environment

    def ours(self, image_size: int) -> float:
        """Photos per second of the step; with an `image_size` of 0 it keeps their bytes."""
        flags = ["--image-location", str(self.uploaded.location)]
        flags += ["--image-size", str(image_size), "--quality", str(QUALITY)]
        with self._job() as (base, _):
            measured = measure(sharding.step, {"base": str(base), "flags": flags}, self.environment)
            samples, _ = written(base)
        if samples != self._count:
            raise ContenderError(f"the step wrote {samples} of {self._count} photos")
        return _rate(f"ours, image size {image_size}", self._count, measured)

    def naive(self, shorter_side: int) -> float:
        """Photos per second of the naive way, over the first of the photos."""
        count = min(self._count, self.options.baseline_count)
        with self._job() as (base, target):
            arguments: dict[str, object] = {
                "base": str(base),
                "location": str(self.uploaded.location),
                "target": str(target),
            }
            arguments |= {"count": count, "shorter_side": shorter_side}
            return _rate("baseline", count, measure(sharding.naive, arguments, self.environment))

    def raw_gets(self) -> float:
        """Photos per second of fetching alone."""
        with self._job() as (base, _):
            arguments = {"base": str(base), "location": str(self.uploaded.location)}
            return _rate("raw GETs", self._count, measure(sharding.raw_gets, arguments, self.environment))

    def resize(self, photos: Path) -> float:
        """Photos per second of resizing alone."""
        arguments = {"folder": str(photos), "count": self._count, "shorter_side": SHORTER_SIDE, "quality": QUALITY}
        return _rate("resizing", self._count, measure(sharding.resize, arguments))

    @property
    def _count(self) -> int:
        return int(self.uploaded.labels.num_rows)

    @contextmanager
    def _job(self) -> Iterator[tuple[Path, S3Uri]]:
        with server.bucket() as bucket:
            base, target = self.options.folder / uuid.uuid4().hex[:12], S3Uri(bucket, "out")
            prepare(base, self.uploaded.labels, target)
            yield base, target


def plain(options: Options) -> Iterator[Case]:
    """Sharding without resizing."""
    with server.bucket() as bucket:
        trials = Trials(_upload(bins(options.count), bucket, options), options)
        yield _plain_case("shard", trials, Bound("ratio", "at least", 2.8), Bound("of_limit", "at least", 0.45))


def latency(options: Options) -> Iterator[Case]:
    """Sharding without resizing, with 15 ms of latency to S3."""
    with server.bucket() as bucket, proxy.running(server.port(), LATENCY_SECONDS) as port:
        endpoint = {"AWS_ENDPOINT_URL_S3": f"http://{proxy.LOOPBACK}:{port}"}
        trials = Trials(_upload(bins(options.count), bucket, options), options, endpoint)
        yield _plain_case("shard-latency", trials, Bound("ratio", "at least", 15))


def resized(options: Options) -> Iterator[Case]:
    """Sharding with resizing; the limit per photo is the time to resize it on all cores and the time to move it."""
    distinct = bins(options.count)
    folder = options.folder / "photos"
    folder.mkdir()
    for sample in distinct:
        (folder / f"{sample.image_id}.jpg").write_bytes(sample.jpeg)
    with server.bucket() as bucket:
        trials = Trials(_upload(distinct, bucket, options), options)
        contenders = {
            "moving": lambda: trials.ours(0),
            "resizing": lambda: trials.resize(folder),
            "ours": lambda: trials.ours(SHORTER_SIDE),
            "baseline": lambda: trials.naive(SHORTER_SIDE),
        }
        rates = take_turns(contenders, options.rounds, UNIT)
        limit = 1 / (1 / rates["resizing"] + 1 / rates["moving"])
        bounds = (Bound("of_limit", "at least", 0.85),)
        yield Case("shard-resize", UNIT, rates["ours"], rates["baseline"], limit, bounds)


def _plain_case(name: str, trials: Trials, *bounds: Bound) -> Case:
    contenders = {"limit": trials.raw_gets, "baseline": lambda: trials.naive(0), "ours": lambda: trials.ours(0)}
    return Case(name, UNIT, **take_turns(contenders, trials.options.rounds, UNIT), bounds=bounds)


def _upload(distinct: Sequence[Bin], bucket: str, options: Options) -> Uploaded:
    return upload_photos(distinct, options.count, S3Uri(bucket, "raw"))


def _rate(name: str, count: int, measured: Measured) -> float:
    busy = f"{measured.cpu_seconds:.1f} s of processor time, {os.cpu_count()} cores"
    say(f"  {name}: {count} photos in {measured.seconds:.2f} s ({busy}), peak of {measured.peak_bytes / 1e6:.0f} MB")
    return count / measured.seconds
