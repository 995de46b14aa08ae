"""Exploratory data analysis: aggregates that Athena computes, and measures of a sample of items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.query_summary import Refusal
from steps.query import statements
from steps.query.execution import Athena
from steps.query.measures import MeasureSample
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
    sample: MeasureSample


def collect(
    athena: Athena, tables: Tables, counts: Counts, refused: dict[str, Refusal], sample: MeasureSample
) -> Findings:
    """Query Athena for the histograms of the labels and the consolidated metadata. Raises QueryFailedError."""
    return Findings(
        counts,
        _histogram(athena, "items per bin", statements.items_per_bin(tables, MOST)),
        _histogram(athena, "units per item", statements.units_per_item(tables, MOST)),
        _histogram(athena, "photos per item", statements.photos_per_item(tables, MOST)),
        refused,
        sample,
    )


def _histogram(athena: Athena, name: str, sql: str) -> Histogram:
    rows = athena.rows(name, sql)
    return {None if row["number"] is None else int(row["number"]): int(str(row["total"])) for row in rows}


def write(findings: Findings, folder: Path) -> None:
    """Write the numbers of each chart as one Parquet file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    refused = {reason: refusal.photos for reason, refusal in findings.refused.items()}
    tables = {
        "quantities": quantities(findings.counts),
        "items_per_bin": _table(findings.items_per_bin, "items", "photos"),
        "units_per_item": _table(findings.units_per_item, "units", "occurrences"),
        "photos_per_item": _table(findings.photos_per_item, "photos", "items"),
        "refused": pa.table(
            {"reason": pa.array(refused, pa.string()), "photos": pa.array(refused.values(), pa.int64())}
        ),
        "measures": findings.sample.table,
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="snappy")


def quantities(counts: Counts) -> pa.Table:
    """Photos by quantity, and for the classes the share of all labels and the balanced weight.

    The weight is N / (k * n), as scikit-learn's `class_weight="balanced"`; training computes its own from its split.
    """
    labels = counts.labels
    total, classes = sum(labels.values()), len(labels)
    shares = [labels[quantity] / total if quantity in labels else None for quantity in counts.quantities]
    weights = [total / (classes * labels[quantity]) if quantity in labels else None for quantity in counts.quantities]
    return pa.table(
        {
            "quantity": pa.array(counts.quantities, pa.int64()),
            "photos": pa.array(counts.quantities.values(), pa.int64()),
            "labelled": pa.array([quantity in labels for quantity in counts.quantities], pa.bool_()),
            "share": pa.array(shares, pa.float64()),
            "balanced_weight": pa.array(weights, pa.float64()),
        }
    )


def _table(histogram: Histogram, numbers: str, totals: str) -> pa.Table:
    return pa.table({numbers: pa.array(histogram, pa.int64()), totals: pa.array(histogram.values(), pa.int64())})
