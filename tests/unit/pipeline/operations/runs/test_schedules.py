"""Making, listing and removing schedules, in an account that moto pretends."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.operations.runs import schedules
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

pytestmark = pytest.mark.usefixtures("upserted")
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 30}],
    "Steps": [],
}
DAILY = "cron(0 3 * * ? *)"


@pytest.fixture
def upserted(account: None, settings: Settings) -> None:
    boto3.client("sagemaker", region_name="us-east-1").create_pipeline(
        PipelineName=settings.name,
        PipelineDefinition=json.dumps(DEFINITION),
        RoleArn=settings.role_arn("pipeline"),
        ClientRequestToken="x" * 32,
    )


@pytest.fixture
def scheduler() -> Any:
    return boto3.client("scheduler", region_name="us-east-1")


def foreign(scheduler: Any, name: str, arn: str, group: str = "default") -> None:
    scheduler.create_schedule(
        Name=name,
        GroupName=group,
        ScheduleExpression=DAILY,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": arn, "RoleArn": "arn:aws:iam::111122223333:role/other"},
    )


def test_a_schedule_starts_the_pipeline_by_a_role_of_its_own_and_keeps_what_fails(
    settings: Settings, scheduler: Any
) -> None:
    done = schedules.put(settings, DAILY, {"Epochs": "3"}, timezone="Europe/Berlin")
    assert (done.change, done.schedule.name, done.schedule.parameters) == ("created", "bins-runs", {"Epochs": "3"})
    made = scheduler.get_schedule(Name="bins-runs", GroupName="bins")
    assert made["Target"] == {
        "Arn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins",
        "RoleArn": "arn:aws:iam::111122223333:role/bins-scheduler",
        "RetryPolicy": schedules.RETRY_POLICY,
        "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:111122223333:bins-dead-letters"},
        "SageMakerPipelineParameters": {"PipelineParameterList": [{"Name": "Epochs", "Value": "3"}]},
    }
    assert (made["ScheduleExpressionTimezone"], made["State"]) == ("Europe/Berlin", "ENABLED")


def test_the_same_again_changes_nothing_and_anything_else_is_an_update(settings: Settings) -> None:
    again = {"start": "2100-01-01", "end": "2100-02-01T12:00:00"}
    assert schedules.put(settings, DAILY, {}, **again).change == "created"
    assert schedules.put(settings, DAILY, {}, **again).change == "unchanged"
    assert schedules.put(settings, DAILY, {"Epochs": "4"}, **again).change == "updated"
    updated = schedules.put(settings, "rate(1 day)", {})
    assert (updated.change, updated.schedule.parameters, updated.schedule.start) == ("updated", {}, None)
    assert len(schedules.schedules(settings)) == 1


def test_the_group_of_schedules_has_the_tags_of_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schedule itself has none. An existing group gets them by its ARN."""
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name="us-east-1"))
    boto3.DEFAULT_SESSION.events.register(
        "provide-client-params.scheduler.*", lambda params, model, **_: asked.append((model.name, dict(params)))
    )
    tags = [{"Key": "team", "Value": "vision"}]
    for _ in range(2):
        schedules.put(settings.model_copy(update={"tags": {"team": "vision"}}), DAILY, {})
    (created,) = [params for name, params in asked if name == "CreateScheduleGroup"]
    assert created == {"Name": "bins", "Tags": tags}
    (added,) = [params for name, params in asked if name == "TagResource"]
    arn = f"arn:aws:scheduler:us-east-1:{settings.account.id}:schedule-group/bins"
    assert added == {"ResourceArn": arn, "Tags": tags}


def test_start_and_end_are_local_times(settings: Settings) -> None:
    made = schedules.put(settings, DAILY, {}, timezone="Asia/Tokyo", start="2100-01-01", end="2100-01-02T03:00:00")
    assert made.schedule.start == datetime(2099, 12, 31, 15, tzinfo=UTC)
    assert made.schedule.next_run == datetime(2099, 12, 31, 18, tzinfo=UTC)
    assert made.schedule.end == datetime(2100, 1, 1, 18, tzinfo=UTC)


