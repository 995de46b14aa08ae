"""The types of steps: the request that the service sends for a step, and the properties of its answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.local.context import ServiceError, random_id
from pipeline.local.faults import Faults
from pipeline.local.machine.functions import Functions
from pipeline.local.sagemaker.jobs import Jobs
from pipeline.local.sagemaker.processing import ProcessingJobs
from pipeline.local.sagemaker.registry import ModelRegistry
from pipeline.local.sagemaker.training import TrainingJobs
from pipeline.local.sagemaker.tuning import TuningJobs

Step = dict[str, Any]
# The call that a step of a type makes; the other types make none.
_CALLS = {
    "Processing": ("sagemaker", "CreateProcessingJob"),
    "Training": ("sagemaker", "CreateTrainingJob"),
    "Tuning": ("sagemaker", "CreateHyperParameterTuningJob"),
    "RegisterModel": ("sagemaker", "CreateModelPackage"),
    "Model": ("sagemaker", "CreateModel"),
    "Lambda": ("lambda", "InvokeFunction"),
}
# Types of exception by the first word of a failed job's reason, and of a refused call by its code.
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
_OF_JOBS = {"InternalServerError": "SageMaker.JOB_INTERNAL_ERROR", "CapacityError": "SageMaker.CAPACITY_ERROR"}
_OF_CALLS = {
    **dict.fromkeys(("ThrottlingException", "TooManyRequestsException", "Throttling"), "Step.THROTTLING"),
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
}
# Called with a step's metadata (its job's ARN) as soon as there is one.
Announce = Callable[[dict[str, Any]], None]
# Checks a request against the service's model before it is sent. Raises ServiceError.
Validate = Callable[[str, dict[str, Any]], None]


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
    step: Step
    arguments: dict[str, Any]
    announce: Announce


@dataclass
class StepRunners:
    """Runs steps by their type."""

    processing: ProcessingJobs
    training: TrainingJobs
    tuning: TuningJobs
    registry: ModelRegistry
    create_model: Callable[[dict[str, Any]], dict[str, Any]]
    functions: Functions
    faults: Faults
    validate: Validate

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, list[Callable[[], Any]]] = {}
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

    def run(self, execution: str, step: Step, arguments: dict[str, Any], announce: Announce) -> StepResult:
        """Run one attempt to its end. Raises StepFailedError or StepStoppedError."""
        try:
            if (call := _CALLS.get(step["Type"])) and (refusal := self.faults.refusal(*call)):
                raise refusal
            return self._types[step["Type"]](Attempt(execution, step, arguments, announce))
        except ServiceError as error:
            kind = _OF_CALLS.get(error.code, "Step.SERVICE_FAULT" if error.status >= 500 else "")
            raise StepFailedError(f"ClientError: {error.code}: {error.message}", kind) from error

    def stop(self, execution: str) -> None:
        """Stop the jobs of an execution."""
        with self._lock:
            stops = list(self._jobs.get(execution, []))
        for stop in stops:
            stop()

    def _processing(self, attempt: Attempt) -> StepResult:
        return self._run_job(attempt, self.processing, "ProcessingJob", _generated_name(attempt))

    def _training(self, attempt: Attempt) -> StepResult:
        return self._run_job(attempt, self.training, "TrainingJob", _generated_name(attempt))

    def _tuning(self, attempt: Attempt) -> StepResult:
        # At most 32 characters: the trials' names add to it.
        name = f"{attempt.execution}-{attempt.step['Name'][:8]}-{random_id(10)}"
        result = self._run_job(attempt, self.tuning, "TuningJob", name)
        summaries = {"TrainingJobSummaries": self.tuning.ranked(name)}
        return StepResult(result.metadata, {**result.properties, **summaries})

    def _run_job(self, attempt: Attempt, jobs: Jobs, kind: str, name: str) -> StepResult:
        request = {jobs.name_member: name, **attempt.arguments}
        self.validate(f"Create{jobs.job}", request)
        metadata = {kind: {"Arn": jobs.create(request)[jobs.arn_member]}}
        attempt.announce(metadata)
        with self._lock:
            self._jobs.setdefault(attempt.execution, []).append(lambda: jobs.stop({jobs.name_member: name}))
        job = jobs.wait(name)
        status, reason = job[jobs.status_member], job.get("FailureReason", "")
        if status == "Stopped":
            raise StepStoppedError
        if status != "Completed":
            error = _OF_JOBS.get(reason.partition(":")[0], "")
            raise StepFailedError(f"{kind.removesuffix('Job')} job failed. {reason}", error)
        return StepResult(metadata, job)

    def _register(self, attempt: Attempt) -> StepResult:
        self.validate("CreateModelPackage", attempt.arguments)
        arn = self.registry.create(attempt.arguments)["ModelPackageArn"]
        return StepResult({"RegisterModel": {"Arn": arn}}, self.registry.describe({"ModelPackageName": arn}))

    def _model(self, attempt: Attempt) -> StepResult:
        request = {"ModelName": _generated_name(attempt), **attempt.arguments}
        self.validate("CreateModel", request)
        arn = self.create_model(request)["ModelArn"]
        return StepResult({"Model": {"Arn": arn}}, {**request, "ModelArn": arn})

    def _lambda(self, attempt: Attempt) -> StepResult:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-lambda."""
        function = attempt.step["FunctionArn"]
        result = self.functions.invoke(function.rsplit(":", 1)[-1], json.dumps(attempt.arguments).encode())
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
        return not holds(condition["Expression"])
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


def _generated_name(attempt: Attempt) -> str:
    return f"pipelines-{attempt.execution}-{attempt.step['Name'][:22]}-{random_id(10)}"
