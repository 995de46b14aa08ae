"""SIGTERM: a spot machine is taken back, the tuner stops a trial early, or a person does.

SageMaker sends it 120 seconds before the end (https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html);
torchrun passes it on and waits 30 seconds. The loop finishes its step, all ranks save, and the process exits with 143.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

EXIT_STATUS = 128 + signal.SIGTERM


class InterruptedTrainingError(Exception):
    """A signal came to one rank or more, and all ranks know it."""


class Interruption:
    """Whether SIGTERM has come, while the block runs."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interruption:
        self._before = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
