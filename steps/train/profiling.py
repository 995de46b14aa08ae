"""A profile of a few training steps: a trace for chrome://tracing or https://ui.perfetto.dev, and a table of operators.

https://docs.pytorch.org/docs/stable/profiler.html
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Self

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from steps.runtime import container

log = logging.getLogger(__name__)

TRACE = "trace.json.gz"
TABLE = "operators.txt"
# The first steps choose kernels, fill the allocator's cache and compile, and are not typical of an epoch. The profiler
# starts in the last of them, since its own start takes time.
SKIPPED_STEPS = 3
WARMUP_STEPS = 2
# Rows of the table; further operators take less than a thousandth of the time.
OPERATORS = 40


def step_profiler(steps: int, device: torch.device, *, is_leader: bool) -> StepProfiler:
    """A profiler of `steps` steps on rank 0 (`is_leader`); on other ranks it does nothing."""
    return StepProfiler(steps if is_leader else 0, container.output_data_dir() / "profile", device)


class StepProfiler:
    """Records `steps` steps after the first few, and writes `trace.json.gz` and `operators.txt` to `folder`.

    Enter it around the epochs, and call `step` after every optimizer step. With 0 steps it does nothing. Writing
    takes seconds, once. A profile that cannot be recorded or written is a warning and does not end a training.
    """

    def __init__(self, steps: int, folder: Path, device: torch.device) -> None:
        self._steps = steps
        self._folder = folder
        self._cuda = device.type == "cuda"
        self._profile: profile | None = None

    def __enter__(self) -> Self:
        if not self._steps:
            return self
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._cuda else [])]
        plan = schedule(
            skip_first=SKIPPED_STEPS - WARMUP_STEPS, wait=0, warmup=WARMUP_STEPS, active=self._steps, repeat=1
        )
        self._done = 0
        self._profile = profile(
            activities=activities, schedule=plan, on_trace_ready=self._write, record_shapes=True, acc_events=True
        )
        try:
            self._profile.start()
        except RuntimeError as error:
            self._give_up(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._profile is not None:
            self._end()

    def step(self) -> None:
        """Count an optimizer step; after the last one to record, write the files."""
        if self._profile is None:
            return
        self._done += 1
        if self._done == SKIPPED_STEPS + self._steps:
            self._end()
            return
        try:
            self._profile.step()
        except RuntimeError as error:
            self._give_up(error)

    def _end(self) -> None:
        """Stop recording, which writes the recorded steps, and release it."""
        assert self._profile is not None
        try:
            self._profile.stop()
        except (RuntimeError, OSError) as error:
            self._give_up(error)
        if self._profile is not None and self._done <= SKIPPED_STEPS:
            log.warning("no profile: the training ended within its first %s steps, before the recording", SKIPPED_STEPS)
        self._profile = None

    def _write(self, recorded: profile) -> None:
        if self._done <= SKIPPED_STEPS:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        recorded.export_chrome_trace(str(self._folder / TRACE))
        key = "self_device_time_total" if self._cuda else "self_cpu_time_total"
        table = recorded.key_averages().table(sort_by=key, row_limit=OPERATORS, max_name_column_width=80)
        (self._folder / TABLE).write_text(table + "\n")
        log.info("profile of %s steps in %s", self._done - SKIPPED_STEPS, self._folder)

    def _give_up(self, error: Exception) -> None:
        log.warning("no profile: %s; the training continues", str(error).splitlines()[0])
        self._profile = None
