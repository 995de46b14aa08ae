"""The commands predict and batch with --expected: the list of a recount on the screen, as JSON and as files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli import recounting
from pipeline.cli.app import Options
from pipeline.operations.serving import batch, predictions, recount
from pipeline.operations.serving.batch import BatchJob
from pipeline.operations.serving.photos import Reader
from pipeline.operations.serving.predictions import Answer, NotCounted, Prediction
from pipeline.settings import Settings
from tests.unit.pipeline.conftest import Call, plain
from tests.unit.pipeline.operations.serving.test_photos import jpeg

RECORDS = "image_id;quantity\na;3\nb;1\nc;12\nd;2\nf;5\n"


def prediction(source: str, confidence: float, *, sure: bool) -> Prediction:
    """Two objects, or the rest of the probability one."""
    members = (2,) if sure else (1, 2)
    return Prediction(source, 2, 2.0, {1: 1 - confidence, 2: confidence, 3: 0.0}, "7", None, sure, members)


ANSWERS: list[Answer] = [
    prediction("b.jpg", 0.6, sure=False),
    prediction("a.jpg", 0.98, sure=True),
    prediction("c.jpg", 0.9, sure=False),
    prediction("d.jpg", 0.9, sure=False),
    prediction("e.jpg", 0.9, sure=False),
]
BAD = NotCounted("f.jpg", "the model answered 400: truncated")


@pytest.fixture
def answered(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the endpoint answers, and what a batch over s3://photos/ has written; a test changes it."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    (project / "records.csv").write_text(RECORDS)
    for name in "abcdef":
        (project / f"{name}.jpg").write_bytes(jpeg())
    answers = list(ANSWERS)
    job = BatchJob("job", "Completed", 7, "s3://photos/", "s3://answers")

    def predict(settings: Settings, reader: Reader, names: list[str], *, concurrency: int) -> Iterator[Answer]:
        return iter(answers)

    monkeypatch.setattr(predictions, "predict", predict)
    monkeypatch.setattr(Options, "prepared", Options.connected)  # no call to STS
    monkeypatch.setattr(batch, "first_photo", lambda settings, source: "s3://photos/a.jpg")
    monkeypatch.setattr(batch, "start", lambda *_, **__: job)
    monkeypatch.setattr(batch, "wait", lambda settings, job: job)
    monkeypatch.setattr(batch, "results", lambda settings, job: iter(answers))
    monkeypatch.setattr(Reader, "content", lambda self, name: (project / Path(name).name).read_bytes())
    return answers


PREDICT, BATCH = ("predict", "a.jpg"), ("batch", "s3://photos/")
both = pytest.mark.parametrize("words", [PREDICT, BATCH])
REMARKS = [
    "1 photo beyond the counts of the model, 1 to 3, which can neither confirm nor refute the record: c.jpg (12)",
    "1 photo without a record: e.jpg",
    "1 record without a photo: f",
]


@both
def test_the_bins_that_disagree_are_a_table_the_surest_first(
    call: Call, answered: list[Answer], terminal: Callable[[int], None], words: tuple[str, ...]
) -> None:
    terminal(80)
    outcome = call(*words, "--expected", "records.csv")
    assert outcome.code == 0, outcome.error
    lines = plain(outcome.out).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines] == [
        ["photo", "record", "count", "confidence", "p(record)", "sure", "set"],
        ["a.jpg", "3", "2", "98.0%", "<0.1%", "yes", "2"],
        ["b.jpg", "1", "2", "60.0%", "40.0%", "no", "1-2"],
        ["2", "of", "3", "photos", "disagree", "with", "their", "record;", "1", "of", "them", "surely."],
    ]
    errors = plain(outcome.error)
    assert [remark in errors for remark in REMARKS] == [True] * 3


@both
def test_all_files_and_json_say_the_same(
    call: Call, answered: list[Answer], project: Path, words: tuple[str, ...]
) -> None:
    answered.append(BAD)
    files = ["--csv", "counts.csv", "--recount", "list.csv", "--page", "list.html"]
    outcome = call(*words, "--expected", "records.csv", "--json", *files)
    assert outcome.code == 1
    said = json.loads(outcome.out)
    assert [(row["photo"], row["recorded"], row["counted"]) for row in said["recount"]] == [
        ("a.jpg", 3, 2),
        ("b.jpg", 1, 2),
    ]
    assert {name: said[name] for name in ("photos", "compared", "disagreeing", "surely", "beyond_the_model")} == {
        "photos": 6,
        "compared": 3,
        "disagreeing": 2,
        "surely": 1,
        "beyond_the_model": 1,
    }
    assert said["without_record"] == {"no-record": 1}
    assert said["not_counted"] == {BAD.reason: 1}
    assert said["records_without_photo"] == 0
    assert [line for line in outcome.error.splitlines() if line.startswith("wrote")] == [
        "wrote counts.csv",
        "wrote list.csv",
        "wrote list.html",
    ]
    listed = list(csv.DictReader((project / "list.csv").read_text().splitlines()))
    assert [(row["photo"], row["recorded_probability"], row["surely"]) for row in listed] == [
        ("a.jpg", "0.000000", "true"),
        ("b.jpg", "0.400000", "false"),
    ]
    rows = list(csv.DictReader((project / "counts.csv").read_text().splitlines()))
    assert [(row["photo"], row["recorded"], row["comparison"]) for row in rows] == [
        ("b.jpg", "1", "disagrees"),
        ("a.jpg", "3", "disagrees"),
        ("c.jpg", "12", "beyond-the-model"),
        ("d.jpg", "2", "agrees"),
        ("e.jpg", "", "no-record"),
        ("f.jpg", "5", "not-counted"),
    ]
    page = (project / "list.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert page.index("a.jpg") < page.index("b.jpg")


def test_photos_of_a_batch_are_those_of_its_folder_in_s3(
    call: Call, answered: list[Answer], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def content(reader: Reader, name: str) -> bytes:
        asked.append(name)
        return jpeg()

    monkeypatch.setattr(Reader, "content", content)
    (project / "records.csv").write_text("image_id,quantity\ns3://photos/a.jpg,3\ns3://other/b.jpg,3\n")
    outcome = call(*BATCH, "--expected", "records.csv", "--page", "list.html")
    assert outcome.out.endswith("1 of 1 photo disagrees with its record; 1 of them surely.\n")
    assert asked == ["s3://photos/a.jpg"]


def test_a_photo_that_is_named_twice_is_compared_once(
    call: Call, answered: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(settings: Settings, reader: Reader, names: list[str], *, concurrency: int) -> Iterator[Answer]:
        return iter([prediction(name, 0.9, sure=True) for name in names])

    monkeypatch.setattr(predictions, "predict", predict)
    outcome = call("predict", "a.jpg", "a.jpg", "./a.jpg", "--expected", "records.csv")
    assert outcome.out.splitlines()[-1] == "1 of 1 photo disagrees with its record; 1 of them surely."
    assert "the same record" not in outcome.error


def test_a_long_list_ends_on_the_screen_and_says_where_the_rest_is(
    call: Call, answered: list[Answer], project: Path
) -> None:
    answered[:] = [prediction(f"{number}.jpg", 0.9, sure=True) for number in range(45)]
    (project / "records.csv").write_text("image_id,quantity\n" + "".join(f"{number},1\n" for number in range(45)))
    lines = call(*PREDICT, "--expected", "records.csv").out.splitlines()
    assert len(lines) == 1 + recounting.ROWS_SHOWN + 2
    assert lines[-2] == "and 25 more, which --recount FILE.csv or --page FILE.html writes"
    assert call(*PREDICT, "--expected", "records.csv", "--recount", "l.csv").out.splitlines()[-2] == "and 25 more"


def test_a_list_that_has_an_end_says_so(
    call: Call, answered: list[Answer], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recount.Recount, "__init__", _with_room_for_one(recount.Recount.__init__))
    outcome = call(*PREDICT, "--expected", "records.csv", "--recount", "list.csv")
    assert "list.csv ends after 1 photo; not in it: 1 less sure photo" in outcome.error
    assert len((project / "list.csv").read_text().splitlines()) == 2


def _with_room_for_one(begin: Callable[..., None]) -> Callable[[recount.Recount], None]:
    return lambda self: begin(self, 1)


def test_photos_without_a_count_are_named_and_the_status_is_1(call: Call, answered: list[Answer]) -> None:
    answered.extend([BAD] * 12)
    outcome = call(*PREDICT, "--expected", "records.csv")
    assert outcome.code == 1
    assert outcome.error.count(f"f.jpg: {BAD.reason}\n") == recounting.REASONS_SHOWN
    assert "and 2 more without a count" in outcome.error


def test_where_nothing_disagrees_there_is_no_table(call: Call, answered: list[Answer], project: Path) -> None:
    (project / "records.csv").write_text("image_id,quantity\na,2\n")
    outcome = call(*PREDICT, "--expected", "records.csv")
    assert (outcome.code, outcome.out) == (0, "0 of 1 photo disagrees with its record.\n")


# ------------------------------------------------------- the kind: an answer is lost behind what was paid for it


@both
@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--recount", "list.csv"], 2, "--recount needs the records"),
        (["--page", "list.html"], 2, "--page needs the records"),
        (["--expected", "no.csv"], 1, "--expected no.csv: cannot be read"),
        (["--expected", "bad.csv"], 1, "bad.csv line 2: a: the quantity is not a whole number"),
        (["--expected", "records.csv", "--page", "list.csv"], 1, "--page list.csv: a page is HTML; name it list.html"),
        (["--expected", "records.csv", "--recount", "no/list.csv"], 1, "--recount no/list.csv cannot be written"),
        (["--expected", "records.csv", "--recount", "records.csv"], 1, "is the file of --expected, too"),
        (["--expected", "records.csv", "--csv", "x", "--recount", "./x"], 1, "--recount x is the file of --csv, too"),
    ],
)
def test_what_cannot_end_well_is_refused_before_anything_starts(
    call: Call,
    answered: list[Answer],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    options: list[str],
    status: int,
    message: str,
) -> None:
    (project / "bad.csv").write_text("image_id,quantity\na,many\n")
    monkeypatch.delattr(batch, "start")
    monkeypatch.delattr(predictions, "predict")
    outcome = call(*words, *options)
    assert (outcome.code, message in " ".join(plain(outcome.error).split())) == (status, True), outcome.error
    assert (project / "records.csv").read_text() == RECORDS


def test_records_of_counts_that_are_not_waited_for_are_refused(call: Call, answered: list[Answer]) -> None:
    outcome = call(*BATCH, "--no-wait", "--expected", "records.csv")
    assert outcome.code == 2
    assert "--expected needs the counts" in outcome.error
