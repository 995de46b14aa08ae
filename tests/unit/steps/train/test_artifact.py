import json

import pytest
import torch
from safetensors.torch import load_file

from steps.contracts.artifact import ModelDescription, digest, read_description
from steps.contracts.errors import StepError
from steps.evaluate.artifact import load_network
from steps.model.predictor import Predictor
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
    description = read_description(written)
    assert description.model_copy(update={"sha256": {}}) == DESCRIPTION
    assert description.sha256 == {name: digest(written / name) for name in ("model.onnx", "model.safetensors")}
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
    artifact.check_complete(written)


def test_a_copy_is_whole_and_a_half_copy_is_not(written, tmp_path):
    copy = tmp_path / "checkpoints" / "best"
    artifact.copy_artifact(written, copy)
    artifact.check_complete(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(StepError, match=r"best/model.onnx: missing"):
        artifact.check_complete(copy)


def cut(content):
    return content[:-1]


def altered(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def longer(content):
    return content + b"x"


@pytest.mark.parametrize("damage", [cut, altered, longer])
@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_a_file_that_is_not_as_it_was_written_is_named_wherever_it_is_used(written, name, damage):
    path = written / name
    path.write_bytes(damage(path.read_bytes()))
    message = rf"model/{name}: damaged, .* bytes whose SHA-256 is not that of model.json"
    with pytest.raises(StepError, match=message):
        Predictor.load(written) if name == "model.onnx" else load_network(written, read_description(written))
    with pytest.raises(StepError, match=message):
        artifact.check_complete(written)


def test_an_artifact_of_a_time_without_digests_is_used_on(written):
    description = json.loads((written / "model.json").read_text())
    del description["sha256"]
    (written / "model.json").write_text(json.dumps(description))
    artifact.check_complete(written)
    assert Predictor.load(written).description.sha256 == {}
