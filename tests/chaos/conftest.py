"""Whole runs under faults: `make test-chaos`. Elsewhere there is nothing to collect: each takes minutes."""

from __future__ import annotations

import os

if not os.environ.get("TEST_CHAOS"):
    collect_ignore_glob = ["test_*.py"]
