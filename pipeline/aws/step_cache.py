"""The attributes that SageMaker's step cache compares, for the local cloud's cache and for forecasts of cache hits.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html: a step is not run again if an earlier
execution of the same pipeline ran it with the same values of these attributes, within ExpireAfter. Other attributes,
such as a processing job's outputs, do not count.
"""

from __future__ import annotations

import re
from typing import Any

_KEYS: dict[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        *("AlgorithmSpecification", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations"),
        *("Environment", "HyperParameters", "InputDataConfig"),
    ),
}
# Members of a tuning job's TrainingJobDefinition.
_TUNING_DEFINITION = (
    *("AlgorithmSpecification", "HyperParameterRanges", "InputDataConfig", "StaticHyperParameters", "TuningObjective"),
)
# The digits are limited so that a duration fits Python's timedelta (AWS states no limit).
_DURATION = re.compile(
    r"P?(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?"
    r"(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?",
    re.IGNORECASE | re.ASCII,
)
_SECONDS = (31_536_000, 2_592_000, 604_800, 86_400, 3_600, 60, 1)


def key_attributes(step_type: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes of a step's arguments that count, by name; None for a type of step without a cache."""
    if step_type == "Tuning":
        definition = arguments.get("TrainingJobDefinition", {})
        return {
            "HyperParameterTuningJobConfig": arguments.get("HyperParameterTuningJobConfig"),
            **{key: definition.get(key) for key in _TUNING_DEFINITION},
            "TrainingJobDefinitions": arguments.get("TrainingJobDefinitions"),
        }
    if step_type in _KEYS:
        return {key: arguments.get(key) for key in _KEYS[step_type]}
    return None


def seconds(duration: str) -> int:
    """A duration of CacheConfig.ExpireAfter in seconds; a month has 30 days, a year 365. Raises ValueError.

    AWS asks for ISO 8601, and its own examples have no P and units in lower case (`30dT5h`, `T12H`, `30d`):
    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching-enabling.html and notebooks of
    amazon-sagemaker-examples. Whether AWS takes all of these forms is unsure; they are taken here, and nothing else.
    """
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"{duration!r} is not an ISO 8601 duration")
    return sum(int(number) * unit for number, unit in zip(match.groups(default="0"), _SECONDS, strict=True))
