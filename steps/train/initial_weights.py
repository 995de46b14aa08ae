"""Initial weights of a training from S3: a torchvision state dict, or the weights of an earlier artifact."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steps.contracts.errors import StepError
from steps.contracts.imagenet_weights import LICENCE, digits_of, published_at, url_of
from steps.contracts.s3_uri import S3Uri

if TYPE_CHECKING:
    from steps.model.network import CountClassifier

log = logging.getLogger(__name__)

# The largest of torchvision's classifiers, regnet_y_128gf, has 2.6 GB of weights.
MAX_BYTES = 4 * 1024**3
# Prefix of the network's weights in an artifact of this pipeline, next to its normalisation.
_OWN_PREFIX = "network."
# Counters of batch normalisation, which files from before PyTorch 0.4.1 lack; nothing here reads them.
_COUNTERS = "num_batches_tracked"
# A vision transformer's positions (1, patches + 1, features), and the convolution over patches.
_POSITIONS, _POSITION_AXES, _PATCHES = "encoder.pos_embedding", 3, "conv_proj.weight"
_DENSE_LAYER = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$")


def load_initial_weights(network: CountClassifier, uri: str, image_size: int) -> None:
    """Load the weights at `uri` (`.safetensors`, or `.pth` with tensors only) into the network.

    The last layer stays random if the file has another number of classes; the positions of a vision transformer are
    interpolated to photos of `image_size` pixels. Raises StepError that names the URI if it cannot be read, is no such
    file, is damaged, or is of another architecture. Loading runs no code from the file.
    """
    inner = network.network
    expected = inner.state_dict()
    weights = _fitted(_read(uri), expected, image_size)
    head = _last_layer(expected)
    other = sorted(
        name for name, value in weights.items() if name not in head and value.shape != _shape(expected, name, value)
    )
    dropped = {name for name in head if name not in weights or weights[name].shape != expected[name].shape}
    for name in dropped:
        weights.pop(name, None)
    if not other:
        # Files of earlier releases of torchvision are adapted here, by the version of each layer that they carry.
        missing = set(inner.load_state_dict(weights, strict=False).missing_keys)
        other = sorted(name for name in missing - head if not name.endswith(_COUNTERS))
    if other:
        raise StepError(
            f"--weights {uri} is of another architecture: {other[0]} is missing or has another shape "
            f"({len(other)} such tensors); set the architecture of the weights"
        )
    log.info("weights from %s%s", uri, f"; {', '.join(sorted(dropped))} start at random" if dropped else "")
    if published := published_at(uri):
        log.info("torchvision's %s from %s. %s", published.weights, url_of(published.name), LICENCE)


def _fitted(weights: dict[str, Tensor], expected: dict[str, Tensor], image_size: int) -> dict[str, Tensor]:
    """The weights under the names of torchvision's present networks, with the versions of their layers."""
    # An artifact's weights and a file without versions are of a present network.
    is_own = any(name.startswith(_OWN_PREFIX) for name in weights)
    versions = None if is_own else getattr(weights, "_metadata", None)
    has_versions = isinstance(versions, dict) and all(isinstance(value, dict) for value in versions.values())
    renamed = OrderedDict((_renamed(name), value) for name, value in weights.items())
    if _POSITIONS in renamed and _PATCHES in expected and _are_of_a_square(renamed[_POSITIONS]):
        from torchvision.models.vision_transformer import interpolate_embeddings

        renamed = interpolate_embeddings(image_size, expected[_PATCHES].shape[-1], renamed)
    renamed._metadata = versions if has_versions else getattr(expected, "_metadata")  # type: ignore[attr-defined]  # noqa: B009
    return renamed


def _are_of_a_square(positions: Tensor) -> bool:
    """Whether these are positions (1, patches + 1, features) of as many rows of patches as columns."""
    shape = positions.shape
    return len(shape) == _POSITION_AXES and shape[0] == 1 and math.isqrt(shape[1] - 1) ** 2 == shape[1] - 1 > 0


def _renamed(name: str) -> str:
    """The present name of a tensor: without our prefix, and without DenseNet's former `norm.1` for `norm1`.

    torchvision's `_load_state_dict` in torchvision/models/densenet.py does the same.
    """
    return _DENSE_LAYER.sub(r"\1\2", name.removeprefix(_OWN_PREFIX))


def _shape(expected: dict[str, Tensor], name: str, value: Tensor) -> torch.Size:
    """The shape that a tensor should have: its own where the network lacks it, as for an auxiliary classifier."""
    return expected[name].shape if name in expected else value.shape


def _last_layer(state: dict[str, Tensor]) -> set[str]:
    """Names of the last linear layer's weight and bias, which are last in all of torchvision's classifiers."""
    layer = list(state)[-1].rpartition(".")[0]
    return {name for name in state if name.rpartition(".")[0] == layer}


def _read(uri: str) -> dict[str, Tensor]:
    content = _fetch(uri)
    _check_digest(uri, content)
    try:
        if uri.endswith(".safetensors"):
            from safetensors.torch import load

            state: Any = load(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise various errors for other content
        raise StepError(f"--weights {uri} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise StepError(f"--weights {uri} contains more than a state dict; save `network.state_dict()` as safetensors")
    return state


def _check_digest(uri: str, content: bytes) -> None:
    """Refuse a file with the name of a published one and other content."""
    published, digest = published_at(uri), hashlib.sha256(content).hexdigest()
    if published and not digest.startswith(digits_of(published.name)):
        raise StepError(
            f"--weights {uri} is not the file that torchvision publishes: its SHA-256 begins with {digest[:8]}; delete"
            " the object and put it there again: python -m pipeline weights"
        )


def _fetch(uri: str) -> bytes:
    """The object's bytes, by boto3: a process that has used obstore cannot be forked into loader processes."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    place = S3Uri.parse(uri)
    if not place.key.endswith((".safetensors", ".pth")):
        raise StepError(f"--weights {uri}: give a .safetensors file, or a .pth file of a state dict")
    try:
        answer = boto3.client("s3").get_object(Bucket=place.bucket, Key=place.key)
        if answer["ContentLength"] > MAX_BYTES:
            raise StepError(f"--weights {uri} has {answer['ContentLength']:,} bytes, more than any classifier")
        content: bytes = answer["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise StepError(
            f"--weights {uri} cannot be read: {error}; check that it exists and that the job's role may read it"
        ) from (error)
    return content
