"""What the step cache compares, and durations as definitions write them."""

import pytest

from pipeline.aws.step_cache import key_attributes, seconds


def test_of_a_tuning_step_the_documented_parts_of_its_training_job_count():
    attributes = key_attributes(
        "Tuning", {"TrainingJobDefinition": {"StaticHyperParameters": {"a": "1"}, "RoleArn": "r"}}
    )
    assert attributes is not None
    assert attributes["StaticHyperParameters"] == {"a": "1"}
    assert "RoleArn" not in attributes


def test_what_is_not_documented_here_is_said():
    assert key_attributes("Lambda", {}) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PT12H", 43_200),
        ("P30D", 2_592_000),
        ("P1DT1M", 86_460),
        ("P1W", 604_800),
        ("PT90M", 5_400),
        ("30d", 2_592_000),
        ("30dT5h", 2_610_000),
        ("T16m", 960),
    ],
)
def test_durations_are_iso_8601(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text",
    ["12h", "", "P", "PT", "soon", "P1DT", "P-1D", "P1.5D", " P1D", "P1D\n", "P٣D", "P9999999Y", "P1M1Y"],
)
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="ISO 8601"):
        seconds(text)
