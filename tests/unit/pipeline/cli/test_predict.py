"""The commands predict and batch: what they show, write and exit with."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.operations.serving import batch, predictions
from pipeline.operations.serving.predictions import Answer, NotCounted, Prediction
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.serving.test_photos import jpeg

GOOD = Prediction("a.jpg", 3, 2.75, {3: 0.8, 2: 0.2}, "7", 12.3)
BAD = NotCounted("b.jpg", "the model answered 400: truncated")


@pytest.fixture
def answered(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the endpoint answers to the photo a.jpg; a test adds to it."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    (project / "a.jpg").write_bytes(jpeg())
    answers: list[Answer] = []

    def predict(settings: object, reader: object, names: list[str], *, concurrency: int) -> Iterator[Answer]:
        assert names == ["a.jpg"]
        return iter(answers)

    monkeypatch.setattr(predictions, "predict", predict)
    return answers


def rows(file: Path) -> list[list[str]]:
    return list(csv.reader(file.read_text().splitlines()))


WRITTEN = [
    ["photo", "count", "expected", "confidence", "model_version", "error", "sure", "prediction_set"],
    ["a.jpg", "3", "2.750000", "0.800000", "7", "", "", ""],
    ["b.jpg", "", "", "", "", "the model answered 400: truncated", "", ""],
]


def test_counts_are_a_table_and_a_file(call: Call, answered: list[Answer], project: Path) -> None:
    answered.append(GOOD)
    outcome = call("predict", "a.jpg", "--csv", "counts.csv")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split() == ["a.jpg", "3", "80%", "2.75", "12", "ms"]
    assert outcome.error == "wrote counts.csv\n"
    assert rows(project / "counts.csv") == WRITTEN[:2]


def test_a_photo_without_a_count_is_reported_and_the_status_is_1(
    call: Call, answered: list[Answer], project: Path
) -> None:
    answered.extend([GOOD, BAD])
    outcome = call("predict", "a.jpg", "--csv", "counts.csv")
    assert (outcome.code, outcome.error.splitlines()[0]) == (1, f"b.jpg: {BAD.reason}")
    assert "a.jpg" in outcome.out
    assert rows(project / "counts.csv") == WRITTEN


def test_json_and_a_file_are_both_written(call: Call, answered: list[Answer], project: Path) -> None:
    answered.extend([GOOD, BAD])
    outcome = call("predict", "a.jpg", "--json", "--csv", "counts.csv")
    assert outcome.code == 1
    assert [answer.get("count", answer.get("reason")) for answer in json.loads(outcome.out)] == [3, BAD.reason]
    assert rows(project / "counts.csv") == WRITTEN
    assert outcome.error == "wrote counts.csv\n"


def test_many_answers_are_summed_up(call: Call, answered: list[Answer]) -> None:
    answered.extend([GOOD] * 40 + [BAD])
    outcome = call("predict", "a.jpg")
    assert outcome.code == 1
    assert [line.split() for line in outcome.out.splitlines()[1:]] == [["3", "40"], [*BAD.reason.split(), "1"]]
    assert outcome.error == "for the count of each photo: --csv FILE\n"


def test_sure_counts_and_prediction_sets_are_shown_and_written_where_the_model_has_them(
    call: Call, answered: list[Answer], project: Path
) -> None:
    probabilities = {0: 0.01, 1: 0.09, 2: 0.2, 3: 0.7}
    answered.append(Prediction("a.jpg", 3, 2.75, probabilities, "7", 12.3, sure=True, prediction_set=(3,)))
    answered.append(Prediction("b.jpg", 3, 2.75, probabilities, "7", 12.3, sure=False, prediction_set=(0, 2, 3)))
    answered.append(Prediction("c.jpg", 3, 2.75, probabilities, "6", 12.3))
    outcome = call("predict", "a.jpg", "--csv", "counts.csv")
    assert [line.split() for line in outcome.out.splitlines()] == [
        ["photo", "count", "confidence", "expected", "sure", "set", "time"],
        ["a.jpg", "3", "70%", "2.75", "yes", "3", "12", "ms"],
        ["b.jpg", "3", "70%", "2.75", "no", "0,", "2-3", "12", "ms"],
        ["c.jpg", "3", "70%", "2.75", "12", "ms"],
    ]
    assert [row[6:] for row in rows(project / "counts.csv")[1:]] == [["true", "3"], ["false", "0 2 3"], ["", ""]]


@pytest.mark.usefixtures("answered")
def test_a_file_of_counts_that_are_not_waited_for_is_refused(call: Call) -> None:
    outcome = call("batch", "s3://photos/", "--no-wait", "--csv", "counts.csv")
    assert outcome.code == 2
    assert "--csv needs the counts" in outcome.error


# ------------------------------------------------------------- the kind: an answer is lost behind what was paid for it


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("file", ["nowhere/counts.csv", "a.jpg/counts.csv", "nowhere/deeper/counts.csv"])
@pytest.mark.parametrize("words", [["predict", "a.jpg"], ["batch", "s3://photos/"]])
def test_a_file_that_cannot_be_written_is_refused_before_anything_starts(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: list[str], file: str
) -> None:
    monkeypatch.delattr(batch, "start")
    monkeypatch.delattr(predictions, "predict")
    outcome = call(*words, "--csv", file)
    assert outcome.code == 1
    assert outcome.error.startswith(f"--csv {file} cannot be written (")
    assert outcome.error.count("\n") == 1


def test_a_file_that_exists_is_not_emptied_by_the_look(call: Call, answered: list[Answer], project: Path) -> None:
    (project / "counts.csv").write_text("mine")
    answered.append(GOOD)
    assert call("predict", "a.jpg", "--csv", "counts.csv").code == 0
    assert rows(project / "counts.csv") == WRITTEN[:2]


@pytest.mark.parametrize("name", [b"\xff.jpg", b"caf\xe9.jpg", b"\xc3\x28.jpg"])
@pytest.mark.parametrize("words", [[], ["--json"], ["--csv", "counts.csv"]])
def test_a_name_that_is_not_utf8_is_written_escaped(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch, name: bytes, words: list[str]
) -> None:
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    text = os.fsdecode(name)
    Path(text).write_text("no photo")
    outcome = call("predict", text, *words)
    shown = text.encode("utf-8", "backslashreplace").decode()
    assert outcome.code == 1
    assert "unexpected" not in outcome.error
    if words == ["--json"]:
        assert json.loads(outcome.out)[0]["source"] == shown
    elif words:
        assert rows(project / "counts.csv")[1][0] == shown
    else:
        assert outcome.error.startswith(f"{shown}: not a JPEG")


def test_a_time_that_nobody_measured_is_not_shown(call: Call, answered: list[Answer]) -> None:
    """A batch's answers have no time: a column of "0 ms" would be a measurement."""
    answered.append(predictions.parse("a.jpg", b'{"count": 3, "expected": 2.75, "probabilities": {"3": 0.8}}'))
    lines = call("predict", "a.jpg").out.splitlines()
    assert [line.split() for line in lines] == [
        ["photo", "count", "confidence", "expected"],
        ["a.jpg", "3", "80%", "2.75"],
    ]
    assert json.loads(call("predict", "a.jpg", "--json").out)[0]["milliseconds"] is None
