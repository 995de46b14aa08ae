"""The console in the background, which `local up` and `demo` start."""

from __future__ import annotations

from pipeline.cli.app import Options
from pipeline.cli.output import warn


def start_console(options: Options, profile: str) -> str:
    """Start the console of the running local cloud. Returns its address; empty, after a warning, where it failed."""
    from pipeline.connection import local_directory
    from pipeline.operations.account import consoles
    from steps.contracts.errors import PipelineError

    try:
        return consoles.start(local_directory(), profile, options.words(profile)).address
    except PipelineError as error:
        warn(options.pasted(f"{error}; try it in the foreground: python -m pipeline console", profile))
        return ""
