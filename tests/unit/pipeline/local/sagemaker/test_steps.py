import pytest

from pipeline.local.sagemaker.steps import StepFailedError, holds


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
