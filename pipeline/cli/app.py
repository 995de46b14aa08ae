"""The application: its global options, and the one line that an error ends with."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.help import Application, Group
from pipeline.cli.output import INTERRUPTED, complain, status, warn

if TYPE_CHECKING:
    from pipeline.settings import Settings

DEFAULT_PROFILE = "local"
DEFAULT_FILE = Path("pipeline.yaml")
# Synthetic bins of the demo; a model of fewer may fail the quality gate of its profile.
DEMO_BINS = 1800
# What messages name; `pasted` puts what was really started in its place.
PROGRAM = "python -m pipeline"
DEMO = "demo"
_HINT = re.compile(r"(?<![\w./\\-])python -m pipeline\b(?P<options> --(?:profile|settings)\b)?")
DISTRIBUTION, SCRIPT = "bin-counting-pipeline", "bin-counting"
# The sections of commands in the help, in the order of the imports in `pipeline.cli`.
MACHINE, DEFINE, RUN, RELEASE = "On this machine", "Define", "Run", "Release"
_VALUE_OPTIONS = ("--profile", "--settings")
_FLAGS = ("--debug",)


class Commands(Group):
    """All commands. Global options may follow a command's name; an error ends a command with one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, global options first."""
        parsed: list[str] = super().parse_args(ctx, hoisted(args))
        return parsed

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an exception becomes a line on stderr (one per mistake) and exit status 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            warn("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            from pipeline.cli.errors import explained

            lines = explained(error)
            chosen = ctx.obj if isinstance(ctx.obj, Options) else Options(None, DEFAULT_FILE)
            if lines is None or chosen.debug:
                raise
            # The command that a remedy names must have the profile that was chosen.
            complain(chosen.pasted(lines, DEMO if ctx.invoked_subcommand == DEMO else DEFAULT_PROFILE))
            raise typer.Exit(1) from None


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments with the global options first; arguments after `--` keep their place."""
    global_options, rest = [], []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in _VALUE_OPTIONS:
            global_options += [argument, *([value] if (value := next(remaining, None)) is not None else [])]
        elif argument in _FLAGS or argument.startswith(tuple(f"{name}=" for name in _VALUE_OPTIONS)):
            global_options.append(argument)
        else:
            rest.append(argument)
    return global_options + rest


@dataclass(frozen=True)
class Options:
    """The global options; commands get their settings and their account from them."""

    profile: str | None
    file: Path
    debug: bool = False

    def settings(self, default_profile: str = DEFAULT_PROFILE) -> Settings:
        """The settings of the chosen profile."""
        from pipeline.settings.file import load_settings

        return load_settings(self.file, self.profile or default_profile)

    def connected(self) -> Settings:
        """The settings; this process calls their account from now on."""
        from pipeline.connection import connect

        settings = self.settings()
        connect(settings)
        return settings

    def prepared(self) -> Settings:
        """As `connected`, for a command that writes; raises PipelineError for credentials of another account.

        The local cloud gets what `bootstrap` creates in an AWS account, and the images.
        """
        settings = self.connected()
        if settings.account.target == "local":
            from pipeline.connection import as_administrator
            from pipeline.operations.account import local as account

            # The folder's owner administers its account; the command itself acts as the person of the environment.
            with status("preparing the local account"), as_administrator():
                account.prepare(settings)
        else:
            from pipeline.clients import verify_account

            verify_account(settings)
        return settings

    def command(self, default_profile: str = DEFAULT_PROFILE) -> str:
        """The command line before a command's name, with the same profile and file."""
        profile = self.profile or default_profile
        is_default = profile == DEFAULT_PROFILE and os.environ.get("PIPELINE_PROFILE", profile) == profile
        # Its file by an absolute path, as `words` names it, is the same file.
        named = ["--settings", str(self.file)] if self.file.absolute() != DEFAULT_FILE.absolute() else []
        return shlex.join([*_started, *([] if is_default else ["--profile", profile]), *named])

    def words(self, default_profile: str = DEFAULT_PROFILE) -> list[str]:
        """The global options for another process of this program in this folder, whose commands can be pasted here."""
        named = ["--settings", str(self.file.absolute())] if self.file != DEFAULT_FILE else []
        return ["--profile", self.profile or default_profile, *named]

    def pasted(self, text: str, default_profile: str = DEFAULT_PROFILE) -> str:
        """`text` with commands that can be pasted into this shell: what was started, with the profile and the file.

        A command that names its own profile or file keeps it.
        """
        plain, whole = shlex.join(_started), self.command(default_profile)
        return _HINT.sub(lambda hint: f"{plain}{hint['options']}" if hint["options"] else whole, text)


def started(arguments: list[str] | None = None) -> list[str]:
    """The words that start this program in this shell: `python` only where that is this interpreter."""
    name = (arguments or sys.argv)[0]
    if Path(name).name == SCRIPT:
        return [SCRIPT if _finds(SCRIPT, name) else _from_here(name)]
    python = next((word for word in ("python", "python3") if _finds(word, sys.executable)), "")
    return [python or _from_here(sys.executable), "-m", "pipeline"]


def _finds(word: str, path: str) -> bool:
    """Whether the shell finds this very file for a word; a link of another environment is another program."""
    place = shutil.which(word)
    return place is not None and Path(place).absolute() == Path(path).absolute()


def _from_here(path: str) -> str:
    """A path as one types it in the working directory."""
    place = Path(path).absolute()
    if not place.is_relative_to(Path.cwd()):
        return str(place)
    here = place.relative_to(Path.cwd())
    return str(here) if len(here.parts) > 1 else f"./{here}"


# `main` sets it.
_started = PROGRAM.split()


def options_of(context: typer.Context) -> Options:
    """The global options of this call."""
    options = context.obj
    assert isinstance(options, Options)
    return options


app = Application(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def version() -> str:
    """The version in pyproject.toml; the package's own where it is installed without a checkout."""
    from pipeline import ROOT

    if (file := ROOT / "pyproject.toml").exists():
        import tomllib

        return str(tomllib.loads(file.read_text())["project"]["version"])
    from importlib import metadata

    return metadata.version(DISTRIBUTION)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{DISTRIBUTION} {version()}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    profile: Annotated[
        str | None,
        typer.Option(
            envvar="PIPELINE_PROFILE",
            metavar="NAME",
            help="Profile of the settings. Without it: 'local', or 'demo' for the command demo; neither uses an AWS"
            " account.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[Path, typer.Option(metavar="FILE", help="The settings file.")] = DEFAULT_FILE,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001  # its callback prints it
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Count the objects in warehouse bins from photos, as a SageMaker pipeline.

    It runs in an AWS account or entirely on this machine: python -m pipeline demo
    """
    import logging

    # The SageMaker SDK configures logging when it is imported; then botocore's messages would mix with the output.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    context.obj = Options(profile, settings, debug)
    # As rich has it for tables; click itself looks at whether it writes to a terminal, and no further.
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        context.color = False


def main() -> None:
    """Run the command line with this process's arguments."""
    _started[:] = started()
    app(prog_name=shlex.join(_started))
