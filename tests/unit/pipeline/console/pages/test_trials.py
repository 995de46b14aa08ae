"""The pages about a run's trials."""

from __future__ import annotations

import re

import boto3
import pytest
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import reads, trials
from pipeline.console.view import Renderer
from pipeline.operations.watching import following
from tests.unit.pipeline.console.pages.account_of_data import TUNED, AccountOfData, as_text, epoch_lines
from tests.unit.pipeline.console.pages.account_of_runs import PREFIX, step
from tests.unit.pipeline.console.pages.conftest import Clock


@pytest.fixture
def account(no_account: None) -> AccountOfData:
    account = AccountOfData("bucket")
    boto3.setup_default_session(region_name="us-east-1")
    for service in ("sagemaker", "logs", "sts"):
        boto3.DEFAULT_SESSION.events.register_first(f"before-send.{service}", account.answer)
    return account


@pytest.fixture
def tuned(account: AccountOfData) -> str:
    """A run with three trials: one completed, the best, one that was stopped early, and one that failed."""
    account.add("run1", "Succeeded", TUNED)
    account.lines = epoch_lines(1, 2, 3)
    account.tune(0.5)
    account.tune(0.2, "Stopped", optimizer='"adamw"')
    account.tune(None, "Failed")
    return "run1"


def rows(page: str) -> list[str]:
    return [as_text(row) for row in re.findall(r'<tr class="t\d+.*?</tr>', page, re.DOTALL)]


def test_a_trial_shows_what_it_tried_reached_and_cost(browser: TestClient, tuned: str) -> None:
    best, stopped, failed = rows(browser.get(f"/runs/{tuned}/trials").text)
    assert best.startswith("Trial 1 log Completed the best 0.001 0.9 sgd 0.5000 0.2500 1.5000 1.2500 3")
    assert "100 s" in best
    assert "< $0.01" in best.replace("&lt;", "<")
    assert stopped.startswith("Trial 2 log Stopped stopped early 0.001 0.9 adamw 0.2000")
    assert failed.startswith("Trial 3 log Failed 0.001 0.9 sgd - ")


def test_each_trial_leads_to_its_log_and_to_its_page(browser: TestClient, tuned: str) -> None:
    page = browser.get(f"/runs/{tuned}/trials").text
    assert f'href="/runs/{tuned}/steps/TuneModel?trial=2"' in page
    assert f'href="/runs/{tuned}/trials/2"' in page


def test_each_range_has_a_chart_and_all_together_another_and_marks_have_shapes(browser: TestClient, tuned: str) -> None:
    page = browser.get(f"/runs/{tuned}/trials").text
    for title in ("learning-rate, logarithmic", "momentum, reverse logarithmic", ">optimizer<"):
        assert title in page
    assert "All hyperparameters and the objective" in page
    assert '<polygon class="t1 top"' in page
    assert '<polygon class="t2 early"' in page
    assert '<polyline class="t2 early"' in page
    assert "trial 2, stopped early: best accuracy 0.2000 (learning-rate 0.001, momentum 0.9, optimizer adamw)" in page
    assert "Without 1 that reported no objective." in page


def test_curves_are_side_by_side_on_the_same_axes(browser: TestClient, tuned: str) -> None:
    page = browser.get(f"/runs/{tuned}/trials?curve=loss").text
    pictures = re.findall(r'<section class="picture t\d">.*?</section>', page, re.DOTALL)
    assert len(pictures) == 3
    levels = [re.findall(r'class="level"[^>]*>([^<]+)<', picture) for picture in pictures]
    assert levels[0] == levels[1] == levels[2]
    assert all(picture.count("<polyline") == 2 for picture in pictures)


def test_trials_are_in_the_order_of_their_objective_where_wanted(browser: TestClient, account: AccountOfData) -> None:
    account.add("run1", "Succeeded", TUNED)
    for objective in (0.1, None, 0.3, 0.2):
        account.tune(objective)
    page = browser.get("/runs/run1/trials?order=objective").text
    assert [row.split()[1] for row in rows(page)] == ["3", "4", "1", "2"]


@pytest.mark.parametrize("query", ["order=x&curve=y&rows=-1&curves=999", "rows=1e9&curves=%00", "rows=99999999999999"])
def test_an_address_with_other_values_is_the_usual_page(browser: TestClient, tuned: str, query: str) -> None:
    answer = browser.get(f"/runs/{tuned}/trials?{query}")
    assert (answer.status_code, len(rows(answer.text))) == (200, 3)


def test_a_trial_has_a_page_with_all_of_its_curves(browser: TestClient, tuned: str) -> None:
    page = browser.get(f"/runs/{tuned}/trials/1").text
    assert "Trial 1 of 3" in page
    assert page.count("<svg") == 3
    assert "Best epoch 3: accuracy 0.3000" in as_text(page)
    assert "data-live" not in page


@pytest.mark.parametrize("number", ["0", "4", "x", "-1", "9999999999"])
def test_a_trial_that_does_not_exist_is_not_found(browser: TestClient, tuned: str, number: str) -> None:
    assert browser.get(f"/runs/{tuned}/trials/{number}").status_code == 404


