"""An evaluation of ten times the photos: its additional memory, and its time per photo."""

from __future__ import annotations

import itertools
import statistics
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from benchmarks import server, shards
from benchmarks.bins import bins
from benchmarks.cases import Bound, Case, say
from benchmarks.child import Measured, measure
from benchmarks.contenders import evaluating
from benchmarks.options import Options
from steps.contracts.artifact import ModelDescription
from steps.contracts.dataset import NAME, SPLITS, DatasetIndex, Sharding, Split, SplitName
from steps.model.network import CountClassifier, build_network
from steps.train.artifact import write_artifact
from steps.train.export import OnnxGraph
from steps.train.history import History

CLASSES = (0, 1, 2, 3, 4, 5)
COUNTS = dict.fromkeys(CLASSES, 1)
# A network that is cheap next to decoding, to measure the step around it.
ARCHITECTURE, IMAGE_SIZE = "squeezenet1_1", 64
BATCH_SIZE = 64
FEWER = 10
# More photos are more shards of the same size: the size of a shard does not affect the comparison.
PHOTOS_PER_SHARD = 2_000
LIMIT_MEGABYTES = 150


def cases(options: Options) -> Iterator[Case]:
    """Additional megabytes for ten times the photos, and microseconds per photo with many and with few."""
    counts = (options.count // FEWER, options.count)
    with server.bucket() as bucket:
        jpegs = [sample.jpeg for sample in bins(PHOTOS_PER_SHARD, small=True)]
        endless = itertools.cycle(zip(jpegs, itertools.cycle(CLASSES)))
        size = min(PHOTOS_PER_SHARD, counts[0])
        content = shards.pack((f"{number:05d}", *next(endless)) for number in range(size))
        written = [
            shards.upload(content, size, bucket, f"test/{number:06d}.tar") for number in range(counts[1] // size)
        ]
        # An index needs all splits; nothing reads these two.
        others: dict[SplitName, Split] = {
            split: Split(
                shards=[shards.upload(shards.pack([(split, jpegs[0], 0)]), 1, bucket, f"{split}.tar")],
                class_counts=COUNTS,
            )
            for split in SPLITS[:2]
        }
        graph = _graph()
        indexes = {count: _index({**others, "test": Split(shards=written[: count // size])}) for count in counts}
        artifacts = {count: _artifact(options.folder / str(count), graph, indexes[count]) for count in counts}
        results: dict[int, list[Measured]] = {count: [] for count in counts}
        for number in range(options.rounds):
            for count in counts if number % 2 == 0 else counts[::-1]:
                measured = _evaluate(options.folder, artifacts[count], indexes[count])
                results[count].append(measured)
                say(f"{count} photos in {measured.seconds:.1f} s: peak of {measured.peak_bytes / 1e6:.0f} MB")
    few, many = ([result.peak_bytes / 1e6 for result in results[count]] for count in counts)
    growth = statistics.median(many) - statistics.median(few)
    yield Case("evaluate-memory", "MB more", growth, limit=LIMIT_MEGABYTES, bounds=(Bound("of_limit", "at most", 1),))
    few, many = ([1e6 * result.seconds / count for result in results[count]] for count in counts)
    # The fixed time of an evaluation, for the network's graph and the report, is a smaller share with many photos.
    yield Case(
        "evaluate-time",
        "us/photo",
        statistics.median(many),
        statistics.median(few),
        bounds=(Bound("ratio", "at most", 1.15),),
    )


def _index(splits: dict[SplitName, Split]) -> DatasetIndex:
    sharding = Sharding(
        split="random",
        seed=1,
        fractions={"train": 0.1, "validation": 0.1, "test": 0.8},
        image_size=0,
        quality=90,
    )
    return DatasetIndex(sharding=sharding, splits=splits)


def _evaluate(folder: Path, artifact: Path, index: DatasetIndex) -> Measured:
    base = folder / uuid.uuid4().hex
    inputs = base / "processing" / "input"
    for name in ("model", "index"):
        (inputs / name).mkdir(parents=True)
    (inputs / "model" / artifact.name).symlink_to(artifact)
    (inputs / "index" / NAME).write_bytes(index.content)
    return measure(evaluating.step, {"base": str(base), "batch_size": BATCH_SIZE})


def _graph() -> tuple[CountClassifier, OnnxGraph]:
    """An untrained network and its ONNX graph."""
    network = build_network(ARCHITECTURE, len(CLASSES), IMAGE_SIZE, seed=1).eval()
    return network, OnnxGraph(network, IMAGE_SIZE)


def _artifact(folder: Path, graph: tuple[CountClassifier, OnnxGraph], index: DatasetIndex) -> Path:
    """`model.tar.gz` of a network that was trained on `index`, by its description."""
    description = ModelDescription(
        architecture=ARCHITECTURE, classes=list(CLASSES), image_size=IMAGE_SIZE, dataset_sha256=index.sha256
    )
    model = folder / "model"
    write_artifact(model, *graph, description, History(epochs=[]))
    archive = folder / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for file in sorted(model.iterdir()):
            packed.add(file, file.name)
    return archive
