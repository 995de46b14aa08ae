"""The handler: one message to the topic for each thing that happened, however often its event comes.

"SageMaker AI may send multiple events to EventBridge for each state change", EventBridge may deliver one twice, and
Lambda calls the function again after an error. So a message is an object first, which only the first writer can create;
the object notes when the message was sent.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from steps.alert.messages import Message, message
from steps.alert.settings import Clients, Settings

# S3's answers where the object exists.
_EXISTS = "PreconditionFailed"


def handle(event: Any, context: Any) -> dict[str, str]:
    """Publish the message about the event, if there is one. Returns what was done, which is a line of the log too.

    Raises AlertError for an event that the function's rules do not send, and boto3's errors: Lambda calls it again, and
    sends the event to the dead-letter queue after that.
    """
    settings = Settings.from_environment()
    aws = Clients.connect()
    request_id = getattr(context, "aws_request_id", "")
    content = message(aws, settings, event)
    done = {"request_id": request_id, "alert": "none", "subject": ""}
    if content is not None:
        sent = publish(aws, settings, content, request_id)
        done |= {"alert": "sent" if sent else "sent before", "subject": content.subject}
    print(json.dumps(done), flush=True)
    return done


def publish(aws: Clients, settings: Settings, content: Message, request_id: str) -> bool:
    """Publish a message once. Returns False where another call has it."""
    from botocore.exceptions import ClientError

    bucket, _, prefix = settings.root_uri.removeprefix("s3://").partition("/")
    digest = hashlib.sha256("\n".join(content.about).encode()).hexdigest()[:32]
    place = {"Bucket": bucket, "Key": f"{prefix}/alerts/{digest}.json"}
    record = {"request_id": request_id, "subject": content.subject, "text": content.text, "sent": ""}
    try:
        aws.s3.put_object(**place, Body=json.dumps(record).encode(), IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != _EXISTS:
            raise
        before = json.loads(aws.s3.get_object(**place)["Body"].read())
        if before["sent"] or before["request_id"] != request_id:
            return False
    aws.sns.publish(TopicArn=settings.topic_arn, Subject=content.subject, Message=content.text)
    record["sent"] = datetime.now(UTC).isoformat(timespec="seconds")
    aws.s3.put_object(**place, Body=json.dumps(record).encode())
    return True
