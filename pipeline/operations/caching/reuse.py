"""A forecast for a run that has not started: which steps come from the step cache, from which run, and which will run.

SageMaker compares a step's attributes, with all values put in
(https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html), and uses the newest result that fits
(https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html). The forecast compares the same attributes with
those of earlier runs. A value that an earlier step hands on is known only after that step: it counts as the same where
that step comes from the same run as before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count, islice
from typing import Any

from pipeline.aws import step_cache
from pipeline.aws.expressions import as_text
from pipeline.aws.pages import items
from pipeline.clients import client
from pipeline.operations.caching.savings import Savings
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Saving
from pipeline.parallel import parallel_map
from pipeline.settings import Settings

# The newest runs to compare with, and how many of them are read at a time.
LOOK_BACK = 50
AT_ONCE = 5
# A step ends within this time of its run's start: all results of older runs have expired.
LONGEST_RUN = timedelta(days=7)
# Values of the execution that are the same in every run; all others make a request that no cache has.
_CONSTANTS = ("Execution.PipelineName", "Execution.PipelineArn")
_EVERY_TIME = "every time"
# What a step has to do so that the steps after it come from the cache although it runs.
_CONDITIONS = {
    "QueryMetadata": "finds the same photos",
    "PlanShards": "makes the same plan",
    "ShardImages": "writes the same shards",
}
_NAMES = {
    "AppSpecification.ImageUri": "image",
    "AppSpecification.ContainerArguments": "arguments",
    "AlgorithmSpecification.TrainingImage": "image",
    "Environment": "environment",
    "ProcessingInputs": "inputs",
    "StaticHyperParameters": "hyperparameters",
    "HyperParameters": "hyperparameters",
    "HyperParameterTuningJobConfig": "search",
    "InputDataConfig": "channels",
}


class Outcome(StrEnum):
    """What is expected of a step."""

    RUNS = "runs"
    CACHED = "cached"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Expectation:
    """What is expected of a step, and why.

    `source` is the ARN of the run that a cached or unsure step comes from, `saving` what that saves, and `condition`
    what has to happen for it where that is unsure.
    """

    step: str
    outcome: Outcome
    why: str
    source: str = ""
    condition: str = ""
    saving: Saving | None = None


@dataclass(frozen=True)
class Planned:
    """A run that has not started: the pipeline's definition, values for its parameters, and the steps of `--fresh`."""

    definition: Mapping[str, Any]
    values: Mapping[str, str]
    fresh: Collection[str] = ()


def forecast(settings: Settings, planned: Planned, savings: Savings, now: datetime) -> tuple[Expectation, ...]:
    """What is expected of each step of a run that starts `now`.

    Raises the errors of AWS's client, and KeyError, TypeError or ValueError for a definition that is not of the form of
    https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/.
    """
    return tuple(_Forecast(planned, _History(settings, savings), now).expectations())


@dataclass
class _Request:
    """What the cache compares of a step, with `parameters` put in.

    `content` and `properties` are the earlier steps that it refers to, by the content of a file and by a property of
    the job. A property, such as an output's place, is another one whenever the step runs. `is_unique`: it contains a
    value of the execution, and no cache has it.
    """

    attributes: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    content: set[str] = field(default_factory=set)
    properties: set[str] = field(default_factory=set)
    is_unique: bool = False


