"""A version of the model: evaluation, photos, lineage, and the decision on it."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import lineage_drawing, model_reads
from pipeline.console.pages.decision import Choice, choice_of, missing_evaluation
from pipeline.console.pages.reports import sandboxed
from pipeline.console.parts import Part, parts
from pipeline.console.routes import Routes, Values
from pipeline.operations.models import lineage, pages, pictures, registry
from pipeline.operations.models.comparison import METRICS, evaluated_on
from pipeline.operations.models.details import Details
from pipeline.operations.models.registry import Version
from steps.contracts.errors import PipelineError
from steps.contracts.wording import count_of
from steps.reports import charts

_JPEG = "image/jpeg"
# The photo of an id does not change.
_KEPT = {"cache-control": "private, max-age=3600"}


def version(console: Console, values: Values) -> View:
    """A version with all that a decision on it rests on."""
    chosen = _version(console, values)
    settings = console.settings
    read = parts(
        console,
        {
            "choice": lambda: choice_of(console, chosen),
            "details": lambda: model_reads.details(console, chosen),
            "golden": lambda: _golden(console, chosen),
            "errors": lambda: _errors(console, chosen),
            "photos": lambda: _readable(console, chosen),
            "lineage": lambda: model_reads.kept(
                console, ("lineage", chosen.arn), lambda: lineage.read(settings, chosen.arn)
            ),
        },
    )
    choice: Choice | None = read["choice"].value
    traced: Part = read["lineage"].value
    return View(
        "version.html",
        {
            "version": chosen,
            "metrics": METRICS,
            "evaluated_on": evaluated_on(chosen),
            "missing": missing_evaluation(chosen),
            "choice": choice,
            "choice_problem": read["choice"].problem,
            "details": read["details"].value,
            "golden": read["golden"].value,
            "errors": read["errors"].value,
            "photos_problem": read["photos"].value.problem,
            "classes": _classes(chosen),
            "lineage": traced,
            # `draw` escapes what the lineage contains.
            "drawing": Markup(lineage_drawing.draw(traced.value) if traced.value else ""),  # noqa: S704
            "facts": lineage_drawing.facts,
        },
        model_reads.refresh(console, choice.serving if choice else None),
    )


def _version(console: Console, values: Values) -> Version:
    """The version of a path. Raises NotFoundError where there is none."""
    reference = values["version"]
    if not (reference.isdecimal() or reference == registry.LATEST):
        raise NotFoundError(f"{reference!r} is no version: write its number, as in /models/3, or /models/latest")
    try:
        return model_reads.version(console, reference)
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error


def _errors(console: Console, chosen: Version) -> Part:
    key = ("largest errors", chosen.arn)
    return model_reads.kept(console, key, lambda: pictures.largest_errors(console.settings, chosen))


def _readable(console: Console, chosen: Version) -> Part:
    """Nothing, or why these credentials read no raw photos, by the first of the largest errors."""

    def read() -> None:
        for miscount in (_errors(console, chosen).value or ())[:1]:
            model_reads.check_readable(console, model_reads.details(console, chosen), miscount.image_id)

    return model_reads.kept(console, ("readable photos", chosen.arn), read)


def _test_split(console: Console, chosen: Version) -> Part:
    return model_reads.test_split(console, chosen.arn)


def _golden(console: Console, chosen: Version) -> Part:
    def read() -> tuple[pictures.GoldenPhoto, ...]:
        recorded = model_reads.details(console, chosen)
        if recorded.problem:
            raise PipelineError(recorded.problem)
        return pictures.golden_photos(console.settings, recorded.value)

    return model_reads.kept(console, ("golden photos", chosen.arn), read)


def _classes(chosen: Version) -> charts.Drawing | None:
    classes = chosen.evaluation.per_class
    if not classes:
        return None
    bars = [charts.Bar(quantity, metrics.accuracy) for quantity, metrics in classes.items()]
    return charts.bars("Accuracy by true count", "true count", "share of photos", bars, percent=True)


def report(console: Console, values: Values) -> Response:
    """The report of the version's evaluation, which can neither reach the console nor load anything."""
    chosen = _version(console, values)
    try:
        page = pages.report(console.settings, chosen.arn)
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error
    return sandboxed(page)


def golden(console: Console, values: Values) -> Response:
    """A golden photo by its place in the file."""
    photos = _value(_golden(console, _version(console, values)))
    place = values["place"]
    if not place.isdecimal() or len(place) > 9 or int(place) >= len(photos):
        raise NotFoundError(f"the version has {count_of(len(photos), 'golden photo')}, and none at {place[:20]}")
    return Response(photos[int(place)].jpeg, media_type=_JPEG, headers=_KEPT)


def photo(console: Console, values: Values) -> Response:
    """The raw photo of one of the largest errors, or of those to try the endpoint with, and no other photo."""
    chosen, image_id = _version(console, values), values["photo"]
    # The second is asked for where the first has not the photo.
    shown = (_value(read(console, chosen)) for read in (_errors, _test_split))
    if not any(image_id in {photo.image_id for photo in photos} for photos in shown):
        raise NotFoundError(f"the photo {image_id} is none of those that are shown of {chosen.name}")
    recorded: Details = _value(model_reads.details(console, chosen))
    content = pictures.original(console.settings, recorded, image_id)
    if content is None:
        place = recorded.parameters.get("ImageLocation") or "the location of its run, which is not recorded"
        raise NotFoundError(f"there is no photo {image_id} in {place} any more")
    return Response(content, media_type=_JPEG, headers=_KEPT)


def _value(read: Part) -> Any:
    if read.problem:
        raise NotFoundError(read.problem)
    return read.value


ROUTES = Routes(
    {"/models/{version}": version},
    downloads={
        "/models/{version}/report": report,
        "/models/{version}/golden/{place}": golden,
        "/models/{version}/photos/{photo}": photo,
    },
)
