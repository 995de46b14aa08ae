"""The command `trials`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.views.sparkline import ASCII_BLOCKS, BLOCKS, sparkline
from pipeline.operations.models import curves, trials
from pipeline.operations.models.curves import Epoch
from pipeline.operations.models.trials import Trial, TuningJob
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.models.test_curves import TRIAL

EPOCHS = [
    Epoch(
        epoch=number, train_loss=2 / number, validation_loss=3 / number, validation_accuracy=accuracy, validation_rmse=1
    )
    for number, accuracy in enumerate((0.25, 0.75, 0.5), 1)
]
BEST = replace(TRIAL, number=2, name="trial-2", values={"learning-rate": "0.00123456", "optimizer": '"sgd"'})
STOPPED = replace(BEST, number=1, name="trial-1", status="Stopped", note="early", best=False, objective=0.125)
JOB = TuningJob(
    run="run1",
    name="tune-1",
    status="Completed",
    strategy="Hyperband",
    early_stopping=False,
    objective="validation:best_accuracy",
    maximize=True,
    cached_from="",
    failure="",
    trials=(STOPPED, BEST),
)


@pytest.fixture
def job(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The tuning job, and the epochs of any of its trials, as the account returns them; a test may change them."""
    answers: dict[str, object] = {"job": JOB, "epochs": EPOCHS}
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(trials, "read", lambda settings, reference: answers["job"])
    monkeypatch.setattr(curves, "read", lambda settings, trial: answers["epochs"])
    return answers


def row(out: str, start: str) -> list[str]:
    [line] = [line for line in out.splitlines() if line.split()[: len(start.split())] == start.split()]
    return line.split()


def test_the_table_marks_the_best_trial_and_says_which_were_stopped_early(call: Call, job: dict[str, object]) -> None:
    out = call("trials").out
    assert row(out, "* 2")[2:] == [
        "Completed",
        "0.001235",
        "sgd",
        "0.5000",
        "0.5000",
        "1.0000",
        "1.0000",
        "3",
        "1",
        "s",
    ]
    assert row(out, "1 Stopped early")[3:6] == ["0.001235", "sgd", "0.1250"]
    assert "trial 2, the best: 3 epochs" in out
    assert row(out, "accuracy")[1:] == ["▁█▅", "0.2500", "0.7500", "2", "0.5000"]


def test_savings_and_failures_have_columns_only_where_there_are_some(call: Call, job: dict[str, object]) -> None:
    assert "saved" not in call("trials").out
    failed = replace(STOPPED, status="Failed", failure="a damaged shard", saved=None)
    job["job"] = replace(JOB, trials=(failed, replace(BEST, saved=0.7)))
    out = call("trials").out
    assert row(out, "1 Failed")[-3:] == ["a", "damaged", "shard"]
    assert row(out, "* 2")[-1] == "70%"


def test_a_cached_job_names_its_run(call: Call, job: dict[str, object]) -> None:
    job["job"] = replace(JOB, cached_from="run0")
    assert "run run1, cached from run run0" in call("trials").out


def test_json_holds_every_trial_and_the_curves_and_nothing_else(call: Call, job: dict[str, object]) -> None:
    document = json.loads(call("trials", "--json").out)
    assert [trial["objective"] for trial in document["tuning_job"]["trials"]] == [0.125, 0.5]
    assert document["curves"]["trial"] == 2
    assert [epoch["validation_accuracy"] for epoch in document["curves"]["epochs"]] == [0.25, 0.75, 0.5]


def test_curves_become_a_page(call: Call, job: dict[str, object], project: Path) -> None:
    outcome = call("trials", "--curves", "curves.html", "--trial", "1")
    assert outcome.out.endswith("curves of trial 1: curves.html\n")
    text = (project / "curves.html").read_text()
    assert "<h1>Trial 1 of 2</h1>" in text
    assert "Best epoch: 2 (dashed) of 3, with validation accuracy 0.7500 and RMSE 1.0000." in text
    assert text.count("<svg") == 3


def test_another_kind_of_file_is_refused_before_anything_is_read(call: Call, project: Path) -> None:
    outcome = call("trials", "--curves", "curves.png", "--profile", "aws")
    assert (outcome.code, outcome.error) == (1, "curves.png: curves are written as an HTML page; name it curves.html\n")


def test_a_folder_that_is_not_there_is_one_line(call: Call, job: dict[str, object]) -> None:
    outcome = call("trials", "--curves", "absent/curves.html")
    assert (outcome.code, outcome.error) == (
        1,
        "absent/curves.html cannot be written (No such file or directory); name another file\n",
    )


def test_curves_of_a_trial_without_an_epoch_are_refused(call: Call, job: dict[str, object]) -> None:
    job["epochs"] = []
    outcome = call("trials", "--curves", "curves.html")
    assert (outcome.code, outcome.error) == (
        1,
        "trial 2 (Completed) has finished no epoch and has no curves\n",
    )
    assert call("trials").code == 0


def test_a_tuning_job_that_failed_shows_its_trials_its_reason_and_its_log(call: Call, job: dict[str, object]) -> None:
    failed: Trial = replace(STOPPED, status="Failed", objective=None, failure="a damaged shard")
    job["job"] = replace(JOB, status="Failed", failure="All training jobs failed", trials=(failed,))
    outcome = call("trials")
    assert outcome.code == 1
    assert row(outcome.out, "1 Failed")[-3:] == ["a", "damaged", "shard"]
    assert outcome.error == (
        "the tuning job tune-1 failed: All training jobs failed;"
        " its log: python -m pipeline --profile aws logs TuneModel --run run1\n"
    )


def test_a_job_without_a_trial_has_a_line(call: Call, job: dict[str, object]) -> None:
    job["job"] = replace(JOB, status="InProgress", trials=())
    outcome = call("trials")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "no trial has started yet")


def test_equal_values_and_ascii_terminals_have_sparklines_too() -> None:
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([0.0, 1.0], ASCII_BLOCKS) == "_@"


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200))
def test_a_sparkline_fits_keeps_both_ends_and_rises_with_the_values(values: list[float]) -> None:
    line = sparkline(values, width=60)
    assert len(line) == min(len(values), 60)
    heights = [BLOCKS.index(character) for character in line]
    if values[0] < values[-1]:
        assert heights[0] <= heights[-1]
    if len(values) <= 60 and max(values) > min(values):
        assert {0, 7} <= set(heights)
