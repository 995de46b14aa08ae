"""Commands: check, definition, upsert."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli.app import DEFINE, app, options_of
from pipeline.cli.output import AsJson, complain, show, status, write_json


@app.command(rich_help_panel=DEFINE)
def check(
    context: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not check the account, even with credentials.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the settings, the definition and, with credentials, the account. Writes nothing.

    Exit status 1 if a run, a deployment or a schedule would fail. A check that is not possible is only reported.
    """
    import dataclasses

    from pipeline.operations import preflight
    from pipeline.operations.check import checked_definition, summarize

    options = options_of(context)
    settings = options.settings()
    with status("compiling the definition"):
        text = checked_definition(settings)
    summary = summarize(settings, text)
    results = preflight.offline(settings)
    if not offline:
        with status("checking the account"):
            results += preflight.online(settings)
    results = [dataclasses.replace(result, detail=options.pasted(result.detail)) for result in results]
    failed = [result for result in results if result.status == "failed"]
    if as_json:
        write_json({**dataclasses.asdict(summary), "checks": results})
    else:
        from pipeline.cli.views.check import check_page

        show(*check_page(settings, summary, results))
        for result in failed:
            complain(f"{result.check}: {result.detail}")
    if failed:
        raise typer.Exit(1)


@app.command(rich_help_panel=DEFINE)
def definition(
    context: typer.Context,
    indent: Annotated[int | None, typer.Option(min=0, max=8, help="Number of spaces to indent the JSON by.")] = None,
) -> None:
    """Print the compiled definition as JSON."""
    import json

    from pipeline.definition import compile_definition

    text = compile_definition(options_of(context).settings())
    sys.stdout.write((text if indent is None else json.dumps(json.loads(text), indent=indent)) + "\n")


@app.command(rich_help_panel=DEFINE)
def upsert(
    context: typer.Context,
    parallelism: Annotated[
        int | None, typer.Option(min=1, help="Number of steps that may run at the same time.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create the pipeline in the account, or update it."""
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
