"""Exploratory data analysis: aggregates that Athena computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steps.aggregates import results, statements
from steps.aggregates.balance import balance
from steps.aggregates.dialects import ATHENA
from steps.aggregates.distributions import distributions
from steps.contracts.exploration import Exploration, Frequencies
from steps.contracts.query_summary import Refusal
from steps.query.execution import Athena
from steps.query.statements import Tables

FOLDER = "eda"
# All larger numbers are one row of a histogram, which limits the rows of a query's result.
MOST = 100

Histogram = dict[int | None, int]


@dataclass(frozen=True)
class Counts:
    """Photos, metadata files, and photos by usable quantity; the largest quantity includes all above it."""

    images: int
    metadata_files: int
    quantities: dict[int, int]
    maximum_quantity: int

    @property
    def labels(self) -> dict[int, int]:
        """The quantities up to the maximum: the classes."""
        return {quantity: n for quantity, n in self.quantities.items() if quantity <= self.maximum_quantity}


@dataclass(frozen=True)
class Findings:
    """The content of the page. Histograms map a number to its frequency (MOST: that or more; None: unknown).

    `items_per_bin` counts labelled photos by their different items, `units_per_item` occurrences of an item in a
    labelled bin by its units, `photos_per_item` items by the labelled photos that show them.
    """

    counts: Counts
    items_per_bin: Histogram
    units_per_item: Histogram
    photos_per_item: Histogram
    refused: dict[str, Refusal]
    measures: pa.Table
    other_units: pa.Table


def collect(athena: Athena, tables: Tables, counts: Counts, refused: dict[str, Refusal]) -> Findings:
    """Query Athena for the histograms of the labels and the consolidated metadata. Raises QueryFailedError."""
    relations = tables.relations
    measures = results.rounded(_rows(athena, "measures", statements.measures(relations, ATHENA), results.MEASURES))
    others = pc.any(pc.equal(measures["state"], statements.OTHER_UNIT)).as_py()
    return Findings(
        counts,
        _histogram(athena, "items per bin", statements.items_per_bin(relations, ATHENA, MOST)),
        _histogram(athena, "units per item", statements.units_per_item(relations, ATHENA, MOST)),
        _histogram(athena, "photos per item", statements.photos_per_item(relations, ATHENA, MOST)),
        refused,
        measures,
        # A query is paid for, and most data has no other unit.
        _rows(athena, "other units", statements.other_units(relations, ATHENA), results.OTHER_UNITS)
        if others
        else results.OTHER_UNITS.empty_table(),
    )


def _rows(athena: Athena, name: str, sql: str, schema: pa.Schema) -> pa.Table:
    rows = list(athena.rows(name, sql))
    texts = {field.name: [row[field.name] for row in rows] for field in schema}
    return pa.table({column: pa.array(values, pa.string()) for column, values in texts.items()}).cast(schema)


def _histogram(athena: Athena, name: str, sql: str) -> Histogram:
    rows = athena.rows(name, sql)
    return {None if row["number"] is None else int(row["number"]): int(str(row["total"])) for row in rows}


def exploration(findings: Findings) -> Exploration:
    """The numbers that pages draw."""
    return Exploration(
        quantities=findings.counts.quantities,
        items_per_bin=_frequencies(findings.items_per_bin),
        units_per_item=_frequencies(findings.units_per_item),
        photos_per_item=_frequencies(findings.photos_per_item),
        measures=distributions(findings.measures, findings.other_units),
    )


def _frequencies(histogram: Histogram) -> Frequencies:
    numbers = {number: total for number, total in histogram.items() if number is not None}
    return Frequencies(numbers=numbers, unknown=histogram.get(None, 0))


def write(findings: Findings, folder: Path) -> None:
    """Write the numbers of each chart as one Parquet file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    refused = {reason: refusal.photos for reason, refusal in findings.refused.items()}
    tables = {
        "quantities": balance(findings.counts.quantities, findings.counts.maximum_quantity),
        "items_per_bin": _table(findings.items_per_bin, "items", "photos"),
        "units_per_item": _table(findings.units_per_item, "units", "occurrences"),
        "photos_per_item": _table(findings.photos_per_item, "photos", "items"),
        "refused": pa.table(
            {"reason": pa.array(refused, pa.string()), "photos": pa.array(refused.values(), pa.int64())}
        ),
        "measures": findings.measures,
        "other_units": findings.other_units,
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="snappy")


def _table(histogram: Histogram, numbers: str, totals: str) -> pa.Table:
    return pa.table({numbers: pa.array(histogram, pa.int64()), totals: pa.array(histogram.values(), pa.int64())})
