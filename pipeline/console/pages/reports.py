"""The pages that steps write: the evaluation's report and the pages about the data, as they are, in a sandbox."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.console.console import Console, NotFoundError
from pipeline.console.routes import Routes, Values
from pipeline.console.security import REPORT_POLICY
from pipeline.operations.models import pages
from pipeline.operations.models.pages import Page
from steps.contracts.errors import PipelineError


def report(console: Console, values: Values) -> Response:
    """The report of a run's evaluation."""
    try:
        return sandboxed(pages.report(console.settings, values["run"]))
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error


def eda(console: Console, values: Values) -> Response:
    """The page about a run's data."""
    try:
        return sandboxed(pages.eda(console.settings, values["run"]))
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error


def exploration(console: Console, values: Values) -> Response:
    """The page of the step that explores all data of a run."""
    try:
        return sandboxed(pages.exploration(console.settings, values["run"]))
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error


def sandboxed(page: Page) -> Response:
    """A page of a step, which can neither reach this console nor load anything."""
    headers = {"content-security-policy": REPORT_POLICY}
    return Response(page.content, media_type="text/html; charset=utf-8", headers=headers)


ROUTES = Routes(
    {},
    downloads={"/runs/{run}/report": report, "/runs/{run}/eda": eda, "/runs/{run}/exploration": exploration},
)
