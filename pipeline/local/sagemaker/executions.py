"""Executions of pipelines: start, stop, retry, change, describe and list."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from pipeline.aws import expressions
from pipeline.local import threads
from pipeline.local.context import Context, Request, ServiceError, now, random_id
from pipeline.local.events import Events
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker import selection, status_events
from pipeline.local.sagemaker.execution import KIND, Execution, execution_variables, set_status
from pipeline.local.sagemaker.parameters import given_values, typed_values
from pipeline.local.sagemaker.plan import plan
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
from pipeline.local.sagemaker.versions import Versions

_ACTIVE = ("Executing", "Stopping")


class Executions:
    """The executions of all pipelines."""

    def __init__(
        self, context: Context, runners: StepRunners, events: Events, identity: Identity, versions: Versions
    ) -> None:
        self._context = context
        self._identity = identity
        self._runners = runners
        self._events = events
        self._versions = versions
        self.lock = threading.RLock()
        """Held while an execution or a pipeline is created, changed or deleted."""
        self._running: dict[str, tuple[Execution, threading.Thread]] = {}
        self._interrupted = [
            context.store.update(KIND, document["ExecutionId"], _interrupted)
            for document in context.store.list(KIND)
            if document["PipelineExecutionStatus"] in _ACTIVE
        ]

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "StartPipelineExecution": self._start,
            "RetryPipelineExecution": self._retry,
            "StopPipelineExecution": self._stop,
            "UpdatePipelineExecution": self._update,
            "DescribePipelineExecution": self._describe,
            "ListPipelineExecutions": self._list,
            "ListPipelineExecutionSteps": self._list_steps,
            "ListPipelineParametersForExecution": self._list_parameters,
            "DescribePipelineDefinitionForExecution": self._describe_definition,
        }

    def all(self) -> list[Request]:
        """The executions of all pipelines, oldest first."""
        return self._context.store.list(KIND)

    def of(self, pipeline: str) -> list[Request]:
        """A pipeline's executions, oldest first."""
        return [run for run in self.all() if run["PipelineName"] == pipeline]

    def delete(self, pipeline: str) -> None:
        """Delete a pipeline's executions. Raises ServiceError while some are in progress."""
        runs = self.of(pipeline)
        if any(run["PipelineExecutionStatus"] in _ACTIVE for run in runs):
            raise ServiceError("ConflictException", "The pipeline has executions in progress; stop them first.")
        for run in runs:
            _, thread = self._running.pop(run["ExecutionId"], (None, None))
            if thread is not None:
                thread.join()  # until its last change is written
            self._context.store.delete(KIND, run["ExecutionId"])

    def _start(self, request: Request) -> Request:
        if "RoleArn" in request:
            raise invalid(
                "RoleArn can be specified for pipelines that AWS manages only: the executions of your pipeline use its"
                " role."
            )
        with self.lock:
            pipeline = self._versions.pipeline(request["PipelineName"])
            if token := request.get("ClientRequestToken"):
                for run in self.of(pipeline["PipelineName"]):
                    if run.get("ClientRequestToken") == token:
                        return {"PipelineExecutionArn": run["PipelineExecutionArn"]}
            document = self._document(pipeline, request)
            self._context.store.create(KIND, document["ExecutionId"], document)
            self._run(document)
        return {"PipelineExecutionArn": document["PipelineExecutionArn"]}

    def _document(self, pipeline: Request, request: Request) -> Request:
        """A new execution."""
        version = self._versions.requested(pipeline, request)
        definition = json.loads(version["PipelineDefinition"])
        given = given_values(request.get("PipelineParameters", []))
        execution_id, created = random_id(12), now()
        return {
            **chosen(pipeline, ("PipelineArn", "PipelineName", "RoleArn", "ParallelismConfiguration")),
            **chosen(version, ("PipelineDefinition", "PipelineVersionId")),
            **chosen(request, ("PipelineExecutionDescription", "ParallelismConfiguration", "ClientRequestToken")),
            **chosen(request, ("SelectiveExecutionConfig",)),
            "ExecutionId": execution_id,
            "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{execution_id}",
            "PipelineExecutionDisplayName": f"execution-{int(created * 1000)}",
            **chosen(request, ("PipelineExecutionDisplayName",)),
            "PipelineExecutionStatus": "Executing",
            "Parameters": typed_values(definition.get("Parameters", []), given),
            "CreationTime": created,
            "LastModifiedTime": created,
            "Steps": self._reused(pipeline, definition, request.get("SelectiveExecutionConfig")),
        }

    def _reused(self, pipeline: Request, definition: Request, config: Request | None) -> dict[str, Request]:
        """The steps that a selective execution takes from its source; none for other executions."""
        if config is None:
            return {}
        arn, source = config.get("SourcePipelineExecutionArn"), None
        if arn:
            source = self._execution(arn)
            if source["PipelineName"] != pipeline["PipelineName"]:
                raise invalid(f"Invalid SourcePipelineExecutionArn: {arn} is no execution of this pipeline.")
        names = list(dict.fromkeys(step["StepName"] for step in config["SelectedSteps"]))
        return selection.reused(plan(definition["Steps"]), names, source)

    def _run(self, document: Request) -> None:
        """Begin to run an execution."""
        execution = Execution(self._context, document["ExecutionId"], self._runners, self._emit, self._identity)
        self._emit(document)
        thread = threads.start(document["ExecutionId"], execution.run, execution.conclude)
        self._running[document["ExecutionId"]] = (execution, thread)

    def _retry(self, request: Request) -> Request:
        """Run an execution again, without the steps that have succeeded, under the same ARN.

        "Does not appear to create a new PipelineExecutionArn instead re-using the existing one. Can be called when
        PipelineExecution has failed": https://github.com/aws-controllers-k8s/community/issues/1494. Assumed: a
        stopped one can be retried too, attempts count from 1 again, and a refusal is a ConflictException.
        """
        with self.lock:
            document = self._execution(request["PipelineExecutionArn"])
            token = request["ClientRequestToken"]
            if token in document.get("RetryTokens", []):
                return {"PipelineExecutionArn": document["PipelineExecutionArn"]}
            if (status := document["PipelineExecutionStatus"]) not in ("Failed", "Stopped"):
                message = f"Only a Failed or Stopped execution can be retried; this one is {status}."
                raise ServiceError("ConflictException", message)
            _, thread = self._running.pop(document["ExecutionId"], (None, None))
            if thread is not None:
                thread.join()  # until its last change is written

            def change(stored: Request) -> None:
                set_status(stored, "Executing")
                stored.update(LastModifiedTime=now())
                stored.update(chosen(request, ("ParallelismConfiguration",)))
                stored.pop("FailureReason", None)
                stored.pop("EndTime", None)
                done = {name: step for name, step in stored["Steps"].items() if step["StepStatus"] == "Succeeded"}
                stored.update(Steps=done, RetryTokens=[*stored.get("RetryTokens", []), token])

            self._run(self._context.store.update(KIND, document["ExecutionId"], change))
        return {"PipelineExecutionArn": document["PipelineExecutionArn"]}

    def _stop(self, request: Request) -> Request:
        document = self._execution(request["PipelineExecutionArn"])

        def change(stored: Request) -> None:
            if (status := stored["PipelineExecutionStatus"]) != "Executing":
                message = f"Only an Executing execution can be stopped; this one is {status}."
                raise ServiceError("ConflictException", message)
            set_status(stored, "Stopping")
            stored.update(LastModifiedTime=now())

        with self.lock:
            self._emit(self._context.store.update(KIND, document["ExecutionId"], change))
            execution = self._running[document["ExecutionId"]][0]
        execution.stop()
        return {"PipelineExecutionArn": document["PipelineExecutionArn"]}

    def _update(self, request: Request) -> Request:
        """Change the members that the request names; a ParallelismConfiguration counts from now on."""
        document = self._execution(request["PipelineExecutionArn"])
        members = ("PipelineExecutionDescription", "PipelineExecutionDisplayName", "ParallelismConfiguration")
        changes = {**chosen(request, members), "LastModifiedTime": now()}
        self._context.store.update(KIND, document["ExecutionId"], lambda stored: stored.update(changes))
        return {"PipelineExecutionArn": document["PipelineExecutionArn"]}

    def restore(self) -> None:
        """After a restart: send the events of executions that the end of the cloud before has failed."""
        for document in self._interrupted:
            self._emit(document)

    def close(self) -> None:
        """Stop every execution that runs."""
        for execution, thread in list(self._running.values()):
            if thread.is_alive():
                execution.stop()
        for _, thread in list(self._running.values()):
            thread.join(130)

    def _execution(self, arn: str) -> Request:
        missing = not_found(f"Pipeline execution with arn {arn} does not exist.")
        document = stored(self._context.store, KIND, name_of(arn), missing)
        if document["PipelineExecutionArn"] != arn:
            raise missing
        return document

    def _describe(self, request: Request) -> Request:
        document = self._execution(request["PipelineExecutionArn"])
        answer = described("DescribePipelineExecution", {**document, **self._aliases(document)})
        # "SageMaker returns this value only for executions of pipelines that Amazon Web Services manages."
        answer.pop("RoleArn", None)
        return {**answer, **_experiment(document)}

    def _aliases(self, document: Request) -> Request:
        """The aliases that an execution's version has at present, if it has some."""
        aliases = self._versions.aliases(document, document.get("PipelineVersionId"))
        return {"PipelineVersionAliases": aliases} if aliases else {}

    def _list(self, request: Request) -> Request:
        pipeline = self._versions.pipeline(request["PipelineName"])
        runs = self.of(pipeline["PipelineName"])
        if "PipelineVersionAlias" in request:
            number = self._versions.requested(pipeline, request)["PipelineVersionId"]
            runs = [run for run in runs if run.get("PipelineVersionId") == number]
        shown = [
            {
                **run,
                **self._aliases(run),
                "StartTime": run["CreationTime"],
                "PipelineExecutionFailureReason": run.get("FailureReason"),
            }
            for run in selected(request, runs, "PipelineName")
        ]
        keys = {"CreationTime": "StartTime", "PipelineExecutionArn": "PipelineExecutionArn"}
        return listing("ListPipelineExecutions", request, shown, keys)

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
        resources = [document["PipelineArn"], document["PipelineExecutionArn"]]
        if name := document.get("ChangedStep"):
            detail = status_events.step_detail(document, name)
            self._events.emit(status_events.STEP_CHANGE, resources, detail)
        else:
            self._events.emit(status_events.EXECUTION_CHANGE, resources, status_events.execution_detail(document))


