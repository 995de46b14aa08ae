"""How a run looks in a pipe, and a last word that helps."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from pipeline import texts
from pipeline.cli.views import runs as runs_view
from pipeline.cli.views.endpoint import predictions_table
from pipeline.operations.models.registrations import Registration
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun, TrialJob
from pipeline.operations.serving.predictions import Prediction
from pipeline.operations.watching.snapshot import Snapshot

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXECUTION = Execution("arn:aws:sagemaker:us-east-1:1:pipeline/bins/execution/run1", "Executing", START)
QUERY = StepRun("Query", "Executing", START)
TUNE = StepRun("Tune", "Waiting")
RUNNING = Progress(EXECUTION, (QUERY, TUNE), ())


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def trial(status: str, objective: float | None = None) -> TrialJob:
    return TrialJob(
        "job-1", status, START, START, after(61), objective, "validation:best_accuracy", {"lr": "0.00123456"}
    )


def lines_of(*states: Progress, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal, color_system=None)
    last = runs_view.follow_run(map(Snapshot, states), console)
    assert last is states[-1]
    return out.getvalue().splitlines()


def test_in_a_pipe_each_change_is_a_line() -> None:
    tuning = StepRun("Tune", "Executing", after(4), metadata={"TuningJob": {"Arn": "t"}})
    second = Progress(EXECUTION, (replace(QUERY, status="Succeeded", ended=after(4)), tuning), (trial("InProgress"),))
    third = replace(second, trials=(trial("Completed", 0.6123),))
    lines = [line.split(" ", 1)[1] for line in lines_of(RUNNING, second, third)]
    assert lines == [
        "run run1",
        "Query: Executing",
        "Query: Succeeded in 4.0 s",
        "Tune: Executing",
        "trial 1: InProgress in 1 min 01 s (lr 0.00123)",
        "trial 1: Completed in 1 min 01 s (best accuracy 0.612, lr 0.00123)",
    ]


def test_a_cached_step_has_no_duration() -> None:
    cached = replace(QUERY, status="Succeeded", ended=after(1), cached_from="arn/run0")
    assert lines_of(Progress(EXECUTION, (cached,), ()))[1].endswith("Query: Succeeded (from the cache of run run0)")


def test_a_step_that_was_not_selected_has_its_source() -> None:
    copied = replace(QUERY, status="Succeeded", ended=after(1), cached_from="arn/run0", copied=True)
    assert lines_of(Progress(EXECUTION, (copied,), ()))[1].endswith("Query: Succeeded (copied from run run0)")


def outcome(*steps: StepRun, status: str = "Failed", failure: str = "") -> list[str]:
    execution = replace(EXECUTION, status=status, failure=failure, changed=after(100))
    return runs_view.outcome_lines(Progress(execution, steps, ()), "python -m pipeline --profile demo")


def test_a_failed_run_ends_with_the_step_the_reason_and_where_its_log_is() -> None:
    job = {"ProcessingJob": {"Arn": "arn:j"}}
    failed = StepRun("Query", "Failed", START, after(90), failure="metadata/7.json:\n not JSON", metadata=job)
    assert outcome(failed) == [
        "Run run1: Failed after 1 min 30 s.",
        "Query: metadata/7.json: not JSON",
        "Its log: python -m pipeline --profile demo logs Query --run run1",
    ]


def test_a_gate_that_failed_has_no_log_to_point_to() -> None:
    failed = StepRun("QualityGateFailed", "Failed", START, after(1), failure="accuracy 0.1", metadata={"Fail": {}})
    assert outcome(failed)[1:] == ["QualityGateFailed: accuracy 0.1"]


def test_a_run_that_failed_outside_its_steps_gives_its_own_reason() -> None:
    assert outcome(failure="the role cannot be assumed")[1:] == ["the role cannot be assumed"]


def test_a_run_that_succeeded_ends_with_one_line() -> None:
    done = replace(QUERY, status="Succeeded", ended=after(62))
    assert outcome(done, status="Succeeded") == ["Run run1 succeeded in 1 min 02 s."]


EVALUATED = StepRun("EvaluateModel", "Succeeded", START, after(5))
REGISTERED = StepRun("RegisterModel", "Succeeded", START, after(6), metadata={"RegisterModel": {"Arn": "arn:x/bins/7"}})


def deployed(decision: str) -> StepRun:
    parameters = [{"Name": "decision", "Value": decision}] if decision else []
    return StepRun("DeployModel", "Succeeded", START, metadata={"Lambda": {"OutputParameters": parameters}})


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ((QUERY,), []),
        ((replace(EVALUATED, status="Failed"),), []),
        ((EVALUATED,), ["its report: pipeline report run1 --open"]),
        ((EVALUATED, REGISTERED), ["its report: pipeline report run1 --open", "next: pipeline approve 7"]),
        ((REGISTERED, deployed("awaiting-approval")), ["next: pipeline approve 7"]),
        ((REGISTERED, deployed("")), ["next: pipeline approve 7"]),
        ((REGISTERED, deployed("creating")), ["next: pipeline endpoint"]),
        ((REGISTERED, deployed("updating")), ["next: pipeline endpoint"]),
    ],
)
def test_a_run_ends_with_its_report_and_the_next_step(steps: tuple[StepRun, ...], lines: list[str]) -> None:
    assert runs_view.next_lines(Progress(EXECUTION, steps, ()), "pipeline") == lines


WITHHELD = Registration(
    wanted=False,
    version=3,
    status="PendingManualApproval",
    reason="version 3 (PendingManualApproval) is this model already",
)


def test_a_run_that_registered_nothing_says_which_version_its_model_is_and_what_is_next() -> None:
    assert runs_view.registration_lines(WITHHELD, "python -m pipeline --profile demo") == [
        "nothing was registered: version 3 (PendingManualApproval) is this model already;"
        " to register it again: registry.register_again, or RegisterAgain=yes for one run",
        "next: python -m pipeline --profile demo approve 3",
    ]


@pytest.mark.parametrize(("status", "lines"), [("Rejected", 2), ("Approved", 1)])
def test_an_approval_is_next_for_a_version_that_is_not_approved(status: str, lines: int) -> None:
    assert len(runs_view.registration_lines(replace(WITHHELD, status=status), "python -m pipeline")) == lines


def test_a_run_that_registered_or_is_unknown_has_no_such_line() -> None:
    assert runs_view.registration_lines(None, "python -m pipeline") == []
    assert runs_view.registration_lines(Registration(wanted=True), "python -m pipeline") == []


def test_without_the_evaluation_a_line_reports_that_the_registry_was_not_checked() -> None:
    assert runs_view.registration_lines(Registration(wanted=True, problem="may not look"), "python -m pipeline") == [
        "not checked whether this model is registered already: may not look"
    ]


@pytest.mark.parametrize(
    ("name", "outcome", "note"),
    [
        ("QualityGate", "True", "passed"),
        ("QualityGate", "False", "not passed"),
        ("NewVersion", "True", "yes"),
        ("NewVersion", "False", "no"),
    ],
)
def test_a_condition_has_its_outcome(name: str, outcome: str, note: str) -> None:
    step = StepRun(name, "Succeeded", START, after(1), metadata={"Condition": {"Outcome": outcome}})
    assert lines_of(Progress(EXECUTION, (step,), ()))[1].endswith(f"{name}: Succeeded in 1.0 s ({note})")


def test_a_reason_is_one_line_without_characters_that_steer_a_terminal() -> None:
    failed = Execution(EXECUTION.arn, "Failed", START, failure="no\nroom\x1b]0;title\x07 \x1b[2Jleft")
    lines = runs_view.outcome_lines(Progress(failed, (), ()), "python -m pipeline")
    assert lines[1:] == ["no room ]0;title [2Jleft"]


def test_a_long_reason_is_cut() -> None:
    assert len(texts.shortened("x" * 5000)) == 400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (60, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.9, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert texts.duration(START, after(seconds)) == text


def test_predictions_stand_next_to_the_truth() -> None:
    answers = [Prediction("a.jpg", 3, 2.9, {3: 0.8}, "1", 12.3), Prediction("b.jpg", 1, 1.4, {1: 0.6}, "1", 9.0)]
    out = io.StringIO()
    Console(file=out, width=100).print(predictions_table(answers, truth={"a.jpg": 3, "b.jpg": 2}))
    rows: list[Any] = [line.split() for line in out.getvalue().splitlines()]
    assert rows[1] == ["a.jpg", "3", "3", "80%", "2.90", "12", "ms"]
    assert rows[2] == ["b.jpg", "1", "2", "60%", "1.40", "9", "ms"]


SAVED = Saving(185, 180, Decimal("0.0239"))
RUN_0 = "arn:aws:sagemaker:us-east-1:1:pipeline/bins/execution/ab12cd34ef56"


def test_a_cached_step_names_its_run_and_what_it_saved() -> None:
    cached = replace(QUERY, status="Succeeded", ended=after(1), cached_from=RUN_0, saving=SAVED)
    [_, line] = lines_of(Progress(EXECUTION, (cached,), ()))
    assert line.endswith("Query: Succeeded (from the cache of run ab12cd34ef56; saved $0.02, 3 min 05 s)")


def test_a_trial_without_instances_shows_what_it_waits_for() -> None:
    tuning = StepRun("Tune", "Executing", after(4), metadata={"TuningJob": {"Arn": "t"}})
    waiting = replace(trial("InProgress"), waiting="Insufficient capacity error")
    lines = lines_of(Progress(EXECUTION, (QUERY, tuning), (waiting,)))
    assert lines[-1].endswith("trial 1: InProgress in 1 min 01 s (waiting: Insufficient capacity error)")


@pytest.mark.parametrize("started", [START, None])
def test_a_stop_has_the_time_at_which_it_is_seen_and_not_that_of_the_start(started: datetime | None) -> None:
    """The kind: a time that belongs to something else."""
    before = Progress(EXECUTION, (QUERY,), (replace(trial("InProgress"), started=started, ended=None),))
    now = Progress(
        EXECUTION, (replace(QUERY, status="Stopping"),), (replace(trial("Stopping"), started=started, ended=None),)
    )
    changes = runs_view._changes(before, now)
    assert sorted(line.split(" (")[0] for _, line in changes) == ["Query: Stopping", "trial 1: Stopping"]
    assert all((datetime.now(UTC) - time).total_seconds() < 60 for time, _ in changes)
    ended = Progress(EXECUTION, (), (replace(trial("Stopped"), started=started, ended=after(5)),))
    assert [time for time, _ in runs_view._changes(now, ended)] == [after(5)]


def test_the_logs_of_a_run_are_listed_with_their_commands() -> None:
    job = {"ProcessingJob": {"Arn": "arn:j"}}
    steps = (
        StepRun("QueryMetadata", "Succeeded", START, cached_from="arn:x/execution/old1", metadata=job),
        StepRun("ShardImages", "Failed", START, metadata=job),
        StepRun("QualityGate", "Waiting"),
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(runs_view.logs_table(Progress(EXECUTION, steps, ()), ["deploy", "endpoint"], "pipeline"))
    rows = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert rows[1:] == [
        ["QueryMetadata", "Succeeded", "pipeline", "logs", "QueryMetadata", "--run", "old1"],
        ["ShardImages", "Failed", "pipeline", "logs", "ShardImages", "--run", "run1"],
        ["deploy", "pipeline", "logs", "deploy"],
        ["endpoint", "pipeline", "logs", "endpoint"],
    ]
