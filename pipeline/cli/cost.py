"""Commands: cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import RUN, Options, app, options_of
from pipeline.cli.output import status, write_json
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from datetime import date

    from pipeline.operations.cost.actual import Cost
    from pipeline.operations.cost.estimate import Estimate
    from pipeline.operations.cost.facts import Facts
    from pipeline.operations.cost.measured import Measured
    from pipeline.operations.cost.money import Bill, Range
    from pipeline.operations.cost.prices import Prices
    from pipeline.operations.cost.rates import Assumption
    from pipeline.settings import Settings

_PANEL = "Of an estimate"
_WOULD = "this profile runs on this machine and costs nothing: amounts are what AWS would ask"


@app.command(rich_help_panel=RUN)
def cost(
    context: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id or ARN, or 'latest': what it did cost.", show_default=False),
    ] = None,
    photos: Annotated[
        int | None,
        typer.Option(min=1, help="How many; else as the latest run's.", rich_help_panel=_PANEL, show_default=False),
    ] = None,
    average_kilobytes: Annotated[
        float | None,
        typer.Option(min=1, max=100_000, help="Of a photo; default 57.", rich_help_panel=_PANEL, show_default=False),
    ] = None,
    photos_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="That a trial trains on, as measured, all its instances together.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=0, help="To the endpoint a month, of a photo each.", rich_help_panel=_PANEL)
    ] = 0,
    runs: Annotated[int, typer.Option(min=0, help="That are started a month.", rich_help_panel=_PANEL)] = 1,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prices in place of our own file's.", show_default=False)
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Estimate without asking AWS: prices of the file, no earlier run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Say what a run will cost, and a month of the endpoint; or, of a RUN, what it did cost.

    Prices are AWS's own where there are credentials, else those of a file with a date.
    """
    from datetime import UTC, datetime
    from decimal import Decimal

    from pipeline.operations.cost import actual, catalog, estimate, facts, monthly
    from pipeline.operations.cost.prices import FILE

    options = options_of(context)
    now = datetime.now(UTC)
    if run is not None:
        _refuse(photos=photos, average_kilobytes=average_kilobytes, photos_per_second=photos_per_second)
        settings = options.connected()
        known = catalog.chosen(settings, prices or FILE, now.date(), ask=not offline)
        with status("reading the run's jobs"):
            found = actual.read(settings, run, known, now)
        (_write_actual if as_json else _show_actual)(settings, found, known, now.date())
        return
    settings = options.settings()
    size = None if average_kilobytes is None else Decimal(str(average_kilobytes))
    with status("asking for prices and the latest run"):
        unreached = "" if offline else _unreachable(options)
        unasked = "nothing was asked: --offline" if offline else unreached
        known = catalog.chosen(settings, prices or FILE, now.date(), ask=not unasked)
        counted = facts.find(settings, photos, size, unasked)
        trained = _trained(settings, photos_per_second, unasked)
        one_run = estimate.run(settings, counted, known, trained.photos_per_second)
        month, assumed = monthly.month(settings, counted, known, requests, runs)
    view = _Estimated(settings, counted, trained, one_run, month, assumed, runs, requests, unreached)
    (view.write if as_json else view.show)(known, now.date())


