"""Accuracy of the training step's recipe, against a recipe as in tutorials.

Real photos, quantities 0 to 5, a grouped split by the shard step; the same photos, split, network and epochs for both,
over several seeds. It takes an hour on two cores; with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import job, server
from benchmarks.bins import samples_folder, upload_photos
from benchmarks.cases import Bound, Case, say
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import sharding, training
from benchmarks.job import prepare
from benchmarks.options import Options
from pipeline.samples.sources import open_source
from steps.contracts.s3_uri import S3Uri
from steps.model.predictor import decide

SAMPLE = "resized-224.tar"
MAXIMUM_QUANTITY = 5
DRAWS = 10_000
# As in tutorials: AdamW (https://arxiv.org/abs/1711.05101) with their learning rate.
NAIVE_BATCH = 64
# Ours, besides the shared settings. Chosen on validation photos of other seeds.
RECIPE = {
    "batch-size": "32",
    "learning-rate": "0.001",
    "weight-decay": "0.05",
    "warmup-epochs": "1",
    "class-weighting": "sqrt",
    "label-smoothing": "0.05",
    "ema-decay": "0.99",
    "patience": "0",
    "workers": "1",
}


@dataclass(frozen=True)
class Plan:
    """The settings that both recipes share."""

    architecture: str
    size: int
    epochs: int
    seeds: int
    bf16: bool

    @classmethod
    def for_this_machine(cls, options: Options) -> Plan:
        """ResNet18 at 112 pixels on a CPU, ResNet34 at 224 on a GPU."""
        import torch

        cuda = torch.cuda.is_available()
        # Both in bf16 where the machine has it: half the time, the same accuracy.
        bf16 = cuda or torch.cpu._is_avx512_bf16_supported()
        network, size = ("resnet34", 224) if cuda else ("resnet18", 112)
        return cls(network, size, options.epochs or (40 if cuda else 8), options.rounds, bf16)


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of both recipes, means over the seeds."""
    plan = Plan.for_this_machine(options)
    kept = options.keep or options.folder
    kept.mkdir(parents=True, exist_ok=True)
    with server.bucket() as bucket:
        base = _shard(options, bucket)
        for seed in range(1, plan.seeds + 1):
            for recipe in ("ours", "naive"):
                if not _place(kept, recipe, plan, seed).exists():
                    shutil.move(_train(recipe, plan, seed, base, options), _place(kept, recipe, plan, seed))
    ours, naive = (
        [_read(_place(kept, recipe, plan, seed)) for seed in range(1, plan.seeds + 1)] for recipe in ("ours", "naive")
    )
    for name, results in (("ours", ours), ("baseline", naive)):
        for number, result in enumerate(results, 1):
            say(f"{name}, seed {number}: {result.line()}")
    low, high = bootstrap(ours, naive)
    verdict = "holds" if low > 0 else "DOES NOT HOLD"
    say(f"accuracy: {100 * low:+.1f} to {100 * high:+.1f} points in 95% of draws; promised is above zero: {verdict}")
    least = Bound("ratio", "at least", 1.0)
    yield Case("accuracy", "share right", _mean(ours, "accuracy"), _mean(naive, "accuracy"), bounds=(least,))
    most = Bound("ratio", "at most", 1.0)
    yield Case("accuracy-rmse", "objects", _mean(ours, "rmse"), _mean(naive, "rmse"), bounds=(most,))
    yield Case("accuracy-rmse-expected", "objects", _mean(ours, "rmse_expected"), _mean(naive, "rmse_expected"))


@dataclass(frozen=True)
class Result:
    """Test photos: probabilities (N, classes), true quantities (N,), and the classes."""

    probabilities: NDArray[np.float32]
    quantities: NDArray[np.int64]
    classes: list[int]

    @property
    def right(self) -> NDArray[np.float64]:
        """1 for each photo whose likeliest class is its true count, else 0."""
        return (decide(self.probabilities, self.classes, "argmax") == self.quantities).astype(np.float64)

    @property
    def accuracy(self) -> float:
        """Share of photos with the right count."""
        return float(self.right.mean())

    @property
    def rmse(self) -> float:
        """RMSE of the likeliest count, in objects."""
        return self._rmse(decide(self.probabilities, self.classes, "argmax"))

    @property
    def rmse_expected(self) -> float:
        """RMSE of the rounded expectation, in objects."""
        return self._rmse(decide(self.probabilities, self.classes, "expected"))

    def _rmse(self, counts: NDArray[np.int32]) -> float:
        return float(np.sqrt(np.mean((counts - self.quantities) ** 2)))

    def line(self) -> str:
        """The figures as one line of text."""
        by_expectation = float((decide(self.probabilities, self.classes, "expected") == self.quantities).mean())
        return (
            f"{len(self.quantities)} test photos, accuracy {self.accuracy:.4f}, RMSE {self.rmse:.4f}; "
            f"by expectation {by_expectation:.4f}, {self.rmse_expected:.4f}"
        )


def bootstrap(ours: list[Result], naive: list[Result], draws: int = DRAWS) -> tuple[float, float]:
    """The 95% interval of the difference in accuracy, over draws of the test photos with their results of all seeds."""
    difference = np.mean([first.right - second.right for first, second in zip(ours, naive, strict=True)], axis=0)
    generator = np.random.default_rng(1)
    means = [difference[generator.integers(0, len(difference), len(difference))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _mean(results: list[Result], name: str) -> float:
    return statistics.mean(getattr(result, name) for result in results)


def _shard(options: Options, bucket: str) -> Path:
    """A folder as in a container, with the index of the photos' grouped split as the training's channel."""
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
    return base


def _train(recipe: str, plan: Plan, seed: int, base: Path, options: Options) -> Path:
    """Train once and return the file with the probabilities of the test photos."""
    folder = options.folder / f"{recipe}-{seed}"
    index = folder / "input" / "data" / "index"
    shutil.copytree(job.index(base), index)
    place = folder / "probabilities.npz"
    environment = {"SM_NUM_CPUS": str(options.threads or os.cpu_count()), "TRAINING_JOB_NAME": f"{recipe}-{seed}"}
    common: dict[str, object] = {"base": str(folder), "output": str(place)}
    if recipe == "ours":
        shared = {"architecture": plan.architecture, "image-size": plan.size, "epochs": plan.epochs, "seed": seed}
        precision = {"precision": "bf16" if plan.bf16 else "auto"}
        flags = [
            text for name, value in {**RECIPE, **shared, **precision}.items() for text in (f"--{name}", str(value))
        ]
        measured = measure(training.ours, {**common, "flags": flags}, environment)
    else:
        given = {"architecture": plan.architecture, "size": plan.size, "epochs": plan.epochs, "seed": seed}
        arguments = {**common, **given, "batch_size": NAIVE_BATCH, "bf16": plan.bf16}
        measured = measure(training.naive, arguments, environment)
    say(f"{recipe}, seed {seed}, after {measured.seconds:.0f} s: {_read(place).line()}")
    return place


def _place(kept: Path, recipe: str, plan: Plan, seed: int) -> Path:
    return kept / f"{recipe}-{plan.architecture}-{plan.size}-{plan.epochs}-{seed}.npz"


def _read(place: Path) -> Result:
    with np.load(place) as arrays:
        return Result(arrays["probabilities"], arrays["quantities"], arrays["classes"].tolist())
