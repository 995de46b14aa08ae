"""What a person does in the console, and what the pages show meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from playwright.sync_api import Page, expect

# A busy machine gets the time that it needs.
SECONDS = 600.0
ENDED = ("Succeeded", "Failed", "Stopped")
# What pages show: each step in the table, and in the drawing (title, name, kind, state and time); the endpoint's state,
# the version that serves, and the percentage of the traffic that the next one has.
_STEPS = """[...document.querySelectorAll("#live-steps tbody tr")].map(
  (row) => [row.cells[0].innerText.trim(), row.cells[1].innerText.trim()])"""
_SERVES = """["#live-head .status", "#live-head .facts-line a", "#live-head .traffic td.number"]
  .map((place) => document.querySelector(place)?.innerText.trim() ?? "")
  .map((text, index) => index === 2 ? text.replace(/%.*/, "") : text)"""
_DRAWN = """[...document.querySelectorAll("#live-drawing a")].map(
  (step) => [step.getAttribute("href").split("/").pop(), step.getAttribute("aria-label")])"""


@dataclass
class Run:
    """A run that was started in the console, with every status that its page showed of each step, in order."""

    identity: str
    statuses: dict[str, list[str]] = field(default_factory=dict)
    drawn: dict[str, list[str]] = field(default_factory=dict)
    version: str = ""


def start(page: Page, parameters: Mapping[str, str], name: str = "", fresh: str = "") -> Run:
    """Start a run through the form, from any page, and stay on the page of the run."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="Start a run").click()
    page.get_by_label("Name").fill(name)
    if fresh:
        page.get_by_label("Run again").select_option(fresh)
    for parameter, value in parameters.items():
        entry = page.locator(f"#p-{parameter}")
        if entry.evaluate("(each) => each.tagName") == "SELECT":
            entry.select_option(value)
        else:
            entry.fill(value)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Start it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run ")
    return Run(page.url.rsplit("/", 1)[1])


def follow(page: Page, run: Run, done: Callable[[], bool] | None = None) -> str:
    """Look at the page of a run, without loading it again, until the run ends or `done`. Returns its status."""
    loaded = page.evaluate("performance.timeOrigin")
    status = page.locator("#live-head .status").first
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        # Before the rest: the regions of a page change one after the other.
        has_ended = status.inner_text() in ENDED
        for name, shown in page.evaluate(_STEPS):
            _note(run.statuses, name, shown)
        for name, shown in page.evaluate(_DRAWN):
            _note(run.drawn, name, shown)
        is_settled = has_ended and not page.locator("#live-steps .status.busy").count()
        if is_settled or (done is not None and done()):
            assert page.evaluate("performance.timeOrigin") == loaded, "the page was loaded again"
            return status.inner_text()
        page.wait_for_timeout(100)
    raise AssertionError(f"{run.identity} has not ended within {SECONDS} seconds: {run.statuses}")


def _note(seen: dict[str, list[str]], name: str, shown: str) -> None:
    states = seen.setdefault(name, [])
    if not states or states[-1] != shown:
        states.append(shown)


def version_of(page: Page) -> str:
    """The number of the version that the run of a page registered."""
    return page.locator("#live-head a[href^='/models/']").inner_text().removeprefix("Version ")


def answer(page: Page, button: str) -> None:
    """Press a button, and the same button of the question that it asks."""
    page.get_by_role("button", name=button, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


def approve(page: Page, comment: str) -> None:
    """Approve the version of a page, by the button and the question."""
    page.get_by_label("Comment").fill(comment)
    answer(page, "Approve")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("This failed")


def follow_canary(page: Page, version: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Look at the endpoint's page, to which an approval leads, until it serves the version.

    Returns the endpoint's states, and the percentages of the traffic that the version had, in order.
    """
    expect(page.get_by_role("heading", level=1)).to_contain_text("Endpoint")
    loaded = page.evaluate("performance.timeOrigin")
    states, shares = list[str](), list[int]()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        state, serves, share = page.evaluate(_SERVES)
        if state not in states[-1:]:
            states.append(state)
        if share and int(share) not in shares[-1:]:
            shares.append(int(share))
        if state == "InService" and serves == f"version {version}":
            assert page.evaluate("performance.timeOrigin") == loaded, "the page was loaded again"
            return tuple(states), tuple(shares)
        page.wait_for_timeout(100)
    raise AssertionError(f"version {version} is not deployed within {SECONDS} seconds: {states}, {shares}")
