"""Run inside a container: what the toolkit would start there, as JSON to the file that the argument names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sagemaker_pytorch_container import training
from sagemaker_training import environment, mpi, process, runner, smdataparallel


def record(
    *, user_entry_point: str, args: list[str], env_vars: dict[str, str], runner_type: runner.RunnerType, **_: Any
) -> None:
    """In the place of `entry_point.run`, which would start it."""
    chosen = runner.get(runner_type, user_entry_point, args, env_vars, None)
    command: list[str] = []
    if isinstance(chosen, smdataparallel.SMDataParallelRunner):
        # As SMDataParallelRunner.run puts it together, without its wait for the other hosts' SSH daemons.
        command = chosen._create_command() + process.ProcessRunner._create_command(chosen)
    elif not isinstance(chosen, mpi.WorkerRunner):
        command = chosen._create_command()
    Path(sys.argv[1]).write_text(json.dumps({"runner": type(chosen).__name__, "command": command}))


training.entry_point.run = record
training.train(environment.Environment())
