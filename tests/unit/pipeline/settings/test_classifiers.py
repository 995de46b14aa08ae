"""Facts that the settings keep of programs which they do not import: torchvision's classifiers, SageMaker's types."""

from __future__ import annotations

import pytest

from pipeline.settings.classifiers import NAMES, half_size_refusal, size_refusal
from pipeline.settings.fields import _COMMON, _names
from steps.contracts.errors import StepError
from steps.model.network import build_network, check_half_size, import_torchvision


def test_the_classifiers_are_those_of_torchvision() -> None:
    models = import_torchvision()
    assert set(models.list_models(module=models)) == NAMES


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("alexnet", 62), ("alexnet", 63), ("inception_v3", 74), ("inception_v3", 75), ("maxvit_t", 192)),
        *(("maxvit_t", 224), ("vit_b_32", 48), ("vit_b_32", 64), ("resnet18", 32), ("shufflenet_v2_x0_5", 33)),
        *(("squeezenet1_1", 32), ("densenet121", 32), ("regnet_y_400mf", 32), ("swin_t", 33), ("googlenet", 32)),
    ],
)
def test_the_sizes_are_those_that_the_networks_support(name: str, size: int) -> None:
    try:
        build_network(name, 3, size, seed=1)
    except StepError:
        assert size_refusal(name, size)
    else:
        assert not size_refusal(name, size)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("alexnet", 125), ("alexnet", 126), ("inception_v3", 149), ("inception_v3", 150), ("maxvit_t", 224)),
        *(("vit_b_32", 64), ("resnet18", 64), ("shufflenet_v2_x0_5", 65), ("squeezenet1_1", 64), ("swin_t", 64)),
        *(("mobilenet_v3_small", 64), ("regnet_y_400mf", 64), ("densenet121", 64), ("vgg11", 64), ("googlenet", 64)),
    ],
)
def test_photos_of_half_the_side_are_refused_where_the_network_does_not_support_them(name: str, size: int) -> None:
    network = build_network(name, 3, size, seed=1)
    if half_size_refusal(name, size):
        with pytest.raises(StepError, match=r"set training\.progressive_resizing to 0"):
            check_half_size(network, name, size)
    else:
        check_half_size(network, name, size)
        assert network.training


def test_half_the_side_is_no_smaller_than_a_side_may_be() -> None:
    assert half_size_refusal("resnet18", 63) == "progressive_resizing requires an image_size of 64 or more; set it to 0"


def test_the_types_that_need_no_look_are_of_every_use() -> None:
    for shape in ("Processing", "Training", "ProductionVariant", "Transform"):
        assert set(_names(f"{shape}InstanceType")) >= _COMMON
