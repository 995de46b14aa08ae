"""The pages about drift."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest
from moto import mock_aws
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import monitor, reads
from pipeline.console.view import Renderer
from pipeline.operations.serving import monitoring
from pipeline.settings import Settings
from tests.unit.pipeline.console.pages.account_of_data import as_text
from tests.unit.pipeline.console.pages.account_of_drift import AccountOfDrift, drift, true_counts
from tests.unit.pipeline.console.pages.account_of_runs import STARTED
from tests.unit.pipeline.console.pages.conftest import Clock


@pytest.fixture
def account(no_account: None, settings: Settings) -> Iterator[AccountOfDrift]:
    with mock_aws():
        boto3.setup_default_session(region_name="us-east-1")
        account = AccountOfDrift(settings)
        for service in ("sagemaker", "logs", "sts"):
            boto3.DEFAULT_SESSION.events.register_first(f"before-send.{service}", account.answer)
        yield account


@pytest.fixture
def watched(account: AccountOfDrift) -> str:
    """Two windows, of which the newer one is darker. Returns the name of its job."""
    account.compared("a", drift(STARTED - timedelta(days=1), version="2"))
    return account.compared("b", drift(STARTED, darker=0.2))


def test_windows_are_listed_newest_first_with_what_drifted(browser: TestClient, watched: str) -> None:
    page = browser.get("/monitor").text
    rows = [as_text(row) for row in re.findall(r"<tr>\s*<td>.*?</tr>", page, re.DOTALL)]
    assert ["drift brightness 400 400 3 brightness, PSI" in rows[0], "no drift 400 400 2" in rows[1]] == [True, True]
    assert f'href="/monitor/{watched}"' in page


def test_a_drift_is_shown_with_its_reasons_and_what_to_do(browser: TestClient, watched: str) -> None:
    text = as_text(browser.get("/monitor").text)
    assert "Drift: the photos or the answers of the endpoint differ from the baseline" in text
    assert "Brightness: " in text
    assert "look at the camera, its lamp and its lens" in text


def test_the_figures_over_time_stand_against_their_limits(browser: TestClient, watched: str) -> None:
    page = browser.get("/monitor").text
    charts = re.findall(r'<figure class="chart"><figcaption>(\w+).*?\((.*?)\)(.*?)</figure>', page, re.DOTALL)
    [distance] = [chart for title, unit, chart in charts if (title, unit) == ("Brightness", "PSI")]
    assert distance.count('<polygon class="drift"') == 1
    assert distance.count('<circle class="line0"') == 1
    assert ">limit 0.1<" in distance
    assert ">version 3<" in distance
    assert [unit for title, unit, _ in charts if title == "Predicted"] == ["PSI", "% of photos"]


def test_the_index_of_sure_counts_has_no_limit_since_they_drift_by_their_share(
    browser: TestClient, account: AccountOfDrift
) -> None:
    job = account.compared("a", drift(STARTED, sure=(0.15, 0.06)))
    page = browser.get(f"/monitor/{job}").text + browser.get("/monitor").text
    charts = re.findall(r'<figure class="chart">.*?</figure>', page, re.DOTALL)
    [chart] = [chart for chart in charts if as_text(chart).startswith("Sure counts (PSI)")]
    assert 'class="drift"' in chart
    assert ", drifted" in chart
    assert "limit" not in chart
    assert "has to change by at least a quarter of its value in the baseline" in as_text(page)


def test_a_job_has_both_distributions_the_windows_and_its_log(
    browser: TestClient, account: AccountOfDrift, watched: str
) -> None:
    account.lines = ["drift: 400 photos in 24 hours"]
    page = browser.get(f"/monitor/{watched}").text
    text = as_text(page)
    assert page.count('<rect class="full"') > 6 * 5
    assert page.count('class="mark"') > 6 * 5
    assert "requests to endpoint bins, answered by version 3 the test split of the same version" in text
    assert "photos 400 400" in text
    assert f"{account.settings.captures_uri}/bins s3://bucket/baseline.parquet" in text
    assert "Not compared: 2 photos that another version answered; 3: no photo." in text
    assert "drift: 400 photos in 24 hours" in text
    assert ("data-live" in page, f'href="/monitor/{watched}/report"' in page) == (False, True)
    report = browser.get(f"/monitor/{watched}/report")
    assert ("Drift of the endpoint" in report.text, "sandbox" in report.headers["content-security-policy"]) == (
        True,
        True,
    )


def test_a_result_of_an_earlier_monitor_has_no_distributions_and_leads_to_its_report(
    browser: TestClient, account: AccountOfDrift
) -> None:
    found = drift(STARTED)
    old = found.model_copy(update={"features": [each.model_copy(update={"bins": []}) for each in found.features]})
    content = old.model_dump(mode="json")
    for feature in content["features"]:
        del feature["bins"]
    name = account.compared("a", type(found).model_validate(content))
    text = as_text(browser.get(f"/monitor/{name}").text)
    assert "its report draws them" in text
    assert browser.get("/monitor").status_code == 200


def test_true_counts_are_shown_with_their_claims_and_over_time_against_the_minimum(
    browser: TestClient, account: AccountOfDrift
) -> None:
    for identity, days, accuracy in (("a", 1, 0.9), ("b", 0, 0.7)):
        until = STARTED - timedelta(days=days)
        measured = {"truth": true_counts(until, accuracy), "sure_share": 0.75}
        name = account.compared(identity, drift(until).model_copy(update=measured))
    for path in ("/monitor", f"/monitor/{name}"):
        text = as_text(browser.get(path).text)
        assert "No drift, but by true counts the answers are below a minimum." in text
        assert "accuracy 70.0% of 100 photos is below the minimum of 80.0%" in text
        assert "accuracy 70.0% - 80.0% 100" in text
        assert "accuracy of sure counts 97.0% 98.0% 95.0% 50" in text
        assert "set coverage 93.0% 95.0% - 100" in text
        assert "300 photos without a true count so far; 2 photos in requests without an InferenceId." in text
    page = browser.get("/monitor").text
    charts = dict(re.findall(r'<figure class="chart"><figcaption>([\w ]+?)\s*<(.*?)</figure>', page, re.DOTALL))
    assert charts["Accuracy"].count('<polygon class="drift"') == 1
    assert charts["Accuracy"].count('<circle class="line0"') == 1
    assert ">limit 80<" in charts["Accuracy"]
    assert charts["Accuracy of sure counts"].count('<circle class="line0"') == 2
    assert ">limit 95<" in charts["Accuracy of sure counts"]
    assert "limit" not in charts["Set coverage"]
    assert charts["Sure counts"].count('<circle class="line0"') == 2
    rows = [as_text(row) for row in re.findall(r"<tr>\s*<td>.*?</tr>", page, re.DOTALL)]
    assert ["75.0% 70.0%" in rows[0], "75.0% 90.0%" in rows[1]] == [True, True]


def test_true_counts_that_have_not_arrived_are_no_figures(browser: TestClient, account: AccountOfDrift) -> None:
    account.compared("a", drift(STARTED).model_copy(update={"truth": true_counts(STARTED, photos=0)}))
    text = as_text(browser.get("/monitor").text)
    assert "0 of the 400 photos from" in text
    assert "With fewer than 50 true counts, no metrics are written" in text
    assert "True counts, over time" not in text


def test_a_window_with_too_few_photos_has_the_remedy(browser: TestClient, account: AccountOfDrift) -> None:
    account.compared("a", drift(STARTED, photos=20))
    text = as_text(browser.get("/monitor").text)
    assert "20 usable photos in the window and 400 in the baseline; at least 200 of each are needed" in text
    assert "over time" not in text


def test_a_job_that_failed_and_one_under_way_are_listed_with_their_state(
    browser: TestClient, account: AccountOfDrift
) -> None:
    failed = account.job("a", "Failed", FailureReason="AlgorithmError: <no endpoint>")
    account.job("b", "InProgress")
    page = browser.get("/monitor").text
    assert "AlgorithmError: &lt;no endpoint&gt;" in page
    assert "InProgress" in page
    assert "compare again" in browser.get(f"/monitor/{failed}").text


def test_a_result_that_is_gone_or_damaged_has_the_reason_and_hides_no_other(
    browser: TestClient, account: AccountOfDrift, watched: str
) -> None:
    account.job("c")
    account.put("d", "drift.json", b"{}")
    account.job("d")
    answer = browser.get("/monitor")
    assert answer.status_code == 200
    assert "has no result at" in answer.text
    assert "not a result of the monitor" in answer.text
    assert "no drift" in answer.text


def test_before_the_first_window_the_page_has_the_next_command(browser: TestClient, account: AccountOfDrift) -> None:
    text = as_text(browser.get("/monitor").text)
    assert "No window of photos has been compared yet." in text
    assert "python -m pipeline monitor --every" in text


def test_an_endpoint_that_captures_nothing_has_the_setting_to_change(
    account: AccountOfDrift, console: Console, settings: Settings
) -> None:
    endpoint = settings.endpoint.model_copy(update={"capture_percent": 0})
    blind = Console(settings.model_copy(update={"endpoint": endpoint}), "python -m pipeline", str, str)
    page = as_text(Renderer(blind).page(monitor.monitor(blind, {}), "/monitor"))
    assert "set endpoint.mode real-time and endpoint.capture_percent above 0" in page
    assert "Go on" not in page


@pytest.mark.parametrize("retrain", [True, False])
def test_the_schedule_is_shown_with_its_next_time_and_what_a_drift_starts(
    browser: TestClient, account: AccountOfDrift, settings: Settings, retrain: bool
) -> None:
    monitoring.schedule(settings, "rate(1 day)", retrain=retrain)
    text = as_text(browser.get("/monitor").text)
    assert "Schedule bins-monitor : rate(1 day) (UTC); next " in text
    assert ("A drift starts a run." in text) == retrain


def test_jobs_of_other_pipelines_are_not_this_ones(browser: TestClient, account: AccountOfDrift, watched: str) -> None:
    account.jobs["robins-monitor-x"] = {**account.jobs[watched], "ProcessingJobName": "robins-monitor-x"}
    answer = browser.get("/monitor")
    assert (answer.status_code, watched in answer.text, "robins" in answer.text) == (200, True, False)
    assert browser.get("/monitor/robins-monitor-x").status_code == 404
    assert browser.get("/monitor/bins-monitor-none").status_code == 404


def test_a_comparison_is_started_after_its_cost_was_shown(
    browser: TestClient, console: Console, account: AccountOfDrift, watched: str
) -> None:
    text = as_text(browser.get("/monitor/start?hours=2&retrain=yes").text)
    assert "Compare the photos of the last 2 hours?" in text
    assert "$0.12" in text
    assert "The last one took 4 min 00 s." in text
    assert "starts a run if none is in progress" in text
    assert account.created == []
    form = {"token": console.token, "hours": "2", "retrain": "yes"}
    origin = {"origin": str(browser.base_url)}
    answer = browser.post("/monitor/start", data=form, headers=origin, follow_redirects=False)
    [asked] = account.created
    words = asked["AppSpecification"]["ContainerArguments"]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert (given["--hours"], given["--retrain"]) == ("2", "bins")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/monitor/{asked['ProcessingJobName']}")


@pytest.mark.parametrize("hours", ["0", "745", "x", "-1", "99999999"])
def test_a_window_out_of_its_limits_is_refused_before_anything_starts(
    browser: TestClient, console: Console, account: AccountOfDrift, hours: str
) -> None:
    assert browser.get(f"/monitor/start?hours={hours}").status_code == 502
    form = {"token": console.token, "hours": hours}
    origin = {"origin": str(browser.base_url)}
    assert browser.post("/monitor/start", data=form, headers=origin).status_code == 400
    assert account.created == []


def test_results_are_read_once(console: Console, account: AccountOfDrift, clock: Clock, watched: str) -> None:
    first = monitor.monitor(console, {})
    assert first.refresh == reads.IDLE
    fetched: list[str] = []
    boto3.DEFAULT_SESSION.events.register_first("before-send.s3", lambda event_name, **_: fetched.append(event_name))
    account.asked.clear()
    clock.now += 1_000
    assert monitor.monitor(console, {}).values["windows"] == first.values["windows"]
    assert (account.counts["ListProcessingJobs"], fetched) == (1, [])


def test_live_regions_are_rendered_alone(console: Console, account: AccountOfDrift, watched: str) -> None:
    regions = Renderer(console).regions(monitor.monitor(console, {}), "/monitor")
    assert set(regions) == {"live-newest", "live-schedule", "live-windows", "live-drift"}
    page = Renderer(console).regions(monitor.job(console, {"job": watched}), f"/monitor/{watched}")
    assert set(page) == {"live-state", "live-compared", "live-log"}
    assert all(page.values())
