"""The states of a run's steps, as boxes show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipeline.operations.graph.states import NodeState, state_of, states_of
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun, TrialJob

START = datetime(2026, 1, 2, tzinfo=UTC)
END = START + timedelta(seconds=185)
ARN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/run0"
TUNING = {"TuningJob": {"Arn": "arn:aws:sagemaker:us-east-1:111122223333:hyper-parameter-tuning-job/t"}}
VERSION = {"RegisterModel": {"Arn": "arn:aws:sagemaker:us-east-1:111122223333:model-package/bins/7"}}


def trial(status: str) -> TrialJob:
    return TrialJob("t", status, START, START, None, None, "", {})


@pytest.mark.parametrize(
    ("step", "state"),
    [
        (StepRun("A", "Waiting"), NodeState("Waiting")),
        (StepRun("A", "Succeeded", START, END), NodeState("Succeeded", "3 min 05 s")),
        (
            StepRun("A", "Failed", START, END, failure="out of\n memory"),
            NodeState("Failed", "3 min 05 s", "out of memory"),
        ),
        (StepRun("A", "Succeeded", START, END, attempts=2), NodeState("Succeeded", "3 min 05 s", "attempt 2")),
        (StepRun("A", "Succeeded", START, END, cached_from=ARN), NodeState("Succeeded", cached=True)),
        (
            StepRun("A", "Succeeded", START, END, cached_from=ARN, saving=Saving(62.0, 62, Decimal("0.1"))),
            NodeState("Succeeded", "", "saved 1 min 02 s", cached=True),
        ),
        (
            StepRun("A", "Succeeded", START, END, metadata={"Condition": {"Outcome": "True"}}),
            NodeState("Succeeded", "3 min 05 s", "outcome: true", outcome=True),
        ),
        (
            StepRun("A", "Succeeded", START, END, metadata={"Condition": {"Outcome": "False"}}),
            NodeState("Succeeded", "3 min 05 s", "outcome: false", outcome=False),
        ),
        (StepRun("A", "Succeeded", START, END, metadata=VERSION), NodeState("Succeeded", "3 min 05 s", "version 7")),
    ],
    ids=["waiting", "succeeded", "failed", "attempts", "cached", "saving", "true", "false", "version"],
)
def test_a_step_has_a_state(step: StepRun, state: NodeState) -> None:
    assert state_of(step) == state


def test_a_step_that_runs_has_the_time_until_now() -> None:
    started = datetime.now(UTC) - timedelta(hours=2)
    assert state_of(StepRun("A", "Executing", started)).time.startswith("2 h 0")


@pytest.mark.parametrize(
    ("statuses", "text"),
    [
        ((), ""),
        (("InProgress",), "1 trial, 1 running"),
        (("InProgress", "Completed", "InProgress", "Failed"), "4 trials, 2 running"),
        (("Completed", "Failed"), "2 trials, 1 failed"),
        (("Completed", "Stopped"), "2 trials"),
    ],
)
def test_the_step_of_the_tuning_job_counts_its_trials(statuses: tuple[str, ...], text: str) -> None:
    step = StepRun("TuneModel", "Executing", START, END, metadata=TUNING)
    assert state_of(step, map(trial, statuses)).detail == text
    assert state_of(replace(step, metadata={}), map(trial, statuses)).detail == ""


def test_the_states_of_a_run_are_by_step() -> None:
    steps: tuple[Any, ...] = (StepRun("A", "Succeeded", START, END), StepRun("B", "Waiting"))
    run = Progress(Execution(ARN, "Executing", START), steps, ())
    assert states_of(run) == {"A": NodeState("Succeeded", "3 min 05 s"), "B": NodeState("Waiting")}
