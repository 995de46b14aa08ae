"""A run as a tree: its rows, how they fold, and what it shows without colours or other than ASCII."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.cli.views.tree import RunTree, cost_line
from pipeline.operations.runs.progress import StepRun, TrialJob
from pipeline.operations.watching.snapshot import CostSoFar, Snapshot, TrialDetail
from tests.unit.pipeline.cli.watched import NO_CAPACITY, NOW, SNAPSHOT, epochs, trial


def drawn(snapshot: Snapshot, width: int = 100, height: int | None = None, *, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    console = Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    console.print(RunTree(snapshot, height=height, now=NOW))
    out.seek(0)
    return [line.rstrip() for line in out.read().splitlines()]


def with_trials(*trials: TrialJob, **details: TrialDetail) -> Snapshot:
    return replace(SNAPSHOT, progress=replace(SNAPSHOT.progress, trials=trials), trials=details)


def row(lines: list[str], name: str) -> str:
    [line] = [line for line in lines if f" {name} " in f"{line} "]
    return line


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (trial(1, "InProgress", started=None, waiting=NO_CAPACITY, spot=True), "waiting for spot capacity"),
        (trial(1, "InProgress", started=None, waiting="Pending", spot=True), "waiting for spot capacity"),
        (trial(1, "InProgress", waiting="Interrupted", spot=True), "waiting for spot capacity"),
        (trial(1, "InProgress", started=None, waiting="Pending"), "waiting: Pending"),
        (
            trial(1, "InProgress", started=None, waiting="Launching instances", spot=True),
            "waiting: Launching instances",
        ),
        (trial(1, "Failed", failure="a damaged shard"), "a damaged shard"),
    ],
)
def test_a_trial_shows_what_it_waits_for_or_why_it_failed(job: TrialJob, words: str) -> None:
    assert words in row(drawn(with_trials(job), 140), "trial 1")


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        (TrialDetail("Training", 30), "epoch 1 of 30"),
        (TrialDetail("Training", 3, epochs(0.1, 0.3, 0.2)), "▁█▅ 0.300, epoch 3 of 3"),
        (TrialDetail("Training", None, epochs(0.1)), "▁ 0.100, epoch 2"),
        (TrialDetail("Uploading", 3, epochs(0.1, 0.2)), "▁█ 0.200, uploading"),
    ],
)
def test_a_running_trial_shows_its_curve_its_best_value_and_its_epoch(detail: TrialDetail, words: str) -> None:
    snapshot = with_trials(trial(1, "InProgress"), **{"trial-1": detail})
    assert words in row(drawn(snapshot), "trial 1")


def test_a_failed_step_has_its_reason_and_no_other_note() -> None:
    failed = StepRun("ShardImages", "Failed", NOW, NOW, failure="no photos there", attempts=2)
    snapshot = replace(SNAPSHOT, progress=replace(SNAPSHOT.progress, steps=(failed,)))
    assert row(drawn(snapshot), "ShardImages").endswith("no photos there")


def test_the_best_trial_so_far_may_be_one_that_runs() -> None:
    snapshot = with_trials(
        trial(1, "Completed", ended=200, objective=0.3),
        trial(2, "InProgress"),
        **{"trial-2": TrialDetail("Training", 9, epochs(0.2, 0.4))},
    )
    assert row(drawn(snapshot), "TuneModel").endswith("best accuracy 0.400 (trial 2)")


def test_in_a_terminal_of_ascii_the_tree_has_nothing_else() -> None:
    lines = drawn(SNAPSHOT, encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert row(lines, "trial 3").startswith("|- * trial 3")


def test_without_colours_there_is_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=True, color_system="truecolor").print(RunTree(SNAPSHOT, now=NOW))
    # Colours are 30 to 37 and 90 to 97; bold and dim are none.
    assert not [part for part in out.getvalue().split("\x1b[")[1:] if part.split("m")[0] not in ("0", "1", "2", "1;2")]


def many(running: int) -> Snapshot:
    ended = [trial(number, "Completed", ended=300, objective=number / 100) for number in range(1, 41)]
    return with_trials(*ended, *(trial(number, "InProgress") for number in range(41, 41 + running)))


def test_where_rows_are_few_what_has_ended_folds_and_what_runs_stays() -> None:
    lines = drawn(many(2), 100, 9)
    assert len(lines) <= 9
    assert [line.split()[1:3] for line in lines[1:4]] == [["3", "steps"], ["TuneModel", "Executing"], ["✓", "40"]]
    assert "best accuracy 0.400 (trial 40)" in row(lines, "trials ended")
    assert row(lines, "trial 42")
    assert row(lines, "steps to come")


@given(st.integers(0, 12), st.integers(60, 140), st.integers(10, 60))
def test_a_tree_fits_any_terminal_of_ten_rows(running: int, width: int, height: int) -> None:
    assert len(drawn(many(running), width, height)) <= height


def test_with_room_nothing_folds() -> None:
    assert drawn(many(2), 120, 200) == drawn(many(2), 120)


@pytest.mark.parametrize(
    ("cost", "line"),
    [
        (CostSoFar(3912, Decimal("1.2345"), complete=False), "so far: at least $1.23 for 1 h 05 min of instances"),
        (CostSoFar(312, None, complete=True), "so far: 5 min 12 s of instances"),
    ],
)
def test_the_cost_is_an_amount_or_time_alone_where_that_is_free_or_unknown(cost: CostSoFar, line: str) -> None:
    assert cost_line(cost, has_ended=False) == line


def test_what_is_not_known_is_a_line() -> None:
    assert "cost: not known (AccessDenied)" in drawn(replace(SNAPSHOT, problems=("cost: not known (AccessDenied)",)))
