"""What would stop a run, found before one is started: named checks, each of which only looks.

`offline` asks nobody. `online` asks the account; a check that the credentials do not allow says so and hides no other.
Nothing is written anywhere: what can only be known by writing is asked of IAM's policy simulator instead
(docs/decisions/0016-the-preflight-writes-nothing.md).
"""

from pipeline.operations.preflight.checks import CHECKS, offline, online
from pipeline.operations.preflight.results import Result, Status

__all__ = ["CHECKS", "Result", "Status", "offline", "online"]
