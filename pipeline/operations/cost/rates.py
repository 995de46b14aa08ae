"""How fast things are and how often they happen: what an estimate is made of beside settings and prices.

One place for all of it. A rate that was measured names the benchmark that measures it; everything else is assumed, as
a range that is wide on purpose. `Assumption.why` is what the command shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pipeline.aws import instances
from pipeline.operations.cost.money import Range

# The public data set of bins, for whoever says nothing of their own.
PUBLIC_PHOTOS = 535_234
# Of 458 photos of it, and of their JSON.
PHOTO_KILOBYTES = Decimal(57)
METADATA_KILOBYTES = Decimal("2.1")
# JPEG at a quality of 90 with a shorter side of 256 (docs/scale.md).
RESIZED_KILOBYTES, RESIZED_SIDE = Decimal(20), 256
# Athena bills at least so much for a query: https://aws.amazon.com/athena/pricing/
ATHENA_LEAST_MEGABYTES = 10
# Statements of `steps.query` after the one that consolidates; each scans a share of the JSON's size, of what that left.
# Those that make and drop tables are free.
LATER_STATEMENTS, CONSOLIDATED_SHARE = 6, Decimal("0.07")
# The volume that the SDK's Processor asks for.
PROCESSING_GIGABYTES = 30
# Of a thousand keys, of which a listing takes pages (docs/scale.md).
LIST_PAGE, LIST_SECONDS = 1000, Decimal("0.1")


@dataclass(frozen=True)
class Assumption:
    """A number that a bill rests on; `measured` is the command that measures it, empty for what is only assumed."""

    name: str
    value: Range
    unit: str
    why: str
    measured: str = ""


STARTUP = Assumption(
    "billed before and after a job's own work",
    Range.of(60, 300),
    "s a job",
    "pulling the image, copying inputs and outputs",
)
WAIT = Assumption(
    "waiting for an instance", Range.of(60, 300), "s a job", "not billed; for spot capacity it can be hours"
)
METADATA = Assumption(
    "metadata files read",
    Range.of(1000, 2800),
    "files/s",
    "2,800 measured on two cores without Athena; Athena itself takes about as long",
    "python -m benchmarks query",
)
MOVED = Assumption(
    "photos sharded as they are",
    Range.of(300, 600),
    "photos/s and vCPU",
    "1,200 measured on two cores that also ran the S3 server, photos of 57 KB; half of it for the low end",
    "python -m benchmarks shard",
)
RESIZED = Assumption(
    "photos sharded and resized",
    Range.of(100, 205),
    "photos/s and vCPU",
    "410 measured on two cores that also ran the S3 server, photos of 57 KB; half of it where two vCPUs are a core",
    "python -m benchmarks shard-resize",
)
INTERPRETER = Assumption(
    "photos that an instance can shard at most",
    Range.of(2000, 3300),
    "photos/s",
    "0.3 ms a photo in the one process, and the network",
    "python -m benchmarks shard",
)
LOADED = Assumption(
    "photos that the loader decodes",
    Range.of(600, 1300),
    "photos/s and vCPU",
    "2,573 measured with two workers on two cores, shards of 256 pixels; half of it where two vCPUs are a core",
    "python -m benchmarks load",
)
CPU_TRAINING = Assumption(
    "a training step on a CPU",
    Range.of(15, 60),
    "billion multiply-adds/s and vCPU",
    "41 measured a core, ResNet18 at 112 pixels",
    "python -m benchmarks train-step",
)
PREDICTED = Assumption(
    "a forward pass of the evaluation",
    Range.of(15, 50),
    "billion multiply-adds/s and vCPU",
    "50 measured a core, ResNet34 at 224 pixels with decoding; half of it where two vCPUs are a core",
    "python -m benchmarks serve",
)
SCALING = Assumption(
    "of the sum of its GPUs or instances a trial reaches", Range.of("0.75", 1), "", "more than one of them"
)
EPOCHS_RUN = Assumption(
    "of its epochs a trial trains for",
    Range.of("0.4", 1),
    "",
    "patience and early stopping end some; all of them is the high end",
)
SPOT_BILLED = Assumption(
    "of the time on spot capacity is billed",
    Range.of("0.3", "0.8"),
    "",
    "AWS says up to 90% are saved; it differs by type, zone and hour, and work after the last checkpoint is done twice",
)
CHAMPION = Assumption("models that an evaluation judges", Range.of(1, 2), "", "the champion too, where there is one")
SERVERLESS_SECONDS = Assumption(
    "a serverless endpoint computes",
    Range.of("0.05", "0.3"),
    "s a request",
    "37 ms measured on two cores for ResNet34; there are fewer for less memory, and cold starts",
    "python -m benchmarks serve",
)
CAPTURED = Assumption(
    "a captured request, of the photo's size", Range.of("1.3", "1.5"), "", "base64 and the answer beside it"
)
MODEL_MEGABYTES = Assumption(
    "what a trial leaves in S3", Range.of(50, 400), "MB", "weights, ONNX, and checkpoints until they expire"
)

# Billion multiply-adds a second of a GPU in a training step in mixed precision: from half of to all that published
# trainings of ResNet50 reach (about 400 photos/s on a T4, 1,350 on a V100, 2,700 on an A100, 3,600 on an H100, of 12.3
# billion each), which is not verified; A10G and L4 by their tensor cores and memory beside those.
_GPUS: dict[str, tuple[str, Range]] = {
    "g4dn": ("T4", Range.of(2_500, 5_000)),
    "g5": ("A10G", Range.of(5_500, 11_000)),
    "g6": ("L4", Range.of(4_500, 9_000)),
    "p3": ("V100", Range.of(8_000, 16_500)),
    "p3dn": ("V100", Range.of(8_000, 16_500)),
    "p4d": ("A100", Range.of(16_500, 33_000)),
    "p4de": ("A100", Range.of(16_500, 33_000)),
    "p5": ("H100", Range.of(22_000, 44_000)),
}
_ANY_GPU = Range.of(2_500, 44_000)
# Billion multiply-adds a photo of 224 pixels, forwards:
# https://docs.pytorch.org/vision/stable/models.html#table-of-all-available-classification-weights (GFLOPS)
_NETWORKS: dict[str, str] = {
    "convnext_tiny": "4.46",
    "convnext_small": "8.68",
    "convnext_base": "15.36",
    "densenet121": "2.83",
    "efficientnet_b0": "0.39",
    "efficientnet_b1": "0.69",
    "efficientnet_b2": "1.09",
    "efficientnet_b3": "1.83",
    "mobilenet_v2": "0.3",
    "mobilenet_v3_large": "0.22",
    "mobilenet_v3_small": "0.06",
    "regnet_y_400mf": "0.4",
    "resnet18": "1.81",
    "resnet34": "3.66",
    "resnet50": "4.09",
    "resnet101": "7.8",
    "shufflenet_v2_x0_5": "0.04",
    "shufflenet_v2_x1_0": "0.14",
    "swin_t": "4.49",
    "vit_b_16": "17.56",
}
_ANY_NETWORK = Range.of("0.3", 18)
# A small network waits for memory: it may take as long as one of so many.
_MEMORY_BOUND = Decimal("0.5")
# Forwards and backwards, of forwards alone.
TRAINING_PASSES = 3
SIDE = 224


def gpu_training(instance_type: str) -> Assumption:
    """A training step on one GPU of this type."""
    name, rate = _GPUS.get(instance_type.split(".")[1], ("a GPU that is not in the table", _ANY_GPU))
    why = "half of to all that published trainings of ResNet50 reach; not measured here: --photos-per-second"
    return Assumption(f"a training step on {name}", rate, "billion multiply-adds/s", why)


def multiply_adds(architectures: Iterable[str], side: int) -> Range:
    """Billion multiply-adds a photo, forwards, of the lightest and the heaviest of some networks, at a size."""
    networks = [_network(one) for one in architectures]
    scale = Decimal(side * side) / (SIDE * SIDE)
    return Range(min(one.low for one in networks), max(one.high for one in networks)) * scale


def training_rate(instance_type: str, architectures: Iterable[str], side: int) -> tuple[Range, Assumption]:
    """Photos a second that an instance trains on, and what that rests on."""
    work = multiply_adds(architectures, side) * TRAINING_PASSES
    vcpus = instances.vcpus(instance_type)
    if not instances.has_gpus(instance_type):
        return Range.of(vcpus) * CPU_TRAINING.value / work, CPU_TRAINING
    step = gpu_training(instance_type)
    # A type that is newer than the table may have one GPU or eight.
    gpus = instances.gpus(instance_type)
    scaled = SCALING.value * gpus if gpus > 1 else Range.of(1, 1 if gpus else 8)
    computed = step.value * scaled / work
    return computed.at_most(LOADED.value * vcpus), step


def _network(architecture: str) -> Range:
    known = _NETWORKS.get(architecture)
    if known is None:
        return _ANY_NETWORK
    return Range(Decimal(known), max(Decimal(known), _MEMORY_BOUND))
