"""The form that starts a run, and the page that asks before."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from pipeline.console.console import Console
from tests.unit.pipeline.console.pages.account_of_runs import AccountOfRuns, step


def mistakes(page: str, field: str) -> str:
    shown = re.search(rf'id="mistake-{re.escape(field)}" role="alert">(.*?)</div>', page, re.DOTALL)
    return shown[1] if shown else ""


def test_the_form_has_each_parameter_with_its_default_and_its_limits(browser: TestClient) -> None:
    page = browser.get("/start").text
    assert 'name="p.Epochs" value="30"' in page
    assert "a whole number, 1 to 1000" in page
    assert "<option selected>no</option><option>yes</option>" in page


@pytest.mark.parametrize(
    ("field", "query", "message"),
    [
        ("Epochs", "p.Epochs=many", "needs a whole number"),
        ("Epochs", "p.Epochs=5000", "it must be 1 to 1000"),
        ("MinimumAccuracy", "p.MinimumAccuracy=7", "it must be 0 to 1"),
        ("RegisterAgain", "p.RegisterAgain=maybe", "it is one of: no, yes"),
        ("name", "name=two+words", "is no name of a run"),
        ("ShardVersion", "p.ShardVersion=2&fresh=ShardImages", "leave ShardVersion"),
        ("fresh", "fresh=Nonsense", "there is no cached step Nonsense"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_at_its_field(
    browser: TestClient, field: str, query: str, message: str
) -> None:
    assert message in mistakes(browser.get(f"/start/check?{query}").text, field)


def test_what_was_typed_stays_in_the_form_and_every_mistake_is_named(browser: TestClient) -> None:
    page = browser.get('/start/check?p.Epochs="><script>&p.MinimumAccuracy=7').text
    assert "&#34;&gt;&lt;script&gt;" in page
    assert "<script>&" not in page
    assert mistakes(page, "Epochs")
    assert mistakes(page, "MinimumAccuracy")


def test_before_the_start_the_forecast_and_the_cost_are_shown(browser: TestClient, account: AccountOfRuns) -> None:
    page = browser.get("/start/check?p.Epochs=3&name=try").text
    assert "What each step will do" in page
    assert "What it will cost" in page
    assert 'name="p.Epochs" value="3"' in page
    assert account.started == []


def test_the_start_has_the_values_that_differ_from_the_defaults(
    browser: TestClient, console: Console, account: AccountOfRuns
) -> None:
    data = {"token": console.token, "p.Epochs": "3", "p.MinimumAccuracy": "0.5", "name": "try"}
    answer = browser.post("/start", data=data, follow_redirects=False)
    assert answer.headers["location"] == "/runs/started"
    (request,) = account.started
    assert request["PipelineParameters"] == [{"Name": "Epochs", "Value": "3"}]
    assert request["PipelineExecutionDisplayName"] == "try"


def test_a_form_that_is_sent_twice_starts_one_run(
    browser: TestClient, console: Console, account: AccountOfRuns
) -> None:
    """As by a double click: SageMaker starts one run for requests with the same token."""
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', browser.get("/start/check").text))
    for _ in range(2):
        browser.post("/start", data=fields, follow_redirects=False)
    other = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', browser.get("/start/check").text))
    browser.post("/start", data=other, follow_redirects=False)
    first, second, third = (request["ClientRequestToken"] for request in account.started)
    assert first == second != third


def test_a_start_with_a_wrong_value_starts_nothing(
    browser: TestClient, console: Console, account: AccountOfRuns
) -> None:
    answer = browser.post("/start", data={"token": console.token, "p.Epochs": "many"})
    assert "Epochs needs a whole number" in answer.text
    assert account.started == []


def test_running_again_from_a_step_sets_its_version_and_those_after_it(
    browser: TestClient, console: Console, account: AccountOfRuns
) -> None:
    account.add("run1", "Succeeded", step("ShardImages"), Epochs="7", ShardVersion="old")
    form = browser.get("/start?again=run1&fresh=ShardImages").text
    assert 'name="p.Epochs" value="7"' in form
    assert 'name="p.ShardVersion" value="1"' in form
    browser.post("/start", data={"token": console.token, "p.Epochs": "7", "fresh": "ShardImages"})
    values = {each["Name"]: each["Value"] for each in account.started[0]["PipelineParameters"]}
    assert values["Epochs"] == "7"
    assert values["ShardVersion"].startswith("fresh-")
    assert values["TrainingVersion"] == values["ShardVersion"]