class _Pipeline:
    """A definition, and the values of its parameters: as given, else their defaults."""

    def __init__(self, definition: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        self.expected = list(progress.expected_steps(definition["Steps"]))
        self.steps = {step["Name"]: step for step, _ in self.expected}
        self._values = {
            parameter["Name"]: _typed(parameter["Type"], given.get(parameter["Name"], parameter.get("DefaultValue")))
            for parameter in definition.get("Parameters", [])
        }

    def request(self, name: str) -> _Request | None:
        """What the cache compares of a step; None for a type of step whose attributes are unknown."""
        step = self.steps[name]
        counted = step_cache.key_attributes(step["Type"], step.get("Arguments", {}))
        if counted is None:
            return None
        request = _Request()
        for attribute, value in counted.items():
            parts = {attribute: self._resolve(value, request)}
            if attribute.endswith("Specification") and isinstance(value, dict):  # an image, with other things
                parts = {f"{attribute}.{key}": part for key, part in parts[attribute].items()}
            request.attributes |= {key: json.dumps(part, sort_keys=True) for key, part in parts.items()}
        return request

    def _resolve(self, value: Any, request: _Request) -> Any:
        """`value` with parameters put in. Notes in `request` what it refers to.

        https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-properties.html
        """
        if isinstance(value, list):
            return [self._resolve(item, request) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Get"}:
            return self._get(value["Get"], request)
        if set(value) == {"Std:JsonGet"}:
            if "PropertyFile" in value["Std:JsonGet"]:
                request.content.add(value["Std:JsonGet"]["PropertyFile"]["Get"].split(".")[1])
            else:  # a file at any place in S3, whose content is unknown before the run
                request.is_unique = True
            return value
        resolved = {key: self._resolve(item, request) for key, item in value.items()}
        if set(value) == {"Std:Join"}:
            join = resolved["Std:Join"]
            if not any(isinstance(part, dict) for part in join["Values"]):
                return str(join["On"]).join(map(as_text, join["Values"]))
        return resolved

    def _get(self, path: str, request: _Request) -> Any:
        kind, _, rest = path.partition(".")
        if kind == "Parameters":
            request.parameters[rest] = self._values[rest]
            return self._values[rest]
        if kind == "Steps":
            request.properties.add(rest.split(".")[0].split("[")[0])
        elif path not in _CONSTANTS:
            request.is_unique = True
        return {"Get": path}


def _typed(kind: str, value: Any) -> Any:
    """A parameter's value as its declared type; None without a value."""
    types: dict[str, Callable[[Any], Any]] = {
        "Integer": int,
        "Float": float,
        "Boolean": lambda text: str(text).lower() == "true",
    }
    return value if value is None or kind not in types else types[kind](value)


@dataclass(frozen=True)
class _Past:
    """An earlier run: when it started, its pipeline, and the runs that its results come from."""

    arn: str
    started: datetime
    pipeline: _Pipeline
    savings: Savings

    def compared(self, name: str) -> bool:
        """Whether a step's result is that of this run's request; one that was copied is whatever its source had."""
        step = self.savings.steps(self.arn).get(name)
        return step is not None and not step.copied

    def origin(self, name: str) -> tuple[str, datetime] | None:
        """The run that created the result of a step that this run used, and when; None where it has none."""
        step = self.savings.steps(self.arn).get(name)
        if step is None or step.status != "Succeeded":
            return None
        arn, origin = self.savings.origin(name, self.arn)
        return None if origin is None or origin.ended is None else (arn, origin.ended)


class _History:
    """The newest runs of a pipeline that have reached a step, newest first; read a few at a time, when needed."""

    def __init__(self, settings: Settings, savings: Savings) -> None:
        self._sagemaker = client(settings, "sagemaker")
        self.savings = savings
        self._past: list[_Past] = []
        self._unread = self._read(settings)

    def __iter__(self) -> Iterator[_Past]:
        for position in count():
            if position == len(self._past):
                self._past += islice(self._unread, 1)
            if position == len(self._past):
                return
            yield self._past[position]

    def _read(self, settings: Settings) -> Iterator[_Past]:
        runs = iter(executions.runs(settings, limit=LOOK_BACK))
        while chunk := list(islice(runs, AT_ONCE)):
            yield from filter(None, parallel_map(self._describe, chunk))

    def _describe(self, run: Execution) -> _Past | None:
        if not self.savings.steps(run.arn):
            return None
        answer = self._sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=run.arn)
        paginator = self._sagemaker.get_paginator("list_pipeline_parameters_for_execution")
        values = items(paginator, "PipelineParameters", PipelineExecutionArn=run.arn)
        given = {value["Name"]: value["Value"] for value in values}
        return _Past(run.arn, run.started, _Pipeline(json.loads(answer["PipelineDefinition"]), given), self.savings)


class _Forecast:
    """Goes through the steps of a run that has not started, in the order in which they refer to each other."""

    def __init__(self, planned: Planned, history: _History, now: datetime) -> None:
        self._pipeline = _Pipeline(planned.definition, planned.values)
        self._history, self._now, self._fresh = history, now, planned.fresh
        self._expectations: dict[str, Expectation] = {}

    def expectations(self) -> Iterator[Expectation]:
        """One for each step that the run reaches when all goes well."""
        for step, condition in self._pipeline.expected:
            expectation = self._of(step["Name"])
            if condition and expectation.why == _EVERY_TIME:
                expectation = replace(expectation, why=f"after {condition}")
            yield expectation

    def _of(self, name: str) -> Expectation:
        if name not in self._expectations:
            # SageMaker refuses steps that refer to each other in a circle; here they must not recurse without end.
            self._expectations[name] = Expectation(name, Outcome.RUNS, "refers to itself")
            expectation = self._expect(self._pipeline.steps[name])
            if expectation.source:
                expectation = replace(expectation, saving=self._history.savings.of(name, expectation.source))
            self._expectations[name] = expectation
        return self._expectations[name]

    def _expect(self, step: Mapping[str, Any]) -> Expectation:
        name, cache = step["Name"], step.get("CacheConfig") or {}
        if not cache.get("Enabled"):
            return Expectation(name, Outcome.RUNS, "its cache is off" if cache else _EVERY_TIME)
        request = self._pipeline.request(name)
        if request is None:
            why = f"the cache's rules for a {step['Type']} step are unknown here"
            return Expectation(name, Outcome.UNSURE, why, condition="its request is the same")
        if request.is_unique:
            return Expectation(name, Outcome.RUNS, "its request contains a value of the run")
        if name in self._fresh:
            return Expectation(name, Outcome.RUNS, "asked for by --fresh")
        expiry = cache.get("ExpireAfter")
        return self._look_up(name, request, timedelta(seconds=step_cache.seconds(expiry)) if expiry else None)

    def _look_up(self, name: str, request: _Request, lifetime: timedelta | None) -> Expectation:
        """The newest earlier result that fits; else why the closest one does not."""
        unsure: Expectation | None = None
        differs = unusable = ""
        for past in self._history:
            if lifetime and self._now - past.started > lifetime + LONGEST_RUN:
                break
            origin = past.origin(name)
            if origin is None or not past.compared(name):
                continue
            if difference := self._difference(name, request, past):
                differs = differs or difference
                continue
            arn, ended = origin
            age = self._now - ended
            if lifetime and age > lifetime:
                unusable = unusable or f"{_text(age)} old, expires after {_text(lifetime)}"
                continue
            refusal, condition = self._handed_on(request, past)
            if refusal:
                unusable = refusal
            elif condition:
                why = f"from the cache if {condition}"
                unsure = unsure or Expectation(name, Outcome.UNSURE, why, arn, condition)
            else:
                return Expectation(name, Outcome.CACHED, f"created {_text(age)} ago", arn)
            # No other earlier run changes what a step hands on that runs, or may run.
            if any(self._of(step).outcome != Outcome.CACHED for step in request.content | request.properties):
                break
        return unsure or Expectation(name, Outcome.RUNS, unusable or differs or "no earlier run has its result")

    def _difference(self, name: str, request: _Request, past: _Past) -> str:
        """How a step's request differs from that of an earlier run; empty where it does not."""
        before = past.pipeline.request(name) if name in past.pipeline.steps else None
        if before is None or before.is_unique:
            return "its definition has changed"
        changed = [
            attribute
            for attribute in dict.fromkeys([*request.attributes, *before.attributes])
            if before.attributes.get(attribute) != request.attributes.get(attribute)
        ]
        if not changed:
            return ""
        for parameter, value in request.parameters.items():
            if parameter in before.parameters and before.parameters[parameter] != value:
                return f"{parameter} was {as_text(before.parameters[parameter])}"
        return f"its {_NAMES.get(changed[0], changed[0])} changed"

    def _handed_on(self, request: _Request, past: _Past) -> tuple[str, str]:
        """Whether a step gets from the steps before it what it got in an earlier run.

        Returns why it does not, and the condition for it; both are empty where it does.
        """
        conditions: dict[str, None] = {}
        for step in [name for name in self._pipeline.steps if name in request.content | request.properties]:
            earlier, origin = self._of(step), past.origin(step)
            is_same_run = origin is not None and origin[0] == earlier.source
            if step in request.properties and not is_same_run:
                return f"{step} {'runs' if earlier.outcome == Outcome.RUNS else 'comes from another run'}", ""
            if earlier.outcome != Outcome.CACHED or not is_same_run:
                is_cached = earlier.outcome == Outcome.CACHED
                runs = f"{step} {_CONDITIONS.get(step, 'leaves the same result')}"
                condition = f"the result of {step} is the same" if is_cached else runs
                conditions[earlier.condition or condition] = None
        return "", " and ".join(conditions)


def _text(duration: timedelta) -> str:
    """A duration in its largest unit: `3 h`."""
    seconds = max(round(duration.total_seconds()), 0)
    units = ((86_400, "d"), (3_600, "h"), (60, "min"))
    return next((f"{seconds // size} {unit}" for size, unit in units if seconds >= size), f"{seconds} s")
