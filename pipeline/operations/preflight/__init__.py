"""Checks that find what would stop a run, before one is started. Each check only reads.

`offline` needs no account. `online` asks the account; a check that could not run is reported as such, without hiding
others. Nothing is written anywhere: permissions to write are checked with IAM's policy simulator
(docs/decisions/0016-the-preflight-writes-nothing.md).
"""

from pipeline.operations.preflight.checks import CHECKS, offline, online
from pipeline.operations.preflight.findings import Result, Status

__all__ = ["CHECKS", "Result", "Status", "offline", "online"]
