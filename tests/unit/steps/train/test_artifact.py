import json

import pytest
import torch
from safetensors.torch import load_file

from steps.contracts.artifact import ModelDescription, read_description
from steps.contracts.errors import StepError
from steps.train import artifact
from steps.train.history import History

from .test_checkpoint import record

DESCRIPTION = ModelDescription(architecture="resnet18", classes=[0, 1, 2], image_size=32, dataset_sha256="0" * 64)
HISTORY = History(epochs=[record(1)])


@pytest.fixture
def written(tmp_path, network, graph):
    artifact.write_artifact(tmp_path / "model", network, graph, DESCRIPTION, HISTORY)
    return tmp_path / "model"


def test_an_artifact_is_whole_and_describes_itself(written, network):
    assert sorted(path.name for path in written.iterdir()) == sorted(artifact.FILES)
    assert read_description(written) == DESCRIPTION
    weights = load_file(written / "model.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())


def test_nothing_is_left_beside_an_artifact(written):
    assert [path.name for path in written.parent.iterdir()] == ["model"]


def test_a_model_that_does_not_agree_with_onnx_leaves_the_former_artifact(written, network, graph):
    before = (written / "model.onnx").read_bytes()

    class Other(torch.nn.Module):
        def state_dict(self, *args, **kwargs):
            return network.state_dict()

        def forward(self, photos):
            return network(photos) + 1

    with pytest.raises(StepError, match="disagrees"):
        artifact.write_artifact(written, Other(), graph, DESCRIPTION, HISTORY)
    assert (written / "model.onnx").read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["model"]


def test_the_history_goes_on_while_the_model_stays(written):
    artifact.write_history(written, History(epochs=[record(1), record(2)]))
    history = json.loads((written / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]
    assert artifact.is_complete(written)


def test_a_copy_is_whole_and_a_half_copy_is_not(written, tmp_path):
    copy = tmp_path / "checkpoints" / "best"
    artifact.copy_artifact(written, copy)
    assert artifact.is_complete(copy)
    (copy / "model.onnx").unlink()
    assert not artifact.is_complete(copy)
