"""A browser before a real console over a local cloud: `make test-browser`. Elsewhere there is nothing to collect.

What takes minutes happens once, in fixtures: a run that is started through the form, its approval, a second version.
The tests look at it in whatever order.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, expect
from rich.console import Console

from pipeline import ROOT
from pipeline.cli import demo_run
from pipeline.connection import act_as, as_administrator
from pipeline.operations.account import local as account
from pipeline.operations.account import people
from pipeline.operations.models import registry
from pipeline.operations.serving import endpoint
from pipeline.operations.upsert import upsert
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.browser import chromium, journey
from tests.browser.chromium import Visitor, visitor
from tests.browser.consoles import PROFILE, console
from tests.browser.journey import Run
from tests.integration.conftest import LocalCloud, running

if not os.environ.get("TEST_BROWSER"):
    collect_ignore_glob = ["test_*.py"]

# Where photos come later than the run that reads them.
LATE = "s3://bins-raw/late"
BINS = demo_run.Bins(source=None, count=160, seed=3)
# The smallest network that learns, on the fewest photos and epochs; every model passes the gate.
SMALLEST: dict[str, dict[str, Any]] = {
    "training": {"epochs": 2, "image_size": 32, "batch_size": 8},
    "gate": {"minimum_accuracy": 0.0, "maximum_rmse": 10.0},
    # Long enough to be looked at on its way: many times the two seconds between readings of the page.
    "endpoint": {"canary_seconds": 60, "baking_seconds": 5},
}


@pytest.fixture(scope="session")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    for section, changes in SMALLEST.items():
        values["profiles"][PROFILE][section].update(changes)
    file = tmp_path_factory.mktemp("settings") / "pipeline.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture(scope="session")
def settings(settings_file: Path) -> Settings:
    return load_settings(settings_file, PROFILE)


@pytest.fixture(scope="session")
def cloud(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud with bins and the pipeline, which has not run yet."""
    if reason := chromium.missing():
        pytest.fail(reason, pytrace=False)
    with running(tmp_path_factory.mktemp("local") / "cloud") as started:
        with as_administrator():
            account.prepare(settings)
        with act_as(people.sign_in(settings, "admin")):
            demo_run.put_bins(settings, BINS, Console(file=io.StringIO()))
        with act_as(people.sign_in(settings, "ci")):
            upsert(settings)
        yield started


@pytest.fixture(scope="session")
def addresses(cloud: LocalCloud, settings: Settings, settings_file: Path) -> Iterator[dict[str, str]]:
    """The addresses of two consoles: an operator's, who runs the pipeline, and an approver's."""
    with ExitStack() as stack:
        yield {
            person: stack.enter_context(console(settings, settings_file, person)) for person in ("operator", "approver")
        }


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.chromium() as started:
        yield started


@contextmanager
def faultless(browser: Browser, address: str, **options: Any) -> Iterator[Visitor]:
    """A visitor whose pages may not have reported a fault by the end."""
    with visitor(browser, address, **options) as visiting:
        yield visiting
        assert visiting.faults == []


@pytest.fixture
def visit(browser: Browser, addresses: dict[str, str]) -> Iterator[Callable[..., Visitor]]:
    """Open the console of a person; the test fails where a page of it reported a fault."""
    with ExitStack() as stack:

        def visiting(person: str = "operator", **options: Any) -> Visitor:
            return stack.enter_context(faultless(browser, addresses[person], **options))

        yield visiting


@pytest.fixture(scope="session")
def first_run(browser: Browser, addresses: dict[str, str]) -> Run:
    """A run that was started through the form and followed to its end, on a page that was never loaded again."""
    with faultless(browser, addresses["operator"]) as visiting:
        page = visiting.open("/")
        run = journey.start(page, {}, name="first")
        assert journey.follow(page, run) == "Succeeded"
        run.version = journey.version_of(page)
        return run


@pytest.fixture(scope="session")
def second_run(browser: Browser, addresses: dict[str, str], first_run: Run) -> Run:
    """A run whose steps come from the cache of the first, and which registers the same model as another version."""
    with faultless(browser, addresses["operator"]) as visiting:
        page = visiting.open("/")
        run = journey.start(page, {"RegisterAgain": "yes"}, name="second")
        assert journey.follow(page, run) == "Succeeded"
        run.version = journey.version_of(page)
        return run


@dataclass(frozen=True)
class Released:
    """The run whose version replaced another on the endpoint, with what the endpoint's page showed meanwhile.

    `states` are those of the endpoint, and `shares` the percentages of the traffic that the new version had, in order.
    """

    run: Run
    states: tuple[str, ...]
    shares: tuple[int, ...]


@pytest.fixture(scope="session")
def released(
    browser: Browser, addresses: dict[str, str], settings: Settings, first_run: Run, second_run: Run
) -> Released:
    """The version of the first run is deployed, and then replaced by that of the second, which the page follows."""
    with faultless(browser, addresses["approver"]) as visiting:
        page = visiting.open(f"/models/{first_run.version}")
        journey.approve(page, comment="the first")
        with act_as(people.sign_in(settings, "approver")):
            arn = registry.resolve(settings, first_run.version).arn
            endpoint.wait(settings, arn, timeout=journey.SECONDS, interval=0.5)
        page.goto(f"{visiting.origin}/models/{second_run.version}")
        journey.approve(page, comment="as good as the first")
        states, shares = journey.follow_canary(page, second_run.version)
    return Released(second_run, states, shares)


@pytest.fixture(scope="session")
def failed_run(browser: Browser, addresses: dict[str, str], settings: Settings, first_run: Run) -> Run:
    """A run that failed, since its photos had not come yet."""
    with faultless(browser, addresses["operator"]) as visiting:
        page = visiting.open("/")
        run = journey.start(page, {"ImageLocation": LATE}, name="late-photos")
        assert journey.follow(page, run) == "Failed"
    return run


@pytest.fixture(scope="session")
def monitored(browser: Browser, addresses: dict[str, str], released: Released) -> str:
    """The name of a job that compared the photos of the endpoint with the test split."""
    with faultless(browser, addresses["operator"]) as visiting:
        page = visiting.open("/monitor")
        page.get_by_label("Compare the photos of the last hours").press("Enter")
        page.get_by_role("button", name="Start it").click()
        page.wait_for_url(re.compile(r"/monitor/(?!start)"))
        expect(page.locator("#live-state .status").first).to_have_text(
            re.compile("Completed|Failed"), timeout=journey.SECONDS * 1000
        )
        return page.url.rsplit("/", 1)[1]
