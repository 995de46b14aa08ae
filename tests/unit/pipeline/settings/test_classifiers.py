"""Facts that the settings keep of programs which they do not import: torchvision's classifiers, SageMaker's types."""

from __future__ import annotations

import pytest

from pipeline.settings.classifiers import NAMES, size_refusal
from pipeline.settings.fields import _COMMON, _names
from steps.contracts.errors import StepError
from steps.model.network import build_network, import_torchvision


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


def test_the_types_that_need_no_look_are_of_every_use() -> None:
    for shape in ("Processing", "Training", "ProductionVariant", "Transform"):
        assert set(_names(f"{shape}InstanceType")) >= _COMMON
