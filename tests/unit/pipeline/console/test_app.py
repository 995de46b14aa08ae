"""Pages, forms and live updates of the console, over an account that moto pretends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import anyio
import boto3
import pytest
from starlette.testclient import TestClient

from pipeline.console import app, live
from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages.runs import Row
from pipeline.console.routes import Routes
from pipeline.console.view import Renderer
from pipeline.operations.runs import executions
from pipeline.operations.runs.executions import Execution
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.console.conftest import ORIGIN

pytestmark = pytest.mark.usefixtures("account")
Open = Callable[[Settings], TestClient]


@pytest.fixture
def upserted(account: None, settings: Settings) -> None:
    boto3.client("sagemaker", region_name="us-east-1").create_pipeline(
        PipelineName=settings.name,
        PipelineDefinition=json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": []}),
        RoleArn=settings.role_arn("pipeline"),
        ClientRequestToken="x" * 32,
    )


def console_of(settings: Settings) -> Console:
    return Console(settings, "python -m pipeline", str, lambda text: text.replace("python -m", "python3 -m"))


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/runs", 502)])
def test_an_account_without_the_pipeline_is_answered_with_the_next_command(
    opened: Open, settings: Settings, path: str, status: int
) -> None:
    answer = opened(settings).get(path)
    assert (answer.status_code, "python -m pipeline upsert" in answer.text) == (status, True)


def test_an_unknown_address_is_a_page_too(opened: Open, settings: Settings) -> None:
    answer = opened(settings).get("/none")
    assert (answer.status_code, "There is no such page" in answer.text) == (404, True)


@pytest.mark.usefixtures("upserted")
def test_a_form_that_fails_is_answered_with_the_reason(opened: Open, settings: Settings) -> None:
    browser = opened(settings)
    token = browser.headers["x-token-of-this-test"]
    answer = browser.post("/runs/none/stop", data={"token": token}, headers={"origin": ORIGIN}, follow_redirects=False)
    assert (answer.status_code, "has no run none" in answer.text) == (400, True)


def test_a_form_of_any_size_is_not_read(opened: Open, settings: Settings) -> None:
    browser = opened(settings)
    answer = browser.post("/runs/none/stop", data={"token": "x" * 200_000}, headers={"origin": ORIGIN})
    assert (answer.status_code, "at most 100,000 bytes" in answer.text) == (413, True)


def test_what_a_page_fails_on_is_shown_with_its_remedy_and_without_a_traceback(settings: Settings) -> None:
    def fails(*_: object) -> View:
        raise PipelineError("no such thing; see: python -m pipeline runs")

    view = app.look_at(console_of(settings), fails, {})
    assert (view.status, view.values["lines"]) == (502, ["no such thing; see: python3 -m pipeline runs"])


def test_what_does_not_exist_is_404(settings: Settings) -> None:
    def fails(*_: object) -> View:
        raise NotFoundError("the run x has no trials")

    assert app.look_at(console_of(settings), fails, {}).status == 404


class Asked:
    """A request whose browser goes away after some looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def is_disconnected(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def listed(*runs: Execution, refresh: float) -> View:
    """The page of runs with these."""
    return View("runs.html", {"rows": [Row(run) for run in runs], "older": "", "is_first": True}, refresh=refresh)


async def collected(
    views: list[View], settings: Settings, ending: anyio.Event | None = None
) -> list[tuple[str, dict[str, str]]]:
    looks = iter(views)
    renderer = Renderer(console_of(settings))
    request: Any = Asked(len(views))
    stream = live.events(request, lambda: next(looks), renderer, "/runs", ending or anyio.Event())
    return [(event["event"], json.loads(event["data"])) async for event in stream]


@pytest.mark.usefixtures("upserted")
def test_a_stream_sends_what_has_changed_and_ends_with_the_page(settings: Settings) -> None:
    run = executions.start(settings, {})
    empty, one, last = listed(refresh=0.01), listed(run, refresh=0.01), listed(run, refresh=0.0)
    events = anyio.run(collected, [empty, empty, one, last], settings)
    assert [name for name, _ in events] == ["region", "region", "end"]
    assert run.id not in events[0][1]["html"]
    assert run.id in events[1][1]["html"]


def test_a_look_that_fails_is_told_once_and_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def pause(seconds: float, ending: anyio.Event) -> None:
        slept.append(seconds)

    monkeypatch.setattr(live, "_pause", pause)
    problem = View("problem.html", {"lines": ["no network"], "title": "This failed"}, status=502)
    works = listed(refresh=5.0)
    events = anyio.run(collected, [problem, problem, works], settings)
    assert [(name, data.get("problem")) for name, data in events] == [
        ("state", "no network"),
        ("state", ""),
        ("region", None),
    ]
    assert slept[:2] == [10.0, 10.0]


def test_a_stream_ends_with_the_server_and_not_after_its_pause(settings: Settings) -> None:
    async def both() -> list[tuple[str, dict[str, str]]]:
        ending = anyio.Event()
        events: list[tuple[str, dict[str, str]]] = []

        async def collect() -> None:
            events.extend(await collected([listed(refresh=86_400.0)] * 2, settings, ending))

        async with anyio.create_task_group() as group:
            group.start_soon(collect)
            await anyio.wait_all_tasks_blocked()
            ending.set()
        return events

    with_pause = anyio.run(both)
    assert [name for name, _ in with_pause] in ([], ["region"])


def test_a_region_that_cannot_be_rendered_is_told_and_ends_no_stream(settings: Settings) -> None:
    broken = View("runs.html", {"rows": [Row(None)], "older": "", "is_first": True}, refresh=0.01)  # type: ignore[arg-type]
    ((name, data),) = anyio.run(collected, [broken], settings)
    assert (name, "cannot be rendered" in data["problem"]) == ("state", True)


def test_a_page_that_cannot_be_rendered_is_answered_with_the_error(settings: Settings) -> None:
    console = console_of(settings)
    broken = View("runs.html", {"rows": [Row(None)], "older": "", "is_first": True})  # type: ignore[arg-type]
    answer = app.shown(console, Renderer(console), broken, "/runs")
    assert (answer.status_code, b"This failed" in answer.body) == (502, True)


@pytest.mark.parametrize("page", ["", "http://[x/", "//[", "/none", "?", "/static/console.js", "%ff"])
def test_a_stream_of_no_page_is_not_found(opened: Open, settings: Settings, page: str) -> None:
    answer = opened(settings).get("/live", params={"page": page})
    assert (answer.status_code, answer.text) == (404, "there is no such page\n")


def test_the_address_of_a_live_page_leads_back_to_its_path(
    opened: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a browser has it: with the characters quoted that a path cannot have."""
    asked: list[str] = []

    def page(_: Console, values: Any) -> View:
        asked.append(values["run"])
        return listed(refresh=0.0 if len(asked) > 1 else 5.0)

    monkeypatch.setattr(app, "ROUTES", (Routes({"/of/{run}": page}),))
    browser = opened(settings)
    (live_page,) = re.findall(r'data-live="([^"]*)"', browser.get("/of/a%20b%3Fc").text)
    assert browser.get("/live", params={"page": live_page}).status_code == 200
    assert asked == ["a b?c"] * 2


def test_nothing_is_changed_with_credentials_of_another_account(settings: Settings) -> None:
    done: list[str] = []
    other = settings.model_copy(update={"account": settings.account.model_copy(update={"id": "444455556666"})})

    def action(*_: object) -> str:
        done.append("")
        return "/"

    with pytest.raises(PipelineError, match=r"of account 111122223333, the settings name 444455556666"):
        app.act(console_of(other), action, {})
    assert done == []
