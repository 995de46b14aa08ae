"""Faults on purpose, as AWS has them: throttled calls, no capacity, spot interruptions, S3 that asks to slow down.

A cloud has no faults until its folder has a file `faults.json` (a Plan), which `local up` writes from the settings and
`local chaos` by hand. Every process of the cloud reads the file again when it changes. The choices follow from the
plan's seed and the order of requests. `faults.jsonl` has one line per injected fault.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html (ThrottlingException, 400),
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (SlowDown, 503),
https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.local.context import ServiceError
from steps.contracts.errors import PipelineError

log = logging.getLogger(__name__)

FILE, LOG = "faults.json", "faults.jsonl"
THROTTLED, CAPACITY, INTERRUPTED, SLOW_DOWN = "throttled call", "no capacity", "spot interruption", "S3 slow-down"
KINDS = (THROTTLED, CAPACITY, INTERRUPTED, SLOW_DOWN)
# FailureReason of a job whose instances EC2 could not provide, as others have recorded it for training, processing and
# transform jobs: https://github.com/DIAGNijmegen/rse-grand-challenge/issues/2631 and
# https://github.com/aws/sagemaker-python-sdk/pull/3033, whose SDK raises CapacityError by this word.
CAPACITY_REASON = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)
# StatusMessage of a managed spot job that waits: botocore's model, SecondaryStatusTransition.
WAITING_MESSAGE = "Insufficient capacity error from EC2 while launching instances, retrying!"
# Calls of services that go by other names for "too many calls", by their models: TooManyRequestsException of Athena
# (400) and Lambda (429); the Query protocol's common error is Throttling.
_THROTTLING = {
    "athena": ("TooManyRequestsException", 400),
    "lambda": ("TooManyRequestsException", 429),
    "scheduler": ("ThrottlingException", 429),
    **dict.fromkeys(("cloudformation", "iam", "sts", "sns", "sqs", "cloudwatch", "monitoring"), ("Throttling", 400)),
}
# Never refused: a container without credentials is not what a throttled API leads to.
_EXEMPT = ("sts",)
# Jobs, and requests to S3, that pass before the first fault of their kind: less than these, by the seed.
_JOBS_BEFORE, _REQUESTS_BEFORE = 4, 400
# Share of refused requests during a burst: retries succeed, as on S3 while it scales.
_BURST_SHARE = 0.5


@dataclass(frozen=True)
class Plan:
    """What fails. All zero: nothing.

    `throttled` is a share of API calls, `capacity_errors` a number of jobs, `spot_interruptions` a number per training
    job with managed spot, `slow_downs` the number of S3 requests refused in one burst. An interruption comes after
    about `spot_after_lines` log lines with metrics, or `spot_after_seconds` after training began, whichever is sooner;
    SIGKILL comes `notice_seconds` after SIGTERM.
    """

    seed: int = 0
    throttled: float = 0.0
    capacity_errors: int = 0
    spot_interruptions: int = 0
    slow_downs: int = 0
    spot_after_lines: int = 4
    spot_after_seconds: float = 600.0
    notice_seconds: float = 120.0

    @property
    def empty(self) -> bool:
        """Whether nothing fails."""
        return not (self.throttled or self.capacity_errors or self.spot_interruptions or self.slow_downs)


@dataclass(frozen=True)
class Interruption:
    """The end of spot instances: after a number of lines with metrics or of seconds, with `notice` seconds."""

    lines: int
    seconds: float
    notice: float


@dataclass(frozen=True)
class _Stored:
    """A plan in its file. `origin` is who wrote it; the lines of its faults in the log have its id."""

    id: str
    origin: str
    plan: Plan


class Faults:
    """The faults of one cloud, for one process. Safe to use from many threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._changed: int | None = None
        self._begin(None)

    def _begin(self, stored: _Stored | None) -> None:
        """Follow a plan from its beginning, but for the faults of it that the log already has."""
        self._stored = stored
        self._plan = stored.plan if stored else Plan()
        self._done = counts(self._directory)
        # A generator per kind: a fault of one kind does not move those of another.
        self._random = {kind: random.Random(f"{self._plan.seed} {kind}") for kind in KINDS}  # noqa: S311  # no secret
        self._jobs_before = self._random[CAPACITY].randrange(_JOBS_BEFORE)
        self._requests_before = self._random[SLOW_DOWN].randrange(_REQUESTS_BEFORE)
        self._interruptions: Counter[str] = Counter()

    def _current(self) -> Plan:
        """The plan, read again if its file has changed."""
        try:
            changed = os.stat(self._directory / FILE).st_mtime_ns
        except FileNotFoundError:
            changed = None
        if changed != self._changed:
            self._begin(_read(self._directory))
            self._changed = changed  # not before: a damaged file fails every call until it is mended
        return self._plan

    def refusal(self, service: str, operation: str) -> ServiceError | None:
        """The error of a throttled call, by the service's (as in IAM's actions) own model; None: the call goes on."""
        with self._lock:
            plan = self._current()
            if not plan.throttled or service in _EXEMPT or self._random[THROTTLED].random() >= plan.throttled:
                return None
            self._note(THROTTLED, f"{service}:{operation}")
        code, status = _THROTTLING.get(service, ("ThrottlingException", 400))
        return ServiceError(code, "Rate exceeded", status)

    def lacks_capacity(self, job: str) -> bool:
        """Whether EC2 has no instances for a job that is about to start."""
        with self._lock:
            plan = self._current()
            if self._done[CAPACITY] >= plan.capacity_errors:
                return False
            if self._jobs_before:
                self._jobs_before -= 1
                return False
            self._note(CAPACITY, job)
            return True

    def interruption(self, job: str) -> Interruption | None:
        """When the spot instances of a training job are taken away; None: they are not."""
        with self._lock:
            plan = self._current()
            if self._interruptions[job] >= plan.spot_interruptions:
                return None
            factor = self._random[INTERRUPTED].uniform(0.5, 1.5)
            lines = max(1, round(plan.spot_after_lines * factor))
            return Interruption(lines, plan.spot_after_seconds * factor, plan.notice_seconds)

    def interrupted(self, job: str) -> None:
        """Count an interruption that has happened."""
        with self._lock:
            self._interruptions[job] += 1
            self._note(INTERRUPTED, job)

    def fault(self, method: str, bucket: str, key: str) -> tuple[int, str, str] | None:
        """Status, code and message of a request that S3 refuses in a burst; None: the request goes on."""
        with self._lock:
            plan = self._current()
            if self._done[SLOW_DOWN] >= plan.slow_downs:
                return None
            if self._requests_before:
                self._requests_before -= 1
                return None
            if self._random[SLOW_DOWN].random() >= _BURST_SHARE:
                return None
            self._note(SLOW_DOWN, f"{method} {bucket}/{key}")
        return 503, "SlowDown", "Please reduce your request rate."

    def _note(self, kind: str, place: str) -> None:
        assert self._stored is not None
        self._done[kind] += 1
        line = json.dumps({"plan": self._stored.id, "at": round(time.time(), 3), "kind": kind, "place": place})
        with (self._directory / LOG).open("a") as file:
            file.write(f"{line}\n")
        log.info("fault on purpose: %s: %s", kind, place)


