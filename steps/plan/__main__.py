"""`python3 -m steps.plan`: read the arguments and run the step."""

from __future__ import annotations

import os

import pyarrow as pa

from steps.contracts.errors import StepError
from steps.contracts.package_properties import recordable
from steps.plan.cluster import plan_with_spark
from steps.plan.run import run
from steps.plan.settings import Settings
from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job

# Part of the step cache's key, as ShardImages has it.
VERSION = "SHARD_VERSION"


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments (default: the process's own) and run the step."""
    # Arrow's own allocator does not return freed memory to the system.
    pa.set_memory_pool(pa.system_memory_pool())
    settings = parse(Settings, arguments)
    if VERSION in os.environ:
        try:
            recordable(os.environ[VERSION])
        except StepError as error:
            raise StepError(f"the parameter ShardVersion: {error}") from error
    run(settings, plan_with_spark)


if __name__ == "__main__":
    run_as_job(main)
