"""From photos to counts: the trained network in ONNX Runtime, and the decision on a count by its probabilities."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.artifact import ONNX, Decision, ModelDescription, check_file, read_description
from steps.contracts.errors import StepError

_PROVIDERS = ["CPUExecutionProvider"]
_ERRORS = 3  # ONNX Runtime's level of severity for errors


class Predictor:
    """A loaded network; its methods may be called from several threads at a time."""

    def __init__(self, description: ModelDescription, session: Any) -> None:
        self.description = description
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def load(cls, folder: Path, threads: int = 0, *, spinning: bool = True) -> Predictor:
        """Load an unpacked model artifact to compute on the CPU with `threads` threads; 0: one per physical core.

        Threads that wait for work spin for a while, which is fastest if nothing else needs the cores; without
        `spinning` they free them at once. Raises StepError that names the file when the artifact is incomplete, or when
        the network's input is not uint8 photos (N, 3, image_size, image_size) or its output not (N, classes), as in
        `model.json`.
        """
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as reasons

        description = read_description(folder)
        path = check_file(folder, ONNX, description)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        options.log_severity_level = _ERRORS  # without warnings of graph optimisations
        # ONNX Runtime's exceptions share no base class of their own.
        unusable = (reasons.Fail, reasons.InvalidArgument, reasons.InvalidGraph, reasons.InvalidProtobuf)
        try:
            with tempfile.TemporaryDirectory(prefix="network-") as scratch:
                graph = simplified(path, Path(scratch), copies=2 if description.mirrored else 1)
                session = onnxruntime.InferenceSession(graph, options, providers=_PROVIDERS)
        except (*unusable, reasons.NotImplemented, reasons.RuntimeException) as error:
            reason = str(error).partition("\n")[0]
            raise StepError(f"{path}: not a network that ONNX Runtime can load: {reason}") from error
        _check_signature(path, session, description)
        return cls(description, session)

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Calibrated probabilities (N, classes), float32, rows summing to 1, of photos (N, 3, image_size, image_size).

        Raises StepError when the network's output is not finite.
        """
        (logits,) = self._session.run(None, {self._input: batch})
        if not np.isfinite(logits).all():
            raise StepError("the network's outputs are not finite; its weights are damaged, train it again")
        return softmax(logits, temperature(self.description))


def temperature(description: ModelDescription) -> float:
    """What the logits are divided by; 1 for an older artifact."""
    return description.calibration.temperature if description.calibration else 1.0


def simplified(path: Path, scratch: Path, copies: int = 1) -> Path:
    """The graph after ONNX Runtime's basic optimisations, which do not depend on the processor, as a file in `scratch`.

    With a network that answers for both mirrorings it may contain each weight twice, as `copies` says: folded into the
    convolutions of each.

    One pass is not enough: the exporter writes a convolution's missing bias as an expression (CastLike, Expand) that
    the first pass expands and only a second one folds. Unfolded, it prevents one operation of convolution, batch
    normalisation and activation in the processor's own layout: 1.4 times slower for a ResNet34 (measured on two cores).
    https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    written = scratch / ONNX
    options.optimized_model_filepath = str(written)
    _reserve(written, copies * path.stat().st_size)
    onnxruntime.InferenceSession(path, options, providers=_PROVIDERS)
    return written


def _reserve(path: Path, size: int) -> None:
    """Raise OSError if the disk has no space for a file of this size.

    ONNX Runtime reports a file that it cannot write whole as a graph that is not valid.
    """
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, max(1, size))
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}: a copy of the network needs {size:,} bytes", str(path)
        ) from error


def softmax(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.float32]:
    """Softmax of each row over the temperature; the largest logit is subtracted, so that no exponential overflows."""
    exponentials = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature)
    probabilities: NDArray[np.float32] = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def expectation(probabilities: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float64]:
    """The expected count (N,) under probabilities (N, classes)."""
    return probabilities.astype(np.float64) @ np.asarray(classes, dtype=np.float64)


def decide(probabilities: NDArray[np.float32], classes: Sequence[int], decision: Decision) -> NDArray[np.int32]:
    """The counts (N,) for probabilities (N, classes).

    `argmax` is the likeliest class, the best choice for accuracy. `expected` is the class nearest to the expected count
    (a half is rounded up), which has a lower RMSE and a lower accuracy; for classes without gaps it is the rounded
    expectation.
    """
    quantities = np.asarray(classes, dtype=np.int32)
    chosen: NDArray[np.int32]
    if decision == "argmax":
        chosen = quantities[probabilities.argmax(axis=1)]
        return chosen
    distances = np.abs(expectation(probabilities, classes)[:, None] - quantities[None, :])
    # argmin returns the first of two equal distances; in reversed order that is the larger class.
    chosen = quantities[::-1][distances[:, ::-1].argmin(axis=1)]
    return chosen


def _check_signature(path: Path, session: Any, description: ModelDescription) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    size = description.image_size
    actual = [(node.type, node.shape[1:]) for node in (*inputs, *outputs)]
    expected = [("tensor(uint8)", [3, size, size]), ("tensor(float)", [len(description.classes)])]
    if len(inputs) != 1 or actual != expected:
        raise StepError(
            f"{path}: input and output per photo are {actual}, in model.json {expected}; train the model again"
        )
