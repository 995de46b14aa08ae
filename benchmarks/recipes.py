"""What changes of the recipe give: each is trained for about the same processor time, and compared with none.

ResNet18 on the real photos of `python -m benchmarks accuracy`, at 64 pixels so that many changes can be tried, and a
few changes at larger sizes. A quarter of its training and validation bins is held out to evaluate on; its test photos
are not read. It takes ten minutes of processor time per change and seed (`--rounds`; `--only` names changes); with
`--keep FOLDER` an interrupted run continues. Changes that begin with ImageNet weights need `make setup-pretrained`, and
the many synthetic bins of at-56-112-made-up take their own time besides.

Padding against stretching is not among the changes: the photos of the sample are stretched already.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import job, real_photos, server
from benchmarks.cases import Case, say
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import candidates, lite0, training
from benchmarks.contenders.candidates import Candidate
from benchmarks.imagenet_file import weights_file
from benchmarks.options import Options
from benchmarks.results import Result, bootstrap, kept_name, mean
from benchmarks.trainings import RECIPE as ACCURACY_RECIPE
from benchmarks.trainings import Plan
from steps.contracts.dataset import read_index
from steps.photos.jpeg import decode_rgb, resize

STORED_SIZE = 224
HELD_OUT = 0.25
SIZE, EPOCHS = 64, 8
MADE_UP = 3000
RECIPE = "recipe"
MIRRORED = "mirrored"
# The hyperparameters of `accuracy-random` but for those that were chosen here.
KEPT = {name: value for name, value in ACCURACY_RECIPE.items() if name != "progressive-resizing"}
BASE = {**KEPT, "random-affine": "false", "class-weighting": "sqrt"}
AFFINE = {"random-affine": "true"}
UNWEIGHTED = {**AFFINE, "class-weighting": "none"}
# The stages' sizes and epochs take about as long as the recipe's; those named at-* and imagenet-*
# about as long as `accuracy-random`'s.
CHANGES = (
    Candidate(RECIPE, ((SIZE, EPOCHS),)),
    Candidate("size-112", ((112, 3),)),
    Candidate("sizes-48-64", ((48, 6), (SIZE, 4))),
    Candidate("sizes-32-64", ((32, 8), (SIZE, 5))),
    Candidate("affine-sizes-32-64", ((32, 8), (SIZE, 5)), flags=AFFINE),
    Candidate("earth-mover", ((SIZE, EPOCHS),), flags={"ordinal-weight": "0.5"}),
    Candidate("corn", ((SIZE, EPOCHS),), corn=True),
    Candidate("mixup", ((SIZE, EPOCHS),), mixup=0.2),
    Candidate("affine", ((SIZE, EPOCHS),), flags=AFFINE),
    Candidate("unweighted", ((SIZE, EPOCHS),), flags={"class-weighting": "none"}),
    Candidate("upside-down", ((SIZE, EPOCHS),), upside_down=True),
    Candidate("made-up-bins", ((SIZE, 6),), made_up=MADE_UP),
    Candidate("average-0.998", ((SIZE, EPOCHS),), flags={"ema-decay": "0.998"}),
    Candidate("smoothing-0", ((SIZE, EPOCHS),), flags={"label-smoothing": "0"}),
    Candidate("shufflenet", ((112, 16),), "shufflenet_v2_x1_0"),
    Candidate("mobilenet", ((112, 22),), "mobilenet_v3_small"),
    Candidate("regnet", ((80, 11),), "regnet_y_400mf"),
    Candidate("at-112", ((112, 8),)),
    Candidate("at-112-affine", ((112, 8),), flags=AFFINE),
    Candidate("at-56-112", ((56, 6), (112, 6))),
    Candidate("at-56-112-affine", ((56, 6), (112, 6)), flags=AFFINE),
    Candidate(
        "at-56-112-small-batches", ((56, 6), (112, 6)), flags={**AFFINE, "batch-size": "16", "learning-rate": "0.0007"}
    ),
    Candidate("at-56-112-unweighted", ((56, 6), (112, 6)), flags=UNWEIGHTED),
    Candidate("at-40-80-unweighted", ((40, 13), (80, 13)), flags=UNWEIGHTED),
    Candidate("at-64-unweighted", ((64, 22),), flags=UNWEIGHTED),
    Candidate("at-56-112-made-up", ((56, 6), (112, 6)), flags=UNWEIGHTED, made_up=8000, made_up_epochs=6),
    Candidate("imagenet-112", ((112, 5),), lite0.NAME, UNWEIGHTED, imagenet=True),
    Candidate("imagenet-112-mixup", ((112, 5),), lite0.NAME, UNWEIGHTED, imagenet=True, mixup=0.4),
)


@dataclass(frozen=True)
class Tried:
    """The results of a change, one per seed; also of both mirrorings; means of the time."""

    plain: list[Result]
    both: list[Result]
    minutes: float
    milliseconds: float


def cases(options: Options) -> Iterator[Case]:
    """Accuracy of each change against the recipe's on the same photos, means over the seeds."""
    names = [change.name for change in CHANGES]
    if unknown := sorted(options.only - set(names)):
        raise ContenderError(f"--only {unknown[0]}: not a change; use some of {', '.join(names)}")
    chosen = [change for change in CHANGES if not options.only or change.name in {RECIPE, *options.only}]
    weights = str(weights_file()) if any(change.imagenet for change in chosen) else ""
    kept = options.keep or options.folder
    kept.mkdir(parents=True, exist_ok=True)
    photos = kept / f"photos-{options.count}.npz"
    if not photos.exists():
        written = options.folder / photos.name
        _write_photos(written, options)
        shutil.move(written, photos)
    plan, seeds = replace(Plan.for_this_machine(options), weights=weights), range(1, options.rounds + 1)

    def place(change: Candidate, seed: int) -> Path:
        return kept / kept_name(change.name, seed, _members(change), plan.count, plan.bf16)

    for seed in seeds:
        for change in chosen:
            if not place(change, seed).exists():
                shutil.move(_train(change, photos, seed, plan, options), place(change, seed))
    with np.load(photos) as arrays:
        evaluated = arrays["held_out"]
        quantities, bins = arrays["quantities"][evaluated], arrays["bins"][evaluated]
    photos_of_bins = f"{len(quantities)} of {len(set(bins))} bins"
    say(f"{evaluated.size - evaluated.sum()} photos to train on, {photos_of_bins} to evaluate on")
    tried = {change.name: _read([place(change, seed) for seed in seeds], quantities, bins) for change in chosen}
    recipe = tried[RECIPE]
    say("| change | accuracy | RMSE of the rounded expectation | cross entropy | minutes | ms per answer |")
    say("|---|---|---|---|---|---|")
    say(_row(MIRRORED, recipe.both, recipe, recipe.minutes, 2 * recipe.milliseconds))
    for name, each in tried.items():
        say(_row(name, each.plain, recipe, each.minutes, each.milliseconds))
    results = {name: each.plain for name, each in tried.items() if name != RECIPE}
    for name, changed in {MIRRORED: recipe.both, **results}.items():
        yield Case(f"recipes-{name}", "share right", mean(changed, "accuracy"), mean(recipe.plain, "accuracy"))


