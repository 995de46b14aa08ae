"""A version in the browser: decided on, deployed by a canary, asked for a count, and watched for drift."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.samples import synthetic
from tests.browser import journey
from tests.browser.chromium import Visitor
from tests.browser.conftest import Released
from tests.browser.journey import Run


def test_an_operator_may_not_reject_and_reads_who_may(visit: Callable[..., Visitor], first_run: Run) -> None:
    visiting = visit()
    page = visiting.open(f"/models/{first_run.version}")
    page.get_by_label("Reason").fill("not mine to decide")
    journey.answer(page, "Reject")
    refused(visiting, page)


def test_the_canary_is_watched_without_the_page_being_loaded_again(released: Released) -> None:
    assert list(released.shares) == sorted(released.shares)
    assert any(0 < share < 100 for share in released.shares)
    assert released.states[-2:] == ("Updating", "InService")


def test_what_serves_and_why_is_on_the_page(visit: Callable[..., Visitor], released: Released) -> None:
    page = visit().open("/endpoint")
    expect(page.locator("#live-head")).to_contain_text(f"serves version {released.run.version}")
    decisions = page.get_by_role("region", name="Decisions")
    expect(decisions.get_by_role("link", name=released.run.version, exact=True).first).to_be_visible()
    expect(page.locator("#live-alarms")).to_contain_text("OK")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that no run has seen."""
    file = tmp_path_factory.mktemp("photos") / "unseen.jpg"
    file.write_bytes(next(iter(synthetic.generate(1, seed=99))).jpeg)
    return file


def test_a_photo_is_dropped_and_its_count_read(visit: Callable[..., Visitor], released: Released, photo: Path) -> None:
    page = visit().open("/endpoint")
    drop(page, photo)
    counted(page, released)
    expect(page.locator("#answer .count")).to_contain_text("unseen.jpg")


def test_a_photo_of_the_test_split_is_picked_and_its_count_compared(
    visit: Callable[..., Visitor], released: Released
) -> None:
    page = visit().open("/endpoint")
    page.locator("button.pick").first.click()
    counted(page, released)
    expect(page.locator("#answer")).to_contain_text("the true count is ")


def test_a_photo_is_chosen_by_the_keyboard_and_what_is_none_is_refused(
    visit: Callable[..., Visitor], released: Released, photo: Path, tmp_path: Path
) -> None:
    visiting = visit()
    page = visiting.open("/endpoint")
    page.get_by_label("A photo of a bin").set_input_files(photo)
    counted(page, released)
    text = tmp_path / "notes.jpg"
    text.write_text("no photo")
    page.get_by_label("A photo of a bin").set_input_files(text)
    expect(page.locator("#answer .notice.bad")).to_contain_text("notes.jpg")


def test_an_operator_may_not_go_back_and_reads_who_may(
    visit: Callable[..., Visitor], released: Released, first_run: Run
) -> None:
    visiting = visit()
    page = visiting.open("/endpoint")
    page.get_by_role("link", name="Go back").click()
    page.get_by_role("button", name=f"Go back to version {first_run.version}").click()
    refused(visiting, page)


def test_the_photos_of_the_endpoint_are_compared_and_the_result_is_followed(
    visit: Callable[..., Visitor], monitored: str
) -> None:
    page = visit().open(f"/monitor/{monitored}")
    expect(page.locator("#live-state .status").first).to_have_text("Completed")
    expect(page.locator("#live-state")).to_contain_text("Too few photos for a comparison")
    expect(visit().open("/monitor").get_by_role("region", name="Windows")).to_contain_text(monitored)


def test_a_failed_run_is_told_in_the_alerts(visit: Callable[..., Visitor], failed_run: Run) -> None:
    page = visit().open("/inbox")
    # The event of a run that ended reaches the alert function a moment later; the page shows it by itself.
    message = page.get_by_role("listitem").filter(has_text=failed_run.identity).first
    expect(message).to_be_visible(timeout=journey.SECONDS * 1000)
    message.get_by_role("link", name=re.compile("Look")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(failed_run.identity)


def refused(visiting: Visitor, page: Page) -> None:
    """The page shows a refusal with the policy that allows what was asked for."""
    expect(page.get_by_role("heading", level=1)).to_have_text("This failed")
    expect(page.get_by_role("alert")).to_contain_text("which the policy bins-approver has")
    # The refusal has its status, which Chromium reports.
    (fault,) = visiting.faults
    assert "status of 400" in fault
    visiting.faults.clear()


def drop(page: Page, file: Path) -> None:
    """Drop a file on the form for photos, as from a file manager."""
    content = list(file.read_bytes())
    transfer = page.evaluate_handle(
        """([content, name]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(content)], name, { type: "image/jpeg" }));
          return transfer;
        }""",
        [content, file.name],
    )
    zone = page.locator("[data-drop]")
    for event in ("dragover", "drop"):
        zone.dispatch_event(event, {"dataTransfer": transfer})


def counted(page: Page, released: Released) -> None:
    """The page shows a count, its probabilities, its time and the version that answered."""
    shown = page.locator("#answer")
    expect(shown.locator(".count")).to_have_text(re.compile(r"^[0-5] objects? in "), timeout=60_000)
    expect(shown).to_contain_text(f"version {released.run.version}")
    expect(shown).to_contain_text(re.compile(r"\d+ ms from request to answer"))
    shown.get_by_text("As a table").click()
    expect(shown.locator("tbody tr").last).to_contain_text("%")
