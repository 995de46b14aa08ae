"""The evaluate step on the photos of a test split."""

from __future__ import annotations

import os

from benchmarks.child import Work
from benchmarks.step_arguments import EVALUATE, flags_of


def step(base: str, batch_size: int) -> Work:
    """The real step, in the container's folder `base`."""
    # Imports of the step on first use.
    import onnxruntime

    from steps.model.network import import_torchvision

    del onnxruntime
    import_torchvision()
    from steps.evaluate.run import run
    from steps.evaluate.settings import Settings
    from steps.runtime.arguments import parse

    os.environ["SAGEMAKER_BASE_DIR"] = base
    return lambda: run(parse(Settings, flags_of({**EVALUATE, "batch-size": batch_size})))
