"""The types of steps: the request that the service sends for a step, and the properties of its answer."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.local.context import ServiceError, random_id
from pipeline.local.identity.caller import Caller
from pipeline.local.machine.functions import Functions
from pipeline.local.sagemaker.jobs import Jobs
from pipeline.local.sagemaker.processing import ProcessingJobs
from pipeline.local.sagemaker.resources import name_of
from pipeline.local.sagemaker.training import TrainingJobs
from pipeline.local.sagemaker.tuning import TuningJobs

Step = dict[str, Any]
# Types of exception by the first word of a failed job's reason, and of a refused call by its code.
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
_OF_JOBS = {"InternalServerError": "SageMaker.JOB_INTERNAL_ERROR", "CapacityError": "SageMaker.CAPACITY_ERROR"}
_OF_CALLS = {
    **dict.fromkeys(("ThrottlingException", "TooManyRequestsException", "Throttling"), "Step.THROTTLING"),
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
}
# Waits of the service before it looks at a job again.
PATIENCE_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
# Called with a step's metadata (its job's ARN) as soon as there is one.
Announce = Callable[[dict[str, Any]], None]
# Sends a request to a service's operation for a caller, as if it came from outside. Raises ServiceError.
Call = Callable[[str, str, dict[str, Any], Caller], dict[str, Any]]


class StepFailedError(Exception):
    """The step failed. Its retry policies are matched with `exception_type`."""

    def __init__(self, message: str, exception_type: str = "") -> None:
        super().__init__(message)
        self.exception_type = exception_type


class StepStoppedError(Exception):
    """The step was stopped."""


@dataclass(frozen=True)
class StepResult:
    """Metadata as ListPipelineExecutionSteps shows it, and the properties that other steps refer to."""

    metadata: dict[str, Any]
    properties: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a step."""

    execution: str
    caller: Caller
    """The pipeline's role, which makes every call of the step."""
    step: Step
    arguments: dict[str, Any]
    announce: Announce
    job_name: str
    """Name of the job or model that the step creates."""


