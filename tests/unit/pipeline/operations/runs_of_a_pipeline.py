"""A pipeline's runs as AWS's own APIs tell of them, by run: both ways checked against the service's model."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.validate import ParamValidator

PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
EXECUTION = {"Get": "Execution.PipelineExecutionId"}


def arn(run: str) -> str:
    return f"{PREFIX}:pipeline/bins/execution/{run}"


def place(*path: str) -> dict[str, Any]:
    """A folder of the run's own."""
    return {"Std:Join": {"On": "/", "Values": ["s3://bins/runs", EXECUTION, *path]}}


def processing(
    name: str, arguments: list[Any], inputs: list[Any] | None = None, expire: str | None = "PT12H", **more: Any
) -> dict[str, Any]:
    """A processing step whose output `out` has a folder of the run's own; `expire` None has no cache."""
    step: dict[str, Any] = {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": f"{name}:1", "ContainerArguments": arguments},
            "Environment": {},
            "ProcessingInputs": [{"InputName": "in", "S3Input": {"S3Uri": one}} for one in inputs or []],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": {"S3Uri": place(name)}}]},
        },
        **more,
    }
    return step if expire is None else {**step, "CacheConfig": {"Enabled": True, "ExpireAfter": expire}}


def output(step: str) -> dict[str, str]:
    """A step's output by its place."""
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}


def content(step: str) -> dict[str, Any]:
    """A value from a file that a step leaves."""
    return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{step}.PropertyFiles.Result"}, "Path": "sha256"}}


def tuning(inputs: list[Any]) -> dict[str, Any]:
    return {
        "Name": "TuneModel",
        "Type": "Tuning",
        "Arguments": {
            "HyperParameterTuningJobConfig": {"Strategy": "Random"},
            "TrainingJobDefinition": {
                "AlgorithmSpecification": {"TrainingImage": "train:1"},
                "StaticHyperParameters": {
                    "version": {"Get": "Parameters.TrainingVersion"},
                    "epochs": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}},
                },
                "InputDataConfig": inputs,
                "CheckpointConfig": {"S3Uri": place("checkpoints")},
            },
        },
        "CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"},
    }


def definition(handed_on: Callable[[str], Any] = output) -> dict[str, Any]:
    """The pipeline's steps in small; `handed_on` makes what a step gets from the one before it."""
    shard = processing("ShardImages", ["--labels", handed_on("QueryMetadata")], expire="P30D")
    shard["Arguments"]["Environment"] = {"SHARD_VERSION": {"Get": "Parameters.ShardVersion"}}
    return {
        "Version": "2020-12-01",
        "Parameters": [
            {"Name": "DataVersion", "Type": "String", "DefaultValue": "1"},
            {"Name": "ShardVersion", "Type": "String", "DefaultValue": "1"},
            {"Name": "TrainingVersion", "Type": "String", "DefaultValue": "1"},
            {"Name": "Epochs", "Type": "Integer", "DefaultValue": 30},
        ],
        "Steps": [
            processing("QueryMetadata", ["--data-version", {"Get": "Parameters.DataVersion"}]),
            shard,
            tuning([handed_on("ShardImages")]),
            processing("EvaluateModel", ["--run", EXECUTION], [output("ShardImages")], None),
            {
                "Name": "QualityGate",
                "Type": "Condition",
                "Arguments": {
                    "Conditions": [],
                    "IfSteps": [{"Name": "RegisterModel", "Type": "RegisterModel", "Arguments": {}}],
                    "ElseSteps": [{"Name": "QualityGateFailed", "Type": "Fail", "Arguments": {}}],
                },
            },
        ],
    }


@dataclass
class Run:
    """A run: when its steps ended, which came from which run, and what it was started with."""

    name: str
    started: datetime
    steps: dict[str, dict[str, Any]]
    definition: dict[str, Any]
    parameters: dict[str, str] = field(default_factory=dict)


class Runs:
    """The newest run comes last. `client` answers as boto3's does; `asked` counts the operations."""

    def __init__(self) -> None:
        self.by_name: dict[str, Run] = {}
        self.asked: Counter[str] = Counter()
        self.fails: dict[str, Exception] = {}

    def add(
        self,
        name: str,
        *,
        hours_ago: float = 1,
        cached: dict[str, str] | None = None,
        copied: dict[str, str] | None = None,
        failed: tuple[str, ...] = (),
        definition: dict[str, Any] | None = None,
        besides: tuple[str, ...] = (),
        **parameters: str,
    ) -> None:
        """A run whose three steps, and those `besides`, took ten minutes each and ended so long ago.

        `cached` and `copied` are the runs that results came from.
        """
        ended = NOW - timedelta(hours=hours_ago)
        steps = {}
        for step in ("QueryMetadata", "ShardImages", "TuneModel", *besides):
            answer = {"StepName": step, "StartTime": ended - timedelta(minutes=10), "EndTime": ended}
            answer["StepStatus"] = "Failed" if step in failed else "Succeeded"
            if source := (cached or {}).get(step):
                answer["CacheHitResult"] = {"SourcePipelineExecutionArn": arn(source)}
            if source := (copied or {}).get(step):
                answer["SelectiveExecutionResult"] = {"SourcePipelineExecutionArn": arn(source)}
            steps[step] = answer
        started = ended - timedelta(minutes=10)
        self.by_name[name] = Run(name, started, steps, copy.deepcopy(definition or DEFINITION), parameters)

    def client(self, *_: Any) -> Any:
        return _Client(self)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.asked[operation] += 1
        if operation in self.fails:
            raise self.fails[operation]
        if operation == "list_pipeline_executions":
            summaries = [
                {
                    "PipelineExecutionArn": arn(run.name),
                    "StartTime": run.started,
                    "PipelineExecutionStatus": "Succeeded",
                }
                for run in reversed(self.by_name.values())
            ]
            return {"PipelineExecutionSummaries": summaries}
        run = self.by_name[request["PipelineExecutionArn"].rsplit("/", 1)[-1]]
        if operation == "list_pipeline_execution_steps":
            return {"PipelineExecutionSteps": list(run.steps.values())}
        if operation == "describe_pipeline_definition_for_execution":
            return {"PipelineDefinition": json.dumps(run.definition)}
        assert operation == "list_pipeline_parameters_for_execution"
        return {"PipelineParameters": [{"Name": key, "Value": value} for key, value in run.parameters.items()]}


class _Client:
    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def describe_pipeline_definition_for_execution(self, **request: Any) -> dict[str, Any]:
        return self._answer("describe_pipeline_definition_for_execution", request)

    def get_paginator(self, operation: str) -> Any:
        class Paginator:
            @staticmethod
            def paginate(PaginationConfig: dict[str, int] | None = None, **request: Any) -> list[dict[str, Any]]:
                page = self._answer(operation, request)
                if PaginationConfig:
                    page = {key: value[: PaginationConfig["MaxItems"]] for key, value in page.items()}
                return [page]

        return Paginator

    def _answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Refuses what the service's model would refuse, both of the request and of the answer made up here."""
        model = _MODEL.operation_model(_MODEL_NAMES[operation])
        answer = self._runs.answer(operation, request)
        for members, shape in ((request, model.input_shape), (answer, model.output_shape)):
            report = ParamValidator().validate(members, shape)
            assert not report.has_errors(), report.generate_report()
        return answer


_SAGEMAKER = boto3.Session().client(
    "sagemaker", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
)
_MODEL = _SAGEMAKER.meta.service_model
_MODEL_NAMES = _SAGEMAKER.meta.method_to_api_mapping
DEFINITION = definition()
