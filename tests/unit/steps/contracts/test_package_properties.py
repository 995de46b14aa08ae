"""What a model package records of a run, by the service's own model."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.aws.validation.shapes import check, service_model
from steps.contracts.errors import StepError
from steps.contracts.package_properties import recordable, refusal

SHAPE = service_model("sagemaker").shape_for("CustomerMetadataValue")


# Characters of newer versions of Unicode are of no category in Python.
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])


@given(st.text(CHARACTERS, max_size=300))
@example("s3://raw/set(1)")
@example("a b;c")
@example("größe 5 ½ @+=-_.:/")
@example("a\tb")
@example("a\nb")
@example("x" * 256)
@example("x" * 257)
@example("")
def test_a_value_is_refused_exactly_where_the_service_s_model_refuses_it(value: str) -> None:
    assert bool(refusal(value)) == bool(list(check(value, SHAPE, "value")))


def test_the_refused_character_and_the_accepted_ones_are_named() -> None:
    with pytest.raises(StepError, match=r"^'s3://raw/set\(1\)' contains '\('; .*letters, digits, spaces and _ \. :"):
        recordable("s3://raw/set(1)")
    assert recordable("drift-20261128T000000Z") == "drift-20261128T000000Z"
