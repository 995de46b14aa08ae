"""Networks of all families are exported by the exporter that this PyTorch gets."""

from __future__ import annotations

import pytest

from steps.model.network import build_network
from steps.train.export import OnnxGraph, check_agreement

# A classifier of each family of torchvision, with a side of a photo that both exporters take: the older one needs the
# size that AlexNet and VGG were made for.
FAMILIES = {
    **{"alexnet": 224, "vgg11_bn": 224, "squeezenet1_1": 32, "inception_v3": 96},
    **{"resnet34": 32, "resnext50_32x4d": 32, "densenet121": 32, "googlenet": 32, "shufflenet_v2_x0_5": 32},
    **{"mobilenet_v2": 32, "mobilenet_v3_small": 32, "mnasnet0_5": 32, "regnet_y_400mf": 32, "efficientnet_b0": 32},
    **{"convnext_tiny": 32, "vit_b_32": 32, "swin_t": 32},
}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_network_is_exported_and_takes_other_weights(architecture: str) -> None:
    size = FAMILIES[architecture]
    graph = OnnxGraph(build_network(architecture, 3, size, seed=0), size)
    other = build_network(architecture, 3, size, seed=1)
    check_agreement(graph.with_weights(other.state_dict()), other, size)
