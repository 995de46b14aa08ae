"""What commands print: answers on stdout, as lines and tables or as JSON; progress, warnings and errors on stderr."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType
    from rich.status import Status

# Exit status after Ctrl-C, as a shell has it for a command that SIGINT ended.
INTERRUPTED = 130
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]


def show(*parts: RenderableType, stderr: bool = False) -> None:
    """Print lines and tables for people; in a pipe every line stays whole."""
    from rich.console import Console

    print_parts(Console(stderr=stderr), *parts)


def print_parts(console: Console, *parts: RenderableType) -> None:
    """Print to a console: lines of a terminal end at spaces, those of a pipe where the text ends."""
    from rich.text import Text

    from pipeline.cli.tables import wrapped

    for part in parts:
        text = Text(part) if isinstance(part, str) else part
        if isinstance(text, Text) and console.is_terminal:
            for line in text.split(allow_blank=True):
                for piece in wrapped(line, console.width):
                    console.print(piece, highlight=False, soft_wrap=True)
        else:
            console.print(text, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Print what is under way, on stderr."""
    typer.secho(text, err=True, dim=True)


def warn(text: str) -> None:
    """Print a warning, on stderr."""
    typer.secho(text, err=True, fg="yellow")


def complain(text: str) -> None:
    """Print an error, on stderr."""
    typer.secho(text, err=True, fg="red")


@contextmanager
def goes_on(thing: str, *hints: str) -> Iterator[None]:
    """While a command waits for `thing`, which lives elsewhere: after Ctrl-C say that it goes on, with the `hints`.

    Raises typer.Exit(130) then.
    """
    try:
        yield
    except KeyboardInterrupt:
        for line in (f"{thing} goes on", *hints):
            typer.secho(line, err=True)
        raise typer.Exit(INTERRUPTED) from None


def may_ask() -> bool:
    """Whether a person can answer a question: in a terminal, and not in a CI system, which sets CI.

    https://docs.github.com/en/actions/reference/workflows-and-actions/variables and
    https://docs.gitlab.com/ci/variables/predefined_variables/ (CI)
    """
    is_ci = os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")
    return not is_ci and sys.stdin.isatty() and sys.stderr.isatty()


def status(text: str) -> Status:
    """A spinner on stderr, for work that takes time."""
    from rich.console import Console

    return Console(stderr=True).status(f"[dim]{text}[/dim]")


def write_json(value: Any) -> None:
    """Write JSON to stdout: dataclasses as objects, times in ISO 8601, decimals as numbers."""
    import json

    sys.stdout.write(json.dumps(value, indent=2, default=_encoded) + "\n")


def write_json_line(value: Any) -> None:
    """Write the same as one line, at once."""
    import json

    sys.stdout.write(json.dumps(value, default=_encoded) + "\n")
    sys.stdout.flush()


def _encoded(item: Any) -> Any:
    import dataclasses
    from datetime import date
    from decimal import Decimal

    if isinstance(item, date):  # and datetime
        return item.isoformat()
    if isinstance(item, Decimal):
        return float(item)
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return dataclasses.asdict(item)
    raise TypeError(f"{type(item).__name__} has no form in JSON")
