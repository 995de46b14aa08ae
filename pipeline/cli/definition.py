"""Commands: check, definition, upsert."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFINE, PROGRAM, app, options_of, status, write_json

if TYPE_CHECKING:
    from pipeline.operations.check import Summary
    from pipeline.operations.preflight import Result
    from pipeline.settings import Settings


@app.command(rich_help_panel=DEFINE)
def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no account, even with credentials.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Check settings and definition and, with credentials, what the account has for them. Writes nothing.

    Exits with 1 where a run, a deployment or a schedule would fail; what could not be looked at is only said.
    """
    from pipeline.operations import preflight
    from pipeline.operations.check import checked_definition, summarize

    options = options_of(context)
    settings = options.settings()
    with status("compiling the definition"):
        text = checked_definition(settings)
    summary = summarize(settings, text)
    results = preflight.offline(settings)
    if not offline:
        with status("asking the account"):
            results += preflight.online(settings)
    results = [dataclasses.replace(one, detail=one.detail.replace(PROGRAM, options.command())) for one in results]
    if as_json:
        write_json({**dataclasses.asdict(summary), "checks": results})
    else:
        _show(settings, summary, results)
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def _show(settings: Settings, summary: Summary, results: list[Result]) -> None:
    from rich.console import Console

    from pipeline.cli.views import preflight as preflight_display
    from pipeline.cli.views.runs import simple_table

    table = simple_table("step", "kind", "image")
    for step in summary.steps:
        table.add_row(step.name, step.kind, step.image)
    console = Console()
    account = f"account {settings.account.id} ({settings.account.target}), {settings.account.region}"
    console.print(f"[bold]{settings.name}[/bold]  {account}", highlight=False)
    console.print(table)
    console.print(f"{len(summary.parameters)} parameters: {', '.join(summary.parameters)}", highlight=False)
    console.print(f"[green]ok[/green]  {summary.bytes:,} bytes, sha256 {summary.sha256[:16]}", highlight=False)
    # A line each, however long: people search it and machines count it.
    for line in preflight_display.lines(results):
        console.print(line, highlight=False, soft_wrap=True)
    for result in results:
        if result.status == "failed":
            typer.secho(f"{result.check}: {result.detail}", err=True, fg="red")


@app.command(rich_help_panel=DEFINE)
def definition(
    context: typer.Context,
    indent: Annotated[int | None, typer.Option(min=0, max=8, help="Indent the JSON by so many spaces.")] = None,
) -> None:
    """Print the compiled definition as JSON."""
    from pipeline.definition import compile_definition

    text = compile_definition(options_of(context).settings())
    sys.stdout.write((text if indent is None else json.dumps(json.loads(text), indent=indent)) + "\n")


@app.command(rich_help_panel=DEFINE)
def upsert(
    context: typer.Context,
    parallelism: Annotated[
        int | None, typer.Option(min=1, help="How many steps may run at the same time.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Create the pipeline in the account, or bring it up to date."""
    from pipeline.operations import upsert as operation

    options = options_of(context)
    settings = options.prepared()
    with status("compiling and checking the definition"):
        result = operation.upsert(settings, parallelism=parallelism)
    if as_json:
        write_json(result)
        return
    typer.echo(f"{result.change}: {result.arn}")
    if result.model_package_group == "created":
        typer.echo(f"created: model package group {settings.registry.group}")
    typer.echo(f"next: {options.command()} start --watch")
