"""Alarms: periods that end now, statistics, missing data, states."""

import datetime
import json
from types import SimpleNamespace

import boto3
import moto
import pytest

from pipeline.local.cloudwatch import CloudWatch, datapoints, state_of, statistic_of
from pipeline.local.context import ServiceError
from pipeline.operations.account.inbox import Message
from pipeline.operations.alerts import look_of
from steps.monitor.alert import put_metrics
from tests.unit.pipeline.account.stacks import FULL, Stack
from tests.unit.pipeline.console.pages.account_of_drift import drift, true_counts


def test_values_fall_into_periods_that_end_now_the_oldest_first():
    values = [(39.0, 9.0), (41.0, 1.0), (95.0, 2.0), (99.9, 4.0), (100.0, 8.0)]
    assert datapoints(values, "Sum", period=30, number=2, until=100.0) == [1.0, 14.0]


def test_a_period_without_values_is_missing_and_not_zero():
    assert datapoints([(99.0, 5.0)], "Sum", period=10, number=3, until=100.0) == [None, None, 5.0]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("Sum", 110.0), ("Average", 11.0), ("Minimum", 2.0), ("Maximum", 20.0), ("SampleCount", 10), ("p50", 10.0)],
)
def test_a_statistic_is_cloudwatchs(statistic, expected):
    assert statistic_of([2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0], statistic) == expected


def test_a_percentile_is_a_value_that_was_observed():
    assert statistic_of([float(n) for n in range(1, 201)], "p99") == 198.0
    assert statistic_of([7.0], "p99") == 7.0


def test_an_unknown_statistic_is_named():
    with pytest.raises(ValueError, match="TM"):
        statistic_of([1.0], "TM(10%:90%)")


def state(points, wanted=1, missing="missing", comparison="GreaterThanThreshold"):
    return state_of(points, comparison=comparison, threshold=5.0, wanted=wanted, missing=missing)


def test_an_alarm_rings_when_as_many_points_breach_as_it_wants():
    assert state([6.0, 1.0, 6.0], wanted=2) == "ALARM"
    assert state([6.0, 1.0, 1.0], wanted=2) == "OK"
    assert state([5.0]) == "OK"
    assert state([5.0], comparison="GreaterThanOrEqualToThreshold") == "ALARM"


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("missing", "INSUFFICIENT_DATA"), ("ignore", None), ("notBreaching", "OK"), ("breaching", "ALARM")],
)
def test_nothing_observed_is_what_the_alarm_says_it_is(missing, expected):
    assert state([None, None], missing=missing) == expected


