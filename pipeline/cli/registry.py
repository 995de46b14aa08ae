"""Commands: models, lineage, approve, reject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of, write_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.operations.comparison import Comparison, Row
    from pipeline.operations.registry import Version

# Columns from which on all metrics fit.
WIDE = 110
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="A version's number or ARN, or 'latest'.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Why; kept with the version.", show_default=False)]


models_app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
app.add_typer(models_app, name="models", rich_help_panel=RELEASE)


@models_app.callback()
def models(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10,
    as_json: Json = False,
) -> None:
    """List the registered versions of the model, with what they reached."""
    if context.invoked_subcommand is not None:
        return
    from pipeline.operations import registry

    settings = options_of(context).connected()
    found = registry.versions(settings, limit)
    if as_json:
        write_json(found)
        return
    from rich.console import Console

    from pipeline.display import moment, simple_table, status_text

    if not found:
        typer.echo(f"no versions in the group {settings.registry.group} yet")
        return
    console = Console()
    # On a narrow terminal the rest is in `models compare` and in the JSON.
    names = {"accuracy": "accuracy", "RMSE": "rmse"}
    if console.width >= WIDE:
        names |= {"off by one": "within_one", "MAE": "mae"}
    best = {name: _best(found, name) for name in names.values()}
    table = simple_table("version", "registered", "approval", *names, "run", "comment")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for one in found:
        # Short enough that a terminal of 80 columns breaks no name.
        approval = status_text(one.status.replace("PendingManualApproval", "Pending"))
        figures = [_figure(getattr(one, name), best[name]) for name in names.values()]
        table.add_row(str(one.version), moment(one.created)[5:-3], approval, *figures, one.run, one.comment)
    console.print(table, highlight=False)


def _best(found: Sequence[Version], name: str) -> float | None:
    values: list[float] = [value for one in found if (value := getattr(one, name)) is not None]
    if len(values) < 2:
        return None
    return max(values) if name in ("accuracy", "within_one") else min(values)


def _figure(value: float | None, best: float | None) -> str:
    if value is None:
        return "-"
    return f"[bold]{value:.3f}[/bold]" if value == best else f"{value:.3f}"


@models_app.command()
def compare(
    context: typer.Context,
    first: VersionArgument,
    second: Annotated[str, typer.Argument(metavar="VERSION", help="The version to compare it with.")],
    as_json: Json = False,
) -> None:
    """Compare two versions: their metrics, by count, and in pairs on the photos that both were evaluated on."""
    from pipeline.operations import comparison

    settings = options_of(context).connected()
    found = comparison.compare(settings, first, second)
    if as_json:
        write_json(found)
        return
    from rich.console import Console

    console = Console()
    for part in _comparison(found):
        console.print(part, highlight=False)


def _comparison(found: Comparison) -> Iterator[RenderableType]:
    from pipeline.display import simple_table, status_text

    names = [one.name for one in (found.first, found.second)]
    table = simple_table("", *names, "difference")
    for one in found.metrics:
        table.add_row(one.name, _plain(one.first), _plain(one.second), _change(one))
    statuses = [
        status_text(one.status.replace("PendingManualApproval", "Pending")) for one in (found.first, found.second)
    ]
    table.add_row("decision", *statuses, "")
    yield table
    if found.by_quantity:
        table = simple_table("objects", *(f"accuracy of {name}" for name in names), "difference")
        for one in found.by_quantity:
            table.add_row(one.name, _plain(one.first), _plain(one.second), _change(one))
        yield table
    if found.caveat:
        yield f"[yellow]These figures do not compare: {found.caveat}.[/yellow]"
    if found.paired:
        paired = found.paired
        yield f"On the {paired.photos:,} photos that both counted, {names[1]} less {names[0]}:"
        for name, change in (("accuracy", paired.accuracy), ("RMSE", paired.rmse)):
            yield f"  {name} {change.value:+.4f} (95%: {change.lower:+.4f} to {change.upper:+.4f})"
    else:
        yield "They have no predictions of the same photos in S3, so they are not compared in pairs."


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _change(row: Row) -> str:
    change = row.difference
    if change is None:
        return "-"
    if not change:
        return f"{change:+.4f}"
    colour = "green" if (change > 0) == row.more_is_better else "red"
    return f"[{colour}]{change:+.4f}[/{colour}]"


@app.command(rich_help_panel=RELEASE)
def lineage(context: typer.Context, version: VersionArgument, as_json: Json = False) -> None:
    """Show where a version comes from: its run, trial, data and query, back to the raw photos."""
    from pipeline.operations import lineage as origins

    found = origins.read(options_of(context).connected(), version)
    if as_json:
        write_json(found)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    tree = Tree(f"[bold]{found.version.name}[/bold] {escape(found.version.status)}  {escape(found.version.arn)}")
    for link in found.links:
        note = f"  [yellow]{escape(link.note)}[/yellow]" if link.note else ""
        node = tree.add(f"[bold]{link.kind}[/bold] {escape(link.name)}{note}")
        for name, value in link.facts.items():
            node.add(f"[dim]{escape(name)}[/dim] {escape(value)}")
    Console().print(tree, highlight=False)


@app.command(rich_help_panel=RELEASE)
def approve(context: typer.Context, version: VersionArgument, comment: Comment = "") -> None:
    """Approve a version: the endpoint is created, or updated to it."""
    from pipeline.operations import registry

    options = options_of(context)
    approved = registry.decide(options.prepared(), version, "Approved", comment)
    typer.echo(f"approved: {approved.arn}")
    typer.echo(f"next: {options.command()} endpoint")


@app.command(rich_help_panel=RELEASE)
def reject(context: typer.Context, version: VersionArgument, comment: Comment = "") -> None:
    """Reject a version: it will not be deployed."""
    from pipeline.operations import registry

    rejected = registry.decide(options_of(context).connected(), version, "Rejected", comment)
    typer.echo(f"rejected: {rejected.arn}")