def _refuse(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise PipelineError(f"--{name.replace('_', '-')} is of an estimate; leave it out, or leave RUN out")


def _unreachable(options: Options) -> str:
    """Why the settings' account cannot be asked; an estimate can do without. Else this process is pointed at it.

    Looked for once, and not for long: without a network each question would wait by itself. Raises PipelineError for
    credentials that AWS does not accept (any more).
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from botocore.parsers import ResponseParserError

    from pipeline.aws import errors as aws_errors
    from pipeline.clients import looking_client

    try:
        settings = options.connected()
    except PipelineError as error:
        return str(error).split(";")[0]
    if settings.account.target == "local":
        return ""
    try:
        looking_client(settings, "sts").get_caller_identity()
    except NoCredentialsError:
        return ""  # each source says by itself that it has none
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        line = aws_errors.explained(error)
        if aws_errors.is_unreachable(error):
            return line.split(";")[0]
        raise PipelineError(f"{line}; without AWS: python -m pipeline cost --offline") from error
    return ""


def _trained(settings: Settings, photos_per_second: float | None, unasked: str) -> Measured:
    """How fast trials are: as somebody says, else as those of the latest run were."""
    from decimal import Decimal

    from pipeline.operations.cost import measured
    from pipeline.operations.cost.money import Range

    if photos_per_second is not None:
        return measured.Measured(Range.of(Decimal(str(photos_per_second))), "")
    # What this machine trains at says nothing of AWS's.
    if unasked or settings.account.target == "local":
        return measured.Measured(None, "the training rate is assumed; say what was measured: --photos-per-second N")
    return measured.training_rate(settings)


@dataclass(frozen=True)
class _Estimated:
    """An estimate, as it is shown."""

    settings: Settings
    facts: Facts
    trained: Measured
    run: Estimate
    month: Bill
    assumed: tuple[Assumption, ...]
    runs: int
    requests: int
    unreached: str
    """Why the account could not be asked, though it was to be."""

    @property
    def _assumptions(self) -> tuple[Assumption, ...]:
        return tuple(dict.fromkeys([*self.run.assumptions, *self.assumed]))

    @property
    def _everything(self) -> Range:
        return self.month.total + self.run.bill.total * self.runs

    def _notes(self, known: Prices, today: date) -> list[str]:
        from pipeline.operations.cost import estimate
        from pipeline.operations.cost.prices import warnings

        local = [_WOULD] if self.settings.account.target == "local" else []
        silent = [f"{self.unreached}: prices are the file's"] if self.unreached and not local else []
        asked = [] if self.requests else ["no requests to the endpoint are counted: --requests N"]
        return [
            *local,
            *silent,
            *known.notes,
            *filter(None, [self.trained.note]),
            *self.run.notes,
            *self._over_budget(),
            *asked,
            *warnings(self._bill.prices, today),
            f"not in it: {estimate.LEFT_OUT}",
        ]

    def _over_budget(self) -> list[str]:
        budget = self.settings.alerts.monthly_budget
        most = self._everything.high
        if not budget or most <= budget:
            return []
        return [f"a month may come to {most:,.2f} USD, more than alerts.monthly_budget, which is {budget:,.2f}"]

    @property
    def _bill(self) -> Bill:
        from pipeline.operations.cost.money import Bill

        return Bill((*self.run.bill.items, *self.month.items))

    def write(self, known: Prices, today: date) -> None:
        """JSON on stdout."""
        from pipeline.operations.cost import documents

        write_json(
            {
                "region": self.settings.account.region,
                "photos": documents.facts(self.facts),
                "run": {**documents.bill(self.run.bill), "seconds": documents.amount(self.run.seconds)},
                "month": {**documents.bill(self.month), "runs": self.runs, "requests": self.requests},
                "month_with_runs": documents.amount(self._everything),
                "prices": documents.prices(self._bill.prices),
                "assumptions": documents.assumptions(self._assumptions),
                "notes": self._notes(known, today),
            }
        )

    def show(self, known: Prices, today: date) -> None:
        """Tables for a person."""
        from rich.console import Console

        from pipeline.cli.views import cost as display

        console = Console()
        facts, run = self.facts, self.run
        console.print(f"{facts.photos:,} photos of {facts.kilobytes.normalize():f} KB: {facts.origin}\n", markup=False)
        console.print(
            display.bill_table(run.bill, [display.Sum("a run", run.bill.total, not run.bill.missing)]), highlight=False
        )
        console.print(f"{display.hours(run.seconds)} from start to end, nothing cached\n", highlight=False)
        month = f"a month with {self.runs} run{'' if self.runs == 1 else 's'}"
        sums = [
            display.Sum("a month", self.month.total, not self.month.missing),
            display.Sum(month, self._everything, not self._bill.missing),
        ]
        console.print(display.bill_table(self.month, sums), "", highlight=False)
        _print_rest(console, self._bill, self._assumptions, self._notes(known, today))


def _print_rest(console: Any, bill: Bill, assumptions: tuple[Assumption, ...], notes: list[str]) -> None:
    from pipeline.cli.views import cost as display

    if bill.prices:
        display.print_prices(console, bill.prices)
        console.print()
    if assumptions:
        console.print(display.assumption_table(assumptions), "", highlight=False)
    for line in bill.missing:
        typer.secho(line, fg="red")
    for line in notes:
        console.print(line, markup=False, highlight=False)


def _actual_notes(settings: Settings, found: Cost, known: Prices, today: date) -> list[str]:
    from pipeline.operations.cost import actual
    from pipeline.operations.cost.prices import warnings

    local = [_WOULD] if settings.account.target == "local" else []
    running = [] if found.execution.ended else ["the run has not ended: this is what it has cost so far"]
    doubts = warnings(found.bill.prices, today)
    return [*running, *local, *known.notes, *found.notes, *doubts, f"not in it: {actual.LEFT_OUT}"]


def _write_actual(settings: Settings, found: Cost, known: Prices, today: date) -> None:
    from pipeline.operations.cost import documents

    write_json(
        {
            "run": found.execution.arn,
            "status": found.execution.status,
            "region": settings.account.region,
            **documents.bill(found.bill),
            "spot_saved_usd": documents.number(found.saved),
            "prices": documents.prices(found.bill.prices),
            "notes": _actual_notes(settings, found, known, today),
        }
    )


def _show_actual(settings: Settings, found: Cost, known: Prices, today: date) -> None:
    from rich.console import Console
    from rich.text import Text

    from pipeline.cli.views import cost as display
    from pipeline.cli.views.cells import status_text
    from pipeline.operations.cost.money import Range

    console = Console()
    run = found.execution
    console.print(Text.assemble("run ", (run.id, "bold"), "  ", status_text(run.status)), highlight=False)
    console.print(
        display.bill_table(found.bill, [display.Sum("in all", found.bill.total, not found.bill.missing)]),
        highlight=False,
    )
    if found.saved:
        console.print(f"spot capacity saved {display.usd(Range.of(found.saved))} USD", highlight=False)
    console.print()
    _print_rest(console, found.bill, (), _actual_notes(settings, found, known, today))
