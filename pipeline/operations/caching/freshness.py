"""`start --fresh`: new versions for a step and the cached steps after it, so that they run again.

SageMaker's step cache compares a step's version with its other attributes:
https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steps.contracts.errors import PipelineError

ALL = "all"
# The cached steps in the order in which they run, each with the parameter of its version.
VERSIONS = {"QueryMetadata": "DataVersion", "ShardImages": "ShardVersion", "TuneModel": "TrainingVersion"}
# Steps that settings turn on, each with the step whose version is in its request too, or leads to another input.
_WITH = {"PlanShards": "ShardImages", "ExploreData": "QueryMetadata"}
# The setting with the default of each.
SETTINGS = {"DataVersion": "data.version", "ShardVersion": "shard.version", "TrainingVersion": "training.version"}
_ALWAYS = (
    *("CheckParameters", "CheckParametersFailed", "EvaluateModel", "QualityGate", "QualityGateFailed"),
    *("NewVersion", "RegisterModel", "DeployModel"),
)


@dataclass(frozen=True)
class Fresh:
    """The steps that run again whatever the cache holds, and the parameters that make them."""

    steps: tuple[str, ...]
    values: Mapping[str, str]


def of(names: Iterable[str], given: Mapping[str, str], now: datetime) -> Fresh:
    """What `--fresh` sets for each of `names`: new versions for these steps and the cached steps after them.

    A version is `fresh-` and the time `now` in UTC. Raises PipelineError, one line per mistake, for a name that is no
    cached step, and for a version that is also among the parameters `given` with -p.
    """
    asked = tuple(dict.fromkeys(names))
    if problems := [problem for name in asked if (problem := _problem(name))]:
        raise PipelineError("\n".join(problems))
    order = list(VERSIONS)
    steps = order[min((0 if name == ALL else order.index(name) for name in asked), default=len(order)) :]
    values = dict.fromkeys((VERSIONS[step] for step in steps), f"fresh-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    if clashes := [
        f"--fresh {' --fresh '.join(asked)} and -p {name}={given[name]} both set {name}; leave one of them out"
        for name in values
        if name in given
    ]:
        raise PipelineError("\n".join(clashes))
    return Fresh(tuple(steps), values)


def check(fresh: Fresh, declared: Iterable[Mapping[str, Any]], pipeline: str) -> None:
    """Raise PipelineError where the parameters that a pipeline's definition has `declared` lack a version."""
    names = {str(parameter["Name"]) for parameter in declared}
    if missing := [name for name in fresh.values if name not in names]:
        raise PipelineError(
            f"the pipeline {pipeline} has no parameter {', '.join(missing)} yet, which --fresh sets; bring it up to"
            " date: python -m pipeline upsert"
        )


def explanation(fresh: Fresh, command: str) -> list[str]:
    """Lines on what is set, for how long, and how to keep it.

    `command` is what the reader types before a command's name.
    """
    if not fresh.values:
        return []
    version = next(iter(fresh.values.values()))
    settings = " and ".join(SETTINGS[name] for name in fresh.values)
    return [
        f"set for this run only: {', '.join(fresh.values)} = {version}",
        "the next run has the versions of pipeline.yaml again, and their cached results",
        f'to keep this one: write "{version}" for {settings} there, then: {command} upsert',
    ]


def _problem(name: str) -> str | None:
    if name == ALL or name in VERSIONS:
        return None
    if name in _WITH:
        return f"{name} runs again with {_WITH[name]}; --fresh takes {', '.join(VERSIONS)} or {ALL}"
    if name in _ALWAYS:
        return f"{name} runs every time; --fresh takes {', '.join(VERSIONS)} or {ALL}"
    by_lower = {step.lower(): step for step in (*VERSIONS, *_WITH, *_ALWAYS, ALL)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[close[0]]}?" if close else f"it takes {', '.join(VERSIONS)} or {ALL}"
    return f"--fresh: there is no cached step {name}; {hint}"
