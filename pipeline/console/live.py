"""Live pages by server-sent events: the regions of a page that have changed since the browser saw them.

A page is looked at again every `View.refresh` seconds while a browser shows it; what it reads is shared by all
browsers (`readings.py`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request

from pipeline.console.console import View
from pipeline.console.view import Renderer

log = logging.getLogger(__name__)
# Browsers open a stream again by themselves; a stream that ends for good says so.
# https://html.spec.whatwg.org/multipage/server-sent-events.html
REGION, STATE, END = "region", "state", "end"


async def events(
    request: Request, look: Callable[[], View], renderer: Renderer, path: str, ending: anyio.Event
) -> AsyncIterator[dict[str, Any]]:
    """The events of a page: a `region` with id and HTML per change, and `end` once nothing will change any more.

    Where a look fails, a `state` event has the reason, and the next look is tried all the same. `ending` is set when
    the server ends, and the stream with it.
    """
    last: dict[str, str] = {}
    problem, refresh = "", 1.0
    while not (ending.is_set() or await request.is_disconnected()):
        try:
            regions, refresh = await anyio.to_thread.run_sync(_regions, look, renderer, path)
        except _LookError as error:
            if str(error) != problem:
                problem = str(error)
                yield {"event": STATE, "data": json.dumps({"problem": problem})}
            await _pause(max(refresh, 10.0), ending)
            continue
        if problem:
            problem = ""
            yield {"event": STATE, "data": json.dumps({"problem": ""})}
        for identity, html in regions.items():
            if last.get(identity) != html:
                last[identity] = html
                yield {"event": REGION, "data": json.dumps({"id": identity, "html": html})}
        if not refresh:
            yield {"event": END, "data": "{}"}
            return
        await _pause(refresh, ending)


async def _pause(seconds: float, ending: anyio.Event) -> None:
    with anyio.move_on_after(seconds):
        await ending.wait()


class _LookError(Exception):
    """A look at a page that failed, in words."""


def _regions(look: Callable[[], View], renderer: Renderer, path: str) -> tuple[dict[str, str], float]:
    view = look()
    if view.template == "problem.html":
        raise _LookError(" ".join(view.values["lines"]))
    try:
        return renderer.regions(view, path), view.refresh
    except Exception as error:
        log.exception("the page %s", path)
        raise _LookError(f"the page {path} cannot be rendered: {error}") from error
