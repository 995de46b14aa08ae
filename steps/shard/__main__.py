"""`python3 -m steps.shard`: read the arguments and run the step."""

from __future__ import annotations

import pyarrow as pa

from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job
from steps.shard.run import run
from steps.shard.settings import Settings


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments (default: the process's own) and run the step."""
    # Arrow's own allocator does not return freed memory to the system.
    pa.set_memory_pool(pa.system_memory_pool())
    run(parse(Settings, arguments))


if __name__ == "__main__":
    run_as_job(main)
