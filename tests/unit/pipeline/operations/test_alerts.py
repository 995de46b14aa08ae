"""The alerts that were sent, in the words of the function that sends them, and who gets them."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from pipeline.operations import alerts
from pipeline.settings import Settings
from steps.alert import handler
from steps.alert.messages import Message
from steps.alert.settings import Clients
from steps.alert.settings import Settings as FunctionSettings
from steps.contracts.errors import PipelineError

pytestmark = pytest.mark.usefixtures("account")
TEXT = (
    "Run ab12cd34ef56 failed at step ShardImages: no room. Look: python -m pipeline --profile 'night shift' watch ab12"
)


@pytest.fixture
def publish(settings: Settings, account: None) -> Any:
    """Publish a message as the alert function does."""
    s3, sns = (boto3.client(service, region_name="us-east-1") for service in ("s3", "sns"))
    s3.create_bucket(Bucket=settings.data.bucket)
    sns.create_topic(Name=settings.alerts_topic)
    function = FunctionSettings(
        topic_arn=settings.alerts_topic_arn,
        pipeline_arn="arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins",
        endpoint_name="bins",
        root_uri=settings.root_uri,
        command="python -m pipeline",
    )

    def send(subject: str, text: str = TEXT) -> None:
        handler.publish(Clients(None, s3, sns), function, Message(subject, text, (subject,)), "request")

    return send


def test_an_alert_is_read_as_the_function_sent_it(settings: Settings, publish: Any) -> None:
    publish("bins: run ab12cd34ef56 failed")
    [stored] = alerts.stored(settings)
    alert = alerts.read(settings, stored)
    assert (alert.subject, alert.text, alert.sent) == ("bins: run ab12cd34ef56 failed", TEXT, True)
    assert abs((alert.time - stored.changed).total_seconds()) < 60


def test_an_alert_whose_call_was_interrupted_is_not_sent(settings: Settings, publish: Any) -> None:
    publish("bins: run ab12cd34ef56 failed")
    [stored] = alerts.stored(settings)
    s3 = boto3.client("s3", region_name="us-east-1")
    record = json.dumps({"request_id": "x", "subject": "s", "text": "t", "sent": ""})
    s3.put_object(Bucket=settings.data.bucket, Key=stored.key, Body=record)
    [again] = alerts.stored(settings)
    assert again.digest != stored.digest
    alert = alerts.read(settings, again)
    assert (alert.sent, alert.time) == (False, again.changed)


@pytest.mark.parametrize("content", ["x", "{}", "[]"])
def test_another_programs_object_is_one_line(settings: Settings, publish: Any, content: str) -> None:
    publish("one")
    [stored] = alerts.stored(settings)
    boto3.client("s3", region_name="us-east-1").put_object(
        Bucket=settings.data.bucket, Key=stored.key, Body=content.encode()
    )
    with pytest.raises(PipelineError, match=r"alerts/[0-9a-f]+\.json: no alert: .*; delete the object"):
        alerts.read(settings, stored)


def test_a_subscriber_is_confirmed_once_it_has_an_arn(
    settings: Settings, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sns = boto3.client("sns", region_name="us-east-1")
    sns.subscribe(TopicArn=settings.alerts_topic_arn, Protocol="email", Endpoint="a@example.com")
    [subscriber] = alerts.subscribers(settings)
    assert (subscriber.protocol, subscriber.endpoint, subscriber.confirmed) == ("email", "a@example.com", True)
    pending = {"Protocol": "email", "Endpoint": "b@example.com", "SubscriptionArn": "PendingConfirmation"}
    session = boto3.Session()
    session.events.register(
        "after-call.sns.ListSubscriptionsByTopic", lambda parsed, **_: parsed.update(Subscriptions=[pending])
    )
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    assert [each.confirmed for each in alerts.subscribers(settings)] == [False]


@pytest.mark.parametrize(
    ("text", "words", "version"),
    [
        (TEXT, ("watch", "ab12"), ""),
        ("It fails. Look: python -m pipeline endpoint", ("endpoint",), ""),
        ("Version 12 is rolled back. Look: python -m pipeline --profile prod endpoint", ("endpoint",), "12"),
        ("Drift. Look: python -m pipeline monitor --job bins-monitor-1", ("monitor", "--job", "bins-monitor-1"), ""),
        ("Look: aws s3 ls", (), ""),
        ("x. Look: python -m pipeline 'watch", (), ""),
        ("no command", (), ""),
    ],
)
def test_the_command_of_a_message_is_taken_apart_whatever_its_profile(
    text: str, words: tuple[str, ...], version: str
) -> None:
    look = alerts.look_of(text)
    assert (look.words, look.version) == (words, version)
