"""The messages of a local account's topics, as operations and as `local inbox`."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.local.inbox import FILE, Inbox
from pipeline.local.inbox import Message as Entry
from pipeline.operations.account import inbox
from steps.contracts.errors import PipelineError

TOPIC = "arn:aws:sns:us-east-1:123456789012:bins-alerts"
LINE = (
    "Run ab12cd34ef56 failed at step ShardImages: no room. Look: python -m pipeline --profile prod watch ab12cd34ef56"
)
ALARM = json.dumps(
    {
        "AlarmName": "errors",
        "AlarmDescription": "It fails. Look: python -m pipeline endpoint",
        "NewStateReason": "5 > 1",
    }
)


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path))
    box = Inbox(tmp_path)
    box.add(Entry("1", 1_767_000_000.0, TOPIC, "bins: run ab12cd34ef56 failed at ShardImages", LINE, "session"))
    box.add(Entry("2", 1_767_000_001.0, TOPIC, 'ALARM: "errors"', ALARM, "cloudwatch.amazonaws.com"))
    return box


@pytest.mark.usefixtures("filled")
def test_messages_are_listed_oldest_first_with_the_command_in_its_own_line() -> None:
    lines = CliRunner().invoke(app, ["local", "inbox"]).output.splitlines()
    assert lines[0].endswith("   bins-alerts   bins: run ab12cd34ef56 failed at ShardImages")
    assert lines[1:3] == [
        "  Run ab12cd34ef56 failed at step ShardImages: no room.",
        "  Look: python -m pipeline --profile prod watch ab12cd34ef56",
    ]
    assert lines[4:] == ["  5 > 1. It fails.", "  Look: python -m pipeline endpoint"]


@pytest.mark.usefixtures("filled")
def test_messages_are_json_for_machines() -> None:
    first, second = json.loads(CliRunner().invoke(app, ["local", "inbox", "--json"]).output)
    assert (first["topic"], first["text"]) == (TOPIC, LINE)
    assert first["time"] == "2025-12-29T09:20:00+00:00"
    assert second["text"] == ALARM


def test_an_empty_inbox_says_what_sends_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path))
    assert CliRunner().invoke(app, ["local", "inbox"]).output.startswith("no messages yet: ")


def test_following_yields_each_message_once(tmp_path: Path, filled: Inbox) -> None:
    following = inbox.follow(tmp_path, interval=0.01)
    assert [item.id for item in itertools.islice(following, 2)] == ["1", "2"]
    filled.add(Entry("3", 2.0, TOPIC, "", "later", "session"))
    assert next(following).text == "later"


def test_a_text_cannot_steer_the_terminal(tmp_path: Path, filled: Inbox) -> None:
    filled.add(Entry("3", 2.0, TOPIC, "s", "a\x1b[2Jb", "session"))
    assert "\x1b" not in CliRunner().invoke(app, ["local", "inbox"]).output


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("x\n")
    with pytest.raises(PipelineError, match=r"inbox\.jsonl:1: no message"):
        inbox.messages(tmp_path)
