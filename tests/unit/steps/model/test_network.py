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
