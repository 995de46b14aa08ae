"""Help as plain text, its options and commands in named sections: much quicker to start than typer's own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Typer's names of types, as in `<int range>`, and what the value of an option is called here.
_TYPE = re.compile(r"<(int|float|str|list\[str\])( range)?>")
_VALUES = {"int": "NUMBER", "float": "NUMBER", "str": "TEXT", "list[str]": "TEXT"}
# Stands for the names of the pipeline's parameters.
PARAMETERS = "{parameters}"
_NUMBER = r"(-?[\d.]+)"
_RANGES = [
    (rf"{_NUMBER}<=x<={_NUMBER}", r"\1 to \2"),
    (rf"x>={_NUMBER}", r"at least \1"),
    (rf"x<={_NUMBER}", r"at most \1"),
]


def _write_sections(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments, options and commands of `command` below the name of their panel."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        if record := help_record(parameter, ctx):
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
    for name, child in getattr(command, "commands", {}).items():
        sections.setdefault(child.rich_help_panel or "Commands", []).append((name, first_paragraph(child.help)))
    for heading, rows in sections.items():
        with formatter.section(typer.style(heading, bold=True)):
            formatter.write_dl(rows)


def help_record(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """An argument or option with its value, and its help with its default; None for a hidden one."""
    record = parameter.get_help_record(ctx)
    if record is None:
        return None
    name, text = record
    if PARAMETERS in text:
        # Imported here: only the help of these options needs the settings.
        from pipeline.settings.parameters import described

        text = text.replace(PARAMETERS, described())
    is_argument = parameter.param_type_name == "argument"
    for pattern, words in _RANGES:
        text = re.sub(pattern, words, text)
    return _TYPE.sub(lambda match: "" if is_argument else _VALUES[match[1]], name).strip(), text


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring as one line."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


class Command(TyperCommand):
    """A command."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        _write_sections(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        _write_sections(self, ctx, formatter)


class Application(typer.Typer):
    """A group to add commands to; their help is plain text."""

    def __init__(self, cls: type[Group] = Group, **settings: Any) -> None:
        # Typer's help, errors included, imports a parser of Markdown and one of source code.
        super().__init__(
            cls=cls, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, **settings
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Add a function as a command."""
        return super().command(name, cls=Command, **settings)