def test_trials_from_the_cache_lead_to_the_run_that_trained_them(
    browser: TestClient, account: AccountOfData, tuned: str
) -> None:
    source = {"SourcePipelineExecutionArn": f"{PREFIX}:pipeline/bins/execution/{tuned}"}
    account.add("run2", "Succeeded", step("TuneModel", CacheHitResult=source))
    page = browser.get("/trials").text
    assert f'from the cache of run <a href="/runs/{tuned}/trials">' in page
    assert f'href="/runs/{tuned}/steps/TuneModel?trial=1"' in page


def test_without_a_tuning_job_the_page_has_the_reason(browser: TestClient, account: AccountOfData) -> None:
    assert "The pipeline has no runs yet" in browser.get("/trials").text
    account.add("run1", "Failed", step("ShardImages", "Failed"))
    assert "The run ended before its tuning job." in browser.get("/runs/run1/trials").text
    account.add("run2", "Executing", step("ShardImages", "Executing"))
    assert "The tuning job has not started yet." in browser.get("/runs/run2/trials").text


def test_a_trial_under_way_is_live_and_shows_the_epochs_so_far(
    browser: TestClient, console: Console, account: AccountOfData, clock: Clock
) -> None:
    account.add("run1", "Executing", step("TuneModel", "Executing", Metadata=TUNED["Metadata"]))
    account.status = "InProgress"
    account.lines = epoch_lines(1)
    account.tune(None, "InProgress")
    page = browser.get("/runs/run1/trials").text
    assert "data-live" in page
    assert "No trial has reported its objective yet." in page
    assert "accuracy, epoch 1: 0.1000" in page
    account.lines = epoch_lines(1, 2)
    clock.now += following.PACE.logs
    assert "accuracy, epoch 2: 0.2000" in browser.get("/runs/run1/trials").text


def test_the_logs_of_running_trials_are_read_at_the_pace_of_watch(
    console: Console, account: AccountOfData, clock: Clock
) -> None:
    account.add("run1", "Executing", step("TuneModel", "Executing", Metadata=TUNED["Metadata"]))
    account.status = "InProgress"
    for _ in range(10):
        account.tune(None, "InProgress")
    for _ in range(int(60 / reads.BUSY)):
        trials.trials(console, {"run": "run1"})
        clock.now += reads.BUSY
    assert account.counts["FilterLogEvents"] == 10 * 60 / following.PACE.logs


def test_a_log_is_read_on_from_where_it_was_read_last(console: Console, account: AccountOfData, clock: Clock) -> None:
    account.add("run1", "Executing", step("TuneModel", "Executing", Metadata=TUNED["Metadata"]))
    account.status = "InProgress"
    account.lines = epoch_lines(1)
    account.tune(None, "InProgress")
    trials.trials(console, {"run": "run1"})
    clock.now += following.PACE.logs
    trials.trials(console, {"run": "run1"})
    starts = [request.get("startTime", 0) for name, request in account.asked if name == "FilterLogEvents"]
    assert starts[0] == 0
    assert starts[1] > 0


def test_fifty_trials_are_described_once_and_only_shown_logs_are_read(
    console: Console, account: AccountOfData, clock: Clock
) -> None:
    account.add("run1", "Succeeded", TUNED)
    account.lines = epoch_lines(1, 2)
    for number in range(50):
        account.tune(number / 100, **{"learning-rate": f"{0.0001 * (1 + number)}"})
    trials.trials(console, {"run": "run1"})
    counts = account.counts
    assert (counts["DescribeTrainingJob"], counts["DescribeHyperParameterTuningJob"]) == (50, 1)
    assert counts["FilterLogEvents"] == trials.CURVES
    account.asked.clear()
    clock.now += 10_000
    trials.trials(console, {"run": "run1"})
    trials.trials(console, {"run": "run1", "order": "objective"})
    assert set(account.counts) <= {"FilterLogEvents"}


def test_of_very_many_trials_those_of_the_page_are_described(console: Console, account: AccountOfData) -> None:
    account.add("run1", "Succeeded", TUNED)
    for number in range(120):
        account.tune(number / 1000)
    view = trials.trials(console, {"run": "run1", "rows": "2"})
    assert [row.trial.number for row in view.values["rows"]] == list(range(51, 101))
    # The best one is described wherever it is.
    assert account.counts["DescribeTrainingJob"] == trials.ROWS + 1


def test_the_idle_page_of_the_newest_trials_makes_few_requests(
    console: Console, account: AccountOfData, tuned: str, clock: Clock
) -> None:
    view = trials.newest(console, {})
    account.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        trials.newest(console, {})
    assert 0 < len(account.asked) <= 10


@pytest.mark.parametrize("query", [{}, {"curve": "rmse", "order": "objective"}])
def test_live_regions_are_rendered_alone(console: Console, tuned: str, query: dict[str, str]) -> None:
    view = trials.trials(console, {"run": tuned, **query})
    regions = Renderer(console).regions(view, f"/runs/{tuned}/trials")
    assert set(regions) == {"live-head", "live-table", "live-search", "live-curves"}
    assert all(regions.values())
