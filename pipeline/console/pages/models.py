"""Versions of the model side by side, and two of them compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import model_reads, reads
from pipeline.console.parts import Part, parts
from pipeline.console.routes import Routes, Values
from pipeline.operations import links
from pipeline.operations.models import comparison, registry
from pipeline.operations.models.comparison import METRICS, evaluated_on, verdict
from pipeline.operations.models.registry import Summary, Version
from pipeline.operations.serving.endpoint import Endpoint

SHOWN = 20
# Pages of SHOWN versions; older versions have their page by number.
MOST_PAGES = 50


def models(console: Console, values: Values) -> View:
    """A page of the list of versions, newest first."""
    number = _page_number(values)
    read = parts(
        console,
        {
            # One more than is shown, for the link to older versions.
            "listed": lambda: model_reads.summaries(console, number * SHOWN + 1),
            "serving": lambda: model_reads.serving(console),
            "domain": lambda: reads.studio_domain(console),
        },
    )
    listed: Sequence[Summary] = read["listed"].value or []
    first = (number - 1) * SHOWN
    versions = model_reads.described(console, listed[first : first + SHOWN])
    data = {evaluated_on(version) for version in versions if version.evaluation.dataset_sha256}
    return View(
        "models.html",
        {
            "problem": read["listed"].problem,
            "versions": versions,
            "serving": read["serving"].value,
            "serving_problem": read["serving"].problem,
            "best": _best(versions),
            "several_data": len(data) > 1,
            "empty": registry.no_versions(console.settings),
            "evaluated_on": evaluated_on,
            "choices": [summary.version for summary in listed[: number * SHOWN]],
            "chosen": _chosen([version.version for version in versions], read["serving"].value),
            "page": number,
            "older": len(listed) > number * SHOWN,
            "away": links.of_group(console.settings, read["domain"].value) if versions else (),
        },
        model_reads.refresh(console, read["serving"].value),
    )


def _page_number(values: Values) -> int:
    text = values.get("page", "1")
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_PAGES:
        raise NotFoundError(
            f"the list has no page {text[:20]!r}: its pages are 1 to {MOST_PAGES}; an older version has the page"
            " /models/NUMBER"
        )
    return int(text)


def _best(versions: Sequence[Version]) -> Mapping[str, float]:
    """The best value of each metric, where versions differ in it."""
    best = {}
    for field, (_, better) in METRICS.items():
        shown = [value for version in versions if (value := getattr(version.evaluation, field)) is not None]
        if len(set(shown)) > 1:
            best[field] = better(shown)
    return best


def _chosen(numbers: Sequence[int], serving: Endpoint | None) -> tuple[int, int] | None:
    """The two versions that a person would compare: the one that serves, or else the one before, and the newest."""
    if len(numbers) < 2:
        return None
    served = serving.version if serving else None
    return (served if served is not None and served in numbers[1:] else numbers[1]), numbers[0]


def compare(console: Console, values: Values) -> View:
    """Two versions, the second less the first."""
    references = values.get("first", ""), values.get("second", "")
    read = parts(
        console,
        {
            "listed": lambda: model_reads.summaries(console, SHOWN + 1),
            "compared": lambda: _compared(console, *references) if all(references) else Part(),
        },
    )
    compared: Part = read["compared"].value
    numbers = [summary.version for summary in read["listed"].value or []][:SHOWN]
    named = [int(reference) for reference in references if reference.isdecimal() and len(reference) < 10]
    return View(
        "compare.html",
        {
            "comparison": compared.value,
            "problem": compared.problem,
            "choices": sorted({*numbers, *named}, reverse=True),
            "chosen": named if len(named) == 2 else _chosen(numbers, None),
            "metrics": METRICS,
            "evaluated_on": evaluated_on,
            "class_accuracy": comparison.class_accuracy,
            "verdict": verdict,
        },
    )


def _compared(console: Console, first: str, second: str) -> Part:
    settings = console.settings
    return model_reads.kept(console, ("comparison", first, second), lambda: comparison.compare(settings, first, second))


ROUTES = Routes({"/models": models, "/models/compare": compare})
