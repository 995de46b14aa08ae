"""The list of runs."""

from __future__ import annotations

import re

from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import runs
from tests.unit.pipeline.console.pages.account_of_runs import AccountOfRuns, step
from tests.unit.pipeline.console.pages.conftest import Clock


def test_a_page_of_runs_leads_to_older_ones(browser: TestClient, account: AccountOfRuns) -> None:
    for number in range(1000):
        account.add(f"run{number:03}", "Failed")
    first = browser.get("/runs").text
    assert re.findall(r'href="/runs/(run\d+)"', first) == [f"run{number}" for number in range(999, 979, -1)]
    older = re.search(r'href="(/runs\?older=[^"]+)"', first)
    assert older
    assert 'href="/runs/run979"' in browser.get(older[1]).text


def test_a_run_has_its_version_and_its_steps_from_the_cache(browser: TestClient, account: AccountOfRuns) -> None:
    source = {"SourcePipelineExecutionArn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/run0"}
    version = {"RegisterModel": {"Arn": "arn:aws:sagemaker:us-east-1:111122223333:model-package/bins/7"}}
    cached = step("ShardImages", CacheHitResult=source)
    account.add("run1", "Succeeded", cached, step("RegisterModel", Metadata=version))
    page = browser.get("/runs").text
    assert "(1 from the cache)" in page
    assert 'href="/models/7"' in page


def test_without_runs_the_page_leads_to_the_first(browser: TestClient) -> None:
    assert 'href="/start">Start the first' in browser.get("/runs").text


def test_an_idle_list_makes_few_requests(console: Console, account: AccountOfRuns, clock: Clock) -> None:
    for number in range(30):
        account.add(f"run{number}", "Failed")
    view = runs.runs(console, {})
    account.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        runs.runs(console, {})
    assert 0 < len(account.asked) <= 10
