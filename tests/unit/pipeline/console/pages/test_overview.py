"""The first page: what it shows, and how little it asks for."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import overview
from pipeline.settings import Settings
from tests.answers import NOBODY, Answers
from tests.unit.pipeline.account.stacks import alarms
from tests.unit.pipeline.console.pages.account_of_models import BETTER, TAMPERED, WORSE, AccountOfModels
from tests.unit.pipeline.console.pages.account_of_runs import AccountOfRuns, step
from tests.unit.pipeline.console.pages.conftest import Clock
from tests.unit.pipeline.console.pages.test_models import text_of
from tests.unit.pipeline.operations import conftest

moto = conftest.account
RUN_OPERATIONS = (
    *("ListPipelineExecutions", "DescribePipelineExecution", "DescribePipelineDefinitionForExecution"),
    *("ListPipelineExecutionSteps", "ListTrainingJobsForHyperParameterTuningJob"),
)


class Account(AccountOfModels):
    """The same with runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.runs = AccountOfRuns()
        for operation in RUN_OPERATIONS:
            boto3.DEFAULT_SESSION.events.register_last(f"before-send.sagemaker.{operation}", self._answer)

    def _answer(self, request: Any, **more: Any) -> AWSResponse:
        answer = self.runs.answer(request, **more)
        # moto is asked too, and has no such operations.
        request.url = NOBODY
        return answer


@pytest.fixture
def account(moto: None, settings: Settings) -> Account:
    account = Account(settings)
    account.create_group()
    return account


def test_the_newest_run_is_drawn_with_its_states(browser: TestClient, account: Account) -> None:
    account.runs.add("run1", "Succeeded")
    account.runs.add("run2", "Executing", step("ShardImages", "Executing"))
    page = browser.get("/").text
    assert "ShardImages: processing, Executing" in page
    assert 'href="/runs/run2/steps/ShardImages"' in page
    assert 'href="/runs/run1"' in page


def test_versions_that_wait_are_listed_and_others_are_not(browser: TestClient, account: Account) -> None:
    account.approve(account.register("a", WORSE))
    account.register("b", BETTER, champion=(1, WORSE))
    account.describe(account.register("c"), TAMPERED)
    page = browser.get("/").text
    shown = text_of(page[page.index('id="live-waiting"') : page.index('id="live-serving"')])
    assert "Version 2 accuracy 0.7500, RMSE 0.5000, +0.2500 to version 1" in shown
    assert "Version 3 evaluation" in shown
    assert "was changed after the registration" in shown
    assert "Version 1 " not in shown.replace("to version 1", "")


def test_what_serves_is_shown_with_its_cost(browser: TestClient, account: Account) -> None:
    account.serve(account.register("a"))
    page = browser.get("/").text
    place = "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#/endpoints/bins"
    assert f'href="{place}" target="_blank" rel="noopener noreferrer">Open in the AWS console' in page
    shown = text_of(page)
    assert "bins InService with version 1" in shown
    assert "the endpoint bins (InService) costs $" in shown


def test_an_account_at_its_beginning_has_the_next_commands(browser: TestClient, account: Account) -> None:
    shown = text_of(browser.get("/").text)
    assert "The pipeline has no runs yet: python -m pipeline start" in shown
    assert "No version waits." in shown
    assert "There is no endpoint" in shown
    assert "nothing goes on costing, besides storage" in shown


def test_runs_that_failed_since_the_last_that_succeeded_want_attention(browser: TestClient, account: Account) -> None:
    account.runs.add("run1", "Failed")
    account.runs.add("run2", "Succeeded")
    account.runs.add("run3", "Failed")
    page = browser.get("/").text
    attention = page[page.index('id="live-attention"') : page.index('id="live-newest"')]
    assert ("run3" in attention, "run1" in attention) == (True, False)


def test_an_alarm_wants_attention(browser: TestClient, account: Account, settings: Settings) -> None:
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
    for alarm in alarms(settings):
        cloudwatch.put_metric_alarm(**alarm)
    cloudwatch.set_alarm_state(AlarmName=settings.alarms[0], StateValue="ALARM", StateReason="too many")
    shown = text_of(browser.get("/").text)
    assert f"Alarm {settings.alarms[0]} : too many" in shown


def test_a_deployment_that_was_rolled_back_wants_attention(
    browser: TestClient, account: Account, settings: Settings
) -> None:
    account.serve(account.register("a"))
    arn = account.sagemaker.describe_endpoint(EndpointName=settings.endpoint.name)["EndpointArn"]
    tags = {"model-package-version": "2", "verdict": "rolled-back", "verdict-reason": "5XX <errors>"}
    account.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    page = browser.get("/").text
    assert "Version 2 was rolled back : 5XX <errors>" in text_of(page)
    assert "5XX &lt;errors&gt;" in page


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("sagemaker.ListModelPackages", "may not ListModelPackages"),
        ("sagemaker.DescribeEndpoint", "may not DescribeEndpoint"),
        ("cloudwatch.DescribeAlarms", "Alarms were not looked up"),
        ("scheduler.ListSchedules", "schedules were not looked up"),
    ],
)
def test_what_these_credentials_may_not_read_has_the_reason_and_hides_nothing_else(
    browser: TestClient, account: Account, operation: str, why: str
) -> None:
    account.runs.add("run1", "Succeeded")
    Answers().error(operation, "AccessDeniedException", "no", status=403)
    answer = browser.get("/")
    assert (answer.status_code, why in answer.text, 'href="/runs/run1"' in answer.text) == (200, True, True)


def test_an_idle_overview_makes_few_requests(console: Console, account: Account, clock: Clock) -> None:
    for number in range(1000):
        account.runs.add(f"run{number}", "Succeeded", step("ShardImages"))
    account.register_many(30)
    account.serve(account.arn_of(1))
    view = overview.overview(console, {})
    account.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        overview.overview(console, {})
    assert 0 < account.asked.total() <= 10
