"""A training with a change to the recipe, evaluated on real photos that it does not learn from.

A short loop of its own with the training step's network, objective, schedule, average and augmentation, so that changes
that the step does not have can be tried as well.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.child import ContenderError, Work
from benchmarks.step_arguments import TRAIN, flags_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from steps.train.recipe import Recipe

    Photos = NDArray[np.uint8]
    Places = NDArray[np.int64]
    Loss = Callable[[Tensor, Tensor], Tensor]
    Decode = Callable[[Tensor], Tensor]

EVALUATED, ANSWERS = 64, 100
# Hyperparameters of the training step that this loop reads, or that have no effect on its result.
READ = frozenset(
    {
        *("batch-size", "learning-rate", "weight-decay", "warmup-epochs", "class-weighting", "label-smoothing"),
        *("ordinal-weight", "ema-decay", "patience", "workers", "random-affine"),
    }
)
_MADE_UP_SEED = 7


@dataclass(frozen=True)
class Candidate:
    """A network, the sizes in pixels that it is trained at in turn with their epochs, and what else is changed."""

    name: str
    stages: tuple[tuple[int, int], ...]
    architecture: str = "resnet18"
    flags: dict[str, str] = field(default_factory=dict)
    """Hyperparameters of the training step, some of READ."""
    corn: bool = False
    """The conditional ordinal loss (https://arxiv.org/abs/2111.08851), without label smoothing."""
    mixup: float = 0.0
    """Alpha of mixup (https://arxiv.org/abs/1710.09412); 0: none."""
    upside_down: bool = False
    """Half of the photos are mirrored upside down."""
    made_up: int = 0
    """Number of synthetic photos to train on before, at the first stage's size."""
    made_up_epochs: int = 3
    """Passes over the synthetic photos."""
    imagenet: bool = False
    """EfficientNet-Lite0 begins with its ImageNet weights."""

    @property
    def size(self) -> int:
        """The side of the photos that the trained network takes, in pixels."""
        return self.stages[-1][0]

    @property
    def epochs(self) -> int:
        """Passes over the real photos."""
        return sum(epochs for _, epochs in self.stages)


def train(candidate: dict[str, Any], photos: str, output: str, seed: int, *, bf16: bool, weights: str) -> Work:
    """Train `candidate` (a Candidate's members) on the file `photos`, and write its probabilities to `output`.

    `photos` has pixels (N, S, S, 3), quantities (N,), and held_out (N,): those to evaluate on. The output has their
    probabilities (M, classes), those of their mirrored photos, and the median time of an answer in milliseconds. A
    candidate that begins with ImageNet weights reads them from the file `weights`.
    """
    import numpy as np
    import torch

    from steps.train.augmentation import augment
    from steps.train.average import WeightAverage
    from steps.train.objective import Objective, class_weights
    from steps.train.optimizer import build_optimizer, learning_rate, set_learning_rate
    from steps.train.recipe import read_recipe

    chosen = Candidate(**{**candidate, "stages": tuple(map(tuple, candidate["stages"]))})
    if unread := sorted(set(chosen.flags) - READ):
        raise ContenderError(f"{chosen.name}: this loop does not read {', '.join(unread)}")
    torch.set_num_threads(int(os.environ["SM_NUM_CPUS"]))
    with np.load(photos) as arrays:
        pixels, quantities, held_out = arrays["pixels"], arrays["quantities"], arrays["held_out"]
    classes, targets = np.unique(quantities, return_inverse=True)
    shared = {"architecture": chosen.architecture, "image-size": chosen.size, "epochs": chosen.epochs, "seed": seed}
    recipe = read_recipe(flags_of({**TRAIN, **chosen.flags, **shared}))
    counts = dict(zip(classes.tolist(), np.bincount(targets[~held_out], minlength=len(classes)).tolist(), strict=True))
    shares = class_weights(counts, classes.tolist(), recipe.class_weighting)
    network = _network(chosen, len(classes) - chosen.corn, seed, Path(weights))
    cross_entropy = Objective(shares, classes.tolist(), recipe.label_smoothing, recipe.ordinal_weight)
    loss = _corn(shares) if chosen.corn else cross_entropy
    average = WeightAverage(network, recipe.ema_decay)

    def fit(stages: tuple[tuple[int, int], ...], pixels: Photos, targets: Places, learned: Places) -> None:
        optimizer = build_optimizer(network, recipe)
        steps = len(learned) // recipe.batch_size
        phase = dataclasses.replace(recipe, epochs=sum(epochs for _, epochs in stages))
        for number, (images, labels) in enumerate(_batches(phase, stages, pixels, targets, learned)):
            set_learning_rate(optimizer, learning_rate(phase, number, steps))
            optimizer.zero_grad(set_to_none=True)
            photos = augment(images, random_affine=recipe.random_affine)
            _loss(chosen, network, loss, photos, labels, bf16=bf16).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            average.update()

    def work() -> dict[str, float]:
        torch.manual_seed(seed)
        if chosen.made_up:
            made_up = _made_up(chosen.made_up, classes.tolist(), pixels.shape[1])
            fit(((chosen.stages[0][0], chosen.made_up_epochs),), *made_up, np.arange(chosen.made_up))
        fit(chosen.stages, pixels, targets, np.flatnonzero(~held_out))
        trained = average.network.eval()
        decode = _corn_probabilities if chosen.corn else _softmax
        evaluated = np.moveaxis(_resized(pixels[held_out], chosen.size), 3, 1)
        plain, mirrored = (
            _probabilities(trained, decode, photos) for photos in (evaluated, evaluated[..., ::-1].copy())
        )
        milliseconds = _milliseconds(trained, evaluated[:1], Path(output).parent)
        np.savez(output, probabilities=plain, mirrored=mirrored, classes=classes, milliseconds=milliseconds)
        return {}

    return work


def _network(candidate: Candidate, outputs: int, seed: int, weights: Path) -> nn.Module:
    import torch

    from benchmarks.contenders import lite0
    from steps.model.network import build_network

    if candidate.architecture == lite0.NAME:
        lite0.register()
    network = build_network(candidate.architecture, outputs, candidate.size, seed)
    if candidate.imagenet:
        lite0.begin(network.network, weights)
    return network.to(memory_format=torch.channels_last)


def _batches(
    recipe: Recipe, stages: tuple[tuple[int, int], ...], pixels: Photos, targets: Places, learned: Places
) -> Iterator[tuple[Tensor, Tensor]]:
    """The photos (N, 3, size, size) and classes (N,) of each step, in an order by the recipe's seed."""
    import numpy as np
    import torch

    generator = np.random.default_rng(recipe.seed)
    whole = len(learned) // recipe.batch_size * recipe.batch_size
    for size, epochs in stages:
        resized = _resized(pixels, size)
        for _ in range(epochs):
            for places in generator.permutation(learned)[:whole].reshape(-1, recipe.batch_size):
                # As channels_last: the photos' own layout.
                yield torch.from_numpy(resized[places]).permute(0, 3, 1, 2), torch.from_numpy(targets[places])


def _resized(pixels: Photos, size: int) -> Photos:
    import numpy as np

    from steps.photos.jpeg import resize

    return np.stack([resize(photo, size, size) for photo in pixels])


def _loss(
    candidate: Candidate, network: nn.Module, loss: Loss, photos: Tensor, labels: Tensor, *, bf16: bool
) -> Tensor:
    """The loss of a step, with the photos changed as in the candidate."""
    import torch

    if candidate.upside_down:
        photos = torch.where(torch.rand(len(photos), 1, 1, 1) < 0.5, photos.flip(-2), photos)
    share, order = 1.0, torch.arange(len(photos))
    if candidate.mixup:
        share = float(torch.distributions.Beta(candidate.mixup, candidate.mixup).sample())
        order = torch.randperm(len(photos))
        photos = torch.lerp(photos[order], photos, share)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = network(photos.contiguous(memory_format=torch.channels_last)).float()
    if not candidate.mixup:
        return loss(logits, labels)
    return share * loss(logits, labels) + (1 - share) * loss(logits, labels[order])


def _corn(weights: list[float]) -> Loss:
    """For each count but the last, whether the true one is larger, among the photos with at least that count."""
    import torch
    from torch.nn import functional

    shares = torch.tensor(weights)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        steps = torch.arange(logits.shape[1])
        larger = (labels[:, None] > steps).float()
        reached = (labels[:, None] >= steps).float() * shares[labels][:, None]
        return functional.binary_cross_entropy_with_logits(logits, larger, reached, reduction="sum") / len(labels)

    return loss


def _corn_probabilities(logits: Tensor) -> Tensor:
    import torch

    at_least = torch.cat([torch.ones_like(logits[:, :1]), logits.sigmoid().cumprod(1)], dim=1)
    return torch.cat([at_least[:, :-1] - at_least[:, 1:], at_least[:, -1:]], dim=1)


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)


