import pytest

from pipeline.local.context import ServiceError
from pipeline.local.logs import Logs

GROUP, STREAM = "/aws/sagemaker/TrainingJobs", "job/algo-1-17"


@pytest.fixture
def logs(tmp_path):
    logs = Logs(tmp_path, lambda service, resource: f"arn:{service}:{resource}")
    for number in range(5):
        logs.write(GROUP, STREAM, f"line {number}")
    logs.write(GROUP, "other/algo-1", "another job's line")
    return logs


def call(logs, operation, **request):
    return logs.operations()[operation](request)


def test_groups_and_streams_are_found_by_prefix(logs):
    assert [group["logGroupName"] for group in call(logs, "DescribeLogGroups")["logGroups"]] == [GROUP]
    streams = call(logs, "DescribeLogStreams", logGroupName=GROUP, logStreamNamePrefix="job/")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == [STREAM]


def test_events_are_paged_forward_and_the_end_gives_its_own_token_again(logs):
    request = {"logGroupName": GROUP, "logStreamName": STREAM, "startFromHead": True, "limit": 3}
    first = call(logs, "GetLogEvents", **request)
    second = call(logs, "GetLogEvents", **request, nextToken=first["nextForwardToken"])
    third = call(logs, "GetLogEvents", **request, nextToken=second["nextForwardToken"])
    messages = [event["message"] for event in first["events"] + second["events"]]
    assert messages == [f"line {number}" for number in range(5)]
    assert third["events"] == []
    assert third["nextForwardToken"] == second["nextForwardToken"]


def test_without_start_from_head_the_last_events_come(logs):
    answer = call(logs, "GetLogEvents", logGroupName=GROUP, logStreamName=STREAM, limit=2)
    assert [event["message"] for event in answer["events"]] == ["line 3", "line 4"]


def test_events_are_filtered_by_terms(logs):
    answer = call(logs, "FilterLogEvents", logGroupName=GROUP, filterPattern='"another job" line')
    assert [event["message"] for event in answer["events"]] == ["another job's line"]


def test_a_pattern_that_is_more_than_terms_is_refused_rather_than_misread(logs):
    with pytest.raises(ServiceError, match="words and quoted phrases"):
        call(logs, "FilterLogEvents", logGroupName=GROUP, filterPattern="{ $.x = 1 }")


@pytest.mark.parametrize("request_", [{"logGroupName": "/none"}, {"logGroupName": GROUP, "logStreamName": "none"}])
def test_what_is_not_there_is_not_found(logs, request_):
    with pytest.raises(ServiceError) as caught:
        call(logs, "GetLogEvents", **{"logStreamName": STREAM, **request_})
    assert caught.value.code == "ResourceNotFoundException"


def test_a_group_is_made_with_a_retention_and_deleted_with_its_streams(logs):
    call(logs, "CreateLogGroup", logGroupName="/aws/lambda/bins-deploy")
    call(logs, "PutRetentionPolicy", logGroupName="/aws/lambda/bins-deploy", retentionInDays=90)
    logs.write("/aws/lambda/bins-deploy", "one", "a line")

    (group,) = call(logs, "DescribeLogGroups", logGroupNamePrefix="/aws/lambda/")["logGroups"]
    assert group["retentionInDays"] == 90
    streams = call(logs, "DescribeLogStreams", logGroupName="/aws/lambda/bins-deploy")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["one"]
    with pytest.raises(ServiceError, match="already exists"):
        call(logs, "CreateLogGroup", logGroupName="/aws/lambda/bins-deploy")

    call(logs, "DeleteLogGroup", logGroupName="/aws/lambda/bins-deploy")

    assert call(logs, "DescribeLogGroups", logGroupNamePrefix="/aws/lambda/")["logGroups"] == []
    with pytest.raises(ServiceError, match="does not exist"):
        call(logs, "DeleteLogGroup", logGroupName="/aws/lambda/bins-deploy")
