"""Logging of a training to MLflow or Weights & Biases. A tracker neither stops nor slows a training.

    training process: Tracker -> bounded queue -> one thread --calls--> tracking process: MLflow's or W&B's own client

Why the clients have a process of their own (`steps.train.tracking_process`): docs/decisions/0019. The first failure is
one warning, and turns the tracker off. The training waits for it only at its end, for at most `FINISH_SECONDS`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import threading
from typing import Any, Self

from steps.runtime import container
from steps.train.history import EpochRecord, History
from steps.train.recipe import Recipe
from steps.train.tracking_process import TrackingClient
from steps.train.tracking_services import Run, Service, Status

log = logging.getLogger(__name__)

# Limit at the end of the training for everything that is not yet sent.
FINISH_SECONDS = 10.0
# More epochs than end during the longest call.
QUEUE_LENGTH = 100


class Tracker:
    """Enter it around the epochs. This one logs nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        pass

    def epoch(self, history: History) -> None:
        """Log the last epoch of the history. Waits for nothing."""


def open_tracker(recipe: Recipe, *, is_leader: bool, dataset_sha256: str, processes: int) -> Tracker:
    """The recipe's tracker on rank 0 (`is_leader`); on other ranks, and without a tracker, one that does nothing."""
    if not is_leader or recipe.tracker == "none":
        return Tracker()
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
        # Outside of the hyperparameters, which the step cache compares.
        execution=os.environ.get("PIPELINE_EXECUTION_ARN", ""),
    )
    service = Service(recipe.tracker, recipe.tracking_server, recipe.tracking_experiment, recipe.tracking_secret)
    return BackgroundTracker(service, run)


def metrics_of(record: EpochRecord) -> dict[str, float]:
    """An epoch's measured figures by name; `per_class/3` is the accuracy among bins with three objects."""
    figures: dict[str, float] = record.model_dump(exclude={"epoch", "per_class"}, exclude_none=True)
    return figures | {f"per_class/{quantity}": value for quantity, value in record.per_class.items()}


class BackgroundTracker(Tracker):
    """Passes calls to the tracking process, one after another, in a thread.

    The end of the block determines the run's status: finished, stopped (SystemExit: SIGTERM came) or failed.
    """

    def __init__(self, service: Service, run: Run) -> None:
        self._service = service
        self._run = run
        self._best: EpochRecord | None = None
        self._calls: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue(QUEUE_LENGTH)
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        best = {} if self._best is None else {"epoch": float(self._best.epoch), **metrics_of(self._best)}
        self._put("finish", best=best, status=_status(kind))
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            self._turn_off(f"it did not accept the last figures within {FINISH_SECONDS:.0f} seconds")
            self._client.kill()

    def _put(self, name: str, **arguments: Any) -> None:
        if self._off:
            return
        try:
            self._calls.put_nowait((name, arguments))
        except queue.Full:
            self._turn_off(f"it is {QUEUE_LENGTH} epochs behind")
            self._client.kill()

    def _send(self) -> None:
        """Send calls until the run is finished or one fails; this is the thread."""
        try:
            with self._client:
                name = ""
                while name != "finish":
                    name, arguments = self._calls.get()
                    self._client.call(name, arguments)
        except Exception as error:
            # Any error: a TrackingError has the reason, and no failure here may end a training.
            self._turn_off(str(error) or type(error).__name__)

    def _turn_off(self, reason: str) -> None:
        """Turn the tracker off, with a warning at the first call."""
        with self._lock:
            was_off, self._off = self._off, True
        if not was_off:
            log.warning("tracker %s is off: %s; the training goes on without it", self._service.kind, reason)


def _status(kind: type[BaseException] | None) -> Status:
    if kind is None:
        return "finished"
    return "stopped" if issubclass(kind, SystemExit | KeyboardInterrupt) else "failed"
