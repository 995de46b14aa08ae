"""The metadata contract: a JSON file per bin, `metadata/ID.json` next to `bin-images/`.

`steps/query` reads it for the labels of photos, and `pipeline` for the records of a recount.
"""

from __future__ import annotations

import json
import math
from typing import Any

FOLDER = "metadata"
SUFFIX = ".json"
_QUANTITY = "expected_quantity"


class MalformedError(Exception):
    """Not a metadata document."""


def document(data: bytes) -> dict[str, Any]:
    """The file's JSON object, its keys in lower case. Raises MalformedError."""
    try:
        content = json.loads(data)
        if b"\\ud" in data or b"\\uD" in data:
            # Half of a surrogate pair is valid in a Python string only, and cannot be encoded.
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise MalformedError(str(error)) from error
    if not isinstance(content, dict):
        raise MalformedError("not a JSON object")
    return {key.lower(): value for key, value in content.items()}


def expected_quantity(fields: dict[str, Any]) -> tuple[str, float | None]:
    """EXPECTED_QUANTITY of a `document`: its `quantity_kind`, or `missing`, and its value if it is a number."""
    kind = quantity_kind(fields[_QUANTITY]) if _QUANTITY in fields else "missing"
    return kind, float(fields[_QUANTITY]) if kind == "number" else None


def quantity_kind(value: object) -> str:
    """`number` for a finite number, otherwise the value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            try:
                return "number" if math.isfinite(value) else "nan"
            except OverflowError:
                return "nan"
    return "composite"
