"""`python3 -m steps.shard`: read the arguments and run the step."""

from __future__ import annotations

import os

from steps.contracts.errors import StepError
from steps.contracts.package_properties import recordable
from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job
from steps.shard.memory import use_system_allocator
from steps.shard.run import run
from steps.shard.settings import Settings

# Part of the step cache's key, and recorded with the model at the end of a run.
VERSION = "SHARD_VERSION"


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments (default: the process's own) and run the step."""
    use_system_allocator()
    settings = parse(Settings, arguments)
    if VERSION in os.environ:
        try:
            recordable(os.environ[VERSION])
        except StepError as error:
            raise StepError(f"the parameter ShardVersion: {error}") from error
    run(settings)


if __name__ == "__main__":
    run_as_job(main)
