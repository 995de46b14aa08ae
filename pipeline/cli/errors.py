"""What an exception means to the person at the command line, and what to do about it."""

from __future__ import annotations

from steps.contracts.errors import PipelineError, StepError


def explained(error: Exception) -> str | None:
    """One line (or a line a mistake) for an error; None for one that the command line library reports by itself."""
    import typer

    if isinstance(error, typer.Exit | typer.Abort) or type(error).__module__.startswith(("typer.", "click.")):
        return None
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, PipelineError | StepError):
        return str(error)
    # Where botocore was never imported the error cannot be its own, and importing it would only cost time.
    if type(error).__module__.startswith(("botocore.", "boto3.")):
        from pipeline.aws import errors as aws_errors

        return aws_errors.explained(error)
    return f"unexpected {type(error).__name__}: {error}; run again with --debug for the traceback"
