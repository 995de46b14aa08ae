"""The pages of the console by address, and what each has to bear: accessibility, the keyboard, a narrow screen."""

from __future__ import annotations

import re
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from pipeline.console.pages import ROUTES

# https://docs.deque.com/devtools-html/4.0.0/en/impact/
GRAVE = ("serious", "critical")
# What a person can act on, or scroll, by the keyboard.
_REACHABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary, iframe, [tabindex='0']"


def paths() -> list[str]:
    """The pages' paths as the routes have them, such as /runs/{run}; a page that is added is among them."""
    return [path for routes in ROUTES for path in routes.pages]


def filled(path: str, values: dict[str, str]) -> str:
    """The path of a page of this console. Raises KeyError for a part of the path that has no value."""
    return re.sub(r"{(\w+)}", lambda part: values[part[1]], path)


def settled(page: Page) -> None:
    """Wait until every region that is going to change at once has done so, and every photo is there."""
    page.wait_for_load_state("load")
    page.wait_for_function("[...document.images].every((image) => image.complete || image.loading === 'lazy')")


def grave_faults(page: Page) -> list[str]:
    """The serious and critical faults of axe-core's rules in a page, one line each."""
    # The reports within pages are pages of their own, in sandboxes that axe-core cannot enter.
    response: dict[str, Any] = Axe().run(page, options={"resultTypes": ["violations"], "iframes": False}).response
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {node['target']} {node['html'][:200]} {_measured(node)}"
        for fault in response["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


def _measured(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for check in [*node["any"], *node["all"], *node["none"]])


def overflow(page: Page) -> list[str]:
    """What reaches beyond the right edge of the page, where it is wider than the screen."""
    found: list[str] = page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          return [...document.body.querySelectorAll("*")]
            .filter((each) => each.getBoundingClientRect().right > width && !each.closest(".scroll, .drawing, .skip"))
            .map((each) => `${each.tagName} ${each.className} ${Math.round(each.getBoundingClientRect().right)}`);
        }"""
    )
    return found


def squeezed(page: Page) -> list[str]:
    """Cells of tables whose words stand a few letters a line, since another column has taken the room."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("td, th")]
          .filter((each) => each.clientWidth && each.clientWidth < 40 && each.clientHeight > 80)
          .map((each) => `${each.clientWidth} by ${each.clientHeight}: ${each.innerText.slice(0, 80)}`)"""
    )
    return found


def unreached(page: Page) -> list[str]:
    """What can be acted on, and the Tab key does not reach from the top of the page, or without a sign of it."""
    while True:
        missed = _tabbed(page)
        # A region that was swapped meanwhile has other elements.
        if not page.evaluate("window.replaced"):
            return missed


def _tabbed(page: Page) -> list[str]:
    page.evaluate(
        """(reachable) => {
          const shown = (each) => each.checkVisibility({ visibilityProperty: true }) && !each.disabled;
          const width = (part) => getComputedStyle(part).strokeWidth;
          window.replaced = false;
          document.addEventListener("replaced", () => { window.replaced = true; });
          window.waiting = new Set([...document.querySelectorAll(reachable)].filter(shown));
          window.unsigned = new Set();
          window.count = window.waiting.size;
          document.activeElement.blur();
          // A link in a drawing has a stronger line around its box in place of an outline.
          window.lines = (each) => [...each.querySelectorAll("*")].map(width).join();
          window.before = new Map([...document.querySelectorAll("svg a")].map((each) => [each, window.lines(each)]));
        }""",
        _REACHABLE,
    )
    for _ in range(2 * int(page.evaluate("window.count")) + 20):
        page.keyboard.press("Tab")
        more = page.evaluate(
            """() => {
              const at = document.activeElement;
              if (window.waiting.delete(at) && at.tagName !== "IFRAME") {
                const style = getComputedStyle(at);
                const hasOutline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
                const hasLine = window.before.has(at) && window.before.get(at) !== window.lines(at);
                if (!hasOutline && !hasLine) window.unsigned.add(at);
              }
              return window.waiting.size > 0 && !window.replaced;
            }"""
        )
        if not more:
            break
    missed: list[str] = page.evaluate(
        """() => [...window.waiting].map((each) => `not reached: ${each.outerHTML.slice(0, 120)}`).concat(
          [...window.unsigned].map((each) => `focus not visible: ${each.outerHTML.slice(0, 120)}`))"""
    )
    return missed
