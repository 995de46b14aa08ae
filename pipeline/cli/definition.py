"""Commands: check, definition, upsert."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pipeline.cli.app import DEFINE, app, options_of, status, write_json


@app.command(rich_help_panel=DEFINE)
def check(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Check the settings and the compiled definition; needs no AWS account."""
    from pipeline.operations.check import checked_definition, summarized

    settings = options_of(context).settings()
    with status("compiling the definition"):
        text = checked_definition(settings)
    summary = summarized(settings, text)
    if as_json:
        write_json(summary)
        return
    from rich.console import Console

    from pipeline.display import simple_table

    table = simple_table("step", "kind", "image")
    for step in summary.steps:
        table.add_row(step.name, step.kind, step.image)
    console = Console()
    account = f"account {settings.account.id} ({settings.account.target}), {settings.account.region}"
    console.print(f"[bold]{settings.name}[/bold]  {account}", highlight=False)
    console.print(table)
    console.print(f"{len(summary.parameters)} parameters: {', '.join(summary.parameters)}", highlight=False)
    console.print(f"[green]ok[/green]  {summary.bytes:,} bytes, sha256 {summary.sha256[:16]}", highlight=False)


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
