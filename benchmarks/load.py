"""The training step's loader against a naive one, other loaders, and decoding alone.

The other loaders have requirements of their own: `make setup-peers` creates an environment for them, which
`--peers .venv-peers/bin/python` uses. Without it torchvision's ImageFolder, on the local disk, is the only one.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3

from benchmarks import server, shards
from benchmarks.bins import bins
from benchmarks.cases import Bound, Case, say, take_turns
from benchmarks.child import ContenderError, Measured, measure
from benchmarks.contenders import loading
from benchmarks.options import Options
from steps.photos.jpeg import shrink_jpeg

UNIT = "photos/s"
SHORTER_SIDE = 256
QUALITY = 90
# Loader processes and photos per batch, as on a small GPU instance.
WORKERS = 2
BATCH_SIZE = 64
SHARDS = 8


@dataclass(frozen=True)
class Data:
    """The same photos as shards that the file `index` lists, in a folder, and in the formats of other loaders in S3."""

    index: Path
    photos: Path
    bucket: str
    distinct: int


def small(options: Options) -> Iterator[Case]:
    """Batches of photos of 256 pixels, as the shard step writes them."""
    promises = (Bound("ratio", "at least", 3.2), Bound("of_limit", "at least", 0.85))
    yield from _cases("load", options, SHORTER_SIDE, promises)


def full(options: Options) -> Iterator[Case]:
    """Batches of photos of full size."""
    yield from _cases("load-full", options, 0, (Bound("ratio", "at least", 2.3),))


def _cases(name: str, options: Options, shorter_side: int, promises: tuple[Bound, ...]) -> Iterator[Case]:
    with server.bucket() as bucket:
        data = _prepare(options, shorter_side, bucket)
        trials = _Trials(data, options)
        trials.leave_out_broken_peers()
        rates = take_turns(trials.contenders(), options.rounds, UNIT)
        yield Case(name, UNIT, rates["ours"], rates["baseline"], rates["limit"], promises)
        firsts = {who: statistics.median(seconds) for who, seconds in trials.firsts.items()}
        promise = (Bound("ratio", "at most", 0.3),)
        yield Case(f"{name}-first-batch", "s", firsts["ours"], firsts["baseline"], bounds=promise)
        for peer in trials.peers():
            ahead = (Bound("ratio", "at least", 1.0),)
            yield Case(f"{name}-against-{peer}", UNIT, rates["ours"], rates[peer], bounds=ahead)


class _Trials:
    """The contenders, each in a new process with an empty cache."""

    def __init__(self, data: Data, options: Options) -> None:
        self._data = data
        self._options = options
        self._common: dict[str, object] = {"workers": WORKERS, "batch_size": BATCH_SIZE}
        self._broken: set[str] = set()
        self.firsts: dict[str, list[float]] = {}

    def contenders(self) -> dict[str, Callable[[], float]]:
        index = {"index": str(self._data.index)}
        return {
            "limit": lambda: measure(loading.decoding, {**self._common, **index}).figures["rate"],
            "baseline": lambda: self._rate("baseline", measure(loading.naive, {**self._common, **index}, _with_cli())),
            "ours": lambda: self._rate("ours", measure(loading.ours, {**self._common, **index})),
            **self.peers(),
        }

    def peers(self) -> dict[str, Callable[[], float]]:
        """The other loaders; those with requirements of their own only with an environment for them."""
        folder = {**self._common, "folder": str(self._data.photos)}
        peers: dict[str, Callable[[], float]] = {
            "ImageFolder": lambda: self._rate("ImageFolder", measure(loading.image_folder, folder))
        }
        if self._options.peers:
            peers["LitData"] = lambda: self._peer("LitData", loading.litdata)
            peers["MosaicML-Streaming"] = lambda: self._peer("MosaicML-Streaming", loading.mosaicml_streaming)
        return {name: peer for name, peer in peers.items() if name not in self._broken}

    def leave_out_broken_peers(self) -> None:
        """Try each peer once, and leave out one that cannot read these photos."""
        for name, peer in self.peers().items():
            try:
                peer()
            except ContenderError as error:
                say(f"{name} is left out: {error}")
                self._broken.add(name)
        self.firsts.clear()

    def _peer(self, name: str, contender: Callable[..., loading.Work]) -> float:
        cache = self._options.folder / uuid.uuid4().hex
        uri = f"s3://{self._data.bucket}/{contender.__name__}"
        arguments = {**self._common, "uri": uri, "cache": str(cache)}
        try:
            return self._rate(name, measure(contender, arguments, python=str(self._options.peers)))
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    def _rate(self, name: str, measured: Measured) -> float:
        figures = measured.figures
        self.firsts.setdefault(name, []).append(figures["first"])
        say(f"  {name}: first batch after {figures['first']:.2f} s, {figures['photos']:.0f} photos")
        return figures["rate"]


def _with_cli() -> dict[str, str]:
    """An environment with the AWS CLI of this one on the path."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _prepare(options: Options, shorter_side: int, bucket: str) -> Data:
    distinct = bins(options.count)
    jpegs = [shrink_jpeg(sample.jpeg, shorter_side, QUALITY) if shorter_side else sample.jpeg for sample in distinct]
    say(f"{len(jpegs)} photos of {sum(map(len, jpegs)) / len(jpegs) / 1000:.0f} KB, copied to {options.count}")
    endless = itertools.cycle(zip(jpegs, itertools.cycle(loading.CLASSES)))
    samples = [(f"{number:06d}", *next(endless)) for number in range(options.count)]
    index, photos = options.folder / "shards.json", options.folder / "photos"
    _write_shards(samples, bucket, index)
    for image_id, jpeg, quantity in samples:
        path = photos / str(quantity) / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
    if options.peers:
        for writer, name in (
            (loading.write_litdata, loading.litdata.__name__),
            (loading.write_mosaicml_streaming, loading.mosaicml_streaming.__name__),
        ):
            folder = options.folder / name
            measure(writer, {"photos": str(photos), "folder": str(folder)}, python=str(options.peers))
            _upload(folder, bucket)
    return Data(index, photos, bucket, len(jpegs))


def _write_shards(samples: list[shards.Sample], bucket: str, place: Path) -> None:
    written = []
    for number in range(SHARDS):
        mine = samples[number * len(samples) // SHARDS : (number + 1) * len(samples) // SHARDS]
        written.append(shards.upload(shards.pack(mine), len(mine), bucket, f"train/train-000-{number:06d}.tar"))
    place.write_text(json.dumps([shard.model_dump() for shard in written]))


def _upload(folder: Path, bucket: str) -> None:
    s3 = boto3.client("s3")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), bucket, f"{folder.name}/{path.relative_to(folder)}")
