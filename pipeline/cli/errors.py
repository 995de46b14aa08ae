"""The line that an exception becomes: what is wrong and what to do."""

from __future__ import annotations

import tempfile
from pathlib import Path

from steps.contracts import full_disk
from steps.contracts.errors import PipelineError, StepError


def explained(error: Exception) -> str | None:
    """One line for an error, or one per mistake; None for an error that typer reports itself."""
    import typer

    is_typers = isinstance(error, typer.Exit | typer.Abort) or type(error).__module__.startswith(("typer.", "click."))
    if is_typers or isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, PipelineError | StepError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] not in ("pipeline", "steps"):
        from pipeline.interpreter import remedy

        return remedy(f"the package {error.name} is missing in this Python")
    # By name: importing botocore for an error that is not its own would take time.
    if type(error).__module__.startswith(("botocore.", "boto3.")):
        from pipeline.aws import errors as aws_errors

        return aws_errors.explained(error)
    if full_disk.is_disk_full(error):
        from pipeline.connection import local_directory

        return full_disk.explained(error, (local_directory(), Path.cwd(), Path(tempfile.gettempdir())))
    return f"unexpected {type(error).__name__}: {error}; run again with --debug for the traceback"
