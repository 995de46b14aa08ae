"""CloudWatch: metrics of endpoints, the evaluation of alarms, and what these publish.

Metrics and alarms are in moto, which never evaluates an alarm. Here each alarm on a single metric is evaluated once per
second. CloudWatch's periods begin at full minutes, these end now: a rollback does not wait for a full minute.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from __future__ import annotations

import datetime
import logging
import math
import operator
import re
import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pipeline.local import alarm_messages, threads
from pipeline.local.context import Context, ServiceError

log = logging.getLogger(__name__)

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Key = tuple[str, str, tuple[tuple[str, str], ...]]  # namespace, metric, dimensions
Observation = tuple[float, float]  # seconds since the epoch, value
INTERVAL_SECONDS = 1.0
# Only alarms and percentiles need single values; moto has the sums per second.
RETAINED_SECONDS = 60 * 60
RETAINED_VALUES = 100_000
UNITS = {"ModelLatency": "Microseconds"}
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,10})?)")
_NAMED: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": math.fsum,
    "Average": statistics.fmean,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class CloudWatch:
    """Records observations at once; a thread sends and evaluates them every second."""

    def __init__(self, context: Context, publish: alarm_messages.Publish) -> None:
        self._context = context
        self._publish = publish
        self._announced: dict[str, str] = {}  # the state of each alarm whose actions have been carried out
        self._lock = threading.Lock()
        self._recent: dict[Key, deque[Observation]] = defaultdict(lambda: deque(maxlen=RETAINED_VALUES))
        self._unsent: dict[Key, list[float]] = defaultdict(list)
        self._unusable: dict[str, str] = {}  # alarms that cannot be evaluated, and why
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, and answer moto's GetMetricData."""
        self._backend().get_metric_data = self._metric_data
        self._thread = threads.start("cloudwatch", self._run, threads.nothing_depends)

    def check(self, operation: str, request: Mapping[str, Any]) -> None:
        """Refuse a statistic and an action of an alarm that do not exist here. Raises ServiceError."""
        for action in alarm_messages.actions(request) if operation == "PutMetricAlarm" else []:
            if not action.startswith("arn:aws:sns:"):
                raise ServiceError("ValidationError", f"The local cloud's alarms publish to SNS only, not to {action}.")
        for query in request.get("MetricDataQueries", []) if operation == "GetMetricData" else []:
            statistic = query.get("MetricStat", {}).get("Stat", "Sum")
            if statistic not in _NAMED and not _PERCENTILE.fullmatch(statistic):
                raise ServiceError("ValidationError", f"The local cloud has no statistic {statistic}.")

    def _metric_data(
        self,
        queries: Sequence[Mapping[str, Any]],
        start_time: datetime.datetime,
        end_time: datetime.datetime,
        scan_by: str = "TimestampDescending",
    ) -> list[dict[str, Any]]:
        """The results of GetMetricData, in the form of moto's backend.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html. Periods begin at their
        multiples.
        """
        from moto.cloudwatch.exceptions import ValidationError

        start, end = _seconds(start_time), _seconds(end_time)
        if start >= end:
            raise ValidationError("The parameter EndTime must be greater than StartTime.")
        results = []
        for query in (query for query in queries if query.get("ReturnData", True)):
            stat = query["MetricStat"]
            metric, period, statistic = stat["Metric"], int(stat["Period"]), stat["Stat"]
            dimensions = sorted((item["Name"], item["Value"]) for item in metric.get("Dimensions", []))
            key = (metric["Namespace"], metric["MetricName"], tuple(dimensions))
            points = self._points(key, statistic, stat.get("Unit"), (start, end, period))
            order = sorted(points, reverse=scan_by == "TimestampDescending")
            result = {
                "id": query["Id"],
                "label": query.get("Label") or f"{metric['MetricName']} {statistic}",
                "timestamps": [datetime.datetime.fromtimestamp(at, datetime.UTC).replace(tzinfo=None) for at in order],
                "values": [points[at] for at in order],
                "status_code": "Complete",
            }
            results.append(result)
        return results

    def _points(
        self, key: Key, statistic: str, unit: str | None, times: tuple[float, float, int]
    ) -> dict[float, float]:
        """A statistic per beginning of a period, of `times`: from, to, and seconds per period."""
        start, end, period = times
        sets: dict[float, list[Any]] = defaultdict(list)
        for datum in list(self._backend().metric_data):
            at = _seconds(datum.timestamp)
            if _key(datum) == key and start <= at < end and unit in (None, datum.unit):
                sets[at - at % period].append(datum)
        with self._lock:
            recent = list(self._recent.get(key, ()))
        points = {}
        for begin, data in sets.items():
            observed = [value for at, value in recent if begin <= at < begin + period]
            value = _statistic_of_sets(data, observed, statistic)
            if value is not None:
                points[begin] = value
        return points

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(10)

    def observe(self, namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float]) -> None:
        """Record one value per metric, now."""
        at = time.time()
        with self._lock:
            for metric, value in values.items():
                key = (namespace, metric, tuple(sorted(dimensions.items())))
                self._recent[key].append((at, value))
                self._unsent[key].append(value)

    def exists(self, alarm: str) -> bool:
        """Whether there is an alarm of this name."""
        return alarm in self._backend().alarms

    def in_alarm(self, alarms: Sequence[str]) -> list[str]:
        """The named alarms that are in state ALARM."""
        existing = self._backend().alarms
        return [name for name in alarms if name in existing and existing[name].state_value == "ALARM"]

    def _backend(self) -> Any:
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[self._context.account_id][self._context.region]

    def _run(self) -> None:
        while not self._end.wait(INTERVAL_SECONDS):
            try:
                self._send()
                self._evaluate()
            except Exception:
                log.exception("cloudwatch")

    def _send(self) -> None:
        """Put the last second's observations into moto, as one set of statistics per metric."""
        with self._lock:
            unsent, self._unsent = self._unsent, defaultdict(list)
            before = time.time() - RETAINED_SECONDS
            for values in self._recent.values():
                while values and values[0][0] < before:
                    values.popleft()
        at = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        for (namespace, metric, dimensions), observed in unsent.items():
            figures = {
                "SampleCount": len(observed),
                "Sum": math.fsum(observed),
                "Minimum": min(observed),
                "Maximum": max(observed),
            }
            datum = {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
                "StatisticValues": figures,
                "Timestamp": at,
                "Unit": UNITS.get(metric, "None"),
            }
            self._backend().put_metric_data(namespace, [datum])

    def _evaluate(self) -> None:
        for alarm in list(self._backend().alarms.values()):
            self._announce(alarm)  # a client may set the state, too
            if alarm.metric_name is None:
                continue  # metric math: docs/differences.md
            try:
                points = self._statistics(alarm)
                state = self._state(alarm, points)
            except Exception as error:  # a broken alarm must not prevent the rollback by another
                if self._unusable.get(alarm.name) != str(error):
                    log.warning("alarm %s is not evaluated: %s", alarm.name, error)
                self._unusable[alarm.name] = str(error)
                continue
            self._unusable.pop(alarm.name, None)
            if state is not None and state != alarm.state_value:
                values = ", ".join("no data" if point is None else f"{point:g}" for point in points)
                reason = f"{alarm.metric_name} [{values}] {alarm.comparison_operator} {alarm.threshold}: {state}"
                log.info("alarm %s: %s", alarm.name, reason)
                self._backend().set_alarm_state(alarm.name, reason, "{}", state)
                self._announce(alarm)

    def _announce(self, alarm: Any) -> None:
        """Carry out the actions of a state that is new; the state in which an alarm is first seen is not."""
        before, state = self._announced.get(alarm.name, alarm.state_value), alarm.state_value
        self._announced[alarm.name] = state
        if state == before or not alarm.actions_enabled:
            return
        for topic in alarm_messages.of_state(alarm, state):
            subject = alarm_messages.subject(alarm, state, self._context.region)
            text = alarm_messages.text(alarm, before, self._context.account_id, self._context.region)
            self._publish(topic, alarm.alarm_arn, subject, text)

    def _statistics(self, alarm: Any) -> list[float | None]:
        """The statistic of each of the alarm's last periods."""
        period, number = int(alarm.period or 60), int(alarm.evaluation_periods or 1)
        dimensions = {dimension.name: dimension.value for dimension in alarm.dimensions or []}
        values = self._values((alarm.namespace, alarm.metric_name, tuple(sorted(dimensions.items()))))
        return datapoints(values, alarm.extended_statistic or alarm.statistic, period, number, time.time())

    def _state(self, alarm: Any, points: list[float | None]) -> State | None:
        return state_of(
            points,
            comparison=alarm.comparison_operator,
            threshold=float(alarm.threshold),
            wanted=int(alarm.datapoints_to_alarm or alarm.evaluation_periods or 1),
            missing=alarm.treat_missing_data or "missing",
        )

    def _values(self, key: Key) -> list[Observation]:
        """Single values of a metric: those observed here, or those that clients put."""
        with self._lock:
            if key in self._recent:
                return list(self._recent[key])
        return [
            (_seconds(datum.timestamp), datum.value)
            for datum in list(self._backend().metric_data)
            if _key(datum) == key and hasattr(datum, "value")
        ]


