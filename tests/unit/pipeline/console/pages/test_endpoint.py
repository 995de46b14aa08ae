"""The page of the endpoint: what serves, what is under way, and how little it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import endpoint as page
from pipeline.console.pages import model_reads
from pipeline.console.pages.reads import BUSY
from pipeline.operations.models import registry
from pipeline.operations.serving import endpoint as operation
from pipeline.operations.serving.endpoint import Attempt, Endpoint
from pipeline.operations.serving.rollout import Pending
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.account.stacks import alarms
from tests.unit.pipeline.console.pages.account_of_models import AccountOfModels
from tests.unit.pipeline.console.pages.conftest import Clock
from tests.unit.pipeline.console.pages.test_models import text_of
from tests.unit.pipeline.operations import conftest
from tests.unit.pipeline.operations.serving.test_deployment import functions

moto = conftest.account
DENIED = "User: arn:x is not authorized to perform: lambda:InvokeFunction on resource: y"


@pytest.fixture
def account(moto: None, settings: Settings) -> AccountOfModels:
    account = AccountOfModels(settings)
    account.create_group()
    return account


@pytest.fixture
def served(account: AccountOfModels) -> str:
    """A version that serves."""
    arn = account.register("a")
    account.approve(arn)
    account.serve(arn)
    return arn


Change = Callable[..., Endpoint]


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch, settings: Settings, served: str) -> Change:
    """Let the endpoint have other values; moto has no change of an endpoint that takes time."""
    described = operation.find(settings)
    assert described is not None

    def replaced(**values: Any) -> Endpoint:
        changed = replace(described, **values)
        monkeypatch.setattr(operation, "find", lambda _: changed)
        return changed

    return replaced


def test_it_has_version_instances_cost_and_state(browser: TestClient, served: str) -> None:
    answer = browser.get("/endpoint")
    shown = text_of(answer.text)
    assert answer.status_code == 200
    assert "InService serves version 1" in shown
    assert 'href="/models/1"' in answer.text
    assert "2 x ml.c5.xlarge" in shown
    assert "an hour" in shown
    assert "No requests in this time." in shown
    assert "The endpoint has no alarms." in shown
    assert "None in the last two weeks that changed something." in shown


def test_it_stands_in_the_navigation(browser: TestClient, served: str) -> None:
    assert '<a href="/endpoint" aria-current="page">Endpoint</a>' in browser.get("/endpoint").text


def test_traffic_is_drawn_and_has_a_table(browser: TestClient, served: str, settings: Settings) -> None:
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
    dimensions = [{"Name": "EndpointName", "Value": "bins"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    at = datetime.now(UTC) - timedelta(minutes=5)
    for name, value in (("Invocations", 1234.0), ("Invocation4XXErrors", 2.0), ("Invocation5XXErrors", 1.0)):
        datum = {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value}
        cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])
    page = browser.get("/endpoint").text
    shown = text_of(page)
    assert "1,234 requests, 2 refused (4XX), 1 failed (5XX)" in shown
    assert "1,231 answered, 2 refused (4XX), 1 failed (5XX)" in page
    assert "Latency of the model" in shown
    week = browser.get("/endpoint?window=week").text
    assert '<a href="/endpoint?window=week#traffic" aria-current="true">1 week</a>' in week
    assert browser.get("/endpoint?window=<b>").status_code == 200


def test_an_alarm_has_its_state_and_its_reason(browser: TestClient, served: str, settings: Settings) -> None:
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
    for alarm in alarms(settings):
        cloudwatch.put_metric_alarm(**alarm)
    cloudwatch.set_alarm_state(AlarmName=settings.alarms[0], StateValue="ALARM", StateReason="7 errors > 5")
    shown = text_of(browser.get("/endpoint").text)
    assert "bins-endpoint-errors ALARM 7 errors > 5" in shown
    assert "bins-endpoint-latency OK" in shown


def decided(settings: Settings, *lines: dict[str, str]) -> None:
    """Lines of the deploy function's log, the last one the newest."""
    logs = boto3.client("logs", region_name="us-east-1")
    group = f"/aws/lambda/{settings.deploy_function}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    at = int(datetime.now(UTC).timestamp() * 1000) - 1000
    events = [{"timestamp": at + number, "message": json.dumps(line)} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def test_decisions_are_listed_newest_first_with_version_and_reason(
    browser: TestClient, served: str, settings: Settings
) -> None:
    first = {"decision": "creating", "reason": "it is <b>created</b>", "model_package_version": "1"}
    second = {"decision": "rolled-back", "reason": "counts differ", "model_package_version": "2"}
    decided(settings, first, second)
    page = browser.get("/endpoint").text
    shown = text_of(page)
    assert shown.index("2 rolled back counts differ") < shown.index("1 creating it is <b>created</b>")
    assert "<b>created" not in page


def test_a_canary_has_its_share_and_what_is_left_of_its_time(browser: TestClient, change: Change) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4)
    change(status="Updating", pending=Pending(2, 0.1, "Baking", soon, soon + timedelta(minutes=5)))
    page = browser.get("/endpoint").text
    shown = text_of(page)
    assert "version 2 is being deployed" in shown
    assert "version 2 10% of the traffic" in shown
    assert "version 1 90%" in shown
    assert "All of the traffic moves in" in shown
    assert f'data-until="{soon.isoformat()}"' in page
    assert "Count" in shown


