"""Step caching by the keys that AWS documents (`pipeline.aws.step_cache`)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline.aws import step_cache


def cache_key(step_type: str, arguments: dict[str, Any]) -> str | None:
    """Hash of what counts of a step's resolved arguments; None for a type of step that has no cache here."""
    counted = step_cache.counted(step_type, arguments)
    if counted is None:
        return None
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def find(executions: list[dict[str, Any]], step: dict[str, Any], key: str, now: float) -> dict[str, Any] | None:
    """The newest execution whose run of `step` can be used again. `executions` come oldest first."""
    config = step.get("CacheConfig", {})
    if not config.get("Enabled"):
        return None
    oldest = now - step_cache.seconds(config["ExpireAfter"]) if config.get("ExpireAfter") else 0.0
    for execution in executions[::-1]:
        before = execution["Steps"].get(step["Name"])
        if (
            isinstance(before, dict)
            and before["StepStatus"] == "Succeeded"
            and before.get("CacheKey") == key
            and "CacheHitResult" not in before
            and before["EndTime"] >= oldest
        ):
            return execution
    return None
