"""Logging a training to MLflow or Weights & Biases as well. A tracker never stops a training, nor slows it.

    training process: Tracker -> bounded queue -> one thread --calls--> tracking process: MLflow or W&B's own client

The clients have a process of their own (`steps.train.tracking_process`), for three reasons. Their calls and their exit
hooks may hang, and a process can be ended where a thread cannot. Importing one takes seconds that the interpreter
takes away from the training. And an API key is never in the memory or the environment of the training.

The first failure is one warning, and from then on the tracker is off. The training waits for it once, at its end, for
`FINISH_SECONDS` at most.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from steps.runtime import container
from steps.train.history import EpochRecord, History
from steps.train.recipe import Recipe
from steps.train.tracking_client import TrackingClient
from steps.train.tracking_services import Run, Service, Status

log = logging.getLogger(__name__)

# At the end of the training, for all that is not yet sent.
FINISH_SECONDS = 10.0
# More than come together while one call takes as long as it may.
QUEUE_LENGTH = 100


class Tracker(Protocol):
    """Enter it around the epochs; how the block ends is the run's status."""

    def __enter__(self) -> Self:
        """Begin the run."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run: finished, stopped (SystemExit: SIGTERM came) or failed."""

    def epoch(self, history: History) -> None:
        """Log the last epoch of the history. Waits for nothing."""


def open_tracker(recipe: Recipe, *, leads: bool, dataset_sha256: str, processes: int) -> Tracker:
    """The tracker that the recipe asks for, on rank 0 (`leads`); one that does nothing elsewhere."""
    if not leads or recipe.tracker == "none":
        return NoTracker()
    job = container.training_job_name()
    facts = {
        "dataset_sha256": dataset_sha256,
        "processes": str(processes),
        "training_job": job,
        "training_job_arn": os.environ.get("TRAINING_JOB_ARN", ""),
        "image_uri": os.environ.get("IMAGE_URI", ""),
    }
    run = Run(
        name=job,
        parameters=recipe.as_text(),
        facts={name: value for name, value in facts.items() if value},
    )
    service = Service(recipe.tracker, recipe.tracking_server, recipe.tracking_experiment, recipe.tracking_secret)
    return BackgroundTracker(service, run)


def metrics_of(record: EpochRecord) -> dict[str, float]:
    """An epoch's figures by name, `per_class/3` for the accuracy among bins of three; without what was not measured."""
    figures: dict[str, float] = record.model_dump(exclude={"epoch", "per_class"}, exclude_none=True)
    return figures | {f"per_class/{quantity}": value for quantity, value in record.per_class.items()}


class NoTracker:
    """Logs nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def epoch(self, history: History) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _Call:
    name: str
    arguments: dict[str, Any]


class BackgroundTracker:
    """Hands calls to the tracking process, one after another, in a thread."""

    def __init__(self, service: Service, run: Run) -> None:
        self._service = service
        self._run = run
        self._best: EpochRecord | None = None
        self._calls: queue.Queue[_Call] = queue.Queue(QUEUE_LENGTH)
        self._lock = threading.Lock()
        self._off = False
        self._client = TrackingClient()
        self._thread = threading.Thread(target=self._send, name="tracker", daemon=True)

    def __enter__(self) -> Self:
        self._put("begin", service=dataclasses.asdict(self._service), run=dataclasses.asdict(self._run))
        self._thread.start()
        return self

    def epoch(self, history: History) -> None:
        """Log the last epoch of the history. Waits for nothing."""
        record, self._best = history.epochs[-1], history.best
        self._put("log", epoch=record.epoch, metrics=metrics_of(record))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        best = {} if self._best is None else {"epoch": float(self._best.epoch), **metrics_of(self._best)}
        self._put("finish", best=best, status=_status(kind))
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            self._turn_off(f"it did not take the last figures within {FINISH_SECONDS:.0f} seconds")
            self._client.kill()

    def _put(self, name: str, **arguments: Any) -> None:
        if self._off:
            return
        try:
            self._calls.put_nowait(_Call(name, arguments))
        except queue.Full:
            self._turn_off(f"it is {QUEUE_LENGTH} epochs behind")
            self._client.kill()

    def _send(self) -> None:
        """The thread: until the run is finished or the first call fails."""
        try:
            with self._client:
                last = False
                while not last:
                    call = self._calls.get()
                    self._client.call(call.name, call.arguments)
                    last = call.name == "finish"
        except Exception as error:
            # Whatever it is: a TrackingError says why, and nothing that goes wrong here is worth a training.
            self._turn_off(str(error) or type(error).__name__)

    def _turn_off(self, reason: str) -> None:
        """One warning, by whoever is first."""
        with self._lock:
            off, self._off = self._off, True
        if not off:
            log.warning("tracker %s is off: %s; the training goes on without it", self._service.kind, reason)


def _status(kind: type[BaseException] | None) -> Status:
    if kind is None:
        return "finished"
    return "stopped" if issubclass(kind, SystemExit | KeyboardInterrupt) else "failed"
