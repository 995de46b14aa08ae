from types import SimpleNamespace

import pytest

from pipeline.local import faults
from pipeline.local.context import ServiceError
from pipeline.local.sagemaker.execution import _retry_delay
from pipeline.local.sagemaker.steps import StepFailedError, StepRunners, holds


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
    assert holds({"Type": "Not", "Expression": false})
    assert holds({"Type": "In", "QueryValue": "a", "Values": ["a", "b"]})


def test_what_cannot_be_compared_fails_the_step():
    with pytest.raises(StepFailedError, match="cannot compare"):
        compare("LessThan", "many", 1)


def runners(directory, create_model):
    nothing = SimpleNamespace()
    return StepRunners(
        processing=nothing,
        training=nothing,
        tuning=nothing,
        registry=nothing,
        create_model=create_model,
        functions=nothing,
        faults=faults.Faults(directory),
        validate=lambda *_: None,
    )


def failure(runners, kind="Model"):
    with pytest.raises(StepFailedError) as raised:
        runners.run("run", {"Name": "Step", "Type": kind}, {}, lambda metadata: None)
    return raised.value


def test_a_throttled_call_of_a_step_is_an_error_of_its_own_type(tmp_path):
    faults.write(tmp_path, faults.Plan(throttled=1.0))
    error = failure(runners(tmp_path, lambda request: pytest.fail("the service was called")))
    assert (error.exception_type, str(error)) == ("Step.THROTTLING", "ClientError: ThrottlingException: Rate exceeded")
    # A Fail step makes no call that could be throttled.
    assert failure(runners(tmp_path, None), "Fail").exception_type == ""


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ResourceLimitExceeded", 400, "SageMaker.RESOURCE_LIMIT"),
        ("InternalFailure", 500, "Step.SERVICE_FAULT"),
        ("ValidationException", 400, ""),
    ],
)
def test_a_refused_call_has_the_type_that_retry_policies_name(tmp_path, code, status, expected):
    def refuse(request):
        raise ServiceError(code, "no", status)

    assert failure(runners(tmp_path, refuse)).exception_type == expected


def test_throttling_is_retried_without_a_policy_and_by_one_if_there_is_one():
    delays = [_retry_delay({}, "Step.THROTTLING", attempt, 0.0) for attempt in range(1, 7)]
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, None]
    policy = {"ExceptionType": ["Step.THROTTLING"], "IntervalSeconds": 7, "MaxAttempts": 1}
    assert [_retry_delay({"RetryPolicies": [policy]}, "Step.THROTTLING", n, 0.0) for n in (1, 2)] == [7.0, None]
    assert _retry_delay({}, "SageMaker.CAPACITY_ERROR", 1, 0.0) is None