def test_after_the_canary_the_old_instances_are_waited_for(browser: TestClient, change: Change) -> None:
    change(status="Updating", pending=Pending(2, 1.0, "Baking", None, datetime.now(UTC) + timedelta(minutes=5)))
    shown = text_of(browser.get("/endpoint").text)
    assert "The old instances go in" in shown
    assert "All of the traffic moves" not in shown


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"status": "Creating"}, "The first instances start"),
        ({"status": "RollingBack"}, "all of the traffic goes back to version 1"),
        ({"status": "Failed", "failure": "no <b>disk"}, "no <b>disk"),
        ({"tried": Attempt(2, "rolled-back", "slow")}, "Version 2 was rolled back : slow"),
        ({"tried": Attempt(1, "pending", "")}, "is being tested with its golden photos"),
        ({"tried": Attempt(1, "accepted", "counts as expected")}, "accepted counts as expected"),
        ({"captured_percent": 10, "captures": "s3://b/captures"}, "10% of the requests, to s3://b/captures"),
    ],
)
def test_each_state_is_in_words(browser: TestClient, change: Change, values: dict[str, Any], words: str) -> None:
    change(**values)
    answer = browser.get("/endpoint")
    assert (answer.status_code, words in text_of(answer.text), "<b>disk" in answer.text) == (200, True, False)


@pytest.mark.parametrize("status", ["Creating", "Failed", "Deleting"])
def test_an_endpoint_that_does_not_answer_takes_no_photos(browser: TestClient, change: Change, status: str) -> None:
    change(status=status)
    page = browser.get("/endpoint").text
    assert (f"The endpoint is {status}, and takes no photos now." in page, "data-count" in page) == (True, False)


def test_without_an_endpoint_the_version_that_waits_is_next(browser: TestClient, account: AccountOfModels) -> None:
    account.register("a")
    page = browser.get("/endpoint").text
    assert "Approve a version, and it is deployed" in text_of(page)
    assert ('href="/models/1"' in page, "data-count" in page, "/endpoint/rollback" in page) == (True, False, False)


def test_without_any_version_a_run_is_next(browser: TestClient, account: AccountOfModels) -> None:
    page = browser.get("/endpoint").text
    assert ("no version to approve" in text_of(page), 'href="/start"' in page) == (True, True)


def test_an_approved_version_without_an_endpoint_can_be_deployed_again(
    browser: TestClient, account: AccountOfModels
) -> None:
    account.approve(account.register("a"))
    page = browser.get("/endpoint").text
    assert "although version 1 is approved" in text_of(page)
    assert 'action="/endpoint/deploy" data-ask="Deploy version 1 again?' in page


def test_who_may_not_see_the_endpoint_has_the_reason(browser: TestClient, served: str) -> None:
    Answers().error("sagemaker.DescribeEndpoint", "AccessDeniedException", "no", status=403)
    answer = browser.get("/endpoint")
    assert (answer.status_code, "these credentials may not DescribeEndpoint" in answer.text) == (200, True)


