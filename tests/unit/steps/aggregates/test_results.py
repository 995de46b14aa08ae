"""Rows of engines as the same numbers."""

from __future__ import annotations

import pyarrow as pa

from steps.aggregates import results


def row(value: float | None, items: int, units: int, state: str = "measured") -> dict[str, object]:
    return {"measure": "weight", "state": state, "value": value, "items": items, "units": units}


def test_values_that_differ_by_their_last_bits_are_one() -> None:
    noisy = [
        row(0.01, 47, 96),
        row(0.009999999999999998, 27, 51),
        row(23.200000000000003, 1, 2),
        row(None, 5, 6, "missing"),
    ]
    table = results.rounded(pa.Table.from_pylist(noisy, results.MEASURES))
    assert table.schema == results.MEASURES
    assert table.to_pylist() == [row(0.01, 74, 147), row(23.2, 1, 2), row(None, 5, 6, "missing")]


def test_nothing_is_a_table_of_the_same_columns() -> None:
    assert results.rounded(results.MEASURES.empty_table()).schema == results.MEASURES