@pytest.fixture
def cloudwatch(monkeypatch):
    """The local cloud's evaluation of the alarms that moto keeps."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with moto.mock_aws():
        published = []
        evaluation = CloudWatch(
            SimpleNamespace(account_id="123456789012", region="us-east-1"), lambda *call: published.append(call)
        )
        evaluation.published = published
        yield evaluation


def put_alarm(name, **more):
    boto3.client("cloudwatch", region_name="us-east-1").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        **{"ComparisonOperator": "GreaterThanThreshold", **more},
    )


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ({"ExtendedStatistic": "pr50"}, "has no statistic pr50"),
        ({"Statistic": "Sum", "ComparisonOperator": "LessThanLowerThreshold"}, "has no comparison LessThanLower"),
    ],
)
def test_an_alarm_that_cannot_be_evaluated_stops_no_other_and_is_logged_once(cloudwatch, caplog, unknown, message):
    put_alarm("a", **unknown)
    put_alarm("b", Statistic="Sum")
    cloudwatch.observe("AWS/SageMaker", {}, {"Invocation5XXErrors": 5})
    for _ in range(3):
        cloudwatch._evaluate()
    assert cloudwatch.in_alarm(["a", "b"]) == ["b"]
    [line] = [record.getMessage() for record in caplog.records if "not evaluated" in record.getMessage()]
    assert line.startswith("alarm a is not evaluated: ")
    assert message in line


# ------------------------------------------------------------------------------------- statistics of GetMetricData
# The kind: a statistic, or a part of a query, that is asked for and not what the answer has.


def query(statistic="Sum", name="M", **more):
    metric = {"Namespace": "N", "MetricName": name, **more}
    return [{"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}]


def values(queries, **more):
    now = datetime.datetime.now(datetime.UTC)
    times = {"StartTime": now - datetime.timedelta(minutes=5), "EndTime": now + datetime.timedelta(minutes=5)}
    client = boto3.client("cloudwatch", region_name="us-east-1")
    [result] = client.get_metric_data(MetricDataQueries=queries, **times, **more)["MetricDataResults"]
    return result["Values"]


@pytest.fixture
def started(cloudwatch):
    cloudwatch.start()
    yield cloudwatch
    cloudwatch.close()


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("p99", 99.0), ("p50", 50.0), ("p99.9", 100.0), ("Average", 50.5), ("Sum", 5050.0), ("SampleCount", 100.0)],
)
@pytest.mark.parametrize("way", ["single", "values", "observed"])
def test_every_statistic_is_of_all_values_however_they_came(started, statistic, expected, way):
    client, numbers = boto3.client("cloudwatch", region_name="us-east-1"), [float(n) for n in range(1, 101)]
    if way == "single":
        client.put_metric_data(Namespace="N", MetricData=[{"MetricName": "M", "Value": n} for n in numbers])
    elif way == "values":
        client.put_metric_data(Namespace="N", MetricData=[{"MetricName": "M", "Values": numbers}])
    else:
        for number in numbers:
            started.observe("N", {}, {"M": number})
        started._send()
    # The values of one test may be in two periods of a minute.
    counts, results = values(query("SampleCount")), values(query(statistic))
    assert sum(counts) == 100
    if len(counts) == 1:
        assert results == [expected]


def test_a_percentile_of_statistics_alone_is_not_there_unless_they_are_of_one_value(started):
    client = boto3.client("cloudwatch", region_name="us-east-1")
    same = {"SampleCount": 3, "Sum": 12.0, "Minimum": 4.0, "Maximum": 4.0}
    client.put_metric_data(Namespace="N", MetricData=[{"MetricName": "Same", "StatisticValues": same}])
    many = {"SampleCount": 3, "Sum": 12.0, "Minimum": 1.0, "Maximum": 9.0}
    client.put_metric_data(Namespace="N", MetricData=[{"MetricName": "Many", "StatisticValues": many}])
    assert values(query("p99", "Same")) == [4.0]
    assert values(query("p99", "Many")) == []
    assert values(query("Maximum", "Many")) == [9.0]


def test_a_metric_has_its_own_dimensions_and_no_others(started):
    started.observe("N", {"EndpointName": "a"}, {"M": 1.0})
    started.observe("N", {"EndpointName": "b"}, {"M": 2.0})
    started._send()
    assert values(query()) == []
    assert sum(values(query(Dimensions=[{"Name": "EndpointName", "Value": "b"}]))) == 2.0


@pytest.mark.parametrize("statistic", ["TM(10%:90%)", "IQM", "p", "pr50"])
def test_a_statistic_that_is_not_there_is_refused(cloudwatch, statistic):
    with pytest.raises(ServiceError, match="has no statistic"):
        cloudwatch.check("GetMetricData", {"MetricDataQueries": query(statistic)})


# ------------------------------------------------------------------------------------------------ actions of alarms
TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"


def test_an_alarm_publishes_once_to_the_topic_of_its_state_with_its_reason(cloudwatch):
    put_alarm("a", Statistic="Sum", AlarmActions=[TOPIC], AlarmDescription="errors", TreatMissingData="notBreaching")
    for _ in range(2):
        cloudwatch._evaluate()
    assert cloudwatch.published == []
    cloudwatch.observe("AWS/SageMaker", {}, {"Invocation5XXErrors": 5})
    for _ in range(3):
        cloudwatch._evaluate()
    [(topic, alarm, subject, text)] = cloudwatch.published
    assert (topic, alarm.rsplit(":", 1)[-1]) == (TOPIC, "a")
    assert subject == 'ALARM: "a" in US East (N. Virginia)'
    message = json.loads(text)
    assert (message["OldStateValue"], message["NewStateValue"]) == ("OK", "ALARM")
    assert message["AlarmDescription"] == "errors"
    assert message["NewStateReason"].startswith("Invocation5XXErrors [5] GreaterThanThreshold 1.0")


@pytest.mark.parametrize(("accuracy", "rings"), [(0.7, True), (0.8, False), (None, False)])
def test_the_templates_alarm_on_accuracy_names_endpoint_accuracy_minimum_and_command(cloudwatch, accuracy, rings):
    client = boto3.client("cloudwatch", region_name="us-east-1")
    alarm = Stack(FULL).resources["AccuracyLow"]
    client.put_metric_alarm(**{**alarm, "Threshold": float(alarm["Threshold"])})
    cloudwatch._evaluate()
    until = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=10)
    measured = {"endpoint": FULL.endpoint.name}
    if accuracy is not None:
        measured["truth"] = true_counts(until, accuracy)
    put_metrics(client, alarm["Namespace"], drift(until).model_copy(update=measured))
    for _ in range(2):
        cloudwatch._evaluate()
    texts = [text for _, _, _, text in cloudwatch.published]
    assert len(texts) == rings
    if rings:
        look = look_of(Message("x", until, alarm["AlarmActions"][0], "", texts[0], "").shown)
        assert look.text == (
            "Accuracy [0.7] LessThanThreshold 0.8: ALARM. The accuracy of endpoint"
            f" {FULL.endpoint.name} by true counts is below 0.8."
        )
        assert (look.command, look.words) == (f"{FULL.command} monitor --last", ("monitor", "--last"))


def test_an_alarm_whose_actions_are_disabled_publishes_nothing(cloudwatch):
    put_alarm("a", Statistic="Sum", AlarmActions=[TOPIC], ActionsEnabled=False)
    cloudwatch.observe("AWS/SageMaker", {}, {"Invocation5XXErrors": 5})
    cloudwatch._evaluate()
    assert cloudwatch.in_alarm(["a"]) == ["a"]
    assert cloudwatch.published == []


def test_a_state_that_a_client_sets_is_published_too(cloudwatch):
    put_alarm("a", Statistic="Sum", AlarmActions=[TOPIC], TreatMissingData="ignore")
    cloudwatch._evaluate()
    client = boto3.client("cloudwatch", region_name="us-east-1")
    client.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="a test of mine")
    cloudwatch._evaluate()
    [(*_, text)] = cloudwatch.published
    assert json.loads(text)["NewStateReason"] == "a test of mine"


def test_an_action_other_than_a_topic_is_refused(cloudwatch):
    with pytest.raises(ServiceError, match="publish to SNS only, not to arn:aws:lambda"):
        cloudwatch.check("PutMetricAlarm", {"OKActions": [TOPIC, "arn:aws:lambda:us-east-1:123456789012:function:f"]})
