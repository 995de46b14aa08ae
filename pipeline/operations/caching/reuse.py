"""Before a run starts: which of its steps will come from the step cache, from which run, and which will run.

SageMaker decides when a step is ready, by a step's attributes with all values put in
(https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html), and takes the newest result that fits
(https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html). Here the same attributes of this run and
of earlier ones are compared beforehand. What a step gets from an earlier step is known only once that has run: such
values are compared by what they refer to, and by the run that the earlier step's result comes from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from pipeline.aws import step_cache
from pipeline.aws.expressions import as_text, walk
from pipeline.operations.caching.savings import Savings
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.progress import Saving, StepRun
from pipeline.settings import Settings

# As many of the newest runs are looked at, so many at a time.
LOOK_BACK = 50
AT_ONCE = 5
# A step ends within this time of its run's start: runs from before that hold nothing that has not expired.
LONGEST_RUN = timedelta(days=7)
# https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-properties.html
_EXPRESSIONS = ("Get", "Std:Join", "Std:JsonGet")
# Values of a run that are the same in every run of the pipeline; all others make a request of its own each time.
_LASTING = ("Execution.PipelineName", "Execution.PipelineArn")
# What a step that runs has to leave so that those after it come from the cache.
_SAME = {"QueryMetadata": "finds the same photos", "ShardImages": "writes the same shards"}
_WORDS = {
    "AppSpecification.ImageUri": "its image has changed",
    "AppSpecification.ContainerArguments": "its arguments have changed",
    "AlgorithmSpecification.TrainingImage": "its image has changed",
    "Environment": "its environment has changed",
    "ProcessingInputs": "its inputs have changed",
    "StaticHyperParameters": "its hyperparameters have changed",
    "HyperParameters": "its hyperparameters have changed",
    "HyperParameterTuningJobConfig": "its search has changed",
    "InputDataConfig": "its channels have changed",
}


_EVERY_TIME = "every time"


class Outcome(StrEnum):
    """What is expected of a step."""

    RUNS = "runs"
    CACHED = "cached"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Expectation:
    """What is expected of a step, and why.

    `source` is the ARN of the run that a cached step comes from, or may come from where that is unsure; `saving` is
    what it then saves; `condition` is what has to happen for it.
    """

    step: str
    outcome: Outcome
    why: str
    source: str = ""
    condition: str = ""
    saving: Saving | None = None


@dataclass(frozen=True)
class Planned:
    """A run that has not started: the pipeline's definition, values for its parameters, and steps to run again."""

    definition: Mapping[str, Any]
    values: Mapping[str, str]
    fresh: Collection[str] = ()


def forecast(settings: Settings, planned: Planned, savings: Savings, now: datetime) -> tuple[Expectation, ...]:
    """What is expected of each step of a run that starts `now`.

    Raises what AWS's client raises, and KeyError, TypeError or ValueError for a definition that is not of the form of
    https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/.
    """
    return tuple(_Forecast(planned, _History(settings, savings), now).expectations())


# ------------------------------------------------------------------------------------------ a step's own request


@dataclass(frozen=True)
class _Reference:
    """A value that an earlier step leaves: a property of it, or what stands in a file of it."""

    step: str
    path: str
    by_content: bool


@dataclass(frozen=True)
class _Request:
    """What the cache compares of a step, parameters put in; `parameters` are those, `changing` is never the same."""

    attributes: Mapping[str, str]
    parameters: Mapping[str, Any]
    references: tuple[_Reference, ...]
    changing: bool


