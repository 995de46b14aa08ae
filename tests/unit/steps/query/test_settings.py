"""The arguments of the query step, which Studio's start form does not check."""

import pytest

from steps.contracts.errors import StepError
from steps.query.settings import Settings
from steps.runtime.arguments import parse
from tests.unit.steps.arguments import QUERY, flags_of


@pytest.mark.parametrize(
    ("name", "value"),
    [("image_location", "s3://raw/set(1)"), ("data_version", "a b;c"), ("data_version", "x" * 257)],
)
def test_a_value_that_no_model_package_records_is_refused_before_anything_is_paid(name: str, value: str) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(
        StepError, match=rf"^python3 -m steps.query: {flag}: .*(model packages, which record it,|the registry) accept"
    ):
        parse(Settings, flags_of({**QUERY, name: value}))


def test_values_that_a_model_package_records_are_read() -> None:
    assert parse(Settings, flags_of({**QUERY, "data_version": "2026 11/28"})).data_version == "2026 11/28"
