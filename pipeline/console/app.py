"""The console as an ASGI application: its routes, their errors, and the streams of live pages."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from pipeline.clients import verify_account
from pipeline.console import live, uploads
from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import ROUTES
from pipeline.console.routes import Action, Download, Page, Upload, Values, values_of
from pipeline.console.security import Guard, is_token
from pipeline.console.uploads import UploadError
from pipeline.console.view import Renderer

log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
_OTHER_CONSOLE = "the form is of another console; reload its page, and send it again\n"
# Bytes of the largest form without a file: parameters and a comment.
FORM_LIMIT = 100_000
# Seconds in which streams end by themselves when the server ends (serving.py).
ENDING_SECONDS = 1.0
Endpoint = Callable[[Request], Awaitable[Response]]
Result = TypeVar("Result")


def application(console: Console, port: int) -> ASGIApp:
    """The application that listens on this port of 127.0.0.1."""
    return Guard(_application(console), port, console.key)


def _application(console: Console) -> Starlette:
    renderer = Renderer(console)
    pages: list[Route] = []
    routes: list[Route | Mount] = [
        Mount("/static", _Static(directory=_STATIC)),
    ]
    for part in ROUTES:
        for path, page in part.pages.items():
            pages.append(Route(path, _page(console, renderer, page)))
        for path, action in (part.actions or {}).items():
            routes.append(Route(path, _action(console, renderer, action), methods=["POST"]))
        for path, download in (part.downloads or {}).items():
            routes.append(Route(path, _download(console, renderer, download)))
        for path, upload in (part.uploads or {}).items():
            routes.append(Route(path, _upload(console, renderer, upload), methods=["POST"]))
    looks = {path: page for part in ROUTES for path, page in part.pages.items()}
    routes.append(Route("/live", _live(console, renderer, pages, looks)))
    return Starlette(routes=[*routes, *pages], exception_handlers={404: _not_found(renderer)})


def look_at(console: Console, page: Page, values: dict[str, str]) -> View:
    """The view of a page, or of what went wrong."""
    try:
        return page(console, values)
    except Exception as error:
        return problem(console, error)


def problem(console: Console, error: Exception) -> View:
    """The page of an error, with its remedy."""
    if isinstance(error, NotFoundError):
        return View("problem.html", {"lines": str(error).splitlines(), "title": "Not found"}, status=404)
    lines = console.explain(error)
    if lines is None or lines.startswith("unexpected "):
        log.error("an unexpected error", exc_info=error)
        lines = f"unexpected {type(error).__name__}: {error}; its traceback is in the console's output or log"
    return View("problem.html", {"lines": console.pasted(lines).splitlines(), "title": "This failed"}, status=502)


def _page(console: Console, renderer: Renderer, page: Page) -> Endpoint:
    async def answer(request: Request) -> Response:
        path = _path_of(request)
        return await _in_thread(lambda: shown(console, renderer, look_at(console, page, values_of(request)), path))

    return answer


def shown(console: Console, renderer: Renderer, view: View, path: str) -> HTMLResponse:
    """The whole page of a view; the page of the error where it cannot be rendered."""
    try:
        return HTMLResponse(renderer.page(view, path), status_code=view.status)
    except Exception as error:
        failed = problem(console, error)
        return HTMLResponse(renderer.page(failed, path), status_code=failed.status)


async def _in_thread(function: Callable[[], Result]) -> Result:
    return await anyio.to_thread.run_sync(function)


def _action(console: Console, renderer: Renderer, action: Action) -> Endpoint:
    async def answer(request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > FORM_LIMIT:
            return PlainTextResponse(f"a form has at most {FORM_LIMIT:,} bytes, and says how many\n", 413)
        form = await request.form(max_files=0, max_fields=200)
        if not is_token(_text(form, "token"), console.token):
            return PlainTextResponse(_OTHER_CONSOLE, 403)
        values = {name: _text(form, name) for name in form if name != "token"}
        try:
            place = await _in_thread(lambda: act(console, action, {**values, **values_of(request)}))
        except Exception as error:
            view = problem(console, error)
            status = view.status if view.status == 404 else 400
            return shown(console, renderer, dataclasses.replace(view, status=status), _path_of(request))
        finally:
            console.readings.forget()
        return RedirectResponse(place, 303)

    return answer


def act(console: Console, action: Action, values: Values) -> str:
    """Do what a form asks for. Raises PipelineError for credentials of another account than the settings'."""
    # Pipeline, registry and endpoint have names that another account may have, too.
    verify_account(console.settings)
    return action(console, values)


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _download(console: Console, renderer: Renderer, download: Download) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await _in_thread(lambda: download(console, values_of(request)))
        except Exception as error:
            return shown(console, renderer, problem(console, error), _path_of(request))

    return answer


def _upload(console: Console, renderer: Renderer, upload: Upload) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            sent = await uploads.read(request)
        except UploadError as error:
            return PlainTextResponse(f"{error}\n", error.status)
        if not is_token(sent.fields.get("token", ""), console.token):
            return PlainTextResponse(_OTHER_CONSOLE, 403)
        values = values_of(request)

        def answered() -> Response:
            view = look_at(console, lambda *_: upload(console, values, sent), values)
            return shown(console, renderer, view, _path_of(request))

        return await _in_thread(answered)

    return answer


def _live(console: Console, renderer: Renderer, pages: list[Route], looks: dict[str, Page]) -> Endpoint:
    async def answer(request: Request) -> Response:
        path, _, query = request.query_params.get("page", "").partition("?")
        scope: Scope = {"type": "http", "method": "GET", "path": unquote(path), "headers": [], "root_path": ""}
        for route in pages:
            match, child = route.matches(scope)
            if match == Match.FULL:
                asked = Request({**scope, **child, "query_string": query.encode()})
                look = functools.partial(look_at, console, looks[route.path], values_of(asked))
                ending = anyio.Event()
                events = live.events(request, look, renderer, path, ending)
                return EventSourceResponse(events, ping=30, shutdown_event=ending, shutdown_grace_period=ENDING_SECONDS)
        return PlainTextResponse("there is no such page\n", 404)

    return answer


def _not_found(renderer: Renderer) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette passes it
        lines = ["There is no such page in the console; its pages are in the bar above."]
        view = View("problem.html", {"lines": lines, "title": "Not found"}, status=404)
        return HTMLResponse(renderer.page(view, _path_of(request)), status_code=404)

    return answer


def _path_of(request: Request) -> str:
    """The path and query of a request, as its address has them."""
    query = request.url.query
    return quote(request.scope["path"]) + (f"?{query}" if query else "")


class _Static(StaticFiles):
    """Files of this package; their addresses carry a digest, so a browser may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "private, max-age=31536000, immutable"
        return answer
