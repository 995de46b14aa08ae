"""The commands as a document: every command with its arguments, options and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from pipeline.cli import app
from pipeline.cli.app import PROGRAM
from pipeline.cli.help import help_record

HEADING = f"""\
# Commands

<!-- `python -m tests.documents` writes this file from the commands. -->

Each command is `{PROGRAM} COMMAND`, and `{PROGRAM} COMMAND --help` prints its part of this page.
The global options may come before or after the command's name.
"""


def render() -> str:
    """The document as Markdown."""
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name=PROGRAM, help_option_names=["--help", "-h"])
    sections: dict[str, list[Any]] = {}
    for child in command.commands.values():
        sections.setdefault(child.rich_help_panel, []).append(child)
    lines = [HEADING, "## Global options", "", *_parameters(command, context)]
    for name, children in sections.items():
        lines += [f"## {name}", ""]
        for child in children:
            lines += _command(child, context, 3)
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Any, parent: Any, level: int) -> Iterator[str]:
    context = typer.Context(command, info_name=command.name, parent=parent)
    path = context.command_path.removeprefix(f"{PROGRAM} ")
    yield f"{'#' * level} {path}"
    yield ""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield " ".join(paragraph.split())
        yield ""
    yield f"    {PROGRAM} {path} {' '.join(command.collect_usage_pieces(context))}".rstrip()
    yield ""
    yield from _parameters(command, context)
    for child in getattr(command, "commands", {}).values():
        yield from _command(child, context, level + 1)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    """A table of arguments and options; `--help`, which every command has, is left out."""
    records = (help_record(parameter, context) for parameter in command.params)
    rows = [f"| `{_cell(name)}` | {_cell(_escaped(text))} |" for name, text in filter(None, records)]
    if rows:
        yield from ["| | |", "|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("*", "\\*")
