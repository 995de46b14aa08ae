import re
from types import SimpleNamespace

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.sagemaker.execution import _retry_delay
from pipeline.local.sagemaker.steps import Attempt, StepFailedError, StepRunners, StepStoppedError, holds, job_name
from tests.unit.pipeline.local.identities import Permissive


def compare(kind, left, right):
    return holds({"Type": kind, "LeftValue": left, "RightValue": right})


@pytest.mark.parametrize(
    ("kind", "left", "right", "expected"),
    [
        ("GreaterThanOrEqualTo", 0.5, 0.5, True),
        ("GreaterThanOrEqualTo", 0.49, 0.5, False),
        ("LessThanOrEqualTo", 1.0, 1, True),
        ("LessThanOrEqualTo", 1.01, 1, False),
        ("GreaterThan", 1, 1, False),
        ("LessThan", 1, 2, True),
        ("Equals", "a", "a", True),
    ],
)
def test_comparisons(kind, left, right, expected):
    assert compare(kind, left, right) is expected


@pytest.mark.parametrize("kind", ["GreaterThanOrEqualTo", "LessThanOrEqualTo"])
def test_nan_passes_no_gate(kind):
    assert compare(kind, float("nan"), 0.5) is False


def test_conditions_combine():
    true, false = ({"Type": "Equals", "LeftValue": 1, "RightValue": right} for right in (1, 2))
    assert holds({"Type": "Or", "Conditions": [false, true]})
    assert holds({"Type": "Not", "Condition": false})
    assert holds({"Type": "In", "QueryValue": "a", "Values": ["a", "b"]})


def test_what_cannot_be_compared_fails_the_step():
    with pytest.raises(StepFailedError, match="cannot compare"):
        compare("LessThan", "many", 1)


ROLE = Permissive().as_role("arn:aws:iam::123456789012:role/pipeline")


def runners(call):
    nothing = SimpleNamespace()
    return StepRunners(
        processing=nothing,
        training=nothing,
        tuning=nothing,
        functions=nothing,
        call=call,
        authorize=lambda *_: None,
    )


def attempt(kind, arguments=None):
    step = {"Name": "Step", "Type": kind}
    return Attempt("run", ROLE, step, arguments or {}, lambda metadata: None, job_name("run", step))


@pytest.mark.parametrize(("kind", "longest"), [("Tuning", 32), ("Training", 63), ("Processing", 63), ("Model", 63)])
@pytest.mark.parametrize("prefix", [None, "mine", "a" * 63, "abcdefg-" * 7])
def test_a_job_s_name_is_new_and_begins_with_the_name_in_its_arguments(kind, longest, prefix):
    step = {"Name": "A-step-with-a-very-long-name-of-some-fifty-characters", "Type": kind}
    names = {job_name("a1b2c3d4e5f6", step, prefix) for _ in range(3)}
    assert len(names) == 3
    for name in names:
        assert len(name) <= longest
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name)
        assert prefix is None or prefix[:4] in name


def failure(runners, kind="Model"):
    with pytest.raises(StepFailedError) as raised:
        runners.run(attempt(kind))
    return raised.value


def test_a_step_calls_the_service_as_its_pipelines_role():
    calls = []

    def call(service, operation, request, caller):
        calls.append((service, operation, request["ModelName"][:18], caller.role))
        return {"ModelArn": "arn"}

    runners(call).run(attempt("Model"))
    assert calls == [("sagemaker", "CreateModel", "pipelines-run-Step", ROLE.role)]


def test_a_job_whose_creation_is_under_way_is_stopped_as_soon_as_it_exists():
    """Kind: a stop at any moment of a step stops its job."""
    calls, stopped = [], {"TrainingJobStatus": "Stopped"}

    def call(service, operation, request, caller):
        calls.append(operation)
        if operation == "CreateTrainingJob":
            steps.stop("run")
        return stopped if operation.startswith("Describe") else {"TrainingJobArn": "arn"}

    steps = runners(call)
    names = {"name_member": "TrainingJobName", "arn_member": "TrainingJobArn", "status_member": "TrainingJobStatus"}
    steps.training = SimpleNamespace(job="TrainingJob", wait=lambda name: None, **names)
    with pytest.raises(StepStoppedError):
        steps.run(attempt("Training"))
    assert calls == ["CreateTrainingJob", "StopTrainingJob", "DescribeTrainingJob"]
    steps.forget("run")
    calls.clear()
    steps.stop("other")
    stopped["TrainingJobStatus"] = "Completed"
    steps.call = lambda service, operation, request, caller: (
        calls.append(operation) or {"TrainingJobArn": "a", **stopped}
    )
    steps.run(attempt("Training"))
    assert calls == ["CreateTrainingJob", "DescribeTrainingJob"]


def test_a_registration_creates_the_group_that_may_exist_and_is_patient_with_its_description():
    calls = []

    def call(service, operation, request, caller):
        calls.append(operation)
        if operation == "CreateModelPackageGroup":
            raise ServiceError("ValidationException", "Model Package Group already exists: arn")
        if calls.count("DescribeModelPackage") == 1:
            raise ServiceError("ThrottlingException", "Rate exceeded")
        return {"ModelPackageArn": "arn"}

    runners(call).run(attempt("RegisterModel", {"ModelPackageGroupName": "bins"}))
    described = ["DescribeModelPackage"] * 2
    assert calls == ["CreateModelPackageGroup", "CreateModelPackage", *described]


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, "Step.THROTTLING"),
        ("ResourceLimitExceeded", 400, "SageMaker.RESOURCE_LIMIT"),
        ("InternalFailure", 500, "Step.SERVICE_FAULT"),
        ("ValidationException", 400, ""),
    ],
)
def test_a_refused_call_has_the_type_that_retry_policies_name(code, status, expected):
    def refuse(*_):
        raise ServiceError(code, "no", status)

    assert failure(runners(refuse)).exception_type == expected


def test_throttling_is_retried_without_a_policy_and_by_one_if_there_is_one():
    delays = [_retry_delay({}, "Step.THROTTLING", attempt, 0.0) for attempt in range(1, 7)]
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, None]
    policy = {"ExceptionType": ["Step.THROTTLING"], "IntervalSeconds": 7, "MaxAttempts": 1}
    assert [_retry_delay({"RetryPolicies": [policy]}, "Step.THROTTLING", n, 0.0) for n in (1, 2)] == [7.0, None]
    assert _retry_delay({}, "SageMaker.CAPACITY_ERROR", 1, 0.0) is None
