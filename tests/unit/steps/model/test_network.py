import math

import pytest
import torch

from steps.contracts.artifact import IMAGENET_MEAN, IMAGENET_STD
from steps.contracts.errors import StepError
from steps.model.network import CountClassifier, build_network


def test_uint8_photos_are_normalised_by_the_network_itself():
    network = CountClassifier(torch.nn.Identity())
    photos = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(network(photos), (photos / 255 - mean) / std)


def test_mirrored_answers_are_the_mean_of_both_mirrorings_and_only_outside_of_training():
    plain = build_network("resnet18", 3, 32, seed=1).eval()
    mirrored = build_network("resnet18", 3, 32, seed=1, mirrored=True)
    photos = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        mean = (plain(photos).softmax(1) + plain(photos.flip(-1)).softmax(1)) / 2
        answers = mirrored.eval()(photos)
        torch.testing.assert_close(answers.softmax(1), mean)
        torch.testing.assert_close(answers, mirrored(photos.flip(-1)))
        torch.testing.assert_close(mirrored.train()(photos), plain.train()(photos))
    assert (plain.eval()(photos).softmax(1) - mean).abs().max() > 1e-4


def test_mirrored_answers_stay_finite_where_probabilities_are_too_small_for_floats():
    logits = torch.tensor([[0.0, -300.0], [-300.0, 0.0]])
    network = CountClassifier(Given(logits), mirrored=True).eval()
    assert network(torch.zeros(2, 3, 4, 4)).tolist() == (logits + math.log(2)).tolist()


class Given(torch.nn.Module):
    """Answers with the same logits for any photos."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits


@pytest.mark.parametrize("architecture", ["resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "googlenet"])
def test_torchvision_classifiers_give_a_logit_for_each_class_while_they_train(architecture):
    network = build_network(architecture, classes=4, image_size=64, seed=1)
    assert network.training
    assert network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 4)


def test_the_seed_decides_the_weights():
    first, again, other = (build_network("squeezenet1_1", 3, 64, seed).state_dict() for seed in (1, 1, 2))
    name = "network.features.0.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_an_unknown_architecture_is_refused_with_the_nearest_names():
    with pytest.raises(StepError, match=r"resnet81.*resnet18"):
        build_network("resnet81", 3, 64, 1)


def test_a_detector_is_not_a_classifier():
    with pytest.raises(StepError, match="no such classifier"):
        build_network("fasterrcnn_resnet50_fpn", 3, 64, 1)


def test_photos_too_small_for_the_architecture_are_refused_with_both_names():
    with pytest.raises(StepError, match=r"alexnet.*--image-size 32"):
        build_network("alexnet", 3, 32, 1)
