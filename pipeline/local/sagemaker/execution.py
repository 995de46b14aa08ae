"""One pipeline execution: the order of its steps, their cache, their retries and their values.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-build-structure.html: steps run when the steps they refer to
or depend on have succeeded; a condition chooses one of its branches; a Fail step ends the execution as Failed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import expressions, step_cache
from pipeline.aws.validation.references import JOB_NAMES
from pipeline.aws.validation.steps import REQUESTS
from pipeline.local.context import Context, ServiceError, now
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker.jobs import REASON_LIMIT
from pipeline.local.sagemaker.plan import PlannedStep, Step, plan
from pipeline.local.sagemaker.resources import chosen
from pipeline.local.sagemaker.steps import Attempt, StepFailedError, StepRunners, StepStoppedError, job_name
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

log = logging.getLogger(__name__)

KIND = "pipeline-execution"
DEFAULT_PARALLEL_STEPS = 50
# Seconds until an execution that waits for its steps looks at its ParallelismConfiguration again.
LOOK_SECONDS = 1.0
# "Pipelines retries on this type of error automatically"; the page's defaults of a policy: 1 second, 2.0, 5 attempts.
DEFAULT_POLICY: dict[str, Any] = {
    "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
    "IntervalSeconds": 1,
    "BackoffRate": 2.0,
    "MaxAttempts": 5,
}


def cache_key(step_type: str, arguments: dict[str, Any]) -> str | None:
    """Hash of the attributes of resolved arguments that count for the cache; None for a type of step without one."""
    attributes = step_cache.key_attributes(step_type, arguments)
    return None if attributes is None else hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()


def find_cached(executions: list[dict[str, Any]], step: Step, key: str, at: float) -> dict[str, Any] | None:
    """The newest execution whose run of `step` may be used again. `executions` are ordered, the oldest first."""
    config = step.get("CacheConfig", {})
    if not config.get("Enabled"):
        return None
    oldest = at - step_cache.seconds(config["ExpireAfter"]) if config.get("ExpireAfter") else 0.0
    for execution in executions[::-1]:
        before = execution["Steps"].get(step["Name"])
        if (
            isinstance(before, dict)
            and before["StepStatus"] == "Succeeded"
            and before.get("CacheKey") == key
            and "CacheHitResult" not in before
            and "SelectiveExecutionResult" not in before
            and before["EndTime"] >= oldest
        ):
            return execution
    return None


class Execution:
    """One execution. Its document is in the store, and every change is written there."""

    def __init__(
        self,
        context: Context,
        execution_id: str,
        runners: StepRunners,
        on_change: Callable[[dict[str, Any]], None],
        identity: Identity,
    ) -> None:
        self._context = context
        self._id = execution_id
        self._runners = runners
        self._on_change = on_change
        self._document = self._load()
        self._planned = plan(json.loads(self._document["PipelineDefinition"])["Steps"])
        self._stop = threading.Event()
        self._failure = ""
        self._identity = identity
        self._caller = identity.as_role(self._document["RoleArn"])

    def stop(self) -> None:
        """Stop the running jobs; no further step starts."""
        self._stop.set()
        self._runners.stop(self._id)

    def run(self) -> None:
        """Run the steps, until the execution is Succeeded, Failed or Stopped.

        These are the selected ones, if some are selected, without those that have succeeded before a retry.
        """
        running: dict[Future[None], str] = {}
        try:
            with ThreadPoolExecutor(max(len(self._planned), 1)) as pool:
                # Pipelines assumes the role: its trust policy counts.
                self._identity.assume(self._document["RoleArn"], "sagemaker", self._document["PipelineArn"])
                waiting = self._to_run()
                while True:
                    for name in self._ready(waiting, len(running)):
                        running[pool.submit(self._run_step, waiting.pop(name).step)] = name
                    if not running:
                        break
                    done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        running.pop(future)
                        future.result()
        except ServiceError as error:
            self._fail(f"ClientError: {error}")
        except Exception as error:
            log.exception("execution %s", self._id)
            self._fail(f"InternalServerError: {self._context.reason(error)}")
        self.conclude()

    def conclude(self, error: Exception | None = None) -> None:
        """Bring the execution into its last status; with an error of its thread, it has failed."""
        if error is not None:
            self._fail(f"InternalServerError: {self._context.reason(error)}")
        self._runners.forget(self._id)
        status = "Stopped" if self._stop.is_set() else "Failed" if self._failure else "Succeeded"
        changes: dict[str, Any] = {"LastModifiedTime": now(), "EndTime": now()}
        if status == "Failed":
            changes["FailureReason"] = self._failure[:REASON_LIMIT]

        def change(document: dict[str, Any]) -> None:
            set_status(document, status)
            document.update(changes)

        self._on_change(self._context.store.update(KIND, self._id, change))

    def _steps(self) -> dict[str, Any]:
        steps: dict[str, Any] = self._load()["Steps"]
        return steps

    def _to_run(self) -> dict[str, PlannedStep]:
        config = self._document.get("SelectiveExecutionConfig")
        selected = {step["StepName"] for step in config["SelectedSteps"]} if config else set(self._planned)
        done = {name for name, step in self._document["Steps"].items() if step["StepStatus"] == "Succeeded"}
        return {name: planned for name, planned in self._planned.items() if name in selected - done}

    def _ready(self, waiting: dict[str, PlannedStep], running: int) -> list[str]:
        """The waiting steps that may start now, next to `running` others."""
        document = self._load()
        steps = document["Steps"]
        if self._stop.is_set() or self._ended_early(steps):
            return []
        limit = document.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps", DEFAULT_PARALLEL_STEPS)
        ready = [name for name, planned in waiting.items() if self._is_ready(planned, steps)]
        return ready[: max(limit - running, 0)]

    def _ended_early(self, steps: dict[str, Any]) -> bool:
        """Whether a Fail step has run, which ends the execution at once; other failures stop only the steps behind."""
        return any(
            step["StepStatus"] == "Failed" and self._planned[name].step["Type"] == "Fail"
            for name, step in steps.items()
        )

    def _is_ready(self, planned: PlannedStep, steps: dict[str, Any]) -> bool:
        if planned.condition is not None:
            condition = steps.get(planned.condition, {})
            if condition.get("StepStatus") != "Succeeded" or condition["Properties"]["Outcome"] != planned.branch:
                return False
        return all(steps.get(name, {}).get("StepStatus") == "Succeeded" for name in planned.waits_for)

    def _run_step(self, step: Step) -> None:
        name = step["Name"]
        shown = {f"Step{key}": value for key, value in chosen(step, ("DisplayName", "Description")).items()}
        begun = {"StepStatus": "Executing", "StartTime": now(), "AttemptCount": 1}
        self._set(name, StepName=name, StepType=step["Type"], **shown, **begun)
        try:
            resolved, job = self._resolved(step)
            if not self._reuse(step, resolved["Arguments"]):
                self._execute(step, resolved, job)
        except StepStoppedError:
            self._set(name, StepStatus="Stopped", EndTime=now())
        except Exception as error:
            reason = str(error)
            if not isinstance(error, StepFailedError | expressions.ResolutionError):
                log.exception("step %s of execution %s", name, self._id)
                reason = f"InternalServerError: {self._context.reason(error)}"
            self._set(name, StepStatus="Failed", EndTime=now(), FailureReason=reason[:REASON_LIMIT])
            self._fail(f"Step {name} failed: {reason}")

    def _resolved(self, step: Step) -> tuple[Step, str]:
        """The step with the values of its expressions, and the name of its job."""
        arguments = step.get("Arguments", {})
        if step["Type"] == "Condition":
            # The branches are steps of their own; the values that they refer to may not exist yet.
            arguments = {"Conditions": arguments["Conditions"]}
        _, member = REQUESTS.get(step["Type"], ("", ""))
        job = job_name(self._id, step, expressions.resolve(arguments.get(member), self._values({})))
        variables = {JOB_NAMES[step["Type"]]: job} if step["Type"] in JOB_NAMES else {}
        values = self._values(variables)
        resolved = {"Arguments": expressions.resolve(arguments, values)}
        if "FunctionArn" in step:
            resolved["FunctionArn"] = expressions.resolve(step["FunctionArn"], values)
        return {**step, **resolved}, job

    def _reuse(self, step: Step, arguments: dict[str, Any]) -> bool:
        """Use an earlier execution's result if the step's cache has one. Returns whether it has."""
        key = cache_key(step["Type"], arguments)
        if key is None:
            return False
        self._set(step["Name"], CacheKey=key)
        pipeline, executions = self._document["PipelineName"], self._context.store.list(KIND)
        earlier = [run for run in executions if run["PipelineName"] == pipeline and run["ExecutionId"] != self._id]
        if (source := find_cached(earlier, step, key, now())) is None:
            return False
        before = source["Steps"][step["Name"]]
        self._set(
            step["Name"],
            StepStatus="Succeeded",
            EndTime=now(),
            Metadata=before["Metadata"],
            Properties=before["Properties"],
            CacheHitResult={"SourcePipelineExecutionArn": source["PipelineExecutionArn"]},
        )
        return True

    def _execute(self, step: Step, resolved: Step, job: str) -> None:
        name = step["Name"]
        attempt, started = 1, now()
        while True:
            try:
                announce = functools.partial(self._announce, name)
                attempted = Attempt(self._id, self._caller, resolved, resolved["Arguments"], announce, job)
                result = self._runners.run(attempted)
                break
            except StepFailedError as error:
                delay = _retry_delay(step, error.exception_type, attempt, now() - started)
                if delay is None or self._stop.wait(delay):
                    raise
                attempt += 1
                self._set(name, AttemptCount=attempt)
                resolved, job = self._resolved(step)
        self._set(name, StepStatus="Succeeded", EndTime=now(), Metadata=result.metadata, Properties=result.properties)

    def _announce(self, name: str, metadata: dict[str, Any]) -> None:
        self._set(name, Metadata=metadata)

    def _values(self, variables: dict[str, str]) -> expressions.Values:
        return expressions.Values(
            parameters=self._document["Parameters"],
            execution={**execution_variables(self._document), **variables},
            properties=lambda step: self._steps()[step]["Properties"],
            property_file=self._property_file,
            json_file=lambda uri: self._json(_location(uri), f"file {uri}"),
        )

    def _property_file(self, step: str, file: str) -> Any:
        """Read a property file from the step's output in S3, as the service does for a condition."""
        files = {entry["PropertyFileName"]: entry for entry in self._planned[step].step.get("PropertyFiles", [])}
        entry = files[file]
        path = f"ProcessingOutputConfig.Outputs['{entry['OutputName']}'].S3Output.S3Uri"
        uri = S3Uri.parse(expressions.walk(self._steps()[step]["Properties"], path)).join(entry["FilePath"])
        return self._json(uri, f"property file {uri}")

    def _json(self, uri: S3Uri, what: str) -> Any:
        s3 = self._identity.client(self._caller, "s3")
        try:
            body = s3.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read()
            return json.loads(body, parse_constant=_refuse_constant)
        except s3.exceptions.NoSuchKey:
            raise expressions.ResolutionError(f"{what} does not exist") from None
        except ClientError as error:
            raise expressions.ResolutionError(f"{what} cannot be read: {error}") from None
        except ValueError as error:
            raise expressions.ResolutionError(f"{what} is not valid JSON: {error}") from error

    def _load(self) -> dict[str, Any]:
        document = self._context.store.get(KIND, self._id)
        assert document is not None
        return document

    def _set(self, name: str, **changes: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            step = document["Steps"].setdefault(name, {})
            if "StepStatus" in changes and "StepStatus" in step:
                step["PreviousStatus"] = step["StepStatus"]
            step.update(changes)
            document["LastModifiedTime"] = now()

        document = self._context.store.update(KIND, self._id, change)
        if "StepStatus" in changes:
            self._on_change({**document, "ChangedStep": name})

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason


def set_status(document: dict[str, Any], status: str) -> None:
    """Give an execution's document another status; the one before is part of the event."""
    document.update(PreviousStatus=document["PipelineExecutionStatus"], PipelineExecutionStatus=status)


def execution_variables(document: dict[str, Any]) -> dict[str, str]:
    """The values of `Execution.NAME` in every step of an execution."""
    return {
        **{key: document[key] for key in ("PipelineName", "PipelineArn", "PipelineExecutionArn")},
        "PipelineExecutionId": document["ExecutionId"],
        "StartDateTime": _iso(document["CreationTime"]),
        "CurrentDateTime": _iso(now()),
    }


def _retry_delay(step: Step, exception_type: str, attempt: int, elapsed: float) -> float | None:
    """Seconds to wait after attempt `attempt` (from 1), by the step's retry policies; None if there is no further one.

    A policy ends after MaxAttempts retries, or ExpireAfterMin minutes after the step began (`elapsed`, in seconds).
    Faults and throttling of the service are retried without a policy as well:
    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
    """
    for policy in (*step.get("RetryPolicies", []), DEFAULT_POLICY):
        if exception_type in policy["ExceptionType"]:
            delay = float(policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** (attempt - 1))
            if "ExpireAfterMin" in policy:
                return delay if elapsed + delay <= 60 * policy["ExpireAfterMin"] else None
            return delay if attempt <= policy.get("MaxAttempts", DEFAULT_POLICY["MaxAttempts"]) else None
    return None


def _location(uri: str) -> S3Uri:
    try:
        return S3Uri.parse(uri)
    except StepError as error:
        raise expressions.ResolutionError(str(error)) from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
