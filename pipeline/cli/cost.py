"""The command cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import RUN, Options, app, options_of
from pipeline.cli.output import AsJson, show, status, write_json
from steps.contracts.errors import PipelineError
from steps.contracts.wording import count_of

if TYPE_CHECKING:
    from pipeline.operations.cost.money import Bill
    from pipeline.operations.cost.prices import Prices
    from pipeline.settings import Settings


def _option(text: str, **limits: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="For an estimate", show_default=False, **limits)


@app.command(rich_help_panel=RUN)
def cost(
    context: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Id or ARN of a run, or 'latest': show its cost.", show_default=False),
    ] = None,
    photos: Annotated[int | None, _option("Number of photos (default: those of the latest run).", min=1)] = None,
    average_kilobytes: Annotated[
        float | None, _option("Size of a photo in kilobytes (default: 57).", min=1, max=100_000)
    ] = None,
    photos_per_second: Annotated[
        float | None,
        _option("Training rate of a trial, all its instances together (default: as in the latest run).", min=0.01),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prices in place of the project's.", show_default=False)
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Estimate without asking AWS for the latest run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the cost of a run and of a month of the endpoint; with RUN, show the cost of that run.

    Prices are those of a dated file.
    """
    from pipeline.operations.cost.prices import FILE, Prices

    options = options_of(context)
    settings = options.settings()
    table = Prices(prices or FILE, settings.account.region)
    given = {"photos": photos, "average-kilobytes": average_kilobytes, "photos-per-second": photos_per_second}
    if run is None:
        _estimate(options, table, *given.values(), offline=offline, as_json=as_json)
        return
    for name, value in {**given, "offline": offline or None}.items():
        if value is not None:
            raise PipelineError(f"--{name} is for an estimate; leave it out, or leave RUN out")
    _actual(options.connected(), run, table, as_json=as_json)


def _estimate(
    options: Options,
    prices: Prices,
    number: Any,
    kilobytes: float | None,
    photos_per_second: float | None,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    from decimal import Decimal

    from pipeline.cli.views import cost as view
    from pipeline.operations.cost import estimate, measured
    from pipeline.operations.cost.money import Range

    settings = options.settings()
    with status("reading the latest run"):
        not_asked = "--offline" if offline else _unreachable(options)
        photos = measured.photos(settings, number, Decimal(str(kilobytes)) if kilobytes else None, not_asked)
        if photos_per_second is not None:
            rate, note = Range.of(Decimal(str(photos_per_second))), "training rate: as given by --photos-per-second"
        elif not_asked or settings.account.target == "local":  # this machine's rate is not that of AWS's instances
            rate, note = None, "the training rate is assumed; set a measured one: --photos-per-second N"
        else:
            rate, note = measured.training_rate(settings)
    result = estimate.estimate(settings, photos, prices, rate)
    over = _over_budget(settings.alerts.monthly_budget, result.bill)
    notes = _notes(settings, prices, result.bill, [note, *result.notes, *over], estimate.NOT_INCLUDED)
    if as_json:
        write_json(
            {
                "region": settings.account.region,
                "photos": photos,
                "run": {**view.bill_document(result.run), "seconds": view.range_document(result.seconds)},
                "month": view.bill_document(result.endpoint),
                "prices": view.price_documents(result.bill.prices),
                "assumptions": view.assumption_documents(result.assumptions),
                "notes": notes,
            }
        )
        return
    show(
        f"{count_of(photos.total, 'photo')} of {photos.kilobytes.normalize():f} KB: {photos.origin}\n",
        view.bill_table({"a run": result.run, "a month": result.endpoint}),
        f"\na run takes {view.duration(result.seconds)} without cached steps",
        *view.basis(result.bill, result.assumptions, notes),
    )


def _over_budget(budget: float, bill: Bill) -> list[str]:
    most = bill.total.high
    if not budget or most <= budget:
        return []
    return [f"a month with one run may cost {most:,.2f} USD, more than alerts.monthly_budget, {budget:,.2f}"]


def _unreachable(options: Options) -> str:
    """Why the settings' account cannot be asked; else empty, and this process is pointed at it.

    One question with short timeouts: without a network each later one would wait by itself. Raises PipelineError for
    credentials that AWS does not accept.
    """
    from botocore.exceptions import NoCredentialsError

    from pipeline.aws import errors
    from pipeline.clients import probing_client
    from pipeline.operations.cost.measured import reason, unanswered

    try:
        settings = options.connected()
        if settings.account.target != "local":
            probing_client(settings, "sts").get_caller_identity()
    except unanswered() as error:
        if isinstance(error, PipelineError | NoCredentialsError) or errors.is_unreachable(error):
            return reason(error)
        raise PipelineError(f"{errors.explained(error)}; without AWS: python -m pipeline cost --offline") from error
    return ""


def _actual(settings: Settings, reference: str, prices: Prices, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from rich.text import Text

    from pipeline.cli.views import cost as view
    from pipeline.cli.views.cells import status_text
    from pipeline.operations.cost import actual

    with status("reading the run's jobs"):
        result = actual.read(settings, reference, prices, datetime.now(UTC))
    run = result.execution
    running = [] if run.ended else ["the run has not ended: this is its cost so far"]
    notes = _notes(settings, prices, result.bill, [*running, *result.notes], actual.NOT_INCLUDED)
    if as_json:
        write_json(
            {
                "run": run.arn,
                "status": run.status,
                "region": settings.account.region,
                **view.bill_document(result.bill),
                "prices": view.price_documents(result.bill.prices),
                "notes": notes,
            }
        )
        return
    show(
        Text.assemble("run ", (run.id, "bold"), "  ", status_text(run.status)),
        view.bill_table({"total": result.bill}),
        *view.basis(result.bill, (), notes),
    )


def _notes(settings: Settings, prices: Prices, bill: Bill, notes: list[str], not_included: str) -> list[str]:
    from datetime import UTC, datetime

    from pipeline.operations.cost.prices import warnings

    is_local = settings.account.target == "local"
    local = ["this profile runs on this machine and costs nothing: amounts are at AWS's prices"] if is_local else []
    doubts = warnings(bill.prices, datetime.now(UTC).date())
    return [*local, *prices.notes, *notes, *doubts, f"not included: {not_included}"]
