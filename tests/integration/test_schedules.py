"""Schedules in the local cloud: runs, jobs and functions by the clock, and what becomes of those that fail."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pipeline.local import cloud
from tests.integration.conftest import ACCOUNT, ROLE, LocalCloud, wait_until

OFF = {"Mode": "OFF"}
SETTINGS = """\
name: {name}
account: {{target: local, id: "123456789012", region: us-east-1}}
data: {{bucket: {name}-data, image_location: "s3://{name}-raw"}}
profiles: {{local: {{}}}}
"""
FAIL = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 1}],
    "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "meant to"}}],
}


def at(seconds: float = 4) -> str:
    """The next whole second that is at least `seconds` away: the schedule has to be made by then."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds + 1)
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


@pytest.fixture
def scheduler(local_cloud: LocalCloud) -> Any:
    return local_cloud.client("scheduler")


@pytest.fixture
def pipeline(sagemaker: Any) -> Iterator[str]:
    """A pipeline that ends at once. Returns its name."""
    name = f"s-{uuid.uuid4().hex[:10]}"
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(FAIL), RoleArn=ROLE)
    yield name
    wait_until(lambda: not [run for run in runs(sagemaker, name) if run["PipelineExecutionStatus"] == "Executing"])
    sagemaker.delete_pipeline(PipelineName=name)


@pytest.fixture
def queue(local_cloud: LocalCloud) -> tuple[str, Callable[[], Any]]:
    """The ARN of a queue, and a function that takes a message out of it."""
    sqs, name = local_cloud.client("sqs"), f"q-{uuid.uuid4().hex[:10]}"
    send = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    statement = {**send, "Resource": f"arn:aws:sqs:us-east-1:123456789012:{name}"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]

    def receive() -> Any:
        messages = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages", [])
        return messages[0] if messages else None

    return f"arn:aws:sqs:us-east-1:123456789012:{name}", receive


@pytest.fixture
def call(pipeline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command line with settings of the pipeline's name."""
    from pipeline.cli import app

    (tmp_path / "pipeline.yaml").write_text(SETTINGS.format(name=pipeline))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return run


def runs(sagemaker: Any, pipeline: str) -> list[Any]:
    summaries: list[Any] = sagemaker.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]
    return summaries


def attributes(message: Any) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def test_a_schedule_of_the_command_starts_a_run_with_its_parameters_at_its_time(
    call: Callable[..., str], sagemaker: Any, pipeline: str
) -> None:
    call("schedule", "rate(1 day)", "--start", "2100-01-01", "--name", "later")
    due = at(6)
    made = json.loads(call("schedule", due, "-p", "Epochs=7", "--json"))
    assert (made["change"], made["schedule"]["name"]) == ("created", f"{pipeline}-runs")
    assert runs(sagemaker, pipeline) == []
    [run] = wait_until(lambda: runs(sagemaker, pipeline))
    late = (run["StartTime"] - datetime.fromisoformat(due[3:-1]).replace(tzinfo=UTC)).total_seconds()
    assert 0 <= late < 10
    values = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=run["PipelineExecutionArn"])
    assert values["PipelineParameters"] == [{"Name": "Epochs", "Value": "7"}]
    listed = {schedule["name"]: schedule for schedule in json.loads(call("schedules", "--json"))}
    assert listed["later"]["next_run"] == "2100-01-01T00:00:00+00:00"
    assert listed[f"{pipeline}-runs"]["next_run"] is None
    assert call("unschedule").startswith("deleted: ")
    assert [schedule["name"] for schedule in json.loads(call("schedules", "--json"))] == ["later"]