class _Resolver:
    """Puts parameters into expressions, and notes what is left."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.parameters: dict[str, Any] = {}
        self.references: dict[_Reference, None] = {}
        self.changing = False

    def resolve(self, value: Any) -> Any:
        """`value` with parameters put in, and all else that only a run knows as it stands."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (name := next(iter(value))) in _EXPRESSIONS:
            return self._expression(name, value[name])
        return {key: self.resolve(item) for key, item in value.items()}

    def _expression(self, name: str, content: Any) -> Any:
        if name == "Get":
            return self._get(content)
        if name == "Std:Join":
            parts = self.resolve(content["Values"])
            if any(isinstance(part, dict) for part in parts):
                return {name: {"On": content["On"], "Values": parts}}
            return str(content["On"]).join(map(as_text, parts))
        file = content["PropertyFile"]["Get"]
        self.references[_Reference(file.split(".")[1], f"{file}:{content['Path']}", True)] = None
        return {name: content}

    def _get(self, path: str) -> Any:
        kind, _, rest = path.partition(".")
        if kind == "Parameters":
            self.parameters[rest] = self._values[rest]
            return self._values[rest]
        if kind == "Steps":
            step, _, property_path = rest.partition(".")
            self.references[_Reference(step.split("[")[0], property_path, False)] = None
        elif path not in _LASTING:
            self.changing = True
        return {"Get": path}


def _request(step: Mapping[str, Any], values: Mapping[str, Any]) -> _Request | None:
    """What the cache compares of `step`; None for a type of step whose attributes are not known."""
    counted = step_cache.key_attributes(step["Type"], step.get("Arguments", {}))
    if counted is None:
        return None
    resolver = _Resolver(values)
    attributes = {
        name: json.dumps(value, sort_keys=True)
        for key, found in counted.items()
        for name, value in _parts(key, resolver.resolve(found))
    }
    return _Request(attributes, resolver.parameters, tuple(resolver.references), resolver.changing)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """An attribute, or the members of one that holds an image beside other things."""
    if name.endswith("Specification") and isinstance(value, dict):
        yield from ((f"{name}.{key}", value[key]) for key in value)
    else:
        yield name, value


