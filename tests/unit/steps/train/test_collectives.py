"""The ranks' group over its life; what its methods do is seen in the runs of test_run.py."""

from __future__ import annotations

import subprocess
import sys

TIME_LIMIT = 300  # seconds; the program takes four
ENDS = """
import torch
from torch import nn
from steps.train.collectives import process_group
from steps.train.world import BackendChoice, World

for _ in range(100):
    with process_group(World.detect(), BackendChoice("gloo", "a test"), torch.device("cpu")) as group:
        network = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)))
        network(torch.ones(2, 8)).sum().backward()
        assert group.total(torch.ones(2)).tolist() == [1.0, 1.0]
    del network
"""


def test_a_network_may_outlive_its_group_without_a_deadlock() -> None:
    # In a process of its own: what would hang holds the interpreter's lock, and this process's time limits with it.
    done = subprocess.run([sys.executable, "-c", ENDS], timeout=TIME_LIMIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