def _row(name: str, changed: list[Result], recipe: Tried, minutes: float, milliseconds: float) -> str:
    right, surprise = f"{100 * mean(changed, 'accuracy'):.1f}%", f"{mean(changed, 'cross_entropy'):.3f}"
    if changed is not recipe.plain:
        low, high = bootstrap(changed, recipe.plain)
        right += f" ({100 * low:+.1f} to {100 * high:+.1f})"
        low, high = bootstrap(changed, recipe.plain, figure="surprise")
        surprise += f" ({low:+.3f} to {high:+.3f})"
    error = f"{mean(changed, 'rmse_expected'):.3f}"
    figures = [right, error, surprise, f"{minutes:.1f}", f"{milliseconds:.1f}"]
    return f"| {name} | {' | '.join(figures)} |"


def _write_photos(place: Path, options: Options) -> None:
    """Decode the training and validation photos of `accuracy`, and hold out a share of their bins."""
    with server.bucket() as bucket:
        base, bins = real_photos.shard(options, bucket)
        index = read_index(job.index(base))
        splits = [training._photos(index, split) for split in ("train", "validation")]
    ids, jpegs, quantities = ([value for split in splits for value in split[part]] for part in range(3))
    pixels = np.stack([resize(decode_rgb(jpeg), STORED_SIZE, STORED_SIZE) for jpeg in jpegs])
    numbers = np.array([bins[image_id] for image_id in ids])
    held_out = held_out_photos(numbers)
    np.savez(place, pixels=pixels, quantities=np.array(quantities), bins=numbers, held_out=held_out)


def held_out_photos(bins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each photo, with its bin's number in `bins` (N,), is held out: all photos of a bin, or none."""
    distinct, places = np.unique(bins, return_inverse=True)
    chosen = np.random.default_rng(0).random(len(distinct)) < HELD_OUT
    return np.asarray(chosen[places], dtype=np.bool_)


def _train(change: Candidate, photos: Path, seed: int, plan: Plan, options: Options) -> Path:
    folder = options.folder / f"{change.name}-{seed}"
    folder.mkdir()
    place = folder / "result.npz"
    arguments: dict[str, object] = {
        "candidate": _members(change),
        "photos": str(photos),
        "output": str(place),
        "seed": seed,
        # Convolutions per channel are slower in bf16 on a CPU.
        "bf16": plan.bf16 and change.architecture != lite0.NAME,
        "weights": plan.weights,
    }
    measured = measure(candidates.train, arguments, {"SM_NUM_CPUS": str(options.threads or os.cpu_count())})
    with np.load(place) as file:
        arrays = dict(file)
    np.savez(place, **arrays, minutes=measured.cpu_seconds / 60)
    say(f"{change.name}, seed {seed}: {measured.seconds:.0f} s, {measured.cpu_seconds:.0f} s of processor time")
    return place


def _members(change: Candidate) -> dict[str, object]:
    """The members of the change, with the hyperparameters of BASE where it sets no others."""
    return {**asdict(change), "flags": {**BASE, **change.flags}}


def _read(places: list[Path], quantities: NDArray[np.int64], bins: NDArray[np.int64]) -> Tried:
    plain, both, minutes, milliseconds = [], [], [], []
    for place in places:
        with np.load(place) as arrays:
            probabilities, classes = arrays["probabilities"], arrays["classes"].tolist()
            average = (probabilities + arrays["mirrored"]) / 2
            minutes.append(float(arrays["minutes"]))
            milliseconds.append(float(arrays["milliseconds"]))
        plain.append(Result(probabilities, quantities, bins, classes))
        both.append(Result(average, quantities, bins, classes))
    return Tried(plain, both, statistics.mean(minutes), statistics.mean(milliseconds))
