"""A run in the browser: started, followed, mended, begun again from a step, and stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from pipeline.connection import act_as
from pipeline.operations.account import people
from pipeline.samples.sources import open_source
from pipeline.samples.upload import upload
from pipeline.settings import Settings
from tests.browser import journey
from tests.browser.chromium import Visitor
from tests.browser.conftest import BINS, LATE
from tests.browser.journey import Run

# The statuses of a step that succeeds, in their order. A fast step need not be seen in each of them.
STATUSES = ("Waiting", "Starting", "Executing", "Succeeded")


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("Epochs", "0", "must be 1 to 1000"),
        ("Epochs", "many", "needs a whole number"),
        ("MinimumAccuracy", "1.5", "must be 0 to 1"),
        ("ImageLocation", "bins-raw", "s3://"),
    ],
)
def test_a_value_beyond_its_limits_is_refused_beside_its_field(
    parameter: str, value: str, words: str, visit: Callable[..., Visitor]
) -> None:
    page = visit().open("/start")
    entry = page.locator(f"#p-{parameter}")
    entry.fill(value)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert").first).to_contain_text("Nothing was started")
    expect(entry).to_have_attribute("aria-invalid", "true")
    expect(entry).to_have_value(value)
    expect(page.locator(f"#mistake-{parameter}")).to_contain_text(words)


def test_each_step_shows_its_states_without_the_page_being_loaded_again(first_run: Run) -> None:
    for step, seen in first_run.statuses.items():
        assert seen == [each for each in STATUSES if each in seen], step
        assert seen[-1] == "Succeeded", step
    # Trials take long enough to be seen at work on any machine.
    assert "Executing" in first_run.statuses["TuneModel"]
    assert any("Executing" in label for label in first_run.drawn["TuneModel"])
    assert "Succeeded" in first_run.drawn["TuneModel"][-1]
    # The last step waits for them.
    assert first_run.statuses["RegisterModel"][0] == "Waiting"


def test_a_run_from_the_cache_shows_whose_results_it_has(
    first_run: Run, second_run: Run, visit: Callable[..., Visitor]
) -> None:
    page = visit().open(f"/runs/{second_run.identity}")
    row = page.locator("#live-steps tr", has_text="TuneModel")
    expect(row).to_contain_text(f"from the cache of {first_run.identity}; saved ")
    expect(page.locator("#live-head")).to_contain_text("the cache saved ")


def test_a_failed_step_shows_reason_log_and_remedy_and_a_retry_goes_on_until_it_is_stopped(
    visit: Callable[..., Visitor], settings: Settings, failed_run: Run
) -> None:
    run, page = failed_run, visit().open(f"/runs/{failed_run.identity}")
    failure = page.get_by_role("region", name="QueryMetadata failed")
    expect(failure.locator(".reason")).to_contain_text(LATE)
    expect(failure.locator(".log")).to_contain_text(LATE)
    expect(failure.locator(".remedies")).to_contain_text(f"logs QueryMetadata --run {run.identity}")
    failure.get_by_role("link", name="more").click()
    expect(page.get_by_role("log")).to_contain_text(LATE)
    page.go_back()

    with act_as(people.sign_in(settings, "admin")):
        upload(open_source(None, count=BINS.count, seed=BINS.seed, limit=None), LATE, lambda _: None)
    journey.answer(page, "Retry")
    expect(page.locator("#live-head .status").first).to_have_text("Executing")
    journey.follow(page, run, lambda: "Succeeded" in run.statuses["QueryMetadata"])
    assert run.statuses["QueryMetadata"][-1] == "Succeeded"
    expect(failure).to_be_hidden()

    journey.answer(page, "Stop")
    assert journey.follow(page, run) == "Stopped"
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_a_following_log_keeps_what_is_selected_and_where_it_was_scrolled_and_the_run_is_stopped(
    visit: Callable[..., Visitor], first_run: Run
) -> None:
    visiting = visit()
    page = visiting.open(f"/runs/{first_run.identity}")
    page.locator("#live-steps tr", has_text="TuneModel").get_by_role("link", name="run again from here").click()
    expect(page.get_by_label("Run again")).to_have_value("TuneModel")
    page.get_by_label("Epochs").fill("60")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Start it").click()
    run = Run(page.url.rsplit("/", 1)[1])
    page.get_by_role("link", name="TuneModel", exact=True).click()
    # The page of the step begins to follow once the first trial does.
    page.wait_for_function(
        "() => document.querySelectorAll('#lines .line').length > 12", timeout=journey.SECONDS * 1000
    )
    other = visiting.open(page.url.removeprefix(visiting.origin))

    page.get_by_role("log").evaluate("(log) => getSelection().selectAllChildren(log.querySelector('.line'))")
    selected, before = page.evaluate("getSelection().toString()"), lines(page)
    grown(other, before + 3)
    assert page.evaluate("getSelection().toString()") == selected != ""
    assert lines(page) == before
    page.evaluate("getSelection().removeAllRanges()")
    grown(page, before + 3)

    page.get_by_role("log").evaluate("(log) => { log.scrollTop = 20; }")
    grown(page, lines(page) + 1)
    assert page.get_by_role("log").evaluate("(log) => log.scrollTop") == 20
    page.get_by_role("log").evaluate("(log) => { log.scrollTop = log.scrollHeight; }")
    grown(page, lines(page) + 1)
    at_end = "(log) => log.scrollTop > 20 && log.scrollTop + log.clientHeight >= log.scrollHeight - 4"
    assert page.get_by_role("log").evaluate(at_end)

    other.goto(f"{visiting.origin}/runs/{run.identity}")
    journey.answer(other, "Stop")
    assert journey.follow(other, run) == "Stopped"
    expect(page.locator("#live-head .status").first).to_have_text("Stopped")


def lines(page: Page) -> int:
    return page.locator("#lines .line").count()


def grown(page: Page, count: int) -> None:
    """Wait for this many lines of the log."""
    condition = "(count) => document.querySelectorAll('#lines .line').length >= count"
    page.wait_for_function(condition, arg=count, timeout=journey.SECONDS * 1000)
