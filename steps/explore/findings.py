"""What the exploration computes: statements in an order, and their rows as the numbers of the contract."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from steps.aggregates import results, statements
from steps.aggregates.balance import balance
from steps.aggregates.distributions import distributions, weighted
from steps.aggregates.fences import fences
from steps.aggregates.statements import Fences, Relations
from steps.contracts.errors import StepError
from steps.contracts.exploration import (
    MEASURES,
    UNIT_OF,
    Alike,
    AlikeExample,
    Exploration,
    Frequencies,
    FrequentItem,
    Outlier,
    Outliers,
    WholeExploration,
)
from steps.explore import statements as own
from steps.explore.engines import Choice, Engine

log = logging.getLogger(__name__)

# All larger numbers are one row of a histogram: as in the query step's page.
MOST = 100
LARGEST_QUANTITY = 1_000
# Items, outliers per measure, and groups of alike photos that are named.
EXAMPLES = 20

_FREQUENT = pa.schema([("asin", pa.string()), ("photos", pa.int64())])
_TOTAL = pa.schema([("total", pa.int64())])
_EXAMPLE = [("image_id", pa.string()), ("asin", pa.string()), ("value", pa.float64())]
_FARTHEST = pa.schema([("measure", pa.string()), *_EXAMPLE])
_OUTLIERS = pa.schema([("measure", pa.string()), ("items_below", pa.int64()), ("items_above", pa.int64())])
_ALIKE = pa.schema([(name, pa.int64()) for name in ("number", "groups", "photos", "several_quantities", "largest")])
_GROUPS = pa.schema(
    [
        ("first_id", pa.string()),
        ("last_id", pa.string()),
        ("photos", pa.int64()),
        ("smallest", pa.int64()),
        ("largest", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Findings:
    """The contract's numbers, and tables by the name of their Parquet file."""

    whole: WholeExploration
    tables: dict[str, pa.Table]


class _Statements:
    """Runs statements of one data set on an engine."""

    def __init__(self, engine: Engine, choice: Choice, maximum: int) -> None:
        self.relations = Relations(labels=own.labelled(maximum))
        self.dialect = choice.dialect
        self._engine = engine

    def rows(self, name: str, text: str, schema: pa.Schema) -> pa.Table:
        """The rows of a statement as columns of `schema`."""
        table = self._engine.sql(text).select(schema.names).cast(schema)
        log.info("%s: %d rows", name, len(table))
        return table

    def total(self, name: str, text: str) -> int:
        """The `total` of a statement with one row."""
        return int(self.rows(name, text, _TOTAL)["total"][0].as_py())


def collect(engine: Engine, choice: Choice, maximum: int) -> Findings:
    """Everything about the tables `metadata` and `labels` of an engine, for the classes 0 to `maximum`.

    Raises StepError where no photo has a label, and for an error of the engine.
    """
    run = _Statements(engine, choice, maximum)
    labels = _totals(run.rows("quantities", own.label_quantities(run.relations), results.HISTOGRAM))
    if not labels:
        raise StepError(f"no label has a quantity of 0 to {maximum}: there is nothing to explore")
    larger = own.larger_quantities(run.relations, maximum, max(LARGEST_QUANTITY, maximum + 1))
    quantities = {**labels, **_totals(run.rows("larger quantities", larger, results.HISTOGRAM))}
    histograms = {
        "items_per_bin": (statements.items_per_bin, "items", "photos"),
        "units_per_item": (statements.units_per_item, "units", "occurrences"),
        "photos_per_item": (statements.photos_per_item, "photos", "items"),
    }
    tables = {"quantities": balance(quantities, maximum)}
    frequencies = {}
    for name, (statement, number, total) in histograms.items():
        # An unknown number is first in some engines, and last in others.
        rows = run.rows(name, statement(run.relations, run.dialect, MOST), results.HISTOGRAM).sort_by("number")
        frequencies[name] = _frequencies(rows)
        tables[name] = rows.rename_columns([number, total])
    tables["frequent_items"] = run.rows(
        "frequent_items", statements.frequent_items(run.relations, run.dialect, EXAMPLES), _FREQUENT
    )
    measured = run.rows("measures", statements.measures(run.relations, run.dialect), results.MEASURES)
    tables["measures"] = results.rounded(measured)
    tables["other_units"] = results.OTHER_UNITS.empty_table()
    if statements.OTHER_UNIT in tables["measures"]["state"].to_pylist():
        text = statements.other_units(run.relations, run.dialect)
        tables["other_units"] = run.rows("other_units", text, results.OTHER_UNITS)
    outliers = _outliers(run, tables["measures"])
    tables["outliers"] = _outlier_table(outliers)
    same_bytes, tables["same_bytes"] = _alike(run, "same_bytes", own.SAME_BYTES)
    same_items, tables["same_items"] = _alike(run, "same_items", own.SAME_ITEMS)
    whole = WholeExploration(
        engine=choice.name,
        engine_reason=choice.reason,
        maximum_quantity=maximum,
        metadata_files=run.total("metadata files", own.metadata_files(run.relations)),
        labelled=sum(labels.values()),
        explored=Exploration(
            quantities=quantities,
            measures=distributions(tables["measures"], tables["other_units"]),
            items_per_bin=frequencies["items_per_bin"],
            units_per_item=frequencies["units_per_item"],
            photos_per_item=frequencies["photos_per_item"],
        ),
        frequent_items=[FrequentItem(**row) for row in tables["frequent_items"].to_pylist()],
        outliers=outliers,
        same_bytes=same_bytes,
        same_items=same_items,
        unequal_units=run.total("unequal units", own.unequal_units(run.relations, run.dialect)),
    )
    return Findings(whole, tables)


