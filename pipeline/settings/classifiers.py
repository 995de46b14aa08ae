"""torchvision's classifiers and the sizes of photos that each supports; a test compares both with torchvision.

The trainer builds the network with torchvision, which the command line does not import: a misspelt name would be found
by the first trial, after the query and the sharding have been paid.
"""

from __future__ import annotations

import difflib

# `list_models(module=torchvision.models)` of torchvision 0.20 to 0.25.
NAMES = frozenset(
    [
        "alexnet",
        "convnext_base",
        "convnext_large",
        "convnext_small",
        "convnext_tiny",
        "densenet121",
        "densenet161",
        "densenet169",
        "densenet201",
        "efficientnet_b0",
        "efficientnet_b1",
        "efficientnet_b2",
        "efficientnet_b3",
        "efficientnet_b4",
        "efficientnet_b5",
        "efficientnet_b6",
        "efficientnet_b7",
        "efficientnet_v2_l",
        "efficientnet_v2_m",
        "efficientnet_v2_s",
        "googlenet",
        "inception_v3",
        "maxvit_t",
        "mnasnet0_5",
        "mnasnet0_75",
        "mnasnet1_0",
        "mnasnet1_3",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "mobilenet_v3_small",
        "regnet_x_16gf",
        "regnet_x_1_6gf",
        "regnet_x_32gf",
        "regnet_x_3_2gf",
        "regnet_x_400mf",
        "regnet_x_800mf",
        "regnet_x_8gf",
        "regnet_y_128gf",
        "regnet_y_16gf",
        "regnet_y_1_6gf",
        "regnet_y_32gf",
        "regnet_y_3_2gf",
        "regnet_y_400mf",
        "regnet_y_800mf",
        "regnet_y_8gf",
        "resnet101",
        "resnet152",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "resnext50_32x4d",
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "shufflenet_v2_x1_5",
        "shufflenet_v2_x2_0",
        "squeezenet1_0",
        "squeezenet1_1",
        "swin_b",
        "swin_s",
        "swin_t",
        "swin_v2_b",
        "swin_v2_s",
        "swin_v2_t",
        "vgg11",
        "vgg11_bn",
        "vgg13",
        "vgg13_bn",
        "vgg16",
        "vgg16_bn",
        "vgg19",
        "vgg19_bn",
        "vit_b_16",
        "vit_b_32",
        "vit_h_14",
        "vit_l_16",
        "vit_l_32",
        "wide_resnet101_2",
        "wide_resnet50_2",
    ]
)
# Smallest side of a photo in pixels: that `image_size` permits, and those of classifiers that need larger ones.
SMALLEST = 32
_SMALLEST = {"alexnet": 63, "inception_v3": 75}
# A side is a multiple of the patch.
_PATCHES = {"vit_b_16": 16, "vit_b_32": 32, "vit_l_16": 16, "vit_l_32": 32, "vit_h_14": 14}
# Built for one size.
_ONE_SIZE = {"maxvit_t": 224}


def classifier(name: str) -> str:
    """`name`, if torchvision has such a classifier. Raises ValueError with the nearest name."""
    if name not in NAMES:
        close = difflib.get_close_matches(name, sorted(NAMES), n=1)
        meant = f"did you mean {close[0]}?" if close else "take resnet18, resnet34, resnet50 or another"
        raise ValueError(f"torchvision has no classifier {name!r}; {meant}")
    return name


def size_refusal(name: str, image_size: int) -> str:
    """Why a classifier does not support photos of this side, with sides that it does; empty if it does."""
    if (size := _ONE_SIZE.get(name, image_size)) != image_size:
        return f"{name} supports photos of {size} pixels alone; set image_size to {size}"
    if image_size < (smallest := _SMALLEST.get(name, 0)):
        return f"{name} supports photos of {smallest} pixels and more; set a larger image_size"
    patch = _PATCHES.get(name, 1)
    if image_size % patch:
        near = round(image_size / patch) * patch or patch
        return f"{name} supports multiples of {patch} pixels, as {near}; set image_size to one"
    return ""


def half_size_refusal(name: str, image_size: int) -> str:
    """Why a classifier cannot be trained on photos of half this side at first; empty if it can."""
    if name in _ONE_SIZE or name in _PATCHES:
        return f"{name} is built for photos of one size; set progressive_resizing to 0"
    if image_size // 2 < SMALLEST:
        return f"progressive_resizing requires an image_size of {2 * SMALLEST} or more; set it to 0"
    if reason := size_refusal(name, image_size // 2):
        return f"{reason}, or progressive_resizing to 0: its first photos have half the side"
    return ""
