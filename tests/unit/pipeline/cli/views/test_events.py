"""The events of a run: its state, a line per change, and its outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.cli.views.events import Events
from pipeline.operations.watching.snapshot import Snapshot, TrialDetail
from tests.unit.pipeline.cli.watched import SNAPSHOT, epochs

SUCCEEDED = replace(
    SNAPSHOT, progress=replace(SNAPSHOT.progress, execution=replace(SNAPSHOT.progress.execution, status="Succeeded"))
)


def after(*snapshots: Snapshot) -> list[dict[str, Any]]:
    """The events of the last snapshot."""
    events = Events()
    for snapshot in snapshots:
        last = [dict(event) for event in events.since_last(snapshot)]
    return last


def test_the_first_event_is_the_whole_state() -> None:
    [event] = after(SNAPSHOT)
    assert event["event"] == "state"
    assert [each["number"] for each in event["trials"]] == [1, 2, 3, 4]
    assert [epoch["validation_accuracy"] for epoch in event["trials"][2]["epochs"]] == [0.22, 0.31, 0.41, 0.4]


def test_the_same_again_is_no_event() -> None:
    assert after(SNAPSHOT, SNAPSHOT) == []


def test_a_step_that_changes_is_one_event() -> None:
    steps = tuple(replace(step, status="Executing") if step.name == "EvaluateModel" else step
                  for step in SNAPSHOT.progress.steps)  # fmt: skip
    [event] = after(SNAPSHOT, replace(SNAPSHOT, progress=replace(SNAPSHOT.progress, steps=steps)))
    assert (event["event"], event["step"].name, event["step"].status) == ("step", "EvaluateModel", "Executing")


def test_a_new_epoch_is_an_event_with_the_trials_number() -> None:
    details = {**SNAPSHOT.trials, "trial-3": TrialDetail("Training", 30, epochs(0.22, 0.31, 0.41, 0.4, 0.5))}
    [event] = after(SNAPSHOT, replace(SNAPSHOT, trials=details))
    assert (event["event"], event["number"], event["name"]) == ("epoch", 3, "trial-3")
    assert event["epoch"]["epoch"] == 5


def test_a_trial_that_ends_is_an_event_without_its_epochs() -> None:
    trials = tuple(replace(each, status="Stopped") if each.name == "trial-3" else each
                   for each in SNAPSHOT.progress.trials)  # fmt: skip
    [event] = after(SNAPSHOT, replace(SNAPSHOT, progress=replace(SNAPSHOT.progress, trials=trials)))
    assert (event["event"], event["trial"]["status"], event["trial"]["best_accuracy"]) == ("trial", "Stopped", 0.41)
    assert "epochs" not in event["trial"]


def test_changes_of_the_last_look_come_before_the_end() -> None:
    assert [event["event"] for event in after(SNAPSHOT, replace(SUCCEEDED, cost=None))] == ["cost", "run"]


def test_a_run_that_has_ended_before_is_its_last_event_alone() -> None:
    assert after(SUCCEEDED) == []
    event = Events().ended(SUCCEEDED, None)
    assert event["event"] == "ended"
    assert event["outcome"]["succeeded"]
    assert event["outcome"]["saved"].seconds == 185
    assert len(event["steps"]) == 9
