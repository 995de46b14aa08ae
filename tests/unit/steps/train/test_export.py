import numpy as np
import onnxruntime
import pytest
import torch

from steps.contracts.errors import StepError
from steps.model.network import build_network
from steps.train.export import INPUT, OUTPUT, check_agreement


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
