"""Pipelines and their executions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from pipeline.aws.validation.definition import all_steps, validate_definition
from pipeline.aws.validation.steps import REQUESTS
from pipeline.local import members
from pipeline.local.context import Context, Request, ServiceError, now, random_id
from pipeline.local.events import Events
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker.execution import KIND as EXECUTION
from pipeline.local.sagemaker.execution import Execution
from pipeline.local.sagemaker.resources import (
    chosen,
    described,
    invalid,
    listing,
    name_of,
    not_found,
    page,
    selected,
    stored,
)
from pipeline.local.sagemaker.steps import StepRunners
from pipeline.local.sagemaker.tags import delete_tagged

PIPELINE = "pipeline"


class Pipelines:
    """CreatePipeline, StartPipelineExecution, and the other operations of these resources."""

    def __init__(self, context: Context, runners: StepRunners, events: Events, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._runners = runners
        self._events = events
        self._executions: dict[str, tuple[Execution, threading.Thread]] = {}
        for document in context.store.list(EXECUTION):
            if document["PipelineExecutionStatus"] in ("Executing", "Stopping"):
                context.store.update(EXECUTION, document["ExecutionId"], _interrupted)

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreatePipeline": self._create,
            "UpdatePipeline": self._update,
            "DescribePipeline": self._describe,
            "ListPipelines": self._list_pipelines,
            "DeletePipeline": self._delete,
            "StartPipelineExecution": self._start,
            "StopPipelineExecution": self._stop,
            "DescribePipelineExecution": self._describe_execution,
            "ListPipelineExecutions": self._list_executions,
            "ListPipelineExecutionSteps": self._list_steps,
            "ListPipelineParametersForExecution": self._list_parameters,
            "DescribePipelineDefinitionForExecution": self._describe_definition,
        }

    def _create(self, request: Request) -> Request:
        name = request["PipelineName"]
        self._check(_definition_text(request))
        arn = self._context.arn("sagemaker", f"pipeline/{name.lower()}")
        created = now()
        document = {
            "PipelineArn": arn,
            "PipelineName": name,
            "PipelineDisplayName": request.get("PipelineDisplayName", name),
            "PipelineDefinition": request["PipelineDefinition"],
            "RoleArn": request["RoleArn"],
            "PipelineStatus": "Active",
            "CreationTime": created,
            "LastModifiedTime": created,
            **chosen(request, ("PipelineDescription", "ParallelismConfiguration", "ClientRequestToken")),
        }
        if not self._context.store.create(PIPELINE, name, document):
            before = self._context.store.get(PIPELINE, name) or {}
            if before.get("ClientRequestToken") != request["ClientRequestToken"]:
                raise invalid(f"Pipeline names must be unique within an account and region; ({name}) already exists.")
        return {"PipelineArn": arn}

    def _update(self, request: Request) -> Request:
        """Replace the members that the request names. Executions that run keep their definition."""
        document = self._pipeline(request["PipelineName"])
        changes = chosen(request, ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration"))
        if "PipelineDefinition" in request:
            self._check(_definition_text(request))
            changes["PipelineDefinition"] = request["PipelineDefinition"]
        changes["LastModifiedTime"] = now()
        self._context.store.update(PIPELINE, document["PipelineName"], lambda stored: stored.update(changes))
        return {"PipelineArn": document["PipelineArn"]}

    def _check(self, text: str) -> None:
        """Raise ServiceError for a definition that SageMaker would refuse, and for one that cannot run here."""
        try:
            definition = json.loads(text)
        except ValueError as error:
            raise invalid(f"Unable to parse pipeline definition: {error}") from None
        if not isinstance(definition, dict):
            raise invalid("Unable to parse pipeline definition: not a JSON object")
        if problems := validate_definition(definition):
            raise invalid("; ".join(map(str, problems)))
        unknown = sorted({step["Type"] for step in all_steps(definition["Steps"])} - set(self._runners.types))
        if unknown:
            raise invalid(
                f"The local cloud runs steps of type {', '.join(self._runners.types)}; not {', '.join(unknown)}."
            )
        missing = [
            f"step {step['Name']}: {problem}"
            for step in all_steps(definition["Steps"])
            if step["Type"] in REQUESTS
            for problem in members.problems("sagemaker", REQUESTS[step["Type"]][0], step["Arguments"])
        ]
        if missing:
            raise invalid(" ".join(missing))

    def _pipeline(self, name: str) -> Request:
        document = self._context.store.get(PIPELINE, name_of(name))
        if document is None:
            # An ARN has the name in lower case.
            pipelines = self._context.store.list(PIPELINE)
            document = next((pipeline for pipeline in pipelines if pipeline["PipelineArn"] == name), None)
        if document is None:
            raise not_found(f"Pipeline '{self._context.arn('sagemaker', f'pipeline/{name_of(name)}')}' does not exist.")
        return document

    def _describe(self, request: Request) -> Request:
        document = self._pipeline(request["PipelineName"])
        if runs := self._runs(document["PipelineName"]):
            document["LastRunTime"] = runs[-1]["CreationTime"]
        return described("DescribePipeline", document)

    def _list_pipelines(self, request: Request) -> Request:
        pipelines = selected(request, self._context.store.list(PIPELINE), "PipelineName")
        return listing("ListPipelines", request, pipelines, {"Name": "PipelineName", "CreationTime": "CreationTime"})

    def _delete(self, request: Request) -> Request:
        """Delete the pipeline and its executions; the results of their jobs remain.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeletePipeline.html
        """
        document = self._pipeline(request["PipelineName"])
        runs = self._runs(document["PipelineName"])
        if any(run["PipelineExecutionStatus"] in ("Executing", "Stopping") for run in runs):
            raise ServiceError("ConflictException", "The pipeline has executions in progress; stop them first.")
        for run in runs:
            _, thread = self._executions.pop(run["ExecutionId"], (None, None))
            if thread is not None:
                thread.join()  # until its last change is written
            self._context.store.delete(EXECUTION, run["ExecutionId"])
        delete_tagged(self._context.store, PIPELINE, document["PipelineName"], document["PipelineArn"])
        return {"PipelineArn": document["PipelineArn"]}

    def _start(self, request: Request) -> Request:
        pipeline = self._pipeline(request["PipelineName"])
        definition = json.loads(pipeline["PipelineDefinition"])
        given = {entry["Name"]: entry["Value"] for entry in request.get("PipelineParameters", [])}
        if token := request.get("ClientRequestToken"):
            for run in self._runs(pipeline["PipelineName"]):
                if run.get("ClientRequestToken") == token:
                    return {"PipelineExecutionArn": run["PipelineExecutionArn"]}
        execution_id = random_id(12)
        arn = f"{pipeline['PipelineArn']}/execution/{execution_id}"
        created = now()
        document = {
            **chosen(
                pipeline, ("PipelineArn", "PipelineName", "PipelineDefinition", "RoleArn", "ParallelismConfiguration")
            ),
            **chosen(request, ("PipelineExecutionDescription", "ParallelismConfiguration", "ClientRequestToken")),
            "ExecutionId": execution_id,
            "PipelineExecutionArn": arn,
            "PipelineExecutionDisplayName": f"execution-{int(created * 1000)}",
            **chosen(request, ("PipelineExecutionDisplayName",)),
            "PipelineExecutionStatus": "Executing",
            "Parameters": _parameters(definition.get("Parameters", []), given),
            "CreationTime": created,
            "LastModifiedTime": created,
            "Steps": {},
        }
        self._context.store.create(EXECUTION, execution_id, document)
        execution = Execution(self._context, execution_id, self._runners, self._emit, self._identity)
        thread = threading.Thread(target=execution.run, name=execution_id, daemon=True)
        self._executions[execution_id] = (execution, thread)
        self._emit(document)
        thread.start()
        return {"PipelineExecutionArn": arn}

    def _stop(self, request: Request) -> Request:
        document = self._execution(request["PipelineExecutionArn"])
        if (status := document["PipelineExecutionStatus"]) != "Executing":
            message = f"Only an Executing execution can be stopped; this one is {status}."
            raise ServiceError("ConflictException", message)
        change = {"PipelineExecutionStatus": "Stopping", "LastModifiedTime": now()}
        self._emit(self._context.store.update(EXECUTION, document["ExecutionId"], lambda stored: stored.update(change)))
        self._executions[document["ExecutionId"]][0].stop()
        return {"PipelineExecutionArn": document["PipelineExecutionArn"]}

    def close(self) -> None:
        """Stop every execution that runs."""
        for execution, thread in list(self._executions.values()):
            if thread.is_alive():
                execution.stop()
        for _, thread in list(self._executions.values()):
            thread.join(130)

    def _execution(self, arn: str) -> Request:
        missing = not_found(f"Pipeline execution with arn {arn} does not exist.")
        document = stored(self._context.store, EXECUTION, name_of(arn), missing)
        if document["PipelineExecutionArn"] != arn:
            raise missing
        return document

    def _runs(self, pipeline: str) -> list[Request]:
        return [run for run in self._context.store.list(EXECUTION) if run["PipelineName"] == pipeline]

    def _describe_execution(self, request: Request) -> Request:
        document = self._execution(request["PipelineExecutionArn"])
        experiment = {"ExperimentName": document["PipelineName"].lower(), "TrialName": document["ExecutionId"]}
        return {**described("DescribePipelineExecution", document), "PipelineExperimentConfig": experiment}

    def _list_executions(self, request: Request) -> Request:
        pipeline = self._pipeline(request["PipelineName"])
        runs = [
            {**run, "StartTime": run["CreationTime"], "PipelineExecutionFailureReason": run.get("FailureReason")}
            for run in selected(request, self._runs(pipeline["PipelineName"]), "PipelineName")
        ]
        keys = {"CreationTime": "StartTime", "PipelineExecutionArn": "PipelineExecutionArn"}
        return listing("ListPipelineExecutions", request, runs, keys)

    def _list_steps(self, request: Request) -> Request:
        """The steps that have started; in AWS's default order the newest comes first."""
        steps = self._execution(request["PipelineExecutionArn"])["Steps"].values()
        return listing("ListPipelineExecutionSteps", request, steps, {"StartTime": "StartTime"}, default="StartTime")

    def _list_parameters(self, request: Request) -> Request:
        document = self._execution(request["PipelineExecutionArn"])
        items = [{"Name": name, "Value": str(value)} for name, value in document["Parameters"].items()]
        return page(request, items, "PipelineParameters")

    def _describe_definition(self, request: Request) -> Request:
        document = self._execution(request["PipelineExecutionArn"])
        return described("DescribePipelineDefinitionForExecution", document)

    def _emit(self, document: Request) -> None:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html."""
        detail = {
            "pipelineArn": document["PipelineArn"],
            "pipelineExecutionArn": document["PipelineExecutionArn"],
            "pipelineExecutionDisplayName": document["PipelineExecutionDisplayName"],
        }
        resources = [document["PipelineArn"], document["PipelineExecutionArn"]]
        if name := document.get("ChangedStep"):
            step = document["Steps"][name]
            detail |= {"stepName": name, "currentStepStatus": step["StepStatus"]}
            detail |= {"failureReason": step.get("FailureReason", ""), "metadata": step.get("Metadata", {})}
            self._events.emit("SageMaker Model Building Pipeline Execution Step Status Change", resources, detail)
        else:
            detail |= {"currentPipelineExecutionStatus": document["PipelineExecutionStatus"]}
            detail |= {"executionStartTime": document["CreationTime"]}
            self._events.emit("SageMaker Model Building Pipeline Execution Status Change", resources, detail)


def _definition_text(request: Request) -> str:
    if "PipelineDefinition" not in request:
        raise invalid("A pipeline needs a PipelineDefinition.")
    return str(request["PipelineDefinition"])


def _parameters(declared: list[Request], given: dict[str, str]) -> dict[str, Any]:
    """Values by name, of their declared types. Raises ServiceError for values that the definition does not allow."""
    unknown = sorted(set(given) - {parameter["Name"] for parameter in declared})
    if unknown:
        raise invalid(f"Unknown parameters: {', '.join(unknown)}")
    values = {}
    for parameter in declared:
        name, kind = parameter["Name"], parameter["Type"]
        value = given.get(name, parameter.get("DefaultValue"))
        if value is None:
            raise invalid(f"Parameter [{name}] has no value and no default")
        try:
            typed = _TYPES[kind](value)
        except ValueError:
            raise invalid(f"Parameter [{name}] is no {kind}: {value!r}") from None
        allowed = parameter.get("EnumValues")
        if allowed and typed not in allowed:
            raise invalid(f"Parameter [{name}] must be one of {allowed}, not {value!r}")
        values[name] = typed
    return values


def _as_boolean(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError(value)
    return str(value).lower() == "true"


_TYPES: dict[str, Callable[[Any], Any]] = {"String": str, "Integer": int, "Float": float, "Boolean": _as_boolean}


def _interrupted(document: Request) -> None:
    """Fail an execution that ran when the local cloud was stopped."""
    at = now()
    reason = "The local cloud was stopped while this ran. Start it again: finished steps come from the cache."
    for step in document["Steps"].values():
        if step["StepStatus"] == "Executing":
            step.update(StepStatus="Failed", EndTime=at, FailureReason=reason)
    document.update(PipelineExecutionStatus="Failed", FailureReason=reason, LastModifiedTime=at, EndTime=at)
