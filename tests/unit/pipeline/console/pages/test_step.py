"""The page of a step, and its log."""

from __future__ import annotations

import re
from html import unescape

import pytest
from starlette.testclient import TestClient

from tests.unit.pipeline.console.pages.account_of_runs import JOB, AccountOfRuns, step


@pytest.fixture
def failed(account: AccountOfRuns) -> AccountOfRuns:
    metadata = {"ProcessingJob": {"Arn": JOB}}
    account.add("run1", "Failed", step("ShardImages", "Failed", FailureReason="broken", Metadata=metadata))
    account.add("run2", "Executing", step("ShardImages", "Executing", Metadata=metadata))
    return account


PLACE = "/runs/run1/steps/ShardImages"


def shown(page: str) -> list[str]:
    return re.findall(r'class="line">.*?(line \d+|&lt;script&gt;)', page)


def test_a_step_has_its_jobs_arguments_environment_and_instances(browser: TestClient, failed: AccountOfRuns) -> None:
    page = browser.get(PLACE).text
    assert "--seed</th><td>7" in page
    assert "PLAIN</th><td>value" in page
    assert "2 x ml.c5.xlarge" in page
    assert "broken" in page


def test_a_step_leads_to_its_job_in_the_aws_console(browser: TestClient, failed: AccountOfRuns) -> None:
    page = "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#/processing-jobs/"
    link = f'href="{page}pipelines-run-ShardImages" target="_blank" rel="noopener noreferrer">Open in the AWS console'
    assert link in browser.get(PLACE).text


def test_a_signed_address_is_not_shown(browser: TestClient, failed: AccountOfRuns) -> None:
    page = browser.get(PLACE).text
    assert "s3cret" not in page
    assert "(a signed address, which is not shown)" in page


def test_of_a_long_log_the_newest_lines_are_shown_and_lead_to_older_ones(
    browser: TestClient, failed: AccountOfRuns
) -> None:
    failed.lines = [f"line {number}" for number in range(1200)]
    first = browser.get(PLACE).text
    assert shown(first) == [f"line {number}" for number in range(700, 1200)]
    older = re.search(r'href="([^"]+)">Older lines', first)
    assert older
    assert shown(browser.get(unescape(older[1])).text) == [f"line {number}" for number in range(200, 700)]


def test_a_search_with_hostile_text_searches_for_it_and_shows_it_as_text(
    browser: TestClient, failed: AccountOfRuns
) -> None:
    failed.lines = ['a "<script>" here', "line 1"]
    page = browser.get(PLACE, params={"search": '"<script>"'}).text
    assert shown(page) == ["&lt;script&gt;"]
    assert '<script>"' not in page
    assert ("FilterLogEvents", '"\\"<script>\\""') in [
        (operation, values.get("filterPattern")) for operation, values in failed.asked
    ]


def test_an_instance_is_chosen_by_its_streams(browser: TestClient, failed: AccountOfRuns) -> None:
    browser.get(PLACE, params={"host": "2"})
    assert "pipelines-run-ShardImages/algo-2-" in [values.get("logStreamNamePrefix") for _, values in failed.asked]


def test_a_log_that_grows_is_read_from_its_last_line(browser: TestClient, failed: AccountOfRuns, clock: object) -> None:
    failed.lines = ["line 1"]
    place = "/runs/run2/steps/ShardImages"
    assert shown(browser.get(place).text) == ["line 1"]
    failed.lines += ["line 2"]
    clock.now = 5.0  # type: ignore[attr-defined]
    assert shown(browser.get(place).text) == ["line 1", "line 2"]
    starts = [values["startTime"] for operation, values in failed.asked if operation == "FilterLogEvents"]
    assert starts[-1] > starts[0]


def test_a_step_from_the_cache_leads_to_its_run(browser: TestClient, account: AccountOfRuns) -> None:
    account.add("run0", "Succeeded", step("ShardImages"))
    source = {"SourcePipelineExecutionArn": account.runs["run0"]["PipelineExecutionArn"]}
    account.add("run1", "Succeeded", step("ShardImages", CacheHitResult=source))
    assert 'href="/runs/run0/steps/ShardImages"' in browser.get(PLACE).text


def test_an_unknown_step_is_answered_with_those_there_are(browser: TestClient, failed: AccountOfRuns) -> None:
    answer = browser.get("/runs/run1/steps/Other")
    assert answer.status_code == 404
    assert "it has: ShardImages" in answer.text
