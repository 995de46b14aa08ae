"""The commands below `dataset`: which one is meant, and what prune shows, asks and reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pipeline.cli import prune as command
from pipeline.operations.dataset import prune_deletion as deletion
from pipeline.operations.dataset.prune_deletion import Removed
from steps.contracts.errors import PipelineError
from tests.answers import Answers
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.dataset.data import KEY, Data, generation

NOW = datetime.now(UTC)


@pytest.fixture
def data(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Data]:
    """A generation that nothing uses, one that the newest index names, and two old label sets."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("MOTO_ACCOUNT_ID", raising=False)
    with mock_aws():
        made = Data("bins-123456789012", now=NOW)
        made.generation(1, age=200)
        made.approve(made.index(made.generation(2, age=150), age=100))
        made.index(made.generation(3, age=120), age=2)
        made.labels(1, age=100)
        made.labels(2, age=5)
        yield made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody can answer."""
    monkeypatch.setattr(command, "_can_ask", lambda: True)


def test_without_a_terminal_the_plan_is_shown_and_nothing_is_deleted(call: Call, data: Data) -> None:
    before = data.listed()
    outcome = call("dataset", "prune")
    assert (outcome.code, outcome.error) == (0, "nothing was deleted; to delete it: --yes\n")
    lines = outcome.out.splitlines()
    assert any(line.split()[:3] == [generation(1), "3", "of"] for line in lines)
    text = " ".join(outcome.out.split())
    assert "1 label set below labels/, < 0.01 GB" in text
    assert "total: 3 shards and 1 label set, < 0.01 GB, < 0.01 USD per month in S3 Standard at 0.023 per GB" in text
    assert "The bucket is not versioned: deleted objects cannot be restored." in text
    assert "3 shards, < 0.01 GB: in 1 data set used in the last 90 days, or in the newest one" in text
    assert "3 shards, < 0.01 GB: in data sets of approved versions (1)" in text
    assert data.listed() == before


def test_objects_of_a_versioned_bucket_can_be_restored(call: Call, data: Data) -> None:
    data.s3.put_bucket_versioning(Bucket=data.bucket, VersioningConfiguration={"Status": "Enabled"})
    text = " ".join(call("dataset", "prune").out.split())
    assert "deleted objects can be restored, and are billed, for 30 more days (retention.superseded_days)" in text


@pytest.mark.usefixtures("terminal")
def test_it_asks_and_a_no_deletes_nothing(call: Call, data: Data) -> None:
    before = data.listed()
    outcome = call("dataset", "prune", stdin="n\n")
    assert outcome.code == 1
    assert "Delete 3 shards and 1 label set, < 0.01 GB? [y/N]" in outcome.error
    assert data.listed() == before


@pytest.mark.usefixtures("terminal")
def test_a_yes_deletes_and_a_second_time_there_is_nothing(call: Call, data: Data) -> None:
    outcome = call("dataset", "prune", stdin="y\n")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "deleted: 9 objects, < 0.01 GB")
    assert not any(key.startswith(f"shards/{generation(1)}") for key in data.listed())
    again = call("dataset", "prune")
    assert again.code == 0
    assert again.out.startswith("nothing to delete below s3://bins-123456789012/bin-counting\n")


def test_what_remains_is_a_line_each_and_exit_1(call: Call, data: Data) -> None:
    key = f"bin-counting/shards/{generation(1)}/train/train-000-000000.parquet"
    body = f"<DeleteResult><Error><Key>{key}</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    Answers().say_xml("s3.DeleteObjects", body, times=1)
    outcome = call("dataset", "prune", "--yes")
    assert outcome.code == 1
    assert outcome.error.splitlines()[-1] == f"remains: s3://bins-123456789012/{key}: AccessDenied: no"


def test_what_was_deleted_is_reported_though_a_later_request_fails(
    call: Call, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*_: Any) -> Iterator[Removed]:
        yield Removed(3, 3_000_000_000)
        raise PipelineError("1 run is under way")

    monkeypatch.setattr(deletion, "carry_out", broken_off)
    outcome = call("dataset", "prune", "--yes")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (1, "deleted: 3 objects, 2.79 GB")
    assert outcome.error == "1 run is under way\n"


def test_machines_get_the_plan_and_with_yes_what_was_done(call: Call, data: Data) -> None:
    before = data.listed()
    planned = json.loads(call("dataset", "prune", "--json").out)
    assert (planned["shards"], planned["deleted"], planned["remains"], data.listed() == before) == (3, None, [], True)
    assert [(item["generation"], item["shards"], item["of"]) for item in planned["generations"]] == [
        (generation(1), 3, 3)
    ]
    done = json.loads(call("dataset", "prune", "--json", "--yes").out)
    assert done["deleted"] == {"objects": 9, "bytes": planned["bytes"] + 3}  # and the marker
    nothing = json.loads(call("dataset", "prune", "--json", "--yes").out)
    assert (nothing["shards"], nothing["deleted"]) == (0, None)


def test_too_few_days_are_one_line(call: Call, data: Data) -> None:
    outcome = call("dataset", "prune", "--days", "0", "--yes")
    assert (outcome.code, outcome.out, outcome.error.count("\n")) == (1, "", 1)
    assert outcome.error.startswith("--days 0 is below the least, 31: ")


def test_credentials_of_another_account_see_and_delete_nothing(call: Call, project: Path, data: Data) -> None:
    settings = project / "pipeline.yaml"
    settings.write_text(settings.read_text().replace('id: "123456789012"', 'id: "999999999999"'))
    outcome = call("dataset", "prune", "--yes")
    assert (outcome.code, outcome.out) == (1, "")
    assert "the credentials are of account 123456789012, the settings name 999999999999" in outcome.error


@pytest.mark.parametrize("words", [(), ("show",)])
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_show_is_the_default_command(call: Call, data: Data, words: tuple[str, ...], as_json: tuple[str, ...]) -> None:
    uri = data.index(data.generation(4, age=1, key=KEY[::-1]), age=1)
    for arguments in ((uri, *as_json), (*as_json, uri)):
        outcome = call("dataset", *words, *arguments)
        assert outcome.code == 0
        assert json.loads(outcome.out)["uri"] == uri if as_json else outcome.out.startswith(uri)


@pytest.mark.parametrize("arguments", [("dataset",), ("dataset", "latest"), ("dataset", "--json"), ("dataset", "show")])
def test_the_latest_run_is_the_default(call: Call, data: Data, arguments: tuple[str, ...]) -> None:
    outcome = call(*arguments)
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert outcome.error.startswith("the pipeline bins is not in account")


def test_the_help_names_both_commands(call: Call) -> None:
    text = call("dataset", "--help").out
    assert "\n  show " in text
    assert "\n  prune " in text
    assert "[RUN|URI]" in call("dataset", "show", "--help").out


@pytest.mark.parametrize("arguments", [("--no-such",), ("a", "b"), ("prune", "x"), ("prune", "--days", "x")])
def test_wrong_words_are_usage_errors(call: Call, arguments: tuple[str, ...]) -> None:
    assert call("dataset", *arguments).code == 2
