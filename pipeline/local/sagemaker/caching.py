"""Step caching by the keys that AWS documents.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html: a step is not run again when an earlier
execution of the same pipeline ran the same step with the same values of these attributes, and not longer ago than
ExpireAfter. What is not listed, a processing job's outputs for one, does not count.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_KEYS: dict[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}
# Of a tuning job's TrainingJobDefinition these count.
_TUNING_DEFINITION = ("AlgorithmSpecification", "HyperParameterRanges", "InputDataConfig", "StaticHyperParameters")
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SECONDS = (31_536_000, 2_592_000, 604_800, 86_400, 3_600, 60, 1)


def cache_key(step_type: str, arguments: dict[str, Any]) -> str | None:
    """Hash of what counts of a step's resolved arguments; None for a type of step that has no cache here."""
    if step_type == "Tuning":
        definition = arguments.get("TrainingJobDefinition", {})
        counted: Any = [
            arguments.get("HyperParameterTuningJobConfig"),
            {key: definition.get(key) for key in _TUNING_DEFINITION},
            arguments.get("TrainingJobDefinitions"),
        ]
    elif step_type in _KEYS:
        counted = {key: arguments.get(key) for key in _KEYS[step_type]}
    else:
        return None
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def seconds(duration: str) -> int:
    """An ISO 8601 duration in seconds; a month is 30 days, a year 365."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is not an ISO 8601 duration")
    return sum(int(number) * unit for number, unit in zip(match.groups(default="0"), _SECONDS, strict=True))


def find(executions: list[dict[str, Any]], step: dict[str, Any], key: str, now: float) -> dict[str, Any] | None:
    """The newest execution whose run of `step` can be used again. `executions` come oldest first."""
    config = step.get("CacheConfig", {})
    if not config.get("Enabled"):
        return None
    oldest = now - seconds(config["ExpireAfter"]) if config.get("ExpireAfter") else 0.0
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
