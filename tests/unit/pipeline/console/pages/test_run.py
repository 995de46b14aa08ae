"""The page of a run, in each of its states."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import run
from tests.unit.pipeline.console.pages.account_of_runs import (
    JOB,
    PREFIX,
    STARTED,
    AccountOfRuns,
    RefusedError,
    step,
)
from tests.unit.pipeline.console.pages.conftest import Clock

TUNING = {"TuningJob": {"Arn": f"{PREFIX}:hyper-parameter-tuning-job/tune"}}


def post(browser: TestClient, console: Console, path: str) -> str:
    answer = browser.post(path, data={"token": console.token}, follow_redirects=False)
    return f"{answer.status_code} {answer.headers.get('location', answer.text)}"


@pytest.mark.parametrize("status", ["Executing", "Stopping", "Stopped", "Failed", "Succeeded"])
def test_each_state_of_a_run_has_a_page(browser: TestClient, account: AccountOfRuns, status: str) -> None:
    account.add("run1", status, step("ShardImages"))
    page = browser.get("/runs/run1")
    assert page.status_code == 200
    assert f">{status}</span>" in page.text
    assert '<svg class="graph"' in page.text or 'class="graph"' in page.text


def test_a_step_that_is_still_to_come_is_waiting(browser: TestClient, account: AccountOfRuns) -> None:
    account.add("run1", "Executing", step("ShardImages", "Executing"))
    assert ">Waiting</span>" in browser.get("/runs/run1").text


def test_a_run_that_goes_on_is_looked_at_again_and_one_that_ended_is_not(
    console: Console, account: AccountOfRuns
) -> None:
    account.add("run1", "Executing")
    account.add("run2", "Succeeded", step("ShardImages"))
    assert run.run(console, {"run": "run1"}).refresh > 0
    assert run.run(console, {"run": "run2"}).refresh == 0


def test_a_run_that_succeeded_is_read_once(browser: TestClient, account: AccountOfRuns) -> None:
    account.add("run1", "Succeeded", step("ShardImages"))
    browser.get("/runs/run1")
    account.asked.clear()
    browser.get("/runs/run1")
    assert account.asked == []


def test_a_run_is_linked_to_studio_whose_domain_is_looked_up_once_an_hour(
    browser: TestClient, account: AccountOfRuns, clock: Clock, console: Console
) -> None:
    account.add("run1", "Executing")
    place = f"studio-d-abc.studio.us-east-1.sagemaker.aws/pipelines/view/{console.settings.name}/executions/run1/graph"
    for _ in range(3):
        link = f'href="https://{place}" target="_blank" rel="noopener noreferrer">Open in Studio'
        assert link in browser.get("/runs/run1").text
        clock.now += 600
    assert account.counts["ListDomains"] == 1
    clock.now += 3600
    account.domains = []
    assert "Open in Studio" not in browser.get("/runs/run1").text


def test_a_failed_step_has_its_reason_its_last_lines_and_a_remedy(browser: TestClient, account: AccountOfRuns) -> None:
    account.lines = [f"line {number}." for number in range(100)] + ["<script>alert(1)</script>"]
    metadata = {"ProcessingJob": {"Arn": JOB}}
    reason = "AccessDenied: not authorized to perform s3:GetObject"
    account.add("run1", "Failed", step("ShardImages", "Failed", FailureReason=reason, Metadata=metadata))
    page = browser.get("/runs/run1").text
    assert reason in page
    assert "line 99." in page
    assert "line 50." not in page
    assert "<script>alert" not in page
    assert "python -m pipeline check" in page
    assert "python -m pipeline logs ShardImages --run run1" in page


def test_a_trial_without_instances_says_what_it_waits_for(browser: TestClient, account: AccountOfRuns) -> None:
    account.trials = [
        {
            "TrainingJobName": "trial-a",
            "TrainingJobArn": f"{PREFIX}:training-job/trial-a",
            "TrainingJobStatus": "InProgress",
            "CreationTime": STARTED.timestamp(),
            "TunedHyperParameters": {"learning-rate": '"0.0029307564"'},
        }
    ]
    account.add("run1", "Executing", step("TuneModel", "Executing", Metadata=TUNING))
    page = browser.get("/runs/run1").text
    assert "waiting: Insufficient capacity, retrying!" in page
    assert "/runs/run1/steps/TuneModel?trial=1" in page


def test_stopping_a_run_stops_it(browser: TestClient, console: Console, account: AccountOfRuns) -> None:
    account.add("run1", "Executing")
    assert post(browser, console, "/runs/run1/stop") == "303 /runs/run1"
    assert account.counts["StopPipelineExecution"] == 1
    assert ">Stopping</span>" in browser.get("/runs/run1").text


def test_a_run_that_failed_is_retried_and_goes_on(
    browser: TestClient, console: Console, account: AccountOfRuns
) -> None:
    account.add("run1", "Failed")
    assert 'action="/runs/run1/retry"' in browser.get("/runs/run1").text
    assert post(browser, console, "/runs/run1/retry") == "303 /runs/run1"
    assert ">Executing</span>" in browser.get("/runs/run1").text


def test_a_run_that_succeeded_is_not_retried(browser: TestClient, console: Console, account: AccountOfRuns) -> None:
    account.add("run1", "Succeeded")
    assert "only a run that failed or was stopped can be retried" in post(browser, console, "/runs/run1/retry")
    assert account.counts["RetryPipelineExecution"] == 0


def test_a_run_that_its_gate_refused_offers_no_retry(browser: TestClient, account: AccountOfRuns) -> None:
    account.add("run1", "Failed", step("QualityGateFailed", "Failed"))
    page = browser.get("/runs/run1").text
    assert "/runs/run1/retry" not in page
    assert 'href="/runs/run1/report"' in page


def test_nothing_is_stopped_without_the_token(browser: TestClient, account: AccountOfRuns) -> None:
    account.add("run1", "Executing")
    assert browser.post("/runs/run1/stop", data={"token": "x"}).status_code == 403
    assert account.counts["StopPipelineExecution"] == 0


def test_an_unknown_run_is_not_there(browser: TestClient) -> None:
    answer = browser.get("/runs/nothing")
    assert answer.status_code == 404
    assert "has no run nothing" in answer.text


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("FilterLogEvents", " was not read: "),
        ("DescribeProcessingJob", "<p>Not looked up: "),
        ("ListPipelineParametersForExecution", "<td>Not looked up: "),
    ],
)
def test_what_these_credentials_may_not_read_hides_nothing_else(
    browser: TestClient, account: AccountOfRuns, monkeypatch: pytest.MonkeyPatch, operation: str, why: str
) -> None:
    def refuses(values: dict[str, object]) -> dict[str, object]:
        raise RefusedError("AccessDeniedException", "no")

    monkeypatch.setattr(account, operation, refuses)
    metadata = {"ProcessingJob": {"Arn": JOB}}
    account.add("run1", "Failed", step("ShardImages", "Failed", FailureReason="no photos", Metadata=metadata))
    page = browser.get("/runs/run1")
    assert page.status_code == 200
    for text in (why, f"may not {operation}", "no photos"):
        assert text in page.text
    answer = browser.get("/runs/run1/steps/ShardImages")
    assert (answer.status_code, "no photos" in answer.text) == (200, True)
    assert ("The job was not looked up: " in answer.text) == (operation == "DescribeProcessingJob")
