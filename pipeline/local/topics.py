"""SNS: Publish and PublishBatch, and what the account's own services publish. Topics and subscriptions are in moto.

Each message is in the inbox (`pipeline.local.inbox`). Moto delivers it to subscribed queues; no mail is sent, and a
subscription of another protocol is refused. https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.local.context import Context, Request, ServiceError
from pipeline.local.identity.caller import current
from pipeline.local.identity.identity import Identity
from pipeline.local.inbox import Inbox, Message

log = logging.getLogger(__name__)

# "Messages must be UTF-8 encoded strings and at most 256 KB in size (262,144 bytes, not 262,144 characters)"; "Subjects
# must be UTF-8 text with no line breaks or control characters, and less than 100 characters long": the page above. That
# 100 are accepted is recorded: https://github.com/getmoto/moto/issues/1503
MESSAGE_BYTES, SUBJECT_CHARACTERS = 262_144, 100
# Protocols of subscriptions. A mail is in the inbox alone.
PROTOCOLS = ("email", "email-json", "sqs")
# A batch of PublishBatch: https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
BATCH = 10


class Topics:
    """The account's topics."""

    def __init__(self, context: Context, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._inbox = Inbox(Path(context.directory))

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation; moto has SNS's others."""
        return {"Publish": self._publish, "PublishBatch": self._publish_batch}

    def check(self, operation: str, request: Mapping[str, Any]) -> None:
        """Refuse a subscription to which nothing is delivered here. Raises ServiceError."""
        if operation == "Subscribe" and request["Protocol"] not in PROTOCOLS:
            raise _invalid("Protocol", f"the local cloud delivers to {' and '.join(PROTOCOLS)} only")

    def publish_as(self, service: str, topic: str, source_arn: str, subject: str, text: str) -> None:
        """Publish for one of the account's resources, as AWS's service of this name (`cloudwatch`).

        Nothing is published, and the log names the reason, where the topic does not exist or its policy does not allow
        it: AWS counts that in a metric of the topic.
        """
        if not self._identity.allows_by_resource(service, "sns:Publish", topic, source_arn):
            log.error("%s: the policy of %s does not let %s.amazonaws.com publish", source_arn, topic, service)
            return
        try:
            self._send(topic, {"Subject": subject, "Message": text}, f"{service}.amazonaws.com")
        except ServiceError as error:
            log.error("%s: %s: the message is lost: %s", source_arn, topic, error)

    def _publish(self, request: Request) -> Request:
        topic = request.get("TopicArn") or request.get("TargetArn")
        if not topic:
            raise _invalid("TopicArn or TargetArn", "no value for required parameter")
        return {"MessageId": self._send(topic, request, _publisher())}

    def _publish_batch(self, request: Request) -> Request:
        entries, topic = request["PublishBatchRequestEntries"], request["TopicArn"]
        names = [entry["Id"] for entry in entries]
        if len(names) > BATCH:
            raise ServiceError("TooManyEntriesInBatchRequest", f"The batch has more than {BATCH} entries.")
        if len(set(names)) < len(names):
            raise ServiceError("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
        answer: dict[str, list[Request]] = {"Successful": [], "Failed": []}
        for entry in entries:
            try:
                message_id = self._send(topic, entry, _publisher())
            except ServiceError as error:
                if error.code == "NotFound":
                    raise
                failed = {"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True}
                answer["Failed"].append(failed)
            else:
                answer["Successful"].append({"Id": entry["Id"], "MessageId": message_id})
        return answer

    def _send(self, topic: str, request: Mapping[str, Any], publisher: str) -> str:
        """Deliver a message to the topic's queues and to the inbox. Returns its id. Raises ServiceError."""
        subject, text = request.get("Subject", ""), request["Message"]
        _check(subject, text, request.get("MessageStructure", ""))
        message_id = str(
            self._topic(topic).publish(
                text,
                subject=subject or None,
                message_attributes=_for_moto(request.get("MessageAttributes", {})),
                message_structure=request.get("MessageStructure"),
            )
        )
        shown = json.loads(text)["default"] if request.get("MessageStructure") == "json" else text
        self._inbox.add(Message(message_id, round(time.time(), 3), topic, subject, shown, publisher))
        return message_id

    def _topic(self, arn: str) -> Any:
        from moto.sns.models import sns_backends

        topic = sns_backends[self._context.account_id][self._context.region].topics.get(arn)
        if topic is None:
            raise ServiceError("NotFound", "Topic does not exist", 404)
        return topic


def _publisher() -> str:
    return current().principal.arn


def _check(subject: str, text: str, structure: str) -> None:
    """Refuse a message that SNS refuses. Raises ServiceError."""
    if not text:
        raise _invalid("Message", "Empty message")
    if len(text.encode()) > MESSAGE_BYTES:
        raise _invalid("Message", "Message too long")
    if len(subject) > SUBJECT_CHARACTERS or any(ord(character) < 32 or ord(character) == 127 for character in subject):
        raise _invalid("Subject", "Subject must have at most 100 characters, and no line breaks or control characters")
    if structure not in ("", "json"):
        raise _invalid("MessageStructure", "it must be json")
    if structure == "json":
        try:
            is_complete = isinstance(json.loads(text)["default"], str)
        except (ValueError, KeyError, TypeError):
            is_complete = False
        if not is_complete:
            raise _invalid("Message Structure", "No default entry in JSON message body")


def _for_moto(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Attributes as moto has them. Raises ServiceError for one of bytes."""
    if binary := [name for name, value in attributes.items() if "StringValue" not in value]:
        raise _invalid("MessageAttributes", f"the local cloud has attributes with a StringValue only: {binary[0]}")
    return {name: {"Type": value["DataType"], "Value": value["StringValue"]} for name, value in attributes.items()}


def _invalid(member: str, reason: str) -> ServiceError:
    return ServiceError("InvalidParameter", f"Invalid parameter: {member} Reason: {reason}")