def test_only_schedules_of_this_pipeline_are_listed_and_removed(settings: Settings, scheduler: Any) -> None:
    schedules.put(settings, DAILY, {})
    scheduler.create_schedule_group(Name="other")
    own = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins"
    foreign(scheduler, "by-hand", own, "other")
    foreign(scheduler, "drift", "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob", "bins")
    foreign(scheduler, "theirs", f"{own}-of-others")
    listed = schedules.schedules(settings)
    assert [(one.name, one.group, one.starts) for one in listed] == [
        ("bins-runs", "bins", "run"),
        ("by-hand", "other", "run"),
        ("drift", "bins", "createProcessingJob"),
    ]
    with pytest.raises(PipelineError, match="has no schedule theirs; see them: python -m pipeline schedules"):
        schedules.remove(settings, "theirs")
    assert schedules.remove(settings, "by-hand").group == "other"
    assert schedules.remove(settings).name == "bins-runs"
    assert [one.name for one in schedules.schedules(settings)] == ["drift"]
    assert scheduler.get_schedule(Name="theirs")["Name"] == "theirs"


def test_a_colleagues_schedule_that_may_not_be_read_is_listed_without_its_times(
    settings: Settings, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules.put(settings, DAILY, {})
    scheduler.create_schedule_group(Name="hers")
    foreign(scheduler, "weekly", schedules.pipeline_arn(settings), "hers")
    describe = schedules._describe

    def denied(client: Any, group: str, name: str) -> schedules.Schedule:
        if group == "hers":
            message = "User: x is not authorized to perform: scheduler:GetSchedule on resource: y"
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": message}}, "GetSchedule")
        return describe(client, group, name)

    monkeypatch.setattr(schedules, "_describe", denied)
    own, hers = schedules.schedules(settings)
    assert (own.name, own.expression) == ("bins-runs", DAILY)
    assert (hers.name, hers.starts, hers.next_run) == ("weekly", "run", None)
    assert hers.expression == "not readable (these credentials may not scheduler:GetSchedule in group hers)"


def test_a_disabled_schedule_has_no_next_run(settings: Settings, scheduler: Any) -> None:
    schedules.put(settings, DAILY, {})
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    found = scheduler.get_schedule(Name="bins-runs", GroupName="bins")
    scheduler.update_schedule(**{key: found[key] for key in kept}, State="DISABLED")
    [listed] = schedules.schedules(settings)
    assert (listed.state, listed.next_run) == ("DISABLED", None)
    assert schedules.put(settings, DAILY, {}).schedule.state == "ENABLED"


@pytest.mark.parametrize(
    ("expression", "more", "reason"),
    [
        ("daily", {}, "no schedule expression; write"),
        ("rate(1 day)", {"timezone": "Berlin"}, "no time zone 'Berlin'"),
        ("at(2020-01-01T00:00:00)", {}, "never due from now on; set a later time"),
        ("at(2100-01-01T00:00:00)", {"start": "2099-01-01"}, "due once; --start and --end are for rate and cron"),
        ("cron(0 0 31 2 ? *)", {}, "never due"),
        (DAILY, {"start": "soon"}, "--start: 'soonT00:00:00' is no time"),
        (DAILY, {"start": "2020-01-01"}, "--start 2020-01-01 is past in UTC"),
        (DAILY, {"end": "2020-01-01"}, "never due from now on until 2020-01-01"),
        (DAILY, {"start": "2100-01-01", "end": "2099-01-01"}, "until 2099-01-01"),
        (DAILY, {"name": "no/slash"}, "'no/slash' is no name for a schedule"),
    ],
)
def test_a_mistake_is_told_before_anything_is_made(
    settings: Settings, scheduler: Any, expression: str, more: dict[str, str], reason: str
) -> None:
    with pytest.raises(PipelineError, match=reason):
        schedules.put(settings, expression, {}, **more)
    assert scheduler.list_schedules()["Schedules"] == []


def test_parameters_are_checked_against_the_pipeline(settings: Settings, scheduler: Any) -> None:
    with pytest.raises(PipelineError, match="Epochs needs a whole number"):
        schedules.put(settings, DAILY, {"Epochs": "many"})
    assert scheduler.list_schedules()["Schedules"] == []


def test_a_pipeline_that_is_not_there_is_answered_with_upsert(settings: Settings) -> None:
    boto3.client("sagemaker", region_name="us-east-1").delete_pipeline(
        PipelineName=settings.name, ClientRequestToken="x" * 32
    )
    with pytest.raises(PipelineError, match=r"is not in account .*upsert"):
        schedules.put(settings, DAILY, {})
