"""One metadata file, read strictly: the columns of Athena's SerDe, and facts that a SerDe does not report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from steps.contracts.bin_metadata import MalformedError, document, expected_quantity, quantity_kind
from steps.contracts.exploration import MEASURES


class Measure(NamedTuple):
    """A weight or a size, as in the file; None for a unit that is no text and a value that is no finite number."""

    unit: str | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Item:
    """One product in a bin; a value that is missing or of another type is None. `measures` are in order of MEASURES."""

    key: str
    asin: str | None
    name: str | None
    quantity: int | None
    measures: tuple[Measure, ...]


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
    kind, quantity = expected_quantity(fields)
    contents = items(fields)
    listed = None if contents is None else [_item(*pair) for pair in contents.items()]
    return Metadata(quantity, kind, listed, group_name(fields))


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


def _item(key: str, item: dict[str, Any]) -> Item:
    fields = {name.lower(): value for name, value in item.items()}
    asin, name, quantity = fields.get("asin"), fields.get("name"), fields.get("quantity")
    return Item(
        key,
        asin if isinstance(asin, str) else None,
        name if isinstance(name, str) else None,
        units(quantity),
        tuple(_measure(fields.get(measure)) for measure in MEASURES),
    )


_NOTHING = Measure(None, None)


def _measure(field: object) -> Measure:
    if not isinstance(field, dict):
        return _NOTHING
    if len(field) != 2 or "unit" not in field or "value" not in field:
        field = {str(name).lower(): value for name, value in field.items()}
    unit, value = field.get("unit"), field.get("value")
    return Measure(unit if isinstance(unit, str) else None, _finite(value))


def _finite(value: object) -> float | None:
    if type(value) is float and math.isfinite(value):
        return value
    return float(value) if isinstance(value, int | float) and quantity_kind(value) == "number" else None


def units(quantity: object) -> int | None:
    """The units of an item by its `quantity`; None for what is no integer of 32 bits."""
    return quantity if type(quantity) is int and abs(quantity) < 2**31 else None