@pytest.mark.parametrize("denied", ["cloudwatch.GetMetricData", "cloudwatch.DescribeAlarms", "logs.FilterLogEvents"])
def test_who_may_not_see_a_part_sees_the_others(browser: TestClient, served: str, denied: str) -> None:
    """As approvers, who decide what serves, and read neither metrics nor logs."""
    operation_name = denied.rpartition(".")[2]
    Answers().raises(denied, ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation_name))
    shown = text_of(browser.get("/endpoint").text)
    assert f"may not {operation_name}" in shown
    assert "2 x ml.c5.xlarge" in shown


def test_an_idle_page_makes_few_requests(console: Console, account: AccountOfModels, clock: Clock, served: str) -> None:
    view = page.endpoint(console, {})
    assert view.refresh == model_reads.IDLE
    busiest = 0
    for _ in range(10):
        account.asked.clear()
        for _ in range(int(60 / view.refresh)):
            clock.now += view.refresh
            page.endpoint(console, {})
        busiest = max(busiest, account.asked.total())
    assert 0 < busiest <= 10


def test_an_idle_page_of_somebody_who_may_see_little_makes_few_requests_too(
    console: Console, account: AccountOfModels, clock: Clock, served: str
) -> None:
    answers = Answers()
    for denied in ("cloudwatch.GetMetricData", "cloudwatch.DescribeAlarms", "logs.FilterLogEvents"):
        answers.raises(denied, ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Denied"))
    view = page.endpoint(console, {})
    assert answers.asked.total() > 0
    account.asked.clear()
    answers.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        page.endpoint(console, {})
    assert 0 < account.asked.total() + answers.asked.total() <= 10


def test_while_it_changes_it_is_looked_at_often(console: Console, change: Change) -> None:
    change(status="Updating")
    assert page.endpoint(console, {}).refresh == model_reads.SOON
    console.readings.forget()
    change(status="Updating", pending=Pending(2, 0.1))
    assert page.endpoint(console, {}).refresh == BUSY


def test_a_version_in_service_that_is_tested_is_looked_at_often_for_a_while(console: Console, change: Change) -> None:
    """Without an end: a deploy function that has died leaves a test without a verdict."""
    now, tried = datetime.now(UTC), Attempt(1, "pending", "")
    tested = change(tried=tried, changed=now)
    assert model_reads.is_changing(console, tested)
    assert not model_reads.is_changing(console, change(tried=tried, changed=now - timedelta(hours=1)))


@pytest.fixture
def post(browser: TestClient, console: Console) -> Callable[[str], str]:
    def send(path: str) -> str:
        answer = browser.post(path, data={"token": console.token}, follow_redirects=False)
        return f"{answer.status_code} {answer.headers.get('location', text_of(answer.text))}"

    return send


def test_deploying_again_asks_the_deploy_function(
    post: Callable[[str], str], served: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    made = functions(monkeypatch, {"decision": "updating", "reason": "the endpoint moves to version 1"})
    assert post("/endpoint/deploy") == "303 /endpoint"
    assert made.requests == [("bins-deploy", {"model_package_arn": registry.resolve(settings, "1").arn})]


def test_a_deployment_that_changes_nothing_is_shown_as_such(
    post: Callable[[str], str], browser: TestClient, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions(monkeypatch, {"decision": "unchanged", "reason": "version 1 serves already"})
    assert post("/endpoint/deploy") == "303 /endpoint?decision=unchanged"
    assert "has changed nothing" in text_of(browser.get("/endpoint?decision=unchanged").text)
    assert "has changed nothing" not in text_of(browser.get("/endpoint?decision=x").text)


def test_who_may_not_deploy_is_answered_with_the_policy_that_allows_it(
    post: Callable[[str], str], served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions(monkeypatch, denied_by_lambda())
    answer = post("/endpoint/deploy")
    for part in ("400", "may not deploy version 1", "lambda:InvokeFunction", "the policy bins-operator", "arn:x"):
        assert part in answer


def denied_by_lambda() -> Exception:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": DENIED}}, "Invoke")


def test_a_deployment_without_the_token_changes_nothing(
    browser: TestClient, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = functions(monkeypatch)
    assert browser.post("/endpoint/deploy").status_code == 403
    assert made.requests == []


def test_after_an_approval_the_endpoints_page_follows(post: Callable[[str], str], account: AccountOfModels) -> None:
    account.register("a")
    assert post("/models/1/approve") == "303 /endpoint"
