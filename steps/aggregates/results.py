"""The columns of the statements' results. Each engine has number types of its own, so that rows are cast to these."""

from __future__ import annotations

import pyarrow as pa

from steps.aggregates.statements import DIGITS

HISTOGRAM = pa.schema([("number", pa.int64()), ("total", pa.int64())])
MEASURES = pa.schema(
    [
        ("measure", pa.string()),
        ("state", pa.string()),
        ("value", pa.float64()),
        ("items", pa.int64()),
        ("units", pa.int64()),
    ]
)
OTHER_UNITS = pa.schema([("measure", pa.string()), ("unit", pa.string()), ("items", pa.int64())])


def rounded(measures: pa.Table) -> pa.Table:
    """Rows of MEASURES with each value once, and exactly as it is written in DIGITS digits, in the order of values.

    An engine multiplies by a power of ten, which is not exact: 0.009999999999999998 is 0.01.
    """
    values = measures["value"].to_pylist()
    exact = [None if value is None else float(f"{value:.{DIGITS}g}") for value in values]
    replaced = measures.set_column(
        measures.schema.get_field_index("value"), MEASURES.field("value"), pa.array(exact, pa.float64())
    )
    keys = ["measure", "state", "value"]
    summed = replaced.group_by(keys).aggregate([("items", "sum"), ("units", "sum")])
    named = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    return named.select(MEASURES.names).cast(MEASURES).sort_by([(key, "ascending") for key in keys])
