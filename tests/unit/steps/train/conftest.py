from pathlib import Path

import pytest
import torch

from steps.model.network import CountClassifier, build_network
from steps.train.export import OnnxGraph

from .photos import store_dataset
from .trackers import closed_port, job, patient, server, silent_port, stand_in, trial

__all__ = ["closed_port", "job", "patient", "server", "silent_port", "stand_in", "trial"]


@pytest.fixture(scope="package")
def network() -> CountClassifier:
    """A small network for photos of 32 pixels in three classes."""
    return build_network("resnet18", 3, 32, seed=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@pytest.fixture(scope="package")
def graph(network: CountClassifier) -> OnnxGraph:
    """Its graph; tracing takes seconds, so once."""
    return OnnxGraph(network, 32)


@pytest.fixture
def base(s3, bucket: str, tmp_path: Path) -> Path:
    """The /opt/ml of a training job with 60 photos to train on, in 3 shards, and 21 to validate."""
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=60, validation=21, shards=3)
    return tmp_path
