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
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import expressions, step_cache
from pipeline.local.context import Context, ServiceError, now
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker.jobs import REASON_LIMIT
from pipeline.local.sagemaker.steps import Attempt, StepFailedError, StepRunners, StepStoppedError
from steps.contracts.s3_uri import S3Uri

log = logging.getLogger(__name__)

KIND = "pipeline-execution"
DEFAULT_PARALLEL_STEPS = 50
# "Pipelines retries on this type of error automatically"; the page's defaults of a policy: 1 second, 2.0, 5 attempts.
DEFAULT_POLICY: dict[str, Any] = {
    "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
    "IntervalSeconds": 1,
    "BackoffRate": 2.0,
    "MaxAttempts": 5,
}
Step = dict[str, Any]


@dataclass(frozen=True)
class PlannedStep:
    """A step, the steps it waits for, and the condition and branch that it belongs to."""

    step: Step
    waits_for: frozenset[str]
    condition: str | None = None
    branch: bool = True


def plan(steps: list[Step]) -> dict[str, PlannedStep]:
    """All steps by name, including those in branches of conditions."""
    return {planned.step["Name"]: planned for planned in _plan(steps, None, True)}


def _plan(steps: list[Step], condition: str | None, branch: bool) -> Iterator[PlannedStep]:
    for step in steps:
        arguments, is_condition = step.get("Arguments", {}), step["Type"] == "Condition"
        references = expressions.references(arguments["Conditions"] if is_condition else arguments)
        yield PlannedStep(step, frozenset({*references, *step.get("DependsOn", [])}), condition, branch)
        if is_condition:
            yield from _plan(arguments.get("IfSteps", []), step["Name"], True)
            yield from _plan(arguments.get("ElseSteps", []), step["Name"], False)


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
        """Run all steps, until the execution is Succeeded, Failed or Stopped."""
        running: dict[Future[None], str] = {}
        limit = self._document.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps")
        try:
            with ThreadPoolExecutor(limit or DEFAULT_PARALLEL_STEPS) as pool:
                # Pipelines assumes the role: its trust policy counts.
                self._identity.assume(self._document["RoleArn"], "sagemaker", self._document["PipelineArn"])
                waiting = dict(self._planned)
                while True:
                    for name in [] if self._stop.is_set() or self._ended_early() else list(waiting):
                        if self._is_ready(waiting[name]):
                            running[pool.submit(self._run_step, waiting.pop(name).step)] = name
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
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
        status = "Stopped" if self._stop.is_set() else "Failed" if self._failure else "Succeeded"
        changes = {"PipelineExecutionStatus": status, "LastModifiedTime": now(), "EndTime": now()}
        if status == "Failed":
            changes["FailureReason"] = self._failure[:REASON_LIMIT]
        self._on_change(self._context.store.update(KIND, self._id, lambda document: document.update(changes)))

    def _steps(self) -> dict[str, Any]:
        steps: dict[str, Any] = self._load()["Steps"]
        return steps

    def _ended_early(self) -> bool:
        """Whether a Fail step has run, which ends the execution at once; other failures stop only the steps behind."""
        return any(
            step["StepStatus"] == "Failed" and self._planned[name].step["Type"] == "Fail"
            for name, step in self._steps().items()
        )

    def _is_ready(self, planned: PlannedStep) -> bool:
        steps = self._steps()
        if planned.condition is not None:
            condition = steps.get(planned.condition, {})
            if condition.get("StepStatus") != "Succeeded" or condition["Properties"]["Outcome"] != planned.branch:
                return False
        return all(steps.get(name, {}).get("StepStatus") == "Succeeded" for name in planned.waits_for)

    def _run_step(self, step: Step) -> None:
        name = step["Name"]
        self._set(name, StepName=name, StepStatus="Executing", StartTime=now(), AttemptCount=1)
        try:
            arguments = self._resolve_arguments(step)
            if not self._reuse(step, arguments):
                self._execute(step, arguments)
        except StepStoppedError:
            self._set(name, StepStatus="Stopped", EndTime=now())
        except Exception as error:
            reason = str(error)
            if not isinstance(error, StepFailedError | expressions.ResolutionError):
                log.exception("step %s of execution %s", name, self._id)
                reason = f"InternalServerError: {self._context.reason(error)}"
            self._set(name, StepStatus="Failed", EndTime=now(), FailureReason=reason[:REASON_LIMIT])
            self._fail(f"Step {name} failed: {reason}")

    def _resolve_arguments(self, step: Step) -> dict[str, Any]:
        arguments = step.get("Arguments", {})
        if step["Type"] == "Condition":
            # The branches are steps of their own; the values that they refer to may not exist yet.
            arguments = {"Conditions": arguments["Conditions"]}
        resolved: dict[str, Any] = expressions.resolve(arguments, self._values())
        return resolved

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

    def _execute(self, step: Step, arguments: dict[str, Any]) -> None:
        name = step["Name"]
        attempt, started = 1, now()
        while True:
            try:
                announce = functools.partial(self._announce, name)
                result = self._runners.run(Attempt(self._id, self._caller, step, arguments, announce))
                break
            except StepFailedError as error:
                delay = _retry_delay(step, error.exception_type, attempt, now() - started)
                if delay is None or self._stop.wait(delay):
                    raise
                attempt += 1
                self._set(name, AttemptCount=attempt)
        self._set(name, StepStatus="Succeeded", EndTime=now(), Metadata=result.metadata, Properties=result.properties)

    def _announce(self, name: str, metadata: dict[str, Any]) -> None:
        self._set(name, Metadata=metadata)

    def _values(self) -> expressions.Values:
        document = self._document
        return expressions.Values(
            parameters=document["Parameters"],
            execution={
                **{key: document[key] for key in ("PipelineName", "PipelineArn", "PipelineExecutionArn")},
                "PipelineExecutionId": self._id,
                "StartDateTime": _iso(document["CreationTime"]),
                "CurrentDateTime": _iso(now()),
            },
            properties=lambda step: self._steps()[step]["Properties"],
            property_file=self._property_file,
        )

    def _property_file(self, step: str, file: str) -> Any:
        """Read a property file from the step's output in S3, as the service does for a condition."""
        files = {entry["PropertyFileName"]: entry for entry in self._planned[step].step.get("PropertyFiles", [])}
        entry = files[file]
        path = f"ProcessingOutputConfig.Outputs['{entry['OutputName']}'].S3Output.S3Uri"
        uri = S3Uri.parse(expressions.walk(self._steps()[step]["Properties"], path)).join(entry["FilePath"])
        s3 = self._identity.client(self._caller, "s3")
        try:
            body = s3.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read()
            return json.loads(body, parse_constant=_refuse_constant)
        except s3.exceptions.NoSuchKey:
            raise expressions.ResolutionError(f"property file {uri} does not exist") from None
        except ClientError as error:
            raise expressions.ResolutionError(f"property file {uri} cannot be read: {error}") from None
        except ValueError as error:
            raise expressions.ResolutionError(f"property file {uri} is not valid JSON: {error}") from error

    def _load(self) -> dict[str, Any]:
        document = self._context.store.get(KIND, self._id)
        assert document is not None
        return document

    def _set(self, name: str, **changes: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            document["Steps"].setdefault(name, {}).update(changes)
            document["LastModifiedTime"] = now()

        document = self._context.store.update(KIND, self._id, change)
        if "StepStatus" in changes:
            self._on_change({**document, "ChangedStep": name})

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason


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


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
