"""What console.js keeps while a region of a page is brought up to date: the person's place, and what they are about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from pipeline import ROOT

SCRIPT = (ROOT / "pipeline" / "console" / "static" / "console.js").read_text()
ADDRESS = "http://console.test/"
LINES = "".join(f"<div class=line>line {number}</div>" for number in range(1, 41))
LOG = '<div id="lines" data-scroll style="height: 100px; overflow: auto">{}</div>'
FORM = '<form data-ask="Sure?"><input id="comment" value="{}"><button id="approve">Approve</button></form>'
PAGE = """<!doctype html><title>page</title><p id="connection" hidden></p>
<div id="live-log">{log}</div><div id="live-decision">{form}</div><p id="outside">outside</p>
<script src="/console.js"></script>"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with a following log and a form, which nothing updates but the test."""
    context = browser.new_context()
    page = context.new_page()

    def answer(route: Route) -> None:
        if route.request.url.endswith(".js"):
            route.fulfill(body=SCRIPT, content_type="text/javascript")
        else:
            route.fulfill(body=PAGE.format(log=LOG.format(LINES), form=FORM.format("")), content_type="text/html")

    page.route(f"{ADDRESS}**", answer)
    page.goto(ADDRESS)
    yield page
    context.close()


def update(page: Page, region: str, html: str) -> None:
    """What console.js does with an event of the stream."""
    page.evaluate("([id, html]) => replace(document.getElementById(id), html)", [region, html])


def more(page: Page) -> None:
    update(page, "live-log", LOG.format(LINES + "<div class=line>line 41</div>"))


def last_line(page: Page) -> str:
    return page.locator(".line").last.inner_text()


def test_a_selection_stays_and_what_came_meanwhile_is_shown_after_it(page: Page) -> None:
    page.evaluate("getSelection().selectAllChildren(document.querySelectorAll('.line')[2])")
    more(page)
    assert page.evaluate("getSelection().toString()") == "line 3"
    assert last_line(page) == "line 40"
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.locator(".line")).to_have_count(41)


def test_a_selection_elsewhere_holds_nothing_up(page: Page) -> None:
    page.evaluate("getSelection().selectAllChildren(document.getElementById('outside'))")
    more(page)
    assert last_line(page) == "line 41"
    assert page.evaluate("getSelection().toString()") == "outside"


def test_a_region_is_not_swapped_below_a_pressed_button_of_the_mouse(page: Page) -> None:
    line = page.locator(".line").first
    line.hover()
    page.mouse.down()
    more(page)
    assert last_line(page) == "line 40"
    page.mouse.up()
    expect(page.locator(".line")).to_have_count(41)


@pytest.mark.parametrize(("top", "after"), [(30, "stays"), (10_000, "follows")])
def test_a_log_follows_its_end_and_stays_where_it_was_scrolled(page: Page, top: int, after: str) -> None:
    log = page.locator("#lines")
    log.evaluate("(log, top) => { log.scrollTop = top; }", top)
    more(page)
    place, end = log.evaluate("(log) => [log.scrollTop, log.scrollHeight - log.clientHeight]")
    assert place == (30 if after == "stays" else end)


def test_what_is_typed_stays_in_a_field_and_the_region_follows_once_it_is_left(page: Page) -> None:
    page.locator("#comment").fill("better on boo")
    update(page, "live-decision", FORM.format("") + "<p>now version 3 serves</p>")
    expect(page.get_by_text("now version 3 serves")).to_have_count(0)
    page.locator("#comment").press_sequentially("ks")
    page.locator("#comment").press("Tab")
    expect(page.get_by_text("now version 3 serves")).to_be_visible()
    expect(page.locator("#comment")).to_have_value("better on books")
    expect(page.locator("#approve")).to_be_focused()


def test_a_region_waits_for_the_answer_to_a_question(page: Page) -> None:
    page.locator("#approve").click()
    update(page, "live-decision", "<p>decided elsewhere</p>")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#approve")).to_have_count(1)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("decided elsewhere")).to_be_visible()


def test_a_form_is_sent_after_the_question_and_asks_again_the_next_time(page: Page) -> None:
    """A browser shows this very page again by its button Back, where a form without its question would be sent."""
    sent: list[str] = []

    def answer(route: Route) -> None:
        sent.append(route.request.url)
        route.fulfill(status=204)

    page.route("**/?", answer)
    for number in (1, 2):
        page.click("#approve")
        assert len(sent) == number - 1
        with page.expect_request("**/?"):
            page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    page.click("#approve")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(sent) == 2
