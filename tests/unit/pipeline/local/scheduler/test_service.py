"""Schedules that are kept, refused, and fire, with a target that the test answers for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.context import Context, ServiceError
from pipeline.local.identity.caller import Caller
from pipeline.local.scheduler import Scheduler, service, targets
from pipeline.local.scheduler.targets import Targets
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive

PIPELINE = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:deploy"
PROCESSING = "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:dead"
ROLE = "arn:aws:iam::123456789012:role/scheduler"


class Account:
    """A scheduler, what it called, and what it left undelivered."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "cloud.sqlite")
        self.context = Context(directory, "123456789012", "us-east-1", self.store, {})
        self.calls: list[tuple[str, Any]] = []
        self.invoked: list[tuple[str, bytes]] = []
        self.dead: list[tuple[str, str, dict[str, str]]] = []
        self.failures = 0
        self.scheduler = self.restarted()

    def restarted(self) -> Scheduler:
        def invoke(name: str, body: bytes) -> None:
            self.invoked.append((name, body))

        self.identity = Permissive()
        targets = Targets(self.identity, self.call, lambda *_: None, invoke)  # type: ignore[arg-type]
        return Scheduler(self.context, targets)

    def call(self, name: str, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        assert caller.role == ROLE
        self.calls.append((f"{name}:{operation}", request))
        if self.failures:
            self.failures -= 1
            raise ServiceError("ResourceNotFound", "the pipeline does not exist")
        return {}

    def create(self, expression: str, arn: str = PIPELINE, name: str = "nightly", **more: Any) -> None:
        target = {"Arn": arn, "RoleArn": ROLE, **more.pop("target", {})}
        request = {"Name": name, "ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}, **more}
        self.scheduler.create({**request, "Target": target})


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    made = Account(tmp_path)
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(targets, "send_dead_letter", lambda _, *letter: made.dead.append(letter))
    made.scheduler.start()
    yield made
    made.scheduler.close()
    made.store.close()


def at(seconds: float = 0.5) -> str:
    """The next whole second that is at least `seconds` away: the schedule has to be made by then."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds + 1)
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


def wait_until(done: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_pipeline_is_started_with_its_parameters_and_a_token_of_its_time(account: Account) -> None:
    values = [{"Name": "Epochs", "Value": "3"}]
    account.create(at(), target={"SageMakerPipelineParameters": {"PipelineParameterList": values}})
    wait_until(lambda: account.calls)
    [(operation, request)] = account.calls
    assert operation == "sagemaker:StartPipelineExecution"
    assert (request["PipelineName"], request["PipelineParameters"]) == (PIPELINE, values)
    assert 32 <= len(request["ClientRequestToken"]) <= 128


def test_a_universal_targets_input_knows_schedule_time_execution_and_attempt(account: Account) -> None:
    names = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")
    given = "{" + ", ".join(f'"{name}": "<aws.scheduler.{name}>"' for name in names) + "}"
    expression = at()
    account.failures = 1
    account.create(expression, PROCESSING, target={"Input": given})
    wait_until(lambda: len(account.calls) == 2)
    (operation, first), (_, second) = account.calls
    assert operation == "sagemaker:CreateProcessingJob"
    assert first["schedule-arn"] == "arn:aws:scheduler:us-east-1:123456789012:schedule/default/nightly"
    assert first["scheduled-time"] == second["scheduled-time"] == f"{expression[3:-1]}Z"
    assert (first["attempt-number"], second["attempt-number"]) == ("1", "2")
    assert first["execution-id"] != second["execution-id"]


def test_a_function_is_invoked_with_the_input(account: Account) -> None:
    account.create(at(), FUNCTION, target={"Input": '{"a": 1}'})
    wait_until(lambda: account.invoked)
    assert account.invoked == [("deploy", b'{"a": 1}')]


def test_attempts_at_one_time_carry_one_token_so_that_no_second_run_starts(account: Account) -> None:
    account.failures = 2
    account.create(at())
    wait_until(lambda: len(account.calls) == 3)
    assert len({request["ClientRequestToken"] for _, request in account.calls}) == 1
    assert account.dead == []


def test_after_the_last_attempt_the_dead_letter_says_what_was_sent_and_why_it_failed(account: Account) -> None:
    account.failures = 9
    policy = {"RetryPolicy": {"MaximumRetryAttempts": 2}, "DeadLetterConfig": {"Arn": QUEUE}}
    expression = at()
    account.create(expression, target=policy)
    wait_until(lambda: account.dead)
    [(queue, body, attributes)] = account.dead
    assert queue == QUEUE
    assert PIPELINE in body
    assert len(account.calls) == 3
    assert attributes.pop("EXECUTION_ID")
    assert attributes == {
        "ERROR_CODE": "ResourceNotFound",
        "ERROR_MESSAGE": "the pipeline does not exist",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "2",
        "SCHEDULED_TIME": f"{expression[3:-1]}Z",
        "SCHEDULE_ARN": "arn:aws:scheduler:us-east-1:123456789012:schedule/default/nightly",
        "TARGET_ARN": PIPELINE,
    }


def test_an_attempt_that_would_come_too_late_is_not_made(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 100.0)
    monkeypatch.setattr(service, "LONGEST_RETRY_SECONDS", 100.0)
    account.failures = 9
    policy = {"RetryPolicy": {"MaximumEventAgeInSeconds": 60}, "DeadLetterConfig": {"Arn": QUEUE}}
    account.create(at(), target=policy)
    wait_until(lambda: account.dead)
    assert account.dead[0][2]["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert account.dead[0][2]["RETRY_ATTEMPTS"] == "0"


def test_what_is_disabled_changed_or_deleted_does_not_fire_as_it_was(account: Account) -> None:
    for name in ("off", "moved", "gone"):
        account.create(at(1.5), name=name, State="DISABLED" if name == "off" else "ENABLED")
    account.scheduler.delete({"Name": "gone"})
    moved = account.scheduler.get({"Name": "moved"})
    account.scheduler.update({**moved, "ScheduleExpression": "cron(0 3 1 1 ? *)"})
    account.create(at(1.5), FUNCTION, name="last")
    wait_until(lambda: account.invoked)
    time.sleep(0.2)
    assert account.calls == []


def test_a_rate_fires_when_it_is_made_and_not_again_when_the_cloud_comes_back(account: Account) -> None:
    account.create("rate(1 hour)")
    wait_until(lambda: account.calls)
    account.scheduler.close()
    account.scheduler = account.restarted()
    account.scheduler.start()
    account.create(at(), FUNCTION, name="last")
    wait_until(lambda: account.invoked)
    assert len(account.calls) == 1
    assert account.scheduler.get({"Name": "nightly"})["ScheduleExpression"] == "rate(1 hour)"


def test_a_schedule_made_before_a_restart_fires_after_it(account: Account) -> None:
    account.scheduler.close()
    account.create(at(1.5))
    account.scheduler = account.restarted()
    account.scheduler.start()
    wait_until(lambda: account.calls)
    assert len(account.calls) == 1


def test_a_time_at_which_the_cloud_did_not_run_is_not_made_up_for(account: Account) -> None:
    account.scheduler.close()
    account.create(at(0))
    time.sleep(1.1)
    account.scheduler = account.restarted()
    account.scheduler.start()
    account.create(at(), FUNCTION, name="last")
    wait_until(lambda: account.invoked)
    assert account.calls == []


def test_a_schedule_that_deletes_itself_is_gone_after_its_last_time_only(account: Account) -> None:
    account.create(at(), name="once", ActionAfterCompletion="DELETE")
    account.create("rate(1 hour)", name="often", ActionAfterCompletion="DELETE")
    account.create(at(), name="kept")
    wait_until(lambda: len(account.calls) == 3)
    wait_until(lambda: len(account.scheduler.list_schedules({})["Schedules"]) == 2)
    assert [schedule["Name"] for schedule in account.scheduler.list_schedules({})["Schedules"]] == ["often", "kept"]


def test_a_flexible_schedule_fires_within_its_window_at_a_time_that_is_its_own() -> None:
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    delays = [service._delay({"Arn": f"arn/{n}", "FlexibleTimeWindow": window}, moment) for n in range(200)]
    assert all(timedelta(0) <= delay <= timedelta(minutes=15) for delay in delays)
    assert max(delays) - min(delays) > timedelta(minutes=10)
    assert service._delay({"Arn": "arn/0", "FlexibleTimeWindow": window}, moment) == delays[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ScheduleExpression": "cron(0 3 * * *)"}, "Invalid Schedule Expression cron"),
        ({"ScheduleExpressionTimezone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"StartDate": 1_000_000_000}, "cannot be earlier than 5 minutes ago"),
        ({"EndDate": 1_000_000_000}, "EndDate"),
        ({"Target": {"Arn": "arn:aws:sqs:us-east-1:123456789012:queue", "RoleArn": ROLE}}, "not arn:aws:sqs"),
        ({"Target": {"Arn": PROCESSING, "RoleArn": ROLE, "Input": "{"}}, "not valid JSON"),
        ({"Target": {"Arn": f"{PROCESSING}:more", "RoleArn": ROLE}}, "no universal target"),
        (
            {"Target": {"Arn": FUNCTION, "RoleArn": ROLE, "SageMakerPipelineParameters": {}}},
            "the target must be a pipeline",
        ),
    ],
)
def test_what_the_service_would_refuse_is_refused(account: Account, change: dict[str, Any], reason: str) -> None:
    request = {
        "Name": "bad",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": PIPELINE, "RoleArn": ROLE},
        **change,
    }
    with pytest.raises(ServiceError, match=reason) as error:
        account.scheduler.create(request)
    assert error.value.code == "ValidationException"
    assert account.scheduler.list_schedules({})["Schedules"] == []


def test_groups_hold_schedules_of_the_same_name_and_take_them_along(account: Account) -> None:
    account.scheduler.create_group({"Name": "mine"})
    account.create("cron(0 3 * * ? *)")
    account.create("cron(0 4 * * ? *)", GroupName="mine")
    assert [schedule["GroupName"] for schedule in account.scheduler.list_schedules({})["Schedules"]] == [
        "default",
        "mine",
    ]
    assert len(account.scheduler.list_schedules({"GroupName": "mine"})["Schedules"]) == 1
    account.scheduler.delete_group({"Name": "mine"})
    assert [schedule["GroupName"] for schedule in account.scheduler.list_schedules({})["Schedules"]] == ["default"]
    for call in (
        lambda: account.create("rate(1 day)", GroupName="mine"),
        lambda: account.scheduler.get({"Name": "nightly", "GroupName": "mine"}),
        lambda: account.scheduler.get_group({"Name": "mine"}),
    ):
        with pytest.raises(ServiceError, match="does not exist") as error:
            call()
        assert (error.value.code, error.value.status) == ("ResourceNotFoundException", 404)
    with pytest.raises(ServiceError, match="cannot be deleted"):
        account.scheduler.delete_group({"Name": "default"})


def test_a_group_has_the_tags_of_its_creation_and_those_added_since(account: Account) -> None:
    scheduler = account.scheduler
    arn = scheduler.create_group({"Name": "bins", "Tags": [{"Key": "team", "Value": "bins"}]})["ScheduleGroupArn"]
    scheduler.tag({"ResourceArn": arn, "Tags": [{"Key": "stage", "Value": "test"}]})
    both = [{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "bins"}]
    assert scheduler.list_tags({"ResourceArn": arn})["Tags"] == both
    assert "Tags" not in scheduler.get_group({"Name": "bins"})
    scheduler.untag({"ResourceArn": arn, "TagKeys": ["team"]})
    assert scheduler.list_tags({"ResourceArn": arn})["Tags"] == both[:1]


def test_another_group_has_no_tags(account: Account) -> None:
    with pytest.raises(ServiceError, match="does not exist"):
        account.scheduler.list_tags({"ResourceArn": "arn:aws:scheduler:us-east-1:123456789012:schedule-group/other"})
