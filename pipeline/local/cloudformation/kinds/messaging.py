"""Queues, topics, and the rules that events go by."""

from __future__ import annotations

import json
from typing import Any

from pipeline.local.cloudformation.kinds.kind import Kind, Properties, found, picked, send, unless_missing

_QUEUE_ATTRIBUTES = (
    "DelaySeconds",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)


class Queue(Kind):
    """An SQS queue."""

    naming = "QueueName"
    known = frozenset(_QUEUE_ATTRIBUTES)

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a queue of that name."""
        return found(lambda: self._sqs.get_queue_url(QueueName=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        attributes = picked(properties, *_QUEUE_ATTRIBUTES)
        if self.exists(name, properties):
            url = self.reference(name, properties)
            send(self._sqs, "SetQueueAttributes", QueueUrl=url, Attributes=attributes)
        else:
            send(self._sqs, "CreateQueue", QueueName=name, Attributes=attributes)

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it, with its messages."""
        with unless_missing():
            self._sqs.delete_queue(QueueUrl=self.reference(name, properties))

    def reference(self, name: str, properties: Properties) -> str:  # noqa: ARG002
        """Its URL."""
        return str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN and its name."""
        return {"Arn": self.account.arn("sqs", name), "QueueName": name}

    @property
    def _sqs(self) -> Any:
        return self.account.client("sqs")


class QueuePolicy(Kind):
    """Who may send to queues."""

    known = frozenset({"PolicyDocument", "Queues"})

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """It has no name that could be taken."""
        return False

    def put(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Set it."""
        self._set(properties, json.dumps(properties["PolicyDocument"]))

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Take it away."""
        with unless_missing():
            self._set(properties, "")

    def _set(self, properties: Properties, policy: str) -> None:
        sqs = self.account.client("sqs")
        for url in properties["Queues"]:
            # A port of the past may stand in a URL: the local cloud can be started on another one.
            current = sqs.get_queue_url(QueueName=url.rsplit("/", 1)[-1])["QueueUrl"]
            sqs.set_queue_attributes(QueueUrl=current, Attributes={"Policy": policy})


class Topic(Kind):
    """An SNS topic."""

    naming = "TopicName"
    known = frozenset({"DisplayName", "KmsMasterKeyId", "Subscription"})

    def exists(self, name: str, properties: Properties) -> bool:
        """Whether there is a topic of that name."""
        return found(lambda: self._sns.get_topic_attributes(TopicArn=self.reference(name, properties)))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        self._sns.create_topic(Name=name)
        for attribute, value in picked(properties, "DisplayName", "KmsMasterKeyId").items():
            self._sns.set_topic_attributes(
                TopicArn=self.reference(name, properties), AttributeName=attribute, AttributeValue=value
            )
        # Subscribing the same endpoint again gives the subscription that is there.
        arn = self.reference(name, properties)
        wanted = {(one["Protocol"], one["Endpoint"]) for one in properties.get("Subscription", [])}
        for one in self._sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
            if (one["Protocol"], one["Endpoint"]) not in wanted:
                self._sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])
        for protocol, endpoint in sorted(wanted):
            self._sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it, with its subscriptions."""
        with unless_missing():
            self._sns.delete_topic(TopicArn=self.reference(name, properties))

    def reference(self, name: str, properties: Properties) -> str:  # noqa: ARG002
        """Its ARN."""
        return self.account.arn("sns", name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:
        """Its ARN and its name."""
        return {"TopicArn": self.reference(name, properties), "TopicName": name}

    @property
    def _sns(self) -> Any:
        return self.account.client("sns")


class Rule(Kind):
    """An EventBridge rule of the default bus, with its targets."""

    naming = "Name"
    known = frozenset({"Description", "EventPattern", "RoleArn", "ScheduleExpression", "State", "Targets"})

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a rule of that name."""
        return found(lambda: self._events.describe_rule(Name=name))

    def put(self, name: str, properties: Properties) -> None:
        """Put it and its targets, and take away other targets."""
        request = picked(properties, "Description", "RoleArn", "ScheduleExpression", "State")
        if pattern := properties.get("EventPattern"):
            request["EventPattern"] = json.dumps(pattern)
        self._events.put_rule(Name=name, **request)
        targets = properties.get("Targets", [])
        gone = set(self._targets(name)) - {target["Id"] for target in targets}
        if gone:
            self._events.remove_targets(Rule=name, Ids=sorted(gone))
        if targets:
            send(self._events, "PutTargets", Rule=name, Targets=targets)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it with its targets."""
        with unless_missing():
            if ids := self._targets(name):
                self._events.remove_targets(Rule=name, Ids=ids)
            self._events.delete_rule(Name=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN."""
        return {"Arn": self.account.arn("events", f"rule/{name}")}

    def _targets(self, name: str) -> list[str]:
        return [one["Id"] for one in self._events.list_targets_by_rule(Rule=name)["Targets"]]

    @property
    def _events(self) -> Any:
        return self.account.client("events")
