"""Dead-letter queues: what could not be delivered goes to SQS, which is moto's."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pipeline.local.context import Context

log = logging.getLogger(__name__)


def send(context: Context, queue_arn: str, body: str, attributes: Mapping[str, str]) -> None:
    """Send a message with attributes of type String. A queue that does not take it is logged, and the message lost.

    So it is in AWS, where a metric counts it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    sqs = context.client("sqs")
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value}
    try:
        url = sqs.get_queue_url(QueueName=queue_arn.rsplit(":", 1)[-1])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)
    except (ClientError, BotoCoreError) as error:
        log.error("%s takes no message, which is lost: %s: %s", queue_arn, error, body)
