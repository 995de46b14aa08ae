"""How long things take and how often they happen: what an estimate assumes besides settings and prices.

`Assumption.why` names the benchmark of a measured rate; all other rates are assumed, in ranges that are wide on
purpose. The command shows both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pipeline.aws import instances
from pipeline.operations.cost.money import Range

# Photos of the public data set of bins, and the average sizes of 458 of them and of their JSON.
PUBLIC_PHOTOS = 535_234
PHOTO_KILOBYTES, METADATA_KILOBYTES = Decimal(57), Decimal("2.1")
# The least that Athena bills per query: https://aws.amazon.com/athena/pricing/. The page does not define a terabyte;
# powers of ten make a query dearer.
ATHENA_LEAST_MEGABYTES = 10
ATHENA_MEGABYTE, ATHENA_TERABYTE = Decimal(10) ** 6, Decimal(10) ** 12
# Statements of `steps.query` after the one that consolidates; each scans this share of the JSON's size. Those that
# create and drop tables are free.
LATER_STATEMENTS, CONSOLIDATED_SHARE = 7, Decimal("0.09")
# The query step lists metadata and photos, 28 µs of one core per key (docs/scale.md); by an inventory it takes less.
LIST_SECONDS_PER_PHOTO = 2 * Decimal("0.000028")


@dataclass(frozen=True)
class Assumption:
    """A number that an estimate rests on, and why it is in this range."""

    name: str
    value: Range
    why: str


_CORE = "half of it where two vCPUs are a core"
STARTUP = Assumption(
    "billed seconds per job besides its work", Range.of(60, 300), "image pull, copies of inputs and outputs"
)
WAIT = Assumption(
    "seconds of waiting for an instance", Range.of(60, 300), "not billed; for spot capacity it can be hours"
)
METADATA = Assumption(
    "metadata files read per second",
    Range.of(1000, 2800),
    "2,800 measured on two cores without Athena, which takes about as long (python -m benchmarks query)",
)
PLANNED = Assumption(
    "photos planned per second with DuckDB on one instance",
    Range.of(20_000, 300_000),
    "40,000 measured per second of CPU time (python -m benchmarks plan); more cores help by an unknown share",
)
PLANNED_BY_SPARK = Assumption(
    "photos planned per second and vCPU with Spark",
    Range.of(2_000, 4_300),
    f"4,300 measured per second of CPU time, besides its start; {_CORE} (python -m benchmarks plan)",
)
EXPLORED = Assumption("photos explored per second and vCPU", Range.of(5_000, 50_000), "not measured")
MOVED = Assumption(
    "photos sharded as they are, per second and vCPU",
    Range.of(300, 600),
    "1,200 measured on two cores that also ran the S3 server (python -m benchmarks shard)",
)
RESIZED = Assumption(
    "photos sharded and resized, per second and vCPU",
    Range.of(100, 205),
    f"410 measured on two cores that also ran the S3 server; {_CORE} (python -m benchmarks shard-resize)",
)
NETWORK = Assumption(
    "most photos that an instance shards per second",
    Range.of(5_000, 17_000),
    "not measured: photos of 57 kB on a network of 10 Gbit/s, which moves 70 MB/s per process",
)
LOADED = Assumption(
    "photos that the loader decodes, per second and vCPU",
    Range.of(600, 1300),
    f"2,573 measured on two cores, shards of 256 pixels; {_CORE} (python -m benchmarks load)",
)
CPU_TRAINING = Assumption(
    "billion multiply-adds of a training step, per second and vCPU",
    Range.of(15, 60),
    "41 measured per core, ResNet18 at 112 pixels (python -m benchmarks train-step)",
)
FORWARD_PASS = Assumption(
    "billion multiply-adds of the evaluation, per second and vCPU",
    Range.of(15, 50),
    f"50 measured per core, ResNet34 at 224 pixels with decoding; {_CORE} (python -m benchmarks serve)",
)
MODELS = Assumption("models that an evaluation runs", Range.of(1, 2), "the champion too, where there is one")
SCALING = Assumption("efficiency of several GPUs or instances", Range.of("0.75", 1), "share of the sum of their rates")
SPOT_BILLED = Assumption(
    "billed share of the time on spot capacity",
    Range.of("0.3", "0.8"),
    "AWS: savings of up to 90%, by type, zone and hour; work after the last checkpoint is repeated",
)
# Share of its epochs that a trial trains for, where patience or early stopping may end it.
EARLY_STOPPING = Range.of("0.4", 1)

# Billion multiply-adds per second and GPU in a training step in mixed precision: from half of to all that published
# trainings of ResNet50 reach (about 400 photos/s on a T4, 1,350 on a V100, 2,700 on an A100, 3,600 on an H100, of 12.3
# billion each), which is not verified; A10G and L4 by their tensor cores and memory in proportion to those.
_V100, _A100 = ("V100", Range.of(8_000, 16_500)), ("A100", Range.of(16_500, 33_000))
_GPUS: dict[str, tuple[str, Range]] = {
    "g4dn": ("T4", Range.of(2_500, 5_000)),
    "g5": ("A10G", Range.of(5_500, 11_000)),
    "g6": ("L4", Range.of(4_500, 9_000)),
    **dict.fromkeys(("p3", "p3dn"), _V100),
    **dict.fromkeys(("p4d", "p4de"), _A100),
    "p5": ("H100", Range.of(22_000, 44_000)),
}
_ANY_GPU = ("a GPU that is not in the table", Range.of(2_500, 44_000))
# Billion multiply-adds of a forward pass of a photo of 224 pixels:
# https://docs.pytorch.org/vision/stable/models.html#table-of-all-available-classification-weights (GFLOPS)
# fmt: off
_NETWORKS = {
    "convnext_tiny": "4.46", "convnext_small": "8.68", "convnext_base": "15.36", "densenet121": "2.83",
    "efficientnet_b0": "0.39", "efficientnet_b1": "0.69", "efficientnet_b2": "1.09", "efficientnet_b3": "1.83",
    "mobilenet_v2": "0.3", "mobilenet_v3_large": "0.22", "mobilenet_v3_small": "0.06", "regnet_y_400mf": "0.4",
    "resnet18": "1.81", "resnet34": "3.66", "resnet50": "4.09", "resnet101": "7.8",
    "shufflenet_v2_x0_5": "0.04", "shufflenet_v2_x1_0": "0.14", "swin_t": "4.49", "vit_b_16": "17.56",
}
# fmt: on
_ANY_NETWORK = Range.of("0.3", 18)
# Memory bandwidth limits small networks: they may take as long as one of this many billion multiply-adds.
_MEMORY_BOUND = Decimal("0.5")
# A training step takes about three times as long as a forward pass.
TRAINING_PASSES = 3
_SIDE = 224


def multiply_adds(architectures: Iterable[str], side: int) -> Range:
    """Billion multiply-adds of a forward pass per photo of `side` pixels, from the lightest network to the heaviest."""
    networks = [_network(architecture) for architecture in architectures]
    scale = Decimal(side * side) / (_SIDE * _SIDE)
    return Range(min(network.low for network in networks), max(network.high for network in networks)) * scale


def _network(architecture: str) -> Range:
    if architecture not in _NETWORKS:
        return _ANY_NETWORK
    work = Decimal(_NETWORKS[architecture])
    return Range(work, max(work, _MEMORY_BOUND))


def training_rate(instance_type: str, architectures: Iterable[str], side: int) -> tuple[Range, list[Assumption]]:
    """Photos per second that an instance trains on, and the assumptions behind it."""
    work = multiply_adds(architectures, side) * TRAINING_PASSES
    vcpus, gpus = instances.vcpus(instance_type), instances.gpus(instance_type)
    if not instances.has_gpus(instance_type):
        return Range.of(vcpus) * CPU_TRAINING.value / work, [CPU_TRAINING]
    name, rate = _GPUS.get(instance_type.split(".")[1], _ANY_GPU)
    why = "from half of to all that published trainings of ResNet50 reach; not measured here: --photos-per-second"
    step = Assumption(f"billion multiply-adds of a training step on {name}, per second", rate, why)
    # A type that is newer than the table of GPU counts may have one GPU or eight.
    scaled = SCALING.value * gpus if gpus > 1 else Range.of(1, 1 if gpus else 8)
    return (rate * scaled / work).at_most(LOADED.value * vcpus), [step, LOADED, *([SCALING] if gpus > 1 else [])]