def _seconds(time: datetime.datetime) -> float:
    """Seconds since the epoch of a time that is in UTC if it names no zone."""
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()


def _key(datum: Any) -> Key:
    dimensions = sorted((dimension.name, dimension.value) for dimension in datum.dimensions)
    return datum.namespace, datum.name, tuple(dimensions)


def _statistic_of_sets(data: Sequence[Any], observed: Sequence[float], statistic: str) -> float | None:
    """A statistic of moto's single values and sets of statistics; `observed` are the values in the sets, if known.

    Percentiles "are not available" for sets of statistics, unless a set has one sample, or one value only:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Percentiles
    """
    single: list[float] = [datum.value for datum in data if hasattr(datum, "value")]
    sets = [datum for datum in data if not hasattr(datum, "value")]
    in_sets = sum(int(datum.sample_count) for datum in sets)
    if statistic not in _NAMED:
        if len(observed) < in_sets:
            if any(datum.min != datum.max for datum in sets):
                return None
            observed = [datum.min for datum in sets for _ in range(int(datum.sample_count))]
        return statistic_of([*single, *observed], statistic)
    count, total = len(single) + in_sets, math.fsum([*single, *(datum.sum for datum in sets)])
    values: dict[str, float] = {
        "SampleCount": count,
        "Sum": total,
        "Average": total / count if count else 0.0,
        "Minimum": min([*single, *(datum.min for datum in sets)]),
        "Maximum": max([*single, *(datum.max for datum in sets)]),
    }
    return values[statistic]


