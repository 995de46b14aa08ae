"""Command: graph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import DEFINE, Options, app, options_of
from pipeline.cli.output import status
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.operations.graph.states import NodeState

# Suffixes of files of Mermaid.
_MERMAID = (".mmd", ".mermaid")


class Format(StrEnum):
    """A language of drawings."""

    SVG = "svg"
    MERMAID = "mermaid"


@app.command(rich_help_panel=DEFINE)
def graph(
    context: typer.Context,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Default: mermaid for a FILE.mmd or FILE.mermaid, else svg.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="File to write.", show_default="stdout"),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Draw this run, by id or ARN, or 'latest', and its states.", show_default=False
        ),
    ] = None,
) -> None:
    """Draw the steps of the compiled definition, or of a run, as SVG or Mermaid. Only --run asks the account."""
    from pipeline.operations.graph import layout, mermaid, svg

    title, definition, states = _definition(options_of(context)) if run is None else _run(options_of(context), run)
    drawn = layout.graph_of(definition)
    if form is None:
        form = Format.MERMAID if output and output.suffix.lower() in _MERMAID else Format.SVG
    text = mermaid.draw(drawn, states) if form is Format.MERMAID else svg.draw(drawn, states, title=title)
    if output is None:
        # An SVG without a declaration of its encoding is UTF-8, whatever a terminal has.
        sys.stdout.buffer.write(text.encode())
    else:
        typer.echo(str(_write(text, output)))


def _definition(options: Options) -> tuple[str, dict[str, Any], Mapping[str, NodeState]]:
    """A title, the compiled definition of the profile, and no states."""
    import json

    from pipeline.definition import compile_definition

    settings = options.settings()
    with status("compiling the definition"):
        return f"The steps of the pipeline {settings.name}", json.loads(compile_definition(settings)), {}


def _run(options: Options, reference: str) -> tuple[str, dict[str, Any], Mapping[str, NodeState]]:
    """A title, the definition that a run follows, and the states of its steps."""
    from pipeline.clients import client
    from pipeline.operations.caching import savings
    from pipeline.operations.graph import states
    from pipeline.operations.runs import executions, progress

    settings = options.connected()
    with status("reading the run"):
        execution = executions.resolve(settings, reference)
        definition = executions.definition_of_run(client(settings, "sagemaker"), execution.arn)
        state = savings.reader(settings).annotated(progress.read(settings, execution.arn))
    title = f"The run {execution.id} of the pipeline {settings.name}: {state.execution.status}"
    return title, definition, states.states_of(state)


def _write(text: str, path: Path) -> Path:
    """Write the drawing, with the folder of its file; returns the absolute path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise PipelineError(f"{path} cannot be written ({error.strerror}); name another file: --output FILE") from error
    return path.resolve()