def _probabilities(network: nn.Module, decode: Decode, photos: Photos) -> NDArray[np.float32]:
    import numpy as np
    import torch

    with torch.inference_mode():
        batches = torch.from_numpy(np.ascontiguousarray(photos)).split(EVALUATED)
        return np.concatenate([decode(network(batch).float()).numpy() for batch in batches])


def _milliseconds(network: nn.Module, photo: Photos, folder: Path) -> float:
    """The median time of the exported network's answer to a single photo, on one thread."""
    import onnxruntime

    from steps.train.export import OnnxGraph

    place = folder / "network.onnx"
    place.write_bytes(OnnxGraph(network, photo.shape[-1]).with_weights(network.state_dict()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(ANSWERS):
        began = time.process_time()
        session.run(None, {session.get_inputs()[0].name: photo})
        times.append(1000 * (time.process_time() - began))
    return statistics.median(times)


def _made_up(count: int, classes: list[int], size: int) -> tuple[Photos, Places]:
    """Synthetic photos (count, size, size, 3) and their classes (count,)."""
    import json

    import numpy as np

    from pipeline.samples.synthetic import generate
    from steps.photos.jpeg import decode_rgb, resize

    bins = list(generate(count, _MADE_UP_SEED, max(classes)))
    pixels = np.stack([resize(decode_rgb(each.jpeg), size, size) for each in bins])
    quantities = [json.loads(each.metadata)["EXPECTED_QUANTITY"] for each in bins]
    return pixels, np.searchsorted(classes, quantities)
