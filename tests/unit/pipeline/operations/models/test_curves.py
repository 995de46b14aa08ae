"""A trial's curves: from its artifact in S3, or from its log."""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import replace
from typing import Any

import boto3
import pytest

from pipeline.operations.models import curves
from pipeline.operations.models.trials import Trial
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.train.history import History
from steps.train.log_lines import epoch_line
from tests.unit.steps.contracts.test_metrics import history

pytestmark = pytest.mark.usefixtures("account")
BUCKET, KEY = "bins-models", "models/trial-1/output/model.tar.gz"
TRIAL = Trial(
    number=1,
    name="trial-1",
    status="Completed",
    note="",
    best=True,
    values={},
    objective=0.5,
    accuracy=0.5,
    rmse=1.0,
    loss=1.0,
    epochs=3,
    started=None,
    ended=None,
    seconds=1,
    billable_seconds=1,
    saved=None,
    model_uri=f"s3://{BUCKET}/{KEY}",
    failure="",
)


def archive(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = (len(data) if kind == tarfile.REGTYPE else 0), kind
            info.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


@pytest.fixture
def put(account: None) -> Any:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=BUCKET)
    return lambda content: s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)


@pytest.fixture
def log(account: None) -> Any:
    """Write lines of the trial's log."""
    logs = boto3.client("logs", region_name="us-east-1")
    logs.create_log_group(logGroupName=curves.LOG_GROUP)

    def write(*lines: str) -> None:
        stream = {"logGroupName": curves.LOG_GROUP, "logStreamName": "trial-1/algo-1-1"}
        logs.create_log_stream(**stream)
        at = int(time.time() * 1000)
        events = [{"timestamp": at + number, "message": line} for number, line in enumerate(lines)]
        logs.put_log_events(**stream, logEvents=events)

    return write


def written(epochs: int) -> bytes:
    return history(epochs).model_dump_json().encode()


@pytest.mark.parametrize("name", ["history.json", "./history.json"])
def test_the_history_that_the_trainer_writes_is_read_out_of_the_artifact(
    settings: Settings, put: Any, name: str
) -> None:
    put(archive(("model.safetensors", b"\0" * 100_000), (name, written(3)), ("model.json", b"{}")))
    epochs = curves.read(settings, TRIAL)
    assert [one.epoch for one in epochs] == [1, 2, 3]
    assert (epochs[1].validation_accuracy, epochs[1].train_loss, epochs[1].validation_rmse) == (0.5, 1.0, 1.0)


def test_nothing_behind_the_history_is_read() -> None:
    class Watched(io.BytesIO):
        """Remembers how far it was read."""

        far = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            self.far = max(self.far, self.tell())
            return content

    noise = bytes(byte for number in range(40_000) for byte in number.to_bytes(4, "little"))
    content = archive(("history.json", written(2)), ("model.onnx", noise * 4))
    watched = Watched(content)
    assert curves.member(watched) == written(2)
    assert watched.far < len(content) / 2


def test_fields_of_a_later_trainer_are_passed_over(settings: Settings, put: Any) -> None:
    put(archive(("history.json", written(1).replace(b'"epoch":1', b'"epoch":1,"gradient_norm":3.5'))))
    assert len(curves.read(settings, TRIAL)) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        archive(("history.json", written(3)))[:150],
        archive(("history.json", b"{}")),
        archive(("history.json", b'{"epochs": [{"epoch": 1}]}')),
        archive(("history.json", b"\xff\xfe")),
    ],
)
def test_a_damaged_artifact_is_one_line_that_names_it(settings: Settings, put: Any, content: bytes) -> None:
    put(content)
    with pytest.raises(PipelineError, match=rf"^s3://{BUCKET}/{KEY}: its history.json cannot be read \(.*\n?.*again$"):
        curves.read(settings, TRIAL)


def test_a_history_larger_than_one_can_be_is_refused_unread(
    settings: Settings, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "LARGEST_HISTORY", 1000)
    put(archive(("history.json", b" " * 1001)))
    with pytest.raises(PipelineError, match="it has 1,001 bytes, more than 1,000"):
        curves.read(settings, TRIAL)


def test_an_archive_that_never_comes_to_its_history_is_given_up(
    settings: Settings, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "LARGEST_ARTIFACT", 5000)
    put(archive(("a", b"\0" * 3000), ("b", b"\0" * 3000), ("history.json", written(1))))
    with pytest.raises(PipelineError, match="within the first 5,000 bytes"):
        curves.read(settings, TRIAL)


def test_a_link_by_the_historys_name_is_not_followed() -> None:
    assert curves.member(io.BytesIO(archive(("history.json", b""), kind=tarfile.SYMTYPE))) is None


def test_while_there_is_no_artifact_the_log_tells(settings: Settings, put: Any, log: Any) -> None:
    lines = [f"2026-01-02 INFO steps.train.run: {epoch_line(history(number))}" for number in (1, 2, 2)]
    log("epoch=1 step=3/9 loss=2.0", *lines, "epoch=3 step=1/9 loss=1.0 validation:best_accuracy=")
    for trial in (replace(TRIAL, status="InProgress"), TRIAL):
        epochs = curves.read(settings, trial)
        assert [one.epoch for one in epochs] == [1, 2]
        assert epochs[1].validation_accuracy == 0.5


@pytest.mark.parametrize(("by", "best"), [("accuracy", [1, 2, 2, 2]), ("loss", [1, 1, 3, 3])])
def test_the_best_epoch_is_that_whose_model_is_kept_by_the_artifact_and_by_the_log(
    settings: Settings, put: Any, log: Any, by: Any, best: list[int]
) -> None:
    figures = [(0.3, 1.2), (0.5, 1.3), (0.4, 1.1), (0.5, 1.1)]
    records = [
        record.model_copy(update={"validation_accuracy": accuracy, "validation_loss": loss})
        for record, (accuracy, loss) in zip(history(4).epochs, figures, strict=True)
    ]
    log(*(epoch_line(History(best_by=by, epochs=records[:number])) for number in range(1, 5)))
    put(archive(("history.json", History(best_by=by, epochs=records).model_dump_json().encode())))
    for trial in (replace(TRIAL, status="InProgress"), TRIAL):
        epochs = curves.read(settings, trial)
        shown = [curves.best_of(epochs[:number]) for number in range(1, 5)]
        assert [epoch and epoch.epoch for epoch in shown] == best


def test_without_epochs_none_is_the_best() -> None:
    assert curves.best_of([]) is None


def test_a_trial_that_has_said_nothing_has_no_epochs(settings: Settings) -> None:
    assert curves.read(settings, replace(TRIAL, status="InProgress")) == []
