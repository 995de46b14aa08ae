"""What docs/settings.md shows of the settings."""

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from pipeline.settings import Settings
from tests.documents.settings import _fields, render

FIELDS = dict(_fields("", Settings))


@pytest.mark.parametrize("key", [key for key, field in FIELDS.items() if field.examples])
def test_an_example_is_a_value_that_the_settings_accept(key: str) -> None:
    field: FieldInfo = FIELDS[key]
    kind: Any = Annotated[field.annotation, field] if field.metadata else field.annotation
    TypeAdapter(kind).validate_python(field.examples[0])


def test_every_key_has_a_row() -> None:
    text = render()
    assert [key for key in FIELDS if f"| `{key}` |" not in text] == []
    assert len(FIELDS) > 100
