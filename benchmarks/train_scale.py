"""The whole training job on one and on two ranks of one thread each, over the same shards."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

from benchmarks import job, server
from benchmarks.bins import bins, upload_photos
from benchmarks.cases import Bound, Case, take_turns
from benchmarks.child import ROOT, ContenderError, measure
from benchmarks.contenders import sharding
from benchmarks.job import prepare
from benchmarks.options import Options
from benchmarks.step_arguments import TRAIN, flags_of
from pipeline.local.machine.ports import free_port
from steps.contracts.s3_uri import S3Uri

UNIT = "photos/s"
EPOCHS = 3
MAXIMUM_QUANTITY = 5
FLAGS = {
    "architecture": "resnet18",
    "image-size": "64",
    "epochs": str(EPOCHS),
    "batch-size": "16",
    "workers": "0",
    "patience": "0",
}
TIME_LIMIT = 600


def cases(options: Options) -> Iterator[Case]:
    """Photos per second, median of all epochs but the first; the limit of two ranks is twice the rate of one."""
    with server.bucket() as bucket:
        uploaded = upload_photos(bins(options.count, small=True), options.count, S3Uri(bucket, "raw"))
        few = uploaded.labels.filter(pc.less_equal(uploaded.labels["quantity"], MAXIMUM_QUANTITY))
        shards = options.folder / "shards"
        prepare(shards, few, S3Uri(bucket, "out"))
        flags = ["--image-location", str(uploaded.location), "--image-size", "0", "--split", "random"]
        measure(sharding.step, {"base": str(shards), "flags": flags})
        index = job.index(shards)
        contenders = {"baseline": lambda: _train(index, 1, options), "ours": lambda: _train(index, 2, options)}
        rates = take_turns(contenders, options.rounds, UNIT)
        limit = 2 * rates["baseline"]
        yield Case(
            "train-scale", UNIT, rates["ours"], rates["baseline"], limit, bounds=(Bound("ratio", "at least", 1.5),)
        )


def _train(index: Path, ranks: int, options: Options) -> float:
    base = options.folder / uuid.uuid4().hex
    shutil.copytree(index, base / "input" / "data" / "index")
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={ranks}"]
    command += [
        "--master_addr=127.0.0.1",
        f"--master_port={free_port()}",
        str(ROOT / "steps" / "train" / "__main__.py"),
    ]
    command += flags_of({**TRAIN, **FLAGS})
    # One thread per rank: the job divides SM_NUM_CPUS among its ranks.
    environment = {"SAGEMAKER_BASE_DIR": str(base), "SM_NUM_CPUS": str(ranks), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    if done.returncode:
        raise ContenderError(
            f"{ranks} ranks ended with status {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
        )
    epochs = json.loads((base / "model" / "history.json").read_text())["epochs"]
    return statistics.median(epoch["images_per_second"] for epoch in epochs[1:])
