"""Debian's Chromium, driven by Playwright, and pages that may report no fault."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

PATH = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WIDE = {"width": 1100, "height": 900}
NARROW = {"width": 400, "height": 800}


def missing() -> str:
    """Why there is no browser, with the remedy; empty where there is one."""
    if Path(PATH).exists():
        return ""
    return f"no Chromium at {PATH}: apt-get install chromium, or set CHROMIUM to the path of one"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    # Its sandbox refuses to run as root, and a container has little shared memory.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """A browser's session with a console, which collects what its pages report: errors, failed requests, refusals.

    Chromium reports a violation of the content security policy as an error on the console, as it does for an answer
    with a status of 400 or more.
    """

    context: BrowserContext
    address: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(60_000)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        self.context.on("requestfailed", self._failed)

    @property
    def origin(self) -> str:
        """Scheme, name and port of the console."""
        return self.address.split("/?")[0]

    def open(self, path: str = "/") -> Page:
        """A new page at this path of the console."""
        page = self.context.new_page()
        # By the key the first time; the cookie opens the others.
        if not self.context.cookies():
            page.goto(self.address)
        page.goto(self.origin + path)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _failed(self, request: Request) -> None:
        # What the browser gives up by itself when its page is left: the stream, and photos under way.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"{request.method} {request.url}: {request.failure}")


@contextmanager
def visitor(browser: Browser, address: str, **options: Any) -> Iterator[Visitor]:
    """A visitor to the console at this address; `options` are those of Playwright's `new_context`."""
    context = browser.new_context(**{"viewport": WIDE, **options})
    try:
        yield Visitor(context, address)
    finally:
        context.close()