def _totals(rows: pa.Table) -> dict[int, int]:
    return dict(zip(rows["number"].to_pylist(), rows["total"].to_pylist(), strict=True))


def _frequencies(rows: pa.Table) -> Frequencies:
    totals: dict[int | None, int] = dict(zip(rows["number"].to_pylist(), rows["total"].to_pylist(), strict=True))
    unknown = totals.pop(None, 0)
    return Frequencies(
        numbers={number: total for number, total in totals.items() if number is not None}, unknown=unknown
    )


def _outliers(run: _Statements, measures: pa.Table) -> list[Outliers]:
    around = []
    for name in MEASURES:
        fenced = fences(weighted(measures.filter(pc.equal(measures["measure"], name)).to_pylist()))
        if fenced is not None:
            around.append(Fences(name, *fenced))
    if not around:
        return [Outliers(measure=name, unit=UNIT_OF[name]) for name in MEASURES]
    counted = run.rows("outliers", statements.outliers(run.relations, run.dialect, around), _OUTLIERS).to_pylist()
    farthest: list[dict[str, Any]] = []
    if counted:
        text = statements.farthest(run.relations, run.dialect, around, EXAMPLES)
        farthest = run.rows("farthest", text, _FARTHEST).to_pylist()
    counts = {row.pop("measure"): row for row in counted}
    return [
        Outliers(
            measure=name,
            unit=UNIT_OF[name],
            low=next((each.low for each in around if each.measure == name), None),
            high=next((each.high for each in around if each.measure == name), None),
            examples=[
                Outlier(image_id=row["image_id"], asin=row["asin"], value=row["value"])
                for row in farthest
                if row["measure"] == name
            ],
            **counts.get(name, {}),
        )
        for name in MEASURES
    ]


def _outlier_table(outliers: list[Outliers]) -> pa.Table:
    """A row per named outlier, with the fences of its measure."""
    rows = [
        {"measure": each.measure, "unit": each.unit, "low": each.low, "high": each.high, **example.model_dump()}
        for each in outliers
        for example in each.examples
    ]
    columns = [(name, pa.string()) for name in ("measure", "unit")] + [(name, pa.float64()) for name in ("low", "high")]
    return pa.Table.from_pylist(rows, pa.schema([*columns, *_EXAMPLE]))


def _alike(run: _Statements, name: str, same: tuple[str, ...]) -> tuple[Alike, pa.Table]:
    """Photos that are alike in the columns `same`, and a table of their groups by size."""
    table = run.rows(name, own.alike(run.relations, run.dialect, same, MOST), _ALIKE)
    rows = table.to_pylist()
    examples = []
    if rows:
        groups = run.rows(f"{name} examples", own.largest_alike(run.relations, run.dialect, same, EXAMPLES), _GROUPS)
        examples = [
            AlikeExample(first=row.pop("first_id"), last=row.pop("last_id"), **row) for row in groups.to_pylist()
        ]
    alike = Alike(
        groups=sum(row["groups"] for row in rows),
        photos=sum(row["photos"] for row in rows),
        largest=max((row["largest"] for row in rows), default=0),
        several_quantities=sum(row["several_quantities"] for row in rows),
        sizes=Frequencies(numbers={row["number"]: row["groups"] for row in rows}),
        examples=examples,
    )
    return alike, table