@dataclass
class StepRunners:
    """Runs steps by their type."""

    processing: ProcessingJobs
    training: TrainingJobs
    tuning: TuningJobs
    functions: Functions
    call: Call
    authorize: Callable[[Caller, str, str, dict[str, Any]], None]
    """Refuses a call that the caller's policies do not allow. Raises ServiceError."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, list[Callable[[], Any]]] = {}
        self._stopped: set[str] = set()
        self._types: dict[str, Callable[[Attempt], StepResult]] = {
            "Processing": self._processing,
            "Training": self._training,
            "Tuning": self._tuning,
            "RegisterModel": self._register,
            "Model": self._model,
            "Lambda": self._lambda,
            "Condition": self._condition,
            "Fail": self._fail,
        }

    @property
    def types(self) -> list[str]:
        """The types of step that run here."""
        return sorted(self._types)

    def run(self, attempt: Attempt) -> StepResult:
        """Run one attempt to its end. Raises StepFailedError or StepStoppedError."""
        try:
            return self._types[attempt.step["Type"]](attempt)
        except ServiceError as error:
            kind = _OF_CALLS.get(error.code, "Step.SERVICE_FAULT" if error.status >= 500 else "")
            raise StepFailedError(f"ClientError: {error.code}: {error.message}", kind) from error

    def stop(self, execution: str) -> None:
        """Stop the jobs of an execution, and those whose creation is under way, as soon as they exist."""
        with self._lock:
            self._stopped.add(execution)
            stops = list(self._jobs.get(execution, []))
        for stop in stops:
            stop()

    def forget(self, execution: str) -> None:
        """Drop what is known of an execution that has ended; a retry begins without it."""
        with self._lock:
            self._stopped.discard(execution)
            self._jobs.pop(execution, None)

    def _processing(self, attempt: Attempt) -> StepResult:
        return self._run_job(attempt, self.processing, "ProcessingJob", attempt.job_name)

    def _training(self, attempt: Attempt) -> StepResult:
        return self._run_job(attempt, self.training, "TrainingJob", attempt.job_name)

    def _tuning(self, attempt: Attempt) -> StepResult:
        name = attempt.job_name
        result = self._run_job(attempt, self.tuning, "TuningJob", name)
        listed = {self.tuning.name_member: name, "SortBy": "FinalObjectiveMetricValue"}
        self._patiently(attempt, "ListTrainingJobsForHyperParameterTuningJob", listed)
        summaries = {"TrainingJobSummaries": self.tuning.ranked(name)}
        return StepResult(result.metadata, {**result.properties, **summaries})

    def _run_job(self, attempt: Attempt, jobs: Jobs, kind: str, name: str) -> StepResult:
        named = {jobs.name_member: name}
        created = self._sagemaker(attempt, f"Create{jobs.job}", {**attempt.arguments, **named})
        metadata = {kind: {"Arn": created[jobs.arn_member]}}
        attempt.announce(metadata)
        with self._lock:
            stop = functools.partial(self._patiently, attempt, f"Stop{jobs.job}", named)
            self._jobs.setdefault(attempt.execution, []).append(stop)
            is_stopped = attempt.execution in self._stopped
        if is_stopped:
            stop()
        jobs.wait(name)
        job = self._patiently(attempt, f"Describe{jobs.job}", named)
        status, reason = job[jobs.status_member], job.get("FailureReason", "")
        if status == "Stopped":
            raise StepStoppedError
        if status != "Completed":
            error = _OF_JOBS.get(reason.partition(":")[0], "")
            raise StepFailedError(f"{kind.removesuffix('Job')} job failed. {reason}", error)
        return StepResult(metadata, job)

    def _register(self, attempt: Attempt) -> StepResult:
        """Register a version; the step always creates the group, which may exist.

        Recorded trails of pipelines with narrow roles show the call; AWS's pages do not list it.
        """
        if "ModelPackageGroupName" in attempt.arguments:
            group = {"ModelPackageGroupName": name_of(attempt.arguments["ModelPackageGroupName"])}
            try:
                self._patiently(attempt, "CreateModelPackageGroup", group)
            except ServiceError as error:
                if "already exists" not in error.message:
                    raise
        arn = self._sagemaker(attempt, "CreateModelPackage", attempt.arguments)["ModelPackageArn"]
        described = self._patiently(attempt, "DescribeModelPackage", {"ModelPackageName": arn})
        return StepResult({"RegisterModel": {"Arn": arn}}, described)

    def _model(self, attempt: Attempt) -> StepResult:
        request = {**attempt.arguments, "ModelName": attempt.job_name}
        arn = self._sagemaker(attempt, "CreateModel", request)["ModelArn"]
        return StepResult({"Model": {"Arn": arn}}, {**request, "ModelArn": arn})

    def _lambda(self, attempt: Attempt) -> StepResult:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-lambda."""
        function = attempt.step["FunctionArn"]
        self.authorize(attempt.caller, "lambda", "Invoke", {"FunctionName": function})
        result = self.functions.invoke(function, json.dumps(attempt.arguments).encode())
        if result.error is not None:
            message = json.loads(result.payload).get("errorMessage", "")
            raise StepFailedError(f"ClientError: Lambda function {function} failed: {message}")
        answer = json.loads(result.payload)
        outputs = {}
        for output in attempt.step.get("OutputParameters", []):
            name = output["OutputName"]
            if not isinstance(answer, dict) or name not in answer:
                raise StepFailedError(f"ClientError: Lambda function {function} returned no output {name!r}")
            outputs[name] = answer[name]
        listed = [{"Name": name, "Value": str(value)} for name, value in outputs.items()]
        metadata = {"Lambda": {"Arn": function, "OutputParameters": listed}}
        return StepResult(metadata, {"OutputParameters": outputs, **outputs})

    def _sagemaker(self, attempt: Attempt, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self.call("sagemaker", operation, request, attempt.caller)

    def _patiently(self, attempt: Attempt, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call again while the service is throttled: a step that has its job must not begin another one."""
        for wait in (*PATIENCE_SECONDS, None):
            try:
                return self._sagemaker(attempt, operation, request)
            except ServiceError as error:
                if _OF_CALLS.get(error.code) != "Step.THROTTLING" or wait is None:
                    raise
                time.sleep(wait)
        raise AssertionError

    def _condition(self, attempt: Attempt) -> StepResult:
        outcome = all(holds(condition) for condition in attempt.arguments["Conditions"])
        return StepResult({"Condition": {"Outcome": str(outcome)}}, {"Outcome": outcome})

    def _fail(self, attempt: Attempt) -> StepResult:
        message = str(attempt.arguments.get("ErrorMessage", ""))
        attempt.announce({"Fail": {"ErrorMessage": message}})
        raise StepFailedError(message)


def holds(condition: dict[str, Any]) -> bool:
    """Whether a condition is true.

    https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/#condition-step
    """
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Condition"])
    if kind == "Or":
        return any(holds(inner) for inner in condition["Conditions"])
    if kind == "In":
        return condition["QueryValue"] in condition["Values"]
    left, right = condition["LeftValue"], condition["RightValue"]
    if kind == "Equals":
        return bool(left == right)
    try:
        left, right = float(left), float(right)
    except (TypeError, ValueError):
        raise StepFailedError(f"ClientError: cannot compare {left!r} with {right!r}") from None
    comparisons = {
        "GreaterThan": left > right,
        "GreaterThanOrEqualTo": left >= right,
        "LessThan": left < right,
        "LessThanOrEqualTo": left <= right,
    }
    if kind not in comparisons:
        raise StepFailedError(f"ClientError: unknown condition {kind}")
    return comparisons[kind]


def job_name(execution: str, step: Step, prefix: str | None = None) -> str:
    """The name of a step's new job or model; `prefix` is the name in its arguments, if it has one.

    The SDK leaves a name there with PipelineDefinitionConfig(use_custom_job_prefix=True):
    https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html. The form of the whole name is assumed.
    A tuning job's has at most 32 characters, since the names of its trials add to it; another job's has 63.
    """
    if step["Type"] == "Tuning":
        return f"{execution}-{(prefix or step['Name'])[:8].rstrip('-')}-{random_id(10)}"
    start = f"{prefix[:39].rstrip('-')}-{execution}" if prefix else f"pipelines-{execution}-{step['Name'][:22]}"
    return f"{start}-{random_id(10)}"
