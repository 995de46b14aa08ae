"""A small data set of the real layout: JPEGs that show a number of squares, in tars in S3, with their index."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from steps.contracts.dataset import NAME, DatasetIndex, Shard, Sharding, Split, SplitName

from ..arguments import TRAIN, flags_of

ROOT = Path(__file__).parents[4]
SIDE = 48
CLASSES = (0, 1, 2)


@dataclass(frozen=True)
class Photo:
    image_id: str
    jpeg: bytes
    quantity: int


def photo(image_id: str, quantity: int) -> Photo:
    """Dark noise with `quantity` bright squares in separate corners."""
    generator = random.Random(image_id)
    pixels = np.random.default_rng(generator.getrandbits(32)).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    for corner in generator.sample(range(4), quantity):
        top, left = 4 + 24 * (corner // 2), 4 + 24 * (corner % 2)
        pixels[top : top + 14, left : left + 14] = 230
    return Photo(image_id, simplejpeg.encode_jpeg(pixels, 90, "RGB"), quantity)


def photos(count: int, first: int = 0) -> list[Photo]:
    """Photos whose quantities go round."""
    return [photo(f"{number:05d}", CLASSES[number % len(CLASSES)]) for number in range(first, first + count)]


def tar(samples: list[Photo]) -> bytes:
    """A WebDataset shard."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            for kind, content in (("jpg", sample.jpeg), ("cls", str(sample.quantity).encode())):
                member = tarfile.TarInfo(f"{sample.image_id}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def store_split(s3: Any, bucket: str, split: SplitName, samples: list[Photo], shards: int) -> Split:
    """Write a split's shards, of unequal sizes, to the bucket."""
    stored: list[Shard] = []
    cuts = [0, *(len(samples) * (2 * k + 1) // (2 * shards) for k in range(1, shards)), len(samples)]
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        content = tar(samples[start:stop])
        key = f"{split}/{split}-000-{number:06d}.tar"
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        digest = hashlib.sha256(content).hexdigest()
        stored.append(Shard(uri=f"s3://{bucket}/{key}", samples=stop - start, bytes=len(content), sha256=digest))
    counts = {quantity: sum(sample.quantity == quantity for sample in samples) for quantity in CLASSES}
    return Split(shards=stored, class_counts=counts)


def store_dataset(
    s3: Any, bucket: str, folder: Path, *, train: int, validation: int, shards: int, calibration: Sequence[str] = ()
) -> None:
    """Shards in the bucket and the index in `folder`, as the training channel `index` brings it."""
    splits: dict[SplitName, Split] = {
        "train": store_split(s3, bucket, "train", photos(train), shards),
        "validation": store_split(s3, bucket, "validation", photos(validation, 10_000), shards),
        "test": store_split(s3, bucket, "test", photos(6, 20_000), 1),
    }
    sharding = Sharding(
        split="random",
        seed=1,
        fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
        image_size=SIDE,
        quality=90,
    )
    part = DatasetIndex(sharding=sharding, splits=splits, calibration=list(calibration))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(part.model_dump_json())


def launch(
    base: Path, port: int, *flags: str, processes: int = 2, node: int = 0, nodes: int = 1
) -> subprocess.Popen[str]:
    """Start a training job as the container does: torchrun, the program as a file, and TRAIN with `flags` over it."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        f"--nnodes={nodes}",
        f"--nproc_per_node={processes}",
        f"--node_rank={node}",
        "--master_addr=127.0.0.1",
        f"--master_port={port}",
        str(ROOT / "steps" / "train" / "__main__.py"),
        *flags_of(TRAIN),
        *flags,
    ]
    environment = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(base),
        "TRAINING_JOB_NAME": "job-1",
        "GLOO_SOCKET_IFNAME": "lo",
        "SM_NUM_CPUS": "2",
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        command, env=environment, cwd=base, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
