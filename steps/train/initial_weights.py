"""Initial weights of a training from S3: a torchvision state dict, or the weights of an earlier artifact."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

if TYPE_CHECKING:
    from steps.model.network import CountClassifier

log = logging.getLogger(__name__)

# The largest of torchvision's classifiers, regnet_y_128gf, has 2.6 GB of weights.
MAX_BYTES = 4 * 1024**3
# Prefix of the network's weights in an artifact of this pipeline, next to its normalisation.
_OWN_PREFIX = "network."


def load_initial_weights(network: CountClassifier, uri: str) -> None:
    """Load the weights at `uri` (`.safetensors`, or `.pth` with tensors only) into the network.

    The last layer stays random if the file has another number of classes. Raises StepError that names the URI if it
    cannot be read, is no such file, or is of another architecture. Loading runs no code from the file.
    """
    weights = {name.removeprefix(_OWN_PREFIX): value for name, value in _read(uri).items()}
    inner = network.network
    expected = inner.state_dict()
    head = _last_layer(expected)
    usable = {name: value for name, value in weights.items() if name in expected}
    other = sorted(
        name for name, value in usable.items() if name not in head and value.shape != expected[name].shape
    ) or sorted(set(expected) - set(usable) - head)
    if other:
        raise StepError(
            f"--weights {uri} is of another architecture: {other[0]} is missing or has another shape "
            f"({len(other)} such tensors); set the architecture of the weights"
        )
    dropped = sorted(name for name in head if name not in usable or usable[name].shape != expected[name].shape)
    inner.load_state_dict({name: value for name, value in usable.items() if name not in dropped}, strict=False)
    log.info("weights from %s%s", uri, f"; {', '.join(dropped)} start at random" if dropped else "")


def _last_layer(state: dict[str, Tensor]) -> set[str]:
    """Names of the last linear layer's weight and bias, which are last in all of torchvision's classifiers."""
    layer = list(state)[-1].rpartition(".")[0]
    return {name for name in state if name.rpartition(".")[0] == layer}


def _read(uri: str) -> dict[str, Tensor]:
    content = _fetch(uri)
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
