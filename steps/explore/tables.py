"""The two tables that are explored, checked: with the columns of their contracts."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from steps.contracts import consolidated, labels
from steps.contracts.errors import StepError
from steps.contracts.exploration import MEASURES
from steps.explore.engines import Engine

_SCHEMAS = {"metadata": consolidated.SCHEMA, "labels": labels.SCHEMA}


def add(engine: Engine, locations: Mapping[str, str]) -> None:
    """Make `metadata` and `labels` tables of the engine.

    Raises StepError where one of them has no file, lacks a column, or was written before items had measures.
    """
    for name, schema in _SCHEMAS.items():
        engine.table(name, locations[name])
        present = engine.sql(f"SELECT * FROM {name} LIMIT 0").schema  # noqa: S608
        missing = [column for column in schema.names if column not in present.names]
        if missing:
            raise StepError(f"{locations[name]}: the {name} have no column {', '.join(missing)}; query again")
        if name == "metadata":
            _check_items(present.field("items").type, locations[name])


def _check_items(kind: pa.DataType, location: str) -> None:
    item = kind.item_type if pa.types.is_map(kind) else None
    if item is None or not pa.types.is_struct(item):
        raise StepError(f"{location}: items of the metadata are no map of items; query again")
    names = [item.field(place).name for place in range(item.num_fields)]
    missing = [name for name in ("asin", "quantity", *MEASURES) if name not in names]
    if missing:
        raise StepError(
            f"{location}: items of the metadata have no {', '.join(missing)}, as an earlier release wrote them; change"
            " data.version, so that the run queries again"
        )
