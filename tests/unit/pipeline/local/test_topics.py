"""What is published to a topic is in the inbox, once and after a restart; what SNS refuses is in none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pipeline.local.context import Context, ServiceError
from pipeline.local.identity.caller import acting
from pipeline.local.identity.identity import Identity
from pipeline.local.inbox import FILE, KEPT, Inbox, InboxError, Message, read
from pipeline.local.store import Store
from pipeline.local.topics import Topics
from pipeline.local.wire import query

TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"
ALARM = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"


@pytest.fixture
def topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        boto3.client("sns", region_name="us-east-1").create_topic(Name="alerts")
        context = Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "s"), {})
        identity = Identity(context)
        with acting(identity.root):
            yield Topics(context, identity)
        context.store.close()


def publish(topics: Topics, **request: Any) -> dict[str, Any]:
    return topics.operations()["Publish"]({"TopicArn": TOPIC, "Message": "text", **request})


def test_a_message_is_in_the_inbox_and_in_the_queues_of_its_subscriptions(topics: Topics, tmp_path: Path) -> None:
    sqs, sns = (boto3.client(name, region_name="us-east-1") for name in ("sqs", "sns"))
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q")
    sent = publish(topics, Subject="a subject")["MessageId"]
    [message] = read(tmp_path)
    assert (message.id, message.topic, message.subject, message.text) == (sent, TOPIC, "a subject", "text")
    assert message.publisher == "arn:aws:iam::123456789012:root"
    [delivered] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(delivered["Body"])["Message"] == "text"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"TopicArn": f"{TOPIC}-missing"}, "NotFound"),
        ({"Message": ""}, "InvalidParameter"),
        ({"Message": "ä" * 131_073}, "InvalidParameter"),
        ({"Subject": "two\nlines"}, "InvalidParameter"),
        ({"Subject": "x" * 101}, "InvalidParameter"),
        ({"MessageStructure": "json"}, "InvalidParameter"),
        ({"MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": "AA=="}}}, "InvalidParameter"),
    ],
)
def test_what_sns_refuses_is_in_no_inbox(topics: Topics, tmp_path: Path, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        publish(topics, **request_)
    assert (refused.value.code, read(tmp_path)) == (code, [])


def test_of_a_batch_each_message_is_answered_by_itself(topics: Topics, tmp_path: Path) -> None:
    entries = [{"Id": "a", "Message": "first"}, {"Id": "b", "Message": "second", "Subject": "two\nlines"}]
    answer = topics.operations()["PublishBatch"]({"TopicArn": TOPIC, "PublishBatchRequestEntries": entries})
    assert [item["Id"] for item in answer["Successful"]] == ["a"]
    assert [(item["Id"], item["Code"]) for item in answer["Failed"]] == [("b", "InvalidParameter")]
    assert [message.text for message in read(tmp_path)] == ["first"]


def test_an_alarm_publishes_by_the_topics_own_policy(
    topics: Topics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topics.publish_as("cloudwatch", TOPIC, ALARM, "subject", "allowed")
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": TOPIC}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns = boto3.client("sns", region_name="us-east-1")
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName="Policy", AttributeValue=policy)
    topics.publish_as("cloudwatch", TOPIC, ALARM, "subject", "denied")
    assert [(item.text, item.publisher) for item in read(tmp_path)] == [("allowed", "cloudwatch.amazonaws.com")]
    assert "does not let cloudwatch.amazonaws.com publish" in caplog.text


def test_a_subscription_to_which_nothing_is_delivered_is_refused(topics: Topics) -> None:
    topics.check("Subscribe", {"Protocol": "email"})
    with pytest.raises(ServiceError, match="delivers to email and email-json and sqs only"):
        topics.check("Subscribe", {"Protocol": "lambda"})


def test_attributes_of_a_form_are_read_by_their_names() -> None:
    form = {
        "Action": "Publish",
        "Message": "m",
        "MessageAttributes.entry.1.Name": "kind",
        "MessageAttributes.entry.1.Value.DataType": "String",
        "MessageAttributes.entry.1.Value.StringValue": "run",
    }
    _, request = query.parse("sns", form)
    assert request["MessageAttributes"] == {"kind": {"DataType": "String", "StringValue": "run"}}


def message(number: int) -> Message:
    return Message(str(number), 1.0, TOPIC, "", "text", "root")


def test_a_restart_retains_the_newest_messages_and_drops_an_unfinished_line(tmp_path: Path) -> None:
    first = Inbox(tmp_path)
    for number in range(KEPT + 1):
        first.add(message(number))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"id": "half')
    assert len(read(tmp_path)) == KEPT + 1
    Inbox(tmp_path).add(message(-1))
    messages = read(tmp_path)
    assert [messages[0].id, messages[-1].id, len(messages)] == ["1", "-1", KEPT + 1]


def test_a_file_with_other_content_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"id": 1}\n')
    with pytest.raises(InboxError, match=r"inbox\.jsonl:1: no message: .*; delete the file"):
        read(tmp_path)
