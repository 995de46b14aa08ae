"""The application: global options, and every error as a line that says what to do."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from pipeline.settings import Settings

DEFAULT_PROFILE = "local"
DEFAULT_FILE = Path("pipeline.yaml")
INTERRUPTED = 130
PROGRAM = "python -m pipeline"
# The groups of commands in the help; their order is that of the imports in `pipeline.cli`.
MACHINE, DEFINE, RUN, RELEASE = "On this machine", "Define", "Run", "Release"
_VALUE_OPTIONS = ("--profile", "--settings")
_FLAGS = ("--debug",)


class Commands(TyperGroup):
    """The commands, with the global options allowed behind a command's name too, and errors as lines."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the global options from wherever they stand."""
        parsed: list[str] = super().parse_args(ctx, hoisted(args))
        return parsed

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an exception ends it with one line (or a line a mistake) on stderr."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.secho("interrupted", err=True, fg="yellow")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            from pipeline.cli.errors import explained

            lines = explained(error)
            given = ctx.obj if isinstance(ctx.obj, Options) else Options(None, DEFAULT_FILE)
            if lines is None or given.debug:
                raise
            # A remedy must not lead from the chosen profile to the default one.
            typer.secho(lines.replace(PROGRAM, given.command()), err=True, fg="red")
            raise typer.Exit(1) from None


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments with the global options first; what stands behind `--` is left where it is."""
    own, rest = [], []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in _VALUE_OPTIONS:
            own += [argument, *([value] if (value := next(remaining, None)) is not None else [])]
        elif argument in _FLAGS or argument.startswith(tuple(f"{name}=" for name in _VALUE_OPTIONS)):
            own.append(argument)
        else:
            rest.append(argument)
    return own + rest


@dataclass(frozen=True)
class Options:
    """The global options, and how commands come by their settings and their account."""

    profile: str | None
    file: Path
    debug: bool = False

    def settings(self, default_profile: str = DEFAULT_PROFILE) -> Settings:
        """The settings of the chosen profile."""
        from pipeline.settings.file import load_settings

        return load_settings(self.file, self.profile or default_profile)

    def connected(self) -> Settings:
        """The settings, with this process pointed at their account."""
        from pipeline.connection import connect

        settings = self.settings()
        connect(settings)
        return settings

    def prepared(self) -> Settings:
        """As `connected`, to write: credentials must be of the settings' account.

        The local cloud also gets what an AWS account has from its bootstrap, and the images.
        """
        settings = self.connected()
        if settings.account.target == "local":
            from pipeline.operations.account import local as account

            with status("preparing the local account"):
                account.prepare(settings)
        else:
            from pipeline.clients import verify_account

            verify_account(settings)
        return settings

    def command(self, default_profile: str = DEFAULT_PROFILE) -> str:
        """What a person types before a command's name to mean the same profile and file."""
        words = PROGRAM.split()
        profile = self.profile or default_profile
        if profile != DEFAULT_PROFILE or os.environ.get("PIPELINE_PROFILE", profile) != profile:
            words += ["--profile", profile]
        if self.file != DEFAULT_FILE:
            words += ["--settings", str(self.file)]
        return shlex.join(words)


def options_of(context: typer.Context) -> Options:
    """The global options of this call."""
    options = context.obj
    assert isinstance(options, Options)
    return options


def status(text: str) -> Any:
    """A spinner on stderr while something takes its time."""
    from rich.console import Console

    return Console(stderr=True).status(f"[dim]{text}[/dim]")


def write_json(value: Any) -> None:
    """Write JSON for machines to stdout: dataclasses as objects, times in ISO 8601, decimals as numbers."""
    import dataclasses
    import json
    from datetime import datetime
    from decimal import Decimal

    def encoded(one: Any) -> Any:
        if isinstance(one, datetime):
            return one.isoformat()
        if isinstance(one, Decimal):
            return float(one)
        if dataclasses.is_dataclass(one) and not isinstance(one, type):
            return dataclasses.asdict(one)
        raise TypeError(f"{type(one).__name__} is not for JSON")

    sys.stdout.write(json.dumps(value, indent=2, default=encoded) + "\n")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    context: typer.Context,
    profile: Annotated[
        str | None,
        typer.Option(
            envvar="PIPELINE_PROFILE",
            metavar="NAME",
            help="Profile of the settings. When nothing is said it is 'local' ('demo' for the demo), so that no"
            " AWS account is touched by accident.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[Path, typer.Option(metavar="FILE", help="The settings.")] = DEFAULT_FILE,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Counts the objects in warehouse bins from photos, as one SageMaker pipeline.

    Runs in an AWS account, or whole on this machine: [bold]python -m pipeline demo[/bold]
    """
    # The SDK sets up logging when it is imported, so that botocore's chatter would stand between our lines.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    context.obj = Options(profile, settings, debug)


def main() -> None:
    """Run the command line with this process's arguments."""
    app(prog_name=PROGRAM)
