"""One metadata file, read strictly: the columns of Athena's SerDe, and facts that a SerDe does not report."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any


class MalformedError(Exception):
    """Not a metadata document."""


@dataclass(frozen=True, slots=True)
class Item:
    """One product in a bin; a value that is missing or of another type is None."""

    key: str
    asin: str | None
    name: str | None
    quantity: int | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """One bin's metadata. `kind` is the type of EXPECTED_QUANTITY: `number`, or another one.

    `group` is the name of own metadata for photos that belong together; None where it is missing or blank.
    """

    quantity: float | None
    kind: str
    items: list[Item] | None
    group: str | None = None


def parse(data: bytes) -> Metadata:
    """Read one metadata file. The case of keys is ignored, as by the SerDe. Raises MalformedError."""
    fields = document(data)
    kind = quantity_kind(fields["expected_quantity"]) if "expected_quantity" in fields else "missing"
    quantity = float(fields["expected_quantity"]) if kind == "number" else None
    contents = items(fields)
    listed = None if contents is None else [_item(*pair) for pair in contents.items()]
    return Metadata(quantity, kind, listed, group_name(fields))


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


def items(fields: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """The items of a `document` by their keys; None if they are missing or null. Raises MalformedError."""
    value = fields.get("bin_fcsku_data")
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(item, dict | None) for item in value.values()):
        raise MalformedError("BIN_FCSKU_DATA is not an object of objects")
    return {key: item or {} for key, item in value.items()}


def group_name(fields: dict[str, Any]) -> str | None:
    """The `group` of a `document`, a string or an integer; None where it names none. Raises MalformedError."""
    value = fields.get("group")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise MalformedError("group is not a string")
    return str(value).strip(" ") or None


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


def _item(key: str, item: dict[str, Any]) -> Item:
    fields = {name.lower(): value for name, value in item.items()}
    asin, name, quantity = fields.get("asin"), fields.get("name"), fields.get("quantity")
    return Item(
        key,
        asin if isinstance(asin, str) else None,
        name if isinstance(name, str) else None,
        quantity if type(quantity) is int and abs(quantity) < 2**31 else None,
    )