def _values(definition: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each parameter, of its declared type: the given one, else the default."""
    return {
        declared["Name"]: _typed(declared["Type"], given.get(declared["Name"], declared.get("DefaultValue")))
        for declared in definition.get("Parameters", [])
    }


def _typed(kind: str, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "Integer":
            return int(value)
        case "Float":
            return float(value)
        case "Boolean":
            return str(value).lower() == "true"
        case _:
            return value


def _by_name(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All steps, those of both branches of a condition too."""
    named = {}
    for step in steps:
        named[step["Name"]] = step
        if step["Type"] == "Condition":
            arguments = step["Arguments"]
            named |= _by_name([*arguments.get("IfSteps", []), *arguments.get("ElseSteps", [])])
    return named


# ------------------------------------------------------------------------------------------------- earlier runs


class _Past:
    """An earlier run: its steps, and what they asked for."""

    def __init__(self, run: executions.Execution, savings: Savings, definition: Any, given: Mapping[str, Any]) -> None:
        self.started = run.started
        self.defined = _by_name(definition["Steps"])
        self.values = _values(definition, given)
        self._run, self._savings = run, savings

    def origin(self, step: str) -> tuple[str, StepRun] | None:
        """The run that made the result of `step` that this run used, and the step there; None where it has none."""
        reached = self._savings.steps(self._run.arn).get(step)
        if reached is None or reached.status != "Succeeded":
            return None
        arn, made = self._savings.origin(step, self._run.arn)
        return None if made is None or made.ended is None else (arn, made)


class _History:
    """The newest runs of a pipeline, newest first, read when they are asked for."""

    def __init__(self, settings: Settings, savings: Savings) -> None:
        from pipeline.clients import client

        self._settings = settings
        self._sagemaker = client(settings, "sagemaker")
        self.savings = savings
        self._read: list[_Past] = []
        self._runs: Iterator[executions.Execution] | None = None

    def runs(self) -> Iterator[_Past]:
        """The newest `LOOK_BACK` runs that have reached a step."""
        position = 0
        while position < len(self._read) or self._read_more():
            yield self._read[position]
            position += 1

    def _read_more(self) -> bool:
        if self._runs is None:
            self._runs = iter(executions.runs(self._settings, limit=LOOK_BACK))
        while some := list(islice(self._runs, AT_ONCE)):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                read = [past for past in pool.map(self._past, some) if past is not None]
            if read:
                self._read += read
                return True
        return False

    def _past(self, run: executions.Execution) -> _Past | None:
        if not self.savings.steps(run.arn):
            return None
        named = {"PipelineExecutionArn": run.arn}
        answer = self._sagemaker.describe_pipeline_definition_for_execution(**named)
        pages = self._sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(**named)
        given = {value["Name"]: value["Value"] for page in pages for value in page.get("PipelineParameters", [])}
        return _Past(run, self.savings, json.loads(answer["PipelineDefinition"]), given)


# ------------------------------------------------------------------------------------------------- the forecast


@dataclass(frozen=True)
class _Handed:
    """Whether a step gets from earlier steps what it once got: surely, surely not (`why`), or on a `condition`.

    `settled` is whether another earlier run could not change that.
    """

    same: bool = True
    why: str = ""
    condition: str = ""
    settled: bool = False


class _Forecast:
    """Goes through the steps of a run that has not started, in the order in which they refer to each other."""

    def __init__(self, planned: Planned, history: _History, now: datetime) -> None:
        self._expected = list(progress.expected_steps(planned.definition["Steps"]))
        self._defined = _by_name(planned.definition["Steps"])
        self._values = _values(planned.definition, planned.values)
        self._history, self._now, self._fresh = history, now, planned.fresh
        self._done: dict[str, Expectation] = {}

    def expectations(self) -> Iterator[Expectation]:
        """One for each step that the run reaches when all goes well."""
        for step, condition in self._expected:
            expectation = self._of(step["Name"])
            if condition and expectation.why == _EVERY_TIME:
                expectation = replace(expectation, why=f"after {condition}")
            yield expectation

    def _of(self, name: str) -> Expectation:
        if name not in self._done:
            # A definition whose steps refer to each other in a circle would be refused; here it must not go on forever.
            self._done[name] = Expectation(name, Outcome.RUNS, "refers to itself")
            found = self._expect(self._defined[name])
            saving = self._history.savings.of(name, found.source) if found.source else None
            self._done[name] = replace(found, saving=saving)
        return self._done[name]

    def _expect(self, step: Mapping[str, Any]) -> Expectation:
        name, cache = step["Name"], step.get("CacheConfig") or {}
        if not cache.get("Enabled"):
            return Expectation(name, Outcome.RUNS, "its cache is switched off" if cache else _EVERY_TIME)
        request = _request(step, self._values)
        if request is None:
            why = f"what the cache compares of a {step['Type']} step is not known here"
            return Expectation(name, Outcome.UNSURE, why, condition="its request is the same")
        if request.changing:
            return Expectation(name, Outcome.RUNS, "its request names the run")
        if name in self._fresh:
            return Expectation(name, Outcome.RUNS, "asked for by --fresh")
        return self._looked_up(name, request, _oldest(cache, self._now))

    def _looked_up(self, name: str, request: _Request, oldest: datetime | None) -> Expectation:
        """The newest earlier result that fits; else why the closest does not."""
        unsure: Expectation | None = None
        differs = outdated = ""
        for past in self._history.runs():
            if oldest is not None and past.started < oldest - LONGEST_RUN:
                break
            made = past.origin(name)
            if made is None or made[1].ended is None:
                continue
            source, ended = made[0], made[1].ended
            if difference := self._difference(name, request, past):
                differs = differs or difference
                continue
            if oldest is not None and ended < oldest:
                outdated = outdated or f"{_age(self._now - ended)} old, kept {_age(self._now - oldest)}"
                continue
            handed = self._handed(request, past)
            if handed.same and not handed.condition:
                why = f"made {_age(self._now - ended)} ago"
                return Expectation(name, Outcome.CACHED, why, source)
            if handed.same:
                why = f"from the cache if {handed.condition}"
                unsure = unsure or Expectation(name, Outcome.UNSURE, why, source, handed.condition)
            else:
                outdated = handed.why
            if handed.settled:
                break
        return unsure or Expectation(name, Outcome.RUNS, outdated or differs or "no earlier run has its result")

    def _difference(self, name: str, request: _Request, past: _Past) -> str:
        """How the request differs from that of the earlier run, in words; empty where it does not."""
        step = past.defined.get(name)
        before = None if step is None or step["Type"] != self._defined[name]["Type"] else _request(step, past.values)
        if before is None or before.changing:
            return "its definition has changed"
        keys = dict.fromkeys([*request.attributes, *before.attributes])
        changed = [key for key in keys if before.attributes.get(key) != request.attributes.get(key)]
        if not changed:
            return ""
        for parameter, value in request.parameters.items():
            if parameter in before.parameters and before.parameters[parameter] != value:
                return f"{parameter} was {as_text(before.parameters[parameter])}"
        return _WORDS.get(changed[0], f"its {changed[0]} has changed")

    def _handed(self, request: _Request, past: _Past) -> _Handed:
        """Whether the steps that the request refers to hand on what they did in the earlier run."""
        each = [self._handed_by(reference, past) for reference in request.references]
        if refused := next((handed for handed in each if not handed.same), None):
            return refused
        conditions = dict.fromkeys(handed.condition for handed in each if handed.condition)
        return _Handed(condition=" and ".join(conditions), settled=any(handed.settled for handed in each))

    def _handed_by(self, reference: _Reference, past: _Past) -> _Handed:
        earlier, before = self._of(reference.step), past.origin(reference.step)
        constant = None if reference.by_content else self._constant(reference, past)
        taken_again = before is not None and earlier.source == before[0]
        if constant or (taken_again and earlier.outcome == Outcome.CACHED):
            return _Handed()
        settled = earlier.outcome != Outcome.CACHED
        if constant is None or (taken_again and earlier.outcome == Outcome.UNSURE):
            return _Handed(condition=earlier.condition or _same(earlier), settled=settled)
        fate = "runs" if earlier.outcome == Outcome.RUNS else "comes from another run"
        return _Handed(same=False, why=f"{reference.step} {fate}", settled=earlier.outcome == Outcome.RUNS)

    def _constant(self, reference: _Reference, past: _Past) -> bool | None:
        """Whether a property of a step is the same in every run, as its request says it; None where it does not say.

        An output's place in S3, which often has the run's id in it, stands in the request; a job's name does not.
        """
        places = ((self._defined, self._values), (past.defined, past.values))
        stated = [_stated(defined.get(reference.step), values, reference.path) for defined, values in places]
        if None in stated:
            return None
        (now, changing), (before, _) = filter(None, stated)
        return now == before and not changing


def _same(earlier: Expectation) -> str:
    """What has to hold of an earlier step so that its result is what it once was."""
    if earlier.outcome == Outcome.CACHED:
        return f"the result of {earlier.step} is the same"
    return f"{earlier.step} {_SAME.get(earlier.step, 'leaves the same result')}"


def _stated(step: Mapping[str, Any] | None, values: Mapping[str, Any], path: str) -> tuple[Any, bool] | None:
    """The value at `path` of a step's request, and whether it differs from run to run; None where it has none."""
    try:
        value = walk((step or {}).get("Arguments", {}), path)
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    resolver = _Resolver(values)
    resolved = resolver.resolve(value)
    return resolved, resolver.changing or bool(resolver.references)


def _oldest(cache: Mapping[str, Any], now: datetime) -> datetime | None:
    """The end of the oldest result that has not expired; None where results do not."""
    expires = cache.get("ExpireAfter")
    return now - timedelta(seconds=step_cache.seconds(expires)) if expires else None


_UNITS: tuple[tuple[int, str], ...] = ((86_400, "d"), (3_600, "h"), (60, "min"))


def _age(passed: timedelta) -> str:
    """A time that has passed, in its largest unit: `3 h`."""
    seconds = max(round(passed.total_seconds()), 0)
    return next((f"{seconds // size} {unit}" for size, unit in _UNITS if seconds >= size), f"{seconds} s")
