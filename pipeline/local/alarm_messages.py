"""What an alarm publishes to the topics of its actions: subject and JSON, as CloudWatch writes them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html names the actions of each
state. The members of the message are those of messages that people show; no page of AWS lists them. A mail has them as
sentences.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

Publish = Callable[[str, str, str, str], None]
"""Publishes to a topic for an alarm: ARN of the topic, ARN of the alarm, subject, text."""
_MEMBERS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}


def actions(request: Mapping[str, Any]) -> list[str]:
    """The ARNs of all actions in a PutMetricAlarm's request."""
    return [arn for member in _MEMBERS.values() for arn in request.get(member, [])]


def of_state(alarm: Any, state: str) -> list[str]:
    """The ARNs of moto's alarm's actions of a state."""
    listed = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}
    return list(listed.get(state, alarm.insufficient_data_actions) or [])


def subject(alarm: Any, state: str, region: str) -> str:
    """The message's subject, of at most 100 characters."""
    return f'{state}: "{alarm.name}" in {_place(region)}'[:100]


def text(alarm: Any, before: str, account_id: str, region: str) -> str:
    """The message about an alarm that has left the state `before`."""
    trigger = {
        "MetricName": alarm.metric_name,
        "Namespace": alarm.namespace,
        "StatisticType": "ExtendedStatistic" if alarm.extended_statistic else "Statistic",
        "Statistic": alarm.extended_statistic or (alarm.statistic or "").upper(),
        "Dimensions": [{"value": item.value, "name": item.name} for item in alarm.dimensions],
        "Period": alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data,
    }
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account_id,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": alarm.state_updated_timestamp.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
        "Region": _place(region),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
        **{member: of_state(alarm, state) for state, member in _MEMBERS.items()},
        "Trigger": trigger,
    }
    return json.dumps(message)


@functools.cache
def _place(region: str) -> str:
    """A region's name in sentences, such as US East (N. Virginia); its code where botocore has none."""
    from botocore.loaders import Loader

    for partition in Loader().load_data("endpoints")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"])
    return region
