"""Export of the network to ONNX: once, and then only its weights are replaced."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from steps.contracts.errors import StepError

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "photos", "logits"
# Largest difference of logits, relative to the largest logit. ONNX Runtime fuses layers, so that sums round
# differently.
TOLERANCE = 1e-3
# The oldest PyTorch whose newer exporter works with the image's onnxscript, by `make test-bases`. That of 2.5.1, the
# last image with SMDDP, fails at every batch normalisation; its older exporter, deprecated since 2.9, needs no
# onnxscript.
_NEWER_EXPORTER_SINCE = (2, 10)


class OnnxGraph:
    """The graph of a network of one architecture, photos (N, 3, S, S) uint8 to logits (N, classes), N free.

    Tracing takes seconds, and a training writes its artifact after each better epoch. Exported without constant
    folding, the graph contains every weight under its name in the state dict, so that weights are replaced within
    milliseconds. ONNX Runtime folds constants when it loads the graph.
    """

    def __init__(self, network: nn.Module, image_size: int) -> None:
        """Raises StepError for a network that cannot be exported."""
        self._image_size = image_size
        self._model = _trace(network, image_size)

    def with_weights(self, weights: Mapping[str, Tensor]) -> bytes:
        """The serialised model with these weights (a state dict on the CPU)."""
        from onnx import numpy_helper

        for initializer in self._model.graph.initializer:
            array = weights[initializer.name].numpy()
            initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
        serialised: bytes = self._model.SerializeToString()
        return serialised


def _trace(network: nn.Module, image_size: int) -> onnx.ModelProto:
    example = torch.zeros(2, 3, image_size, image_size, dtype=torch.uint8)
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    training = network.training
    chatty = logging.getLogger("torch.onnx")
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export = _exported if version >= _NEWER_EXPORTER_SINCE else _traced_to_torchscript
            model = export(network.eval(), example)
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).splitlines()[0]
        raise StepError(
            f"PyTorch {torch.__version__} cannot export this network to ONNX, for photos of --image-size {image_size}: "
            f"{reason}; choose another architecture or the image size that it was made for"
        ) from error
    finally:
        chatty.setLevel(level)
        network.train(training)
    unknown = {initializer.name for initializer in model.graph.initializer} - set(network.state_dict())
    if unknown:
        raise StepError(
            f"the ONNX export contains constants that are not weights of the network: {sorted(unknown)[:3]}"
        )
    return model


def _exported(network: nn.Module, example: Tensor) -> onnx.ModelProto:
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        optimize=False,
        verbose=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None
    return program.model_proto


def _traced_to_torchscript(network: nn.Module, example: Tensor) -> onnx.ModelProto:
    import onnx

    # This exporter merges weights of equal values, such as all biases of a new network: they get values of their own.
    distinct = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in distinct.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    written = io.BytesIO()
    torch.onnx.export(
        distinct,
        (example,),
        written,  # type: ignore[arg-type]  # the older exporter takes a file object too
        dynamo=False,
        # With EVAL it would fold batch normalisation into the convolutions. The network is in that mode already.
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
    )
    return onnx.load_from_string(written.getvalue())


def check_agreement(serialised: bytes, network: nn.Module, image_size: int) -> None:
    """Run ONNX Runtime and torch on the same noise. Raises StepError when their logits differ by over `TOLERANCE`.

    The batch of three has another size than the traced one, which detects a batch size that is fixed in the graph.
    """
    import onnxruntime

    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (3, 3, image_size, image_size), dtype=np.uint8)
    session = onnxruntime.InferenceSession(serialised, providers=["CPUExecutionProvider"])
    (exported,) = session.run([OUTPUT], {INPUT: photos})
    training = network.training
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(photos)).numpy()
    network.train(training)
    difference = float(np.abs(exported - expected).max() / max(1.0, float(np.abs(expected).max())))
    # Not `>`: NaN must fail too.
    if not difference <= TOLERANCE:
        raise StepError(
            f"the exported ONNX model disagrees with the network: logits differ by {difference:.2g} of the largest, "
            f"more than {TOLERANCE}; was onnxruntime or onnx updated?"
        )
