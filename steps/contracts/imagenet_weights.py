"""torchvision's published ImageNet weights: which file belongs to an architecture, and where a job reads it.

`python -m pipeline weights` copies a file from torchvision's server into the project's bucket, below WEIGHTS_FOLDER.
A file's name carries the first hex digits of its SHA-256, as torch.hub checks them
(https://docs.pytorch.org/docs/stable/hub.html#torch.hub.load_state_dict_from_url, check_hash).

Of an architecture's weights those are taken that were trained on ImageNet-1K alone, IMAGENET1K_V2 or else
IMAGENET1K_V1: torchvision's own `DEFAULT`, except for two architectures that have neither, and whose SWAG weights are
licensed for non-commercial use (CC-BY-NC 4.0, torchvision's README).
"""

from __future__ import annotations

import difflib
import re

from steps.contracts.errors import StepError
from steps.contracts.imagenet_files import FILES, PublishedFile
from steps.contracts.s3_uri import S3Uri

HOST = "download.pytorch.org"
ORIGIN = f"https://{HOST}/models"
# Below the project's prefix.
WEIGHTS_FOLDER = "weights"
# The digits after the last hyphen: torch.hub's HASH_REGEX, `-([a-f0-9]*)\.`, for these names.
_DIGITS = re.compile(r"-([0-9a-f]{8,64})\.pth")
_ARCHITECTURES = {file.name: architecture for architecture, file in FILES.items()}
# What a model card says. torchvision's licence: https://github.com/pytorch/vision/blob/main/LICENSE; the sentence on
# models is in its README, "Pre-trained Model License"; ImageNet's terms: https://www.image-net.org/download.php
LICENCE = (
    "torchvision is under the BSD 3-Clause licence; its README says that pre-trained models may have their own licenses"
    " or terms derived from the dataset used for training. These were trained on ImageNet-1K, whose terms of access"
    " are for non-commercial research and educational purposes: whether your use is permitted is for you to determine."
)


def published(architecture: str) -> PublishedFile:
    """The published file of an architecture. Raises StepError where there is none, with the nearest that has one."""
    if architecture not in FILES:
        raise StepError(refusal(architecture))
    return FILES[architecture]


def refusal(architecture: str) -> str:
    """Why an architecture has no published weights, with the nearest that has; empty where it has them."""
    if architecture in FILES:
        return ""
    near = difflib.get_close_matches(architecture, sorted(FILES), 1)
    other = f"take {near[0]}, or" if near else "take resnet18, resnet34, resnet50 or another, or"
    return f"torchvision publishes no weights of {architecture} from ImageNet alone; {other} set training.weights: none"


def digits_of(name: str) -> str:
    """The hex digits with which the SHA-256 of a published file begins; empty for a name without them."""
    match = _DIGITS.search(name)
    return match[1] if match else ""


def url_of(name: str) -> str:
    """Where torchvision publishes a file."""
    return f"{ORIGIN}/{name}"


def file_for(uri: str, architecture: str) -> str:
    """The URI of a trial's initial weights: a folder (`s3://bucket/prefix/`) stands for its architecture's file there.

    A search over architectures names the folder, since all trials share the hyperparameter. Raises StepError where the
    architecture has no published weights.
    """
    return f"{uri}{published(architecture).name}" if uri.endswith("/") else uri


def architecture_of(uri: str) -> str:
    """The architecture whose published file an object is by its name; empty for other initial weights, and for none."""
    return _ARCHITECTURES.get(S3Uri.parse(uri).key.rpartition("/")[2], "") if uri else ""


def published_at(uri: str) -> PublishedFile | None:
    """The published file that an object is by its name; None for other initial weights, and for none."""
    return FILES.get(architecture_of(uri))


def origin_of(uri: str) -> str:
    """Where a training's initial weights come from, for people; "random" for none."""
    if not uri:
        return "random"
    file = published_at(uri)
    return f"torchvision's {file.weights}, trained on ImageNet-1K: {url_of(file.name)}" if file else uri


def caveat(uri: str) -> str:
    """What an evaluation with initial weights of one's own leaves open; empty for published and for random ones."""
    if not uri or published_at(uri):
        return ""
    return (
        f"Training began with the weights at {uri}: photos that those were trained on, with another split, are no test."
    )
