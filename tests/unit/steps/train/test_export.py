import numpy as np
import onnxruntime
import pytest
import torch

from steps.contracts.errors import StepError
from steps.model.network import build_network
from steps.train import export
from steps.train.export import INPUT, OUTPUT, OnnxGraph, check_agreement


def logits(serialised: bytes, photos: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(serialised, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: photos.numpy()})[0])


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_onnx_gives_torchs_logits_for_any_batch_size(network, graph, batch):
    photos = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = network.eval()(photos)
    torch.testing.assert_close(logits(graph.with_weights(network.state_dict()), photos), wanted, rtol=1e-3, atol=1e-3)


def test_the_graph_takes_the_weights_of_a_later_epoch_with_its_running_statistics(graph):
    later = build_network("resnet18", 3, 32, seed=2)
    later(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
    check_agreement(graph.with_weights(later.state_dict()), later, 32)


@pytest.mark.parametrize("since", [(2, 10), (99, 0)], ids=["newer exporter", "older exporter"])
def test_mirrored_answers_are_in_the_graph(since, monkeypatch):
    monkeypatch.setattr(export, "_NEWER_EXPORTER_SINCE", since)
    network = build_network("resnet18", 3, 32, seed=1, mirrored=True)
    plain = build_network("resnet18", 3, 32, seed=1)
    serialised = OnnxGraph(network, 32).with_weights(network.state_dict())
    check_agreement(serialised, network, 32)
    with pytest.raises(StepError, match="disagrees"):
        check_agreement(serialised, plain, 32)
    # Each weight is in it once, though it is used twice.
    assert len(serialised) < 1.2 * len(OnnxGraph(plain, 32).with_weights(plain.state_dict()))


def test_a_model_that_disagrees_with_its_network_is_refused(network, graph):
    weights = {**network.state_dict(), "network.fc.bias": network.state_dict()["network.fc.bias"] + 1}
    with pytest.raises(StepError, match="disagrees"):
        check_agreement(graph.with_weights(weights), network, 32)


def test_a_model_of_nan_is_refused(network, graph):
    weights = {**network.state_dict(), "network.fc.bias": torch.full((3,), np.nan)}
    with pytest.raises(StepError, match="disagrees"):
        check_agreement(graph.with_weights(weights), network, 32)


def test_exporting_leaves_a_network_in_training(graph):
    network = build_network("resnet18", 3, 32, seed=1)
    check_agreement(graph.with_weights(network.state_dict()), network, 32)
    assert network.training


def test_an_older_pytorch_exports_by_its_older_exporter_to_the_same_logits(network, monkeypatch):
    monkeypatch.setattr(export, "_NEWER_EXPORTER_SINCE", (99, 0))
    graph = OnnxGraph(network, 32)
    # Of a new network many weights are equal; of a trained one none, and each has to find its place.
    later = build_network("resnet18", 3, 32, seed=2)
    later(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
    check_agreement(graph.with_weights(later.state_dict()), later, 32)
    state = network.state_dict()
    used = {name for name in state if not name.endswith("num_batches_tracked")}
    assert {initializer.name for initializer in graph._model.graph.initializer} == used


def test_a_network_that_cannot_be_exported_is_one_line_with_the_remedy(network, monkeypatch):
    def refuse(*_):
        raise torch.onnx.errors.OnnxExporterError("Unsupported: adaptive_avg_pool2d\nmore lines")

    monkeypatch.setattr(export, "_exported", refuse)
    monkeypatch.setattr(export, "_traced_to_torchscript", refuse)
    with pytest.raises(StepError, match="Unsupported: adaptive_avg_pool2d; choose another architecture") as caught:
        OnnxGraph(network, 32)
    assert len(str(caught.value).splitlines()) == 1
