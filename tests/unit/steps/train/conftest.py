import copy
from pathlib import Path

import pytest
import torch

from steps.model.network import CountClassifier, build_network
from steps.train import export
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


_trace = export._trace
_traces = {}


def _traced_once(network: torch.nn.Module, image_size: int):
    """The network's graph, traced at the first call for its layers: its weights are replaced in any case."""
    key = (str(network), image_size)
    if key not in _traces:
        _traces[key] = _trace(network, image_size)
    return copy.deepcopy(_traces[key])


@pytest.fixture
def traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of this process share the trace of a network, which takes longer than all else in them."""
    monkeypatch.setattr(export, "_trace", _traced_once)


@pytest.fixture
def base(s3, bucket: str, tmp_path: Path) -> Path:
    """The /opt/ml of a training job with 60 photos to train on, in 3 shards, and 21 to validate."""
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=60, validation=21, shards=3)
    return tmp_path