@functools.cache
def of(directory: Path) -> Faults:
    """The faults of the cloud in a folder; the same object for all parts of this process."""
    return Faults(directory)


def write(directory: Path, plan: Plan, origin: str = "command") -> None:
    """Replace the plan of a cloud; an empty one ends its faults."""
    path = directory / FILE
    if plan.empty:
        path.unlink(missing_ok=True)
        return
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps({"id": secrets.token_hex(6), "origin": origin, **dataclasses.asdict(plan)}))
    partial.replace(path)


def follow_settings(directory: Path, plan: Plan) -> None:
    """Carry out the plan of the settings: an empty one ends only the faults that came from the settings."""
    stored = _read(directory)
    ours = stored is not None and stored.origin == "settings"
    if stored is not None and stored.plan == plan and ours:
        return
    if ours or not plan.empty:
        write(directory, plan, "settings")


def current(directory: Path) -> Plan | None:
    """The plan of a cloud, or None. Raises PipelineError for a damaged file."""
    stored = _read(directory)
    return stored.plan if stored else None


def counts(directory: Path) -> Counter[str]:
    """The faults of the present plan that have been injected, by kind."""
    stored = _read(directory)
    path = directory / LOG
    if stored is None or not path.exists():
        return Counter()
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return Counter(line["kind"] for line in lines if line["plan"] == stored.id)


def _read(directory: Path) -> _Stored | None:
    path = directory / FILE
    try:
        values: Mapping[str, object] = json.loads(path.read_text())
        plan = {name: value for name, value in values.items() if name not in ("id", "origin")}
        return _Stored(str(values["id"]), str(values["origin"]), Plan(**plan))  # type: ignore[arg-type]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise PipelineError(f"{path}: {error!r}; end the faults: python -m pipeline local chaos --off") from None