def datapoints(
    values: Sequence[Observation], statistic: str, period: int, number: int, until: float
) -> list[float | None]:
    """The statistic of the last `number` periods of `period` seconds before `until`, oldest first; None: no data."""
    buckets: list[list[float]] = [[] for _ in range(number)]
    for at, value in values:
        back = int((until - at) // period)
        if 0 <= back < number:
            buckets[number - 1 - back].append(value)
    return [statistic_of(bucket, statistic) if bucket else None for bucket in buckets]


def statistic_of(values: Sequence[float], statistic: str) -> float:
    """CloudWatch's Sum, Average, Minimum, Maximum, SampleCount, or a percentile such as p99 (the nearest rank).

    Raises ValueError for another.
    """
    if statistic in _NAMED:
        return _NAMED[statistic](values)
    if not (percentile := _PERCENTILE.fullmatch(statistic)):
        raise ValueError(f"the local cloud has no statistic {statistic}")
    rank = math.ceil(float(percentile[1]) / 100 * len(values))
    return sorted(values)[max(0, rank - 1)]


def state_of(
    points: Sequence[float | None], *, comparison: str, threshold: float, wanted: int, missing: str
) -> State | None:
    """The alarm's state: ALARM if at least `wanted` of the points breach; None if the state does not change.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
    Raises ValueError for a comparison that is not supported here.
    """
    if comparison not in _COMPARISONS:
        raise ValueError(f"the local cloud has no comparison {comparison}")
    present = [point for point in points if point is not None]
    if not present and missing in ("missing", "ignore"):
        return None if missing == "ignore" else "INSUFFICIENT_DATA"
    breaching = sum(_COMPARISONS[comparison](point, threshold) for point in present)
    if missing == "breaching":
        breaching += len(points) - len(present)
    return "ALARM" if breaching >= wanted else "OK"
