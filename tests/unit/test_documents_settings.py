"""What docs/settings.md shows of the settings."""

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pipeline.settings import Settings
from tests.documents.settings import _fields, render

FIELDS = dict(_fields("", Settings))


def is_accepted(key: str, value: Any) -> bool:
    field: FieldInfo = FIELDS[key]
    kind: Any = Annotated[field.annotation, field] if field.metadata else field.annotation
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("key", [key for key, field in FIELDS.items() if field.examples])
def test_an_example_is_a_value_that_the_settings_accept(key: str) -> None:
    assert is_accepted(key, (FIELDS[key].examples or [])[0])


@pytest.mark.parametrize(
    ("key", "value"),
    [("data.bucket", "Not_A_Bucket"), ("account.id", "12"), ("network.subnets", ["vpc-1"]), ("tuning.ranges", {})],
)
def test_a_value_that_the_settings_refuse_would_be_no_example(key: str, value: Any) -> None:
    assert not is_accepted(key, value)


def test_every_key_has_a_row() -> None:
    text = render()
    assert [key for key in FIELDS if f"| `{key}` |" not in text] == []
    assert len(FIELDS) > 100