def _experiment(document: Request) -> Request:
    """The experiment and trial that the definition names; nothing where it names none.

    AWS's own answers have the pipeline's name in lower case there; that this is so for every name is assumed.
    """
    config = json.loads(document["PipelineDefinition"]).get("PipelineExperimentConfig")
    if not config:
        return {}
    values = expressions.Values(
        parameters=document["Parameters"],
        execution=execution_variables(document),
        properties=_nothing,
        property_file=_nothing,
        json_file=_nothing,
    )
    try:
        names = {key: str(expressions.resolve(value, values)).lower() for key, value in config.items()}
    except expressions.ResolutionError:
        return {}  # it refers to a step, whose values an experiment's name cannot have
    return {"PipelineExperimentConfig": names}


def _nothing(*_: str) -> Any:
    raise KeyError("steps")


def _interrupted(document: Request) -> None:
    """Fail an execution that ran when the local cloud was stopped."""
    at = now()
    reason = "The local cloud was stopped while this ran. Start it again: finished steps come from the cache."
    for step in document["Steps"].values():
        if step["StepStatus"] == "Executing":
            step.update(PreviousStatus="Executing", StepStatus="Failed", EndTime=at, FailureReason=reason)
    set_status(document, "Failed")
    document.update(FailureReason=reason, LastModifiedTime=at, EndTime=at)
