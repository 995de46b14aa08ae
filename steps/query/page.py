"""`eda.html`: the data for the person who decides about training on it, in one file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from steps.query.eda import MOST, Findings, Histogram, quantities
from steps.query.measures import HEIGHT, LENGTH, MEASURES, WEIGHT, WIDTH, MeasureSample
from steps.reports.charts import Bar, Drawing, bars, histogram
from steps.reports.page import render

NAME = "eda.html"
TEMPLATE = Path(__file__).with_name("eda.html.template")
# Bars of one chart; one more shows the rest.
MOST_BARS = 25


def write(path: Path, findings: Findings, location: str) -> None:
    """Write the page about the data below `location`."""
    counts = findings.counts
    balance = quantities(counts).filter(pc.field("labelled")).to_pylist()
    photos_per_item = findings.photos_per_item
    page = render(
        TEMPLATE,
        location=location,
        counts=counts,
        usable=sum(counts.quantities.values()),
        labelled=sum(counts.labels.values()),
        left_out=sum(refusal.photos for refusal in findings.refused.values()),
        quantities=bars("Objects in a bin", "objects", "photos", _bars(counts.quantities, counts.maximum_quantity)),
        balance=balance,
        largest_share=max((row["share"] for row in balance), default=1),
        items=sum(photos_per_item.values()),
        repeated=sum(total for number, total in photos_per_item.items() if number is not None and number > 1),
        item_charts=[
            _histogram("Different items in a bin", "items", "photos", findings.items_per_bin),
            _histogram("Units of an item in a bin", "units", "occurrences", findings.units_per_item),
            _histogram("Photos that show an item", "photos", "items", photos_per_item),
        ],
        sample=findings.sample,
        measures=_measures(findings.sample),
        measure_charts=_measure_charts(findings.sample),
        refused=sorted(findings.refused.items(), key=lambda pair: -pair[1].photos),
    )
    path.write_text(page)


def _bars(totals: Mapping[int, int], maximum: int) -> list[Bar]:
    """A bar for each number from the smallest on, gaps too; bars above `maximum` are faint."""
    if not totals:
        return []
    first, last = min(totals), max(totals)
    shown = range(first, min(last, first + MOST_BARS - 1) + 1)
    data = [Bar(str(number), totals.get(number, 0), faint=number > maximum) for number in shown]
    beyond = sum(total for number, total in totals.items() if number not in shown)
    return [*data, Bar(f"{shown.stop}+", beyond, faint=True)] if beyond else data


def _histogram(title: str, below: str, unit: str, totals: Histogram) -> Drawing:
    data = _bars({number: total for number, total in totals.items() if number is not None}, MOST)
    if None in totals:
        data.append(Bar("?", totals[None], faint=True))
    return bars(title, below, unit, data)


def _measures(sample: MeasureSample) -> list[tuple[str, ...]]:
    """A row per measure and unit: items with and without it, median, 95th percentile and largest value."""
    rows: list[tuple[str, ...]] = []
    for measure in MEASURES:
        table = sample.table.filter(pc.field("measure") == measure)
        missing = table["value"].null_count
        table = table.filter(pc.field("value").is_valid())
        for unit in pc.unique(table["unit"]).to_pylist():
            has_unit = pc.field("unit").is_null() if unit is None else pc.field("unit") == unit
            values = sorted(table.filter(has_unit)["value"].to_pylist())
            points = (statistics.median(values), values[int(0.95 * (len(values) - 1))], values[-1])
            numbers = (f"{len(values):,}", f"{missing:,}", *(f"{point:.3g}" for point in points))
            rows.append((measure, unit or "none", *numbers))
    return rows


def _measure_charts(sample: MeasureSample) -> list[Drawing]:
    weights, weight_unit = _in_most_frequent_unit(sample.table.filter(pc.field("measure") == WEIGHT))
    sides, side_unit = _in_most_frequent_unit(sample.table.filter(pc.field("measure").isin([LENGTH, WIDTH, HEIGHT])))
    longest = sides.group_by(["image_id", "item"]).aggregate([("value", "max")])["value_max"]
    return [
        _distribution("Weight of an item", weight_unit, weights["value"]),
        _distribution("Longest side of an item", side_unit, longest),
    ]


def _in_most_frequent_unit(measures: pa.Table) -> tuple[pa.Table, str]:
    """The rows whose value has the most frequent unit, and that unit; no rows where no value has a unit."""
    measures = measures.filter(pc.field("value").is_valid() & pc.field("unit").is_valid())
    if not measures.num_rows:
        return measures, ""
    units = measures["unit"].to_pylist()
    unit = statistics.mode(units)
    return measures.filter(pc.field("unit") == unit), unit


def _distribution(title: str, unit: str, values: pa.ChunkedArray) -> Drawing:
    return bars(title, f"from ({unit})" if unit else "", "items", histogram(values.to_pylist()))
