"""Reading logs as clients do: in both directions, by any name of a group, page by page, filtered by terms."""

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


FILTERED = ["ERROR one", "ERROR two: a b", "WARN one", "done [3]"]


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("", FILTERED),
        ("ERROR", FILTERED[:2]),
        ("ERROR -one", FILTERED[1:2]),
        ("-ERROR", FILTERED[2:]),
        ('-"two: a" ERROR', FILTERED[:1]),
        ("?ERROR ?WARN", FILTERED[:3]),
        ('?"two: a" ?WARN', FILTERED[1:3]),
        ('"[3]"', FILTERED[3:]),
        ("nothing", []),
    ],
)
def test_a_filter_has_terms_that_must_may_or_must_not_be_there(logs, pattern, fitting):
    for line in FILTERED:
        logs.write("/filtered", "stream", line)
    answer = call(logs, "FilterLogEvents", logGroupName="/filtered", filterPattern=pattern)
    assert [event["message"] for event in answer["events"]] == fitting


@pytest.mark.parametrize("pattern", ["{ $.x = 1 }", "[ip, user]", "%E.R%", '"open', "?ERROR one", "?a -b", '"a"b'])
def test_a_pattern_that_is_more_than_terms_is_refused_rather_than_misread(logs, pattern):
    with pytest.raises(ServiceError, match=r"pattern|words and quoted phrases") as caught:
        call(logs, "FilterLogEvents", logGroupName=GROUP, filterPattern=pattern)
    assert caught.value.code == "InvalidParameterException"


def test_events_are_read_backwards_to_the_head_which_gives_its_own_token_again(logs):
    request = {"logGroupName": GROUP, "logStreamName": STREAM, "limit": 2}
    pages, token = [], {}
    while True:
        answer = call(logs, "GetLogEvents", **request, **token)
        if answer["nextBackwardToken"] == token.get("nextToken"):
            break
        token = {"nextToken": answer["nextBackwardToken"]}
        pages.append([event["message"][-1] for event in answer["events"]])
    assert pages == [["3", "4"], ["1", "2"], ["0"]]
    assert answer["events"] == []
    forward = call(logs, "GetLogEvents", **request, nextToken=answer["nextForwardToken"])
    assert [event["message"] for event in forward["events"]] == ["line 0", "line 1"]


@pytest.mark.parametrize("token", ["f/99", "b/x", "3", "f/-1"])
def test_a_token_that_was_never_given_is_refused(logs, token):
    with pytest.raises(ServiceError, match="nextToken is invalid"):
        call(logs, "GetLogEvents", logGroupName=GROUP, logStreamName=STREAM, nextToken=token)


def test_a_group_may_be_named_by_its_arn(logs):
    by_arn = {"logGroupIdentifier": f"arn:logs:log-group:{GROUP}"}
    assert len(call(logs, "GetLogEvents", **by_arn, logStreamName=STREAM)["events"]) == 5
    assert len(call(logs, "FilterLogEvents", **by_arn)["events"]) == 6
    assert len(call(logs, "DescribeLogStreams", **by_arn)["logStreams"]) == 2
    groups = call(logs, "DescribeLogGroups", logGroupIdentifiers=[by_arn["logGroupIdentifier"], "/none"])["logGroups"]
    assert [group["logGroupName"] for group in groups] == [GROUP]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "InvalidParameterException"),
        ({"logGroupName": GROUP, "logGroupIdentifier": GROUP}, "InvalidParameterException"),
        ({"logGroupIdentifier": f"arn:aws:logs:us-east-1:999999999999:log-group:{GROUP}"}, "ResourceNotFoundException"),
    ],
)
def test_a_group_is_named_in_one_way_and_in_this_account(logs, request_, code):
    with pytest.raises(ServiceError) as caught:
        call(logs, "DescribeLogStreams", **request_)
    assert caught.value.code == code


def test_all_groups_and_streams_are_listed_page_by_page(logs):
    for number in range(120):
        logs.write(f"/many/{number:03}", "s", "line")
        logs.write("/streams", f"{number:03}", "line")
    for operation, key, request in [
        ("DescribeLogGroups", "logGroups", {"logGroupNamePrefix": "/many"}),
        ("DescribeLogStreams", "logStreams", {"logGroupName": "/streams"}),
    ]:
        sizes, token = [], {}
        while not sizes or token:
            answer = call(logs, operation, **request, **token)
            sizes.append(len(answer[key]))
            token = {"nextToken": answer["nextToken"]} if "nextToken" in answer else {}
        assert sizes == [50, 50, 20]


def test_groups_are_found_by_a_part_of_their_name_in_the_right_case(logs):
    logs.write("/aws/lambda/register", "s", "line")
    for pattern, count in [("sagemaker", 1), ("aws", 2), ("Lambda", 0)]:
        assert len(call(logs, "DescribeLogGroups", logGroupNamePattern=pattern)["logGroups"]) == count
    with pytest.raises(ServiceError, match="mutually exclusive"):
        call(logs, "DescribeLogGroups", logGroupNamePattern="a", logGroupNamePrefix="/aws")


def test_streams_by_time_have_no_prefix(logs):
    assert len(call(logs, "DescribeLogStreams", logGroupName=GROUP, orderBy="LastEventTime")["logStreams"]) == 2
    with pytest.raises(ServiceError, match="LastEventTime"):
        call(logs, "DescribeLogStreams", logGroupName=GROUP, orderBy="LastEventTime", logStreamNamePrefix="job")


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


@pytest.mark.parametrize("name", [".", "..", "..."])
def test_a_group_of_dots_is_a_group_and_no_folder_above(tmp_path, name):
    (tmp_path / "cloud.sqlite").write_text("kept")
    logs = Logs(tmp_path / "logs", lambda service, resource: f"arn:{service}:{resource}")
    logs.write(GROUP, STREAM, "kept")
    with pytest.raises(ServiceError, match="does not exist"):
        call(logs, "DeleteLogGroup", logGroupName=name)
    call(logs, "CreateLogGroup", logGroupName=name)
    logs.write(name, "stream", "line")
    assert name in [group["logGroupName"] for group in call(logs, "DescribeLogGroups")["logGroups"]]
    call(logs, "DeleteLogGroup", logGroupName=name)
    assert (tmp_path / "cloud.sqlite").read_text() == "kept"
    assert [group["logGroupName"] for group in call(logs, "DescribeLogGroups")["logGroups"]] == [GROUP]
