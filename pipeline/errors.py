"""The exception that the command line turns into one line."""


class PipelineError(Exception):
    """What went wrong, where, and what to do about it, in one line (or one line a mistake)."""