def test_the_account_has_the_role_and_the_queue_that_a_schedule_names(
    call: Callable[..., str], local_cloud: LocalCloud, scheduler: Any, pipeline: str
) -> None:
    call("schedule", "cron(0 3 * * ? *)", "--timezone", "Europe/Berlin")
    made = scheduler.get_schedule(Name=f"{pipeline}-runs", GroupName=pipeline)
    role = local_cloud.client("iam").get_role(RoleName=made["Target"]["RoleArn"].rsplit("/", 1)[1])["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "scheduler.amazonaws.com"}
    sqs = local_cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=made["Target"]["DeadLetterConfig"]["Arn"].rsplit(":", 1)[1])["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert arn == made["Target"]["DeadLetterConfig"]["Arn"]


def test_a_universal_target_makes_a_processing_job_named_by_its_execution(
    local_cloud: LocalCloud, sagemaker: Any, scheduler: Any
) -> None:
    prefix = f"watch-{uuid.uuid4().hex[:8]}"
    request = {
        "ProcessingJobName": f"{prefix}-<aws.scheduler.execution-id>",
        "AppSpecification": {
            "ImageUri": local_cloud.image("import sys; print(sys.argv)"),
            "ContainerArguments": ["<aws.scheduler.scheduled-time>"],
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "RoleArn": ROLE,
    }
    due = at()
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob",
        "RoleArn": ROLE,
        "Input": json.dumps(request),
    }
    scheduler.create_schedule(Name=prefix, ScheduleExpression=due, FlexibleTimeWindow=OFF, Target=target)

    def completed() -> Any:
        jobs = sagemaker.list_processing_jobs(NameContains=prefix, StatusEquals="Completed")["ProcessingJobSummaries"]
        return jobs[0]["ProcessingJobName"] if jobs else None

    job = sagemaker.describe_processing_job(ProcessingJobName=wait_until(completed))
    assert job["AppSpecification"]["ContainerArguments"] == [f"{due[3:-1]}Z"]


def test_a_target_that_refuses_leaves_a_dead_letter_that_says_why(
    scheduler: Any, queue: tuple[str, Callable[[], Any]]
) -> None:
    arn, receive = queue
    missing = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/none-such"
    target = {
        "Arn": missing,
        "RoleArn": ROLE,
        "RetryPolicy": {"MaximumRetryAttempts": 1},
        "DeadLetterConfig": {"Arn": arn},
    }
    made = scheduler.create_schedule(
        Name=f"s-{uuid.uuid4().hex[:8]}", ScheduleExpression=at(), FlexibleTimeWindow=OFF, Target=target
    )
    message = wait_until(receive)
    assert json.loads(message["Body"])["PipelineName"] == missing
    values = attributes(message)
    assert (values["SCHEDULE_ARN"], values["TARGET_ARN"]) == (made["ScheduleArn"], missing)
    assert (values["ERROR_CODE"], values["RETRY_ATTEMPTS"]) == ("ResourceNotFound", "1")
    assert "none-such" in values["ERROR_MESSAGE"]


def test_what_is_disabled_does_not_fire_and_what_the_model_forbids_is_refused(
    sagemaker: Any, scheduler: Any, pipeline: str
) -> None:
    target = {"Arn": f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/{pipeline}", "RoleArn": ROLE}
    common = {"ScheduleExpression": at(), "FlexibleTimeWindow": OFF, "Target": target}
    scheduler.create_schedule(Name=f"{pipeline}-off", State="DISABLED", **common)
    scheduler.create_schedule(Name=f"{pipeline}-on", **common)
    wait_until(lambda: runs(sagemaker, pipeline))
    time.sleep(0.5)
    assert len(runs(sagemaker, pipeline)) == 1
    listed = scheduler.list_schedules(NamePrefix=pipeline, State="DISABLED", MaxResults=1)["Schedules"]
    assert [schedule["Name"] for schedule in listed] == [f"{pipeline}-off"]
    for change, code in (
        ({"Name": "no/slash"}, "ValidationException"),
        ({"ScheduleExpression": "cron(0 3 * * *)"}, "ValidationException"),
        ({"GroupName": "none-such"}, "ResourceNotFoundException"),
        ({"Name": f"{pipeline}-on"}, "ConflictException"),
    ):
        with pytest.raises(ClientError) as error:
            scheduler.create_schedule(**{"Name": "x", **common, **change})
        assert error.value.response["Error"]["Code"] == code
    with pytest.raises(scheduler.exceptions.ResourceNotFoundException):
        scheduler.get_schedule(Name="none-such")
    group = "arn:aws:scheduler:us-east-1:123456789012:schedule-group/none-such"
    with pytest.raises(scheduler.exceptions.ResourceNotFoundException):
        scheduler.tag_resource(ResourceArn=group, Tags=[{"Key": "a", "Value": "b"}])


@pytest.fixture
def function(local_cloud: LocalCloud) -> str:
    """The name of a function."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "def handle(event, context):\n    print(event)\n")
    name = f"f-{uuid.uuid4().hex[:10]}"
    local_cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=ROLE,
        Handler="app.handle",
        Code={"ZipFile": buffer.getvalue()},
    )
    return name


def invocations(local_cloud: LocalCloud, function: str) -> int:
    logs = local_cloud.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}", filterPattern="END")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return 0
    return len(events)


def test_a_function_is_run_by_a_schedule_and_by_an_event_invocation_that_is_answered_at_once(
    local_cloud: LocalCloud, scheduler: Any, function: str
) -> None:
    client = local_cloud.client("lambda")
    answer = client.invoke(FunctionName=function, InvocationType="Event", Payload=b"{}")
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    wait_until(lambda: invocations(local_cloud, function) == 1)
    target = {"Arn": f"arn:aws:lambda:us-east-1:123456789012:function:{function}", "RoleArn": ROLE}
    scheduler.create_schedule(Name=function, ScheduleExpression=at(), FlexibleTimeWindow=OFF, Target=target)
    wait_until(lambda: invocations(local_cloud, function) == 2)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="none-such", InvocationType="Event", Payload=b"{}")


def test_a_rule_whose_function_is_gone_leaves_its_event_in_the_rules_queue(
    local_cloud: LocalCloud, queue: tuple[str, Callable[[], Any]]
) -> None:
    events, (arn, receive), name = local_cloud.client("events"), queue, f"r-{uuid.uuid4().hex[:8]}"
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    missing = "arn:aws:lambda:us-east-1:123456789012:function:none-such"
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": missing, "DeadLetterConfig": {"Arn": arn}}])
    events.put_events(Entries=[{"Source": name, "DetailType": "Test", "Detail": '{"a": 1}'}])
    message = wait_until(receive)
    assert json.loads(message["Body"])["detail"] == {"a": 1}
    values = attributes(message)
    assert (values["RULE_ARN"], values["TARGET_ARN"], values["ERROR_CODE"]) == (rule, missing, "NO_RESOURCE")


def test_schedules_are_there_after_a_restart_and_what_is_past_is_not_made_up_for(
    local_cloud: LocalCloud, sagemaker: Any, scheduler: Any, pipeline: str
) -> None:
    target = {"Arn": f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/{pipeline}", "RoleArn": ROLE}
    common = {"FlexibleTimeWindow": OFF, "Target": target}
    missed = at(12)
    scheduler.create_schedule(Name=f"{pipeline}-missed", ScheduleExpression=missed, **common)
    scheduler.create_schedule(Name=f"{pipeline}-after", ScheduleExpression="cron(0 3 * * ? *)", **common)
    directory = local_cloud.settings.directory
    cloud.down(directory)
    past = datetime.fromisoformat(missed[3:-1]).replace(tzinfo=UTC)
    time.sleep(max(0.0, (past - datetime.now(UTC)).total_seconds() + 0.1))
    cloud.up(directory, ACCOUNT.id, ACCOUNT.region)
    assert {schedule["Name"] for schedule in scheduler.list_schedules(NamePrefix=pipeline)["Schedules"]} == {
        f"{pipeline}-missed",
        f"{pipeline}-after",
    }
    scheduler.update_schedule(Name=f"{pipeline}-after", ScheduleExpression=at(), **common)
    [_] = wait_until(lambda: runs(sagemaker, pipeline))
