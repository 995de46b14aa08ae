"""Trainings on real photos that are compared: by our recipe, or by a recipe as in tutorials."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks import job
from benchmarks.cases import say
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import training
from benchmarks.contenders.lite0 import NAME as LITE0
from benchmarks.imagenet_file import upload, weights_file
from benchmarks.options import Options
from benchmarks.results import Result, kept_name, read_result
from steps.contracts.wording import count_of

COUNT = 10**6  # more photos than there are
# As in tutorials: AdamW (https://arxiv.org/abs/1711.05101) with their learning rate.
NAIVE_BATCH = 64
# Ours, besides the settings of a plan. The first three were chosen by `recipes` (docs/training.md), the others on
# validation photos; none on test photos.
RECIPE = {
    "progressive-resizing": "0.5",
    "random-affine": "true",
    "class-weighting": "none",
    "batch-size": "32",
    "learning-rate": "0.001",
    "weight-decay": "0.05",
    "warmup-epochs": "1",
    "label-smoothing": "0.05",
    "ema-decay": "0.99",
    "patience": "0",
    "workers": "1",
}
# ImageNet weights are of photos of the whole side.
LITE0_RECIPE = {**RECIPE, "progressive-resizing": "0", "mirrored-answers": "true"}


@dataclass(frozen=True)
class Plan:
    """The settings of a training."""

    architecture: str
    size: int
    epochs: int
    seeds: int
    count: int
    bf16: bool
    has_gpu: bool
    is_whole: bool
    """Whether the photos, epochs and network are those of the promised figures."""
    recipe: Mapping[str, str] = field(default_factory=lambda: RECIPE)
    """Hyperparameters of the training step, besides those above."""
    weights: str = ""
    """The URI or file of EfficientNet-Lite0's initial weights; empty: random ones."""

    @classmethod
    def for_this_machine(cls, options: Options) -> Plan:
        """From random weights: ResNet18 at 112 pixels on a CPU, ResNet34 at 224 on a GPU."""
        import torch

        cuda = torch.cuda.is_available()
        # Both in bf16 where the machine has it: half the time, the same accuracy.
        bf16 = cuda or torch.cpu._is_avx512_bf16_supported()
        network, size = ("resnet34", 224) if cuda else ("resnet18", 112)
        epochs = 40 if cuda else 12
        is_whole = not cuda and not options.epochs and options.count == COUNT
        chosen = options.epochs or epochs
        return cls(network, size, chosen, options.rounds, options.count, bf16, has_gpu=cuda, is_whole=is_whole)

    def of_lite0(self, size: int, epochs: int) -> Plan:
        """The same with EfficientNet-Lite0, from random weights."""
        # In fp32 on a CPU: convolutions per channel are slower in bf16 there.
        return replace(self, architecture=LITE0, size=size, epochs=epochs, bf16=self.has_gpu, recipe=LITE0_RECIPE)

    def from_imagenet(self, bucket: str) -> Plan:
        """The same from ImageNet weights, which it puts into the bucket. Raises ContenderError where there are none."""
        return replace(self, weights=upload(weights_file(), bucket))

    def kept_name(self, recipe: str, seed: int) -> str:
        """The name of the file of a training's result by "ours" or the "naive" recipe; each plan has its own."""
        begin = "-imagenet" if self.weights else ""
        rate = self.recipe["learning-rate"].replace(".", "-")
        name = f"{recipe}-{self.architecture}{begin}-{self.size}-{self.epochs}-{rate}"
        return kept_name(name, seed, dict(self.recipe), self.count, self.bf16)


def trained(
    options: Options, ours: Plan, naive: Plan, base: Path, bins: dict[str, int]
) -> tuple[list[Result], list[Result]]:
    """The results of our recipe by the plan `ours` and of the naive one by `naive`, in the same time, by seed."""
    results: tuple[list[Result], list[Result]] = ([], [])
    for seed in range(1, ours.seeds + 1):
        place = kept(options, ours, seed, base)
        # The naive recipe is given ours' time: another plan of ours has another file of it, too.
        other = _folder(options) / ours.kept_name("naive-as-long-as", seed)
        if not other.exists():
            shutil.move(train("naive", naive, seed, base, options, seconds=seconds_of(place)), other)
        say(f"seed {seed}: {seconds_of(place):.0f} s, naive {seconds_of(other):.0f} s")
        for side, file in zip(results, (place, other), strict=True):
            side.append(read_result(file, bins))
    return results


def kept(options: Options, plan: Plan, seed: int, base: Path) -> Path:
    """The file of our recipe's result; it is trained if `--keep` has none."""
    place = _folder(options) / plan.kept_name("ours", seed)
    if not place.exists():
        shutil.move(train("ours", plan, seed, base, options), place)
    return place


def _folder(options: Options) -> Path:
    folder = options.keep or options.folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def train(recipe: str, plan: Plan, seed: int, base: Path, options: Options, *, seconds: float = 0) -> Path:
    """Train once and return the file with the probabilities of the test photos; the naive recipe for `seconds`."""
    name = Path(plan.kept_name(recipe, seed)).stem
    folder = options.folder / name
    shutil.copytree(job.index(base), folder / "input" / "data" / "index")
    place = folder / "probabilities.npz"
    environment = {"SM_NUM_CPUS": str(options.threads or os.cpu_count()), "TRAINING_JOB_NAME": name}
    common: dict[str, object] = {"base": str(folder), "output": str(place)}
    if recipe == "ours":
        contender = training.lite0 if plan.architecture == LITE0 else training.ours
        measured = measure(contender, {**common, "flags": _flags(plan, seed)}, environment)
    else:
        given = {"architecture": plan.architecture, "size": plan.size, "seconds": seconds, "seed": seed}
        arguments = {**common, **given, "batch_size": NAIVE_BATCH, "bf16": plan.bf16}
        measured = measure(training.naive, arguments, environment)
    with np.load(place) as file:
        arrays = dict(file)
    # On a GPU the processor's time is that of the loaders.
    np.savez(place, **arrays, seconds=measured.seconds if plan.has_gpu else measured.cpu_seconds)
    times = f"{measured.seconds:.0f} s, {measured.cpu_seconds:.0f} s of processor time"
    say(f"{name}: {count_of(int(arrays['epochs']), 'epoch')}, {times}")
    return place


def _flags(plan: Plan, seed: int) -> list[str]:
    values: dict[str, object] = {
        **plan.recipe,
        "architecture": plan.architecture,
        "image-size": plan.size,
        "epochs": plan.epochs,
        "seed": seed,
        "precision": "bf16" if plan.bf16 else "auto",
        **({"weights": plan.weights} if plan.weights else {}),
    }
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def seconds_of(place: Path) -> float:
    """The time of a training: by the clock on a GPU, else that of the processor."""
    with np.load(place) as arrays:
        if "seconds" not in arrays:
            raise ContenderError(f"{place} is of an earlier release; remove it")
        return float(arrays["seconds"])
