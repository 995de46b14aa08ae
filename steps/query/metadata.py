"""One metadata file, read strictly: what Athena's SerDe would read of it, and what a SerDe cannot say."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any


class MalformedError(Exception):
    """Not a metadata document."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a bin holds of one product; None where the file has nothing of the right type."""

    key: str
    asin: str | None
    name: str | None
    quantity: int | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """One bin's metadata. `kind` says what EXPECTED_QUANTITY is: `number`, or why it is none."""

    quantity: float | None
    kind: str
    items: list[Item] | None


def parse(data: bytes) -> Metadata:
    """Read one metadata file. Keys match without regard to case, as in the SerDe. Raises MalformedError."""
    fields = document(data)
    kind = quantity_kind(fields["expected_quantity"]) if "expected_quantity" in fields else "missing"
    quantity = float(fields["expected_quantity"]) if kind == "number" else None
    contents = items(fields)
    return Metadata(quantity, kind, None if contents is None else [_item(*pair) for pair in contents.items()])


def document(data: bytes) -> dict[str, Any]:
    """The file's JSON object, its keys in lower case. Raises MalformedError."""
    try:
        found = json.loads(data)
        if b"\\ud" in data or b"\\uD" in data:
            # Half of a surrogate pair is a string to Python and to nothing else.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise MalformedError(str(error)) from error
    if not isinstance(found, dict):
        raise MalformedError("not a JSON object")
    return {key.lower(): value for key, value in found.items()}


def items(fields: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """The bin's items by their keys, as they stand in a `document`; None without any. Raises MalformedError."""
    value = fields.get("bin_fcsku_data")
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(item, dict | None) for item in value.values()):
        raise MalformedError("BIN_FCSKU_DATA is not an object of objects")
    return {key: item or {} for key, item in value.items()}


def quantity_kind(value: object) -> str:
    """`number` for a finite number, else what the value is instead."""
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


def _item(key: str, item: dict[str, Any]) -> Item:
    fields = {name.lower(): value for name, value in item.items()}
    asin, name, quantity = fields.get("asin"), fields.get("name"), fields.get("quantity")
    return Item(
        key,
        asin if isinstance(asin, str) else None,
        name if isinstance(name, str) else None,
        quantity if type(quantity) is int and abs(quantity) < 2**31 else None,
    )
