"""The page of alerts, over an account that moto pretends and over a local cloud's folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from starlette.testclient import TestClient

from pipeline.console.app import application
from pipeline.console.console import Console
from pipeline.console.pages import inbox
from pipeline.local.inbox import Inbox
from pipeline.local.inbox import Message as Entry
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.console.pages.account_of_data import as_text
from tests.unit.pipeline.console.pages.conftest import PORT, Clock
from tests.unit.pipeline.operations import conftest

moto = conftest.account
LINES = {
    "bins: run ab12cd34ef56 failed at ShardImages": "Run ab12cd34ef56 failed: <no> room. Look: python -m pipeline"
    " --profile prod watch ab12cd34ef56",
    "bins: the quality gate refused the model of run ab12cd34ef57": "The quality gate refused. Look: python -m"
    " pipeline report ab12cd34ef57",
    "bins: drift of brightness": "Drift of brightness. Look: python -m pipeline monitor --job bins-monitor-1",
    "ALARM: bins-accuracy": "Accuracy is below 0.8. Look: python -m pipeline monitor --last",
    "bins: version 7 is rolled back": "Endpoint bins is back at the version before, not version 7. Look: python -m"
    " pipeline endpoint",
}


class Account:
    """Alerts of an account; the later one is newer."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=settings.data.bucket)
        boto3.client("sns", region_name="us-east-1").create_topic(Name=settings.alerts_topic)

    def alert(self, number: int, subject: str, text: str, *, is_sent: bool = True) -> None:
        sent = f"2026-11-29T0{number}:00:00+00:00" if is_sent else ""
        record = {"request_id": "x", "subject": subject, "text": text, "sent": sent}
        key = f"{self.settings.data.prefix}/alerts/{number:032x}.json"
        self.s3.put_object(Bucket=self.settings.data.bucket, Key=key, Body=json.dumps(record).encode())


@pytest.fixture
def account(moto: None, settings: Settings) -> Account:
    return Account(settings)


@pytest.fixture
def local(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TestClient, Inbox]:
    """A browser on the local cloud's console, and the inbox of its folder."""
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path))
    settings = console.settings
    here = settings.account.model_copy(update={"target": "local"})
    chosen = replace(console, settings=settings.model_copy(update={"account": here}))
    browser = TestClient(application(chosen, PORT), base_url=f"http://127.0.0.1:{PORT}")
    browser.get(f"/?key={chosen.key}", follow_redirects=False)
    return browser, Inbox(tmp_path)


def test_alerts_are_newest_first_each_with_the_page_to_look_at(browser: TestClient, account: Account) -> None:
    for number, (subject, text) in enumerate(LINES.items()):
        account.alert(number, subject, text)
    page = browser.get("/inbox").text
    places = [page.index(subject) for subject in reversed(LINES)]
    assert places == sorted(places)
    for place in (
        "/runs/ab12cd34ef56",
        "/runs/ab12cd34ef57/report",
        "/monitor/bins-monitor-1",
        "/models/7",
        "/monitor",
    ):
        assert f'href="{place}"' in page
    assert "&lt;no&gt; room" in page
    assert "python -m pipeline --profile prod watch ab12cd34ef56" in page


def test_an_alert_that_was_not_sent_and_one_that_cannot_be_read_are_shown_as_such(
    browser: TestClient, account: Account
) -> None:
    account.alert(1, "bins: late", "Late.", is_sent=False)
    account.s3.put_object(
        Bucket=account.settings.data.bucket, Key=f"{account.settings.data.prefix}/alerts/x.json", Body=b"x"
    )
    text = as_text(browser.get("/inbox").text)
    assert "bins: late" in text
    assert "not sent" in text
    assert "no alert: " in text


def test_who_gets_them_is_shown_or_how_to_subscribe(browser: TestClient, console: Console, account: Account) -> None:
    assert "set alerts.email in pipeline.yaml, then" in as_text(browser.get("/inbox").text)
    boto3.client("sns", region_name="us-east-1").subscribe(
        TopicArn=account.settings.alerts_topic_arn, Protocol="email", Endpoint="a@example.com"
    )
    console.readings.forget()
    assert "a@example.com email confirmed" in as_text(browser.get("/inbox").text)


@pytest.mark.parametrize("operation", ["sns.ListSubscriptionsByTopic", "s3.ListObjectsV2"])
def test_what_these_credentials_may_not_read_has_the_reason_and_hides_nothing_else(
    browser: TestClient, account: Account, operation: str
) -> None:
    account.alert(1, "bins: told", "Told.")
    Answers().error(operation, "AccessDenied", "no", status=403)
    answer = browser.get("/inbox")
    assert (answer.status_code, "may not" in answer.text) == (200, True)
    assert ("bins: told" in answer.text) == operation.startswith("sns")


def test_the_local_cloud_has_the_same_alerts_once_and_its_alarms(
    local: tuple[TestClient, Inbox], account: Account, settings: Settings
) -> None:
    browser, box = local
    (subject, text), *_ = LINES.items()
    account.alert(0, subject, text)
    topic = settings.alerts_topic_arn
    box.add(Entry("1", 1_767_000_000.0, topic, subject, text, "session"))
    alarm = {"AlarmName": "errors", "AlarmDescription": "It fails.", "NewStateReason": "5 > 1"}
    box.add(Entry("2", 1_767_000_001.0, topic, 'ALARM: "errors"', json.dumps(alarm), "cloudwatch"))
    page = browser.get("/inbox").text
    assert page.count(subject) == 1
    assert "5 &gt; 1. It fails." in page
    assert "local inbox --follow" in page


def test_an_alert_is_read_once_and_an_idle_page_asks_once_a_minute(
    console: Console, account: Account, clock: Clock
) -> None:
    for number, (subject, text) in enumerate(LINES.items()):
        account.alert(number, subject, text)
    asked: list[str] = []
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register_first("before-send", lambda event_name, **_: asked.append(event_name))
    inbox.messages(console, {})
    assert asked.count("before-send.s3.GetObject") == len(LINES)
    asked.clear()
    for _ in range(3):
        clock.now += 20
        inbox.messages(console, {})
    assert asked == ["before-send.s3.ListObjectsV2"]


def test_the_first_page_has_the_number_of_the_last_day(console: Console, account: Account) -> None:
    assert inbox.new(console) == 0
    account.alert(1, "bins: told", "Told.")
    console.readings.forget()
    assert inbox.new(console) == 1
