"""SIGTERM: a spot interruption, or a trial that the tuner or a person stops.

SageMaker sends it 120 seconds before the end (https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html);
torchrun passes it on and waits 30 seconds. The loop finishes its step, all ranks save, and the process exits with 143.
"""

from __future__ import annotations

import signal
from types import FrameType

EXIT_STATUS = 128 + signal.SIGTERM


class InterruptedTrainingError(Exception):
    """At least one rank received a signal, and all ranks have agreed to stop."""


class Interruption:
    """Whether SIGTERM was received while the block runs."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interruption:
        self._before = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
