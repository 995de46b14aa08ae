"""Every page on a narrow and a wide screen, light and dark: nothing grave by axe-core, all of it by the keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser import pages
from tests.browser.chromium import NARROW, WIDE, Visitor
from tests.browser.conftest import Released
from tests.browser.journey import Run

# The values of a query without which a page has nothing to show.
QUERIES = {"/models/compare": "?first=1&second=2"}


@pytest.mark.parametrize("screen", [NARROW, WIDE], ids=["400 px", "1100 px"])
@pytest.mark.parametrize("path", pages.paths())
def test_a_page_can_be_read_and_used_by_everybody(
    path: str, screen: dict[str, int], visit: Callable[..., Visitor], first_run: Run, released: Released, monitored: str
) -> None:
    values = {
        "run": first_run.identity,
        "step": "TuneModel",
        "version": released.run.version,
        "trial": "1",
        "job": monitored,
    }
    page = visit("operator", viewport=screen).open(pages.filled(path, values) + QUERIES.get(path, ""))
    pages.settled(page)
    found = pages.overflow(page) + pages.squeezed(page) + pages.unreached(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {fault}" for fault in pages.grave_faults(page)]
    assert found == []


@pytest.mark.parametrize("path", ["/", "/models", "/models/2", "/endpoint"])
def test_an_approver_can_read_what_a_decision_needs(
    path: str, visit: Callable[..., Visitor], released: Released
) -> None:
    page = visit("approver").open(path)
    pages.settled(page)
    assert page.get_by_role("heading", level=1).inner_text() != "This failed"
    assert pages.overflow(page) + pages.grave_faults(page) == []


def test_the_skip_link_comes_first_and_leads_past_the_bar(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/runs")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Start a run")).to_be_focused()


def test_enter_in_a_field_sends_the_form(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/start")
    page.get_by_label("Epochs").fill("1")
    page.get_by_label("Epochs").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start this run?")


def test_a_question_is_answered_by_the_keyboard(visit: Callable[..., Visitor], released: Released) -> None:
    page = visit("approver").open(f"/models/{released.run.version}")
    page.get_by_label("Reason").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Reject")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#live-head .status").first).to_have_text("Approved")


@pytest.mark.parametrize("path", ["/", "/runs", "/models", "/trials", "/data", "/endpoint", "/monitor", "/inbox"])
def test_a_page_prints_without_what_only_a_screen_needs(
    path: str, visit: Callable[..., Visitor], released: Released
) -> None:
    page = visit().open(path)
    page.emulate_media(media="print")
    assert shown(page, "nav, form, button, #connection") == []


def shown(page: Page, selector: str) -> list[str]:
    return [each.inner_text() for each in page.locator(selector).all() if each.is_visible()]
